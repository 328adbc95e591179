"""What a field is, as plain data: the spec is stored in an init and never contains floats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nfcodec.arrays import Array
from nfcodec.errors import CorruptError
from nfcodec.limits import DEFAULT_LIMITS, Limits

Role = Literal["weight", "bias", "cell"]
Params = Mapping[str, Array]  # by tensor, each with a leading module axis


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named parameter tensor of a module.

    ``role`` tells how its delta is coded: "weight" and "bias" by the factorized prior on the mask's support,
    "cell" by a context prior. Only "weight" tensors are ever pruned (Lee et al. 2021, §3: biases never are).
    """

    name: str
    shape: tuple[int, ...]
    role: Role


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """Architecture of one module.

    ``kind``: name in the registry; its module says what numbers mean there. Of a SIREN: ``axes``: input coordinates.
    ``channels``: network outputs. ``width``, ``depth``: units and number of sine layers. ``w0``: frequency factor
    inside every sine. ``coord_scale``: module coordinates run over [-coord_scale, coord_scale] on every axis.
    ``offset``: outputs are moved to [0, 1] by +0.5 (otherwise they are in [-1, 1]). ``opponent``: three outputs are
    an orthonormal luma/chroma rotation of RGB. ``tile``: samples of a module along each axis.
    """

    kind: str
    axes: int
    channels: int
    width: int
    depth: int
    w0: int
    coord_scale: int
    offset: bool
    opponent: bool
    tile: tuple[int, ...]

    def validate(self, limits: Limits = DEFAULT_LIMITS) -> None:
        """Raise :class:`CorruptError` or :class:`LimitError` when the numbers cannot describe a field."""
        positive = (self.axes, self.channels, self.width, self.depth, self.w0, self.coord_scale, *self.tile)
        if min(positive) < 1 or len(self.tile) != self.axes or self.axes > 3 or self.depth > 16:
            raise CorruptError(f"impossible field spec {self}")
        limits.check("max_parameters", (self.depth + 1) * (self.width + 1) ** 2, "field module")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; the inverse of :meth:`from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FieldSpec:
        """Read what :meth:`to_dict` wrote; unknown or missing keys and wrong types are errors."""
        try:
            spec = cls(**{**data, "tile": tuple(data["tile"])})
            numbers = (spec.axes, spec.channels, spec.width, spec.depth, spec.w0, spec.coord_scale, *spec.tile)
            if {type(n) for n in numbers} != {int} or {type(spec.offset), type(spec.opponent)} != {bool}:
                raise TypeError("whole numbers, and true or false for offset and opponent, are needed")
            spec.validate()
        except (TypeError, KeyError, ValueError) as error:
            raise CorruptError(f"bad field spec {data!r}: {error}") from error
        return spec
