"""An init for moving pictures: one lattice for pictures of their own, one for what predictions miss."""

from __future__ import annotations

from dataclasses import dataclass

from nfcodec.errors import CorruptError
from nfcodec.lattice.given import NOTHING
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.moving.given import told
from nfcodec.signal import SignalInfo

# Frames of the longest group.
FRAMES = 32
MOST_FRAMES = 256
# Samples of a picture from which on groups are shorter.
_LARGE = 1 << 20


@dataclass(frozen=True)
class MovingInit:
    """``pictures``: the lattice of pictures of their own. ``residuals``: the level of residuals. ``frames``: of a
    group. ``sha256``: of the file's bytes."""

    id: str
    modality: str
    pictures: LatticeInit
    residuals: Level
    frames: int
    sha256: bytes

    @property
    def kind(self) -> str:
        """The kind of field."""
        return "moving"

    @property
    def parameters(self) -> int:
        """Parameters that encoder and decoder share, the priors not counted."""
        return self.pictures.parameters + (0 if self.shared else self.residuals.parameters)

    @property
    def coded(self) -> int:
        """Symbols of one cell."""
        return self.residuals.coded

    @property
    def shared(self) -> bool:
        """Whether residuals use the networks of pictures."""
        return self.residuals.prior is self.pictures.levels[0].prior

    def takes(self, info: SignalInfo) -> bool:
        """Whether a signal is a clip of its channels."""
        return info.modality == "video" and self.pictures.planes.takes(info.channels)

    def level(self, *, alone: bool) -> Level:
        """The lattice of a picture of its own, or of a residual."""
        return self.pictures.levels[0] if alone else self.residuals

    def planes(self, channels: int) -> int:
        """How many planes a clip of ``channels`` has."""
        return self.pictures.planes.coded(channels)

    def frames_of(self, shape: tuple[int, int]) -> int:
        """Frames of a group of pictures of ``shape`` samples: large ones go in shorter groups, for the memory."""
        size, frames = shape[0] * shape[1], self.frames
        while size > _LARGE and frames > 1:
            size, frames = size // 4, frames // 2
        return frames

    def validate(self) -> None:
        """Raise :class:`CorruptError` when its parts do not fit together."""
        if len(self.pictures.levels) != 1 or self.pictures.axes != 2 or not 1 <= self.frames <= MOST_FRAMES:
            raise CorruptError(f"init {self.id}: {self.pictures.axes} axes, groups of {self.frames}")
        spec = self.pictures.levels[0].spec
        if self.residuals.spec != spec or self.residuals.offset is not None or set(spec.spacing) - {4, 8, 16}:
            raise CorruptError(f"init {self.id}: its two lattices do not fit together")
        if self.residuals.prior.told not in (NOTHING, told(spec)) or self.pictures.levels[0].prior.told != NOTHING:
            raise CorruptError(f"init {self.id}: a prior that is told {self.residuals.prior.told}")
        self.pictures.validate()
        self.residuals.validate(self.id)
