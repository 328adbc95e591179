"""A lapped init: everything that encoder and decoder share about signals of one axis as lapped frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nfcodec.entropy import logistic
from nfcodec.errors import CorruptError
from nfcodec.lapped.gains import SHAPE
from nfcodec.lapped.law import Law
from nfcodec.lapped.prior import LAWS, Prior
from nfcodec.lapped.spec import LappedSpec
from nfcodec.signal import SignalInfo
from nfcodec.types import Ints, Scales

LARGEST_KNOWN = 4  # magnitudes from here on share their correction
PSNR, PERCEPTUAL = 0, 1


@dataclass(frozen=True, eq=False)
class LappedInit:
    """``laws``: how symbols stand for weights when samples count, and when ears do. ``corrections`` (LAWS, scales,
    1 + LARGEST_KNOWN) int8: by how many 256ths of a step a symbol of magnitude 1 … is larger than it says, on average;
    for 0, what stands for it with a random sign.
    ``gains``: scales of what is coded of gains (:data:`nfcodec.lapped.gains.SHAPE`) uint8. ``sha256``: of the file's
    bytes."""

    id: str
    modality: str
    spec: LappedSpec
    laws: tuple[Law, ...]
    prior: Prior
    corrections: npt.NDArray[np.int8]
    gains: npt.NDArray[np.uint8]
    sha256: bytes

    @property
    def kind(self) -> str:
        """The kind of field."""
        return "lapped"

    @property
    def parameters(self) -> int:
        """Parameters that encoder and decoder share, the prior not counted."""
        return self.corrections.size

    @property
    def coded(self) -> int:
        """Symbols of one frame and channel."""
        return self.spec.spacing

    def takes(self, info: SignalInfo) -> bool:
        """Whether signals are sound."""
        return info.modality == "audio"

    def corrections_of(self, law: int, scales: Scales, symbols: Ints) -> npt.NDArray[np.int8]:
        """Corrections (…) of symbols (…) that were coded at ``scales`` (…)."""
        at = scales.astype(np.intp) * (1 + LARGEST_KNOWN) + np.minimum(np.abs(symbols), LARGEST_KNOWN)
        found: npt.NDArray[np.int8] = self.corrections[law].ravel().take(at)
        return found

    def validate(self) -> None:
        """Raise :class:`CorruptError` when its parts do not fit together."""
        self.spec.validate()
        if len(self.laws) != LAWS or self.prior.spec != self.spec:
            raise CorruptError(f"init {self.id}: its parts do not fit together")
        for law in self.laws:
            law.validate()
        self.prior.validate()
        shape = LAWS, logistic.SCALES, 1 + LARGEST_KNOWN
        if self.corrections.shape != shape or self.corrections.dtype != np.int8 or self.corrections[..., 0].min() < 0:
            raise CorruptError(f"init {self.id}: corrections of {self.corrections.dtype} {self.corrections.shape}")
        if self.gains.shape != SHAPE or self.gains.dtype != np.uint8 or self.gains.max() >= logistic.SCALES:
            raise CorruptError(f"init {self.id}: scales of gains of {self.gains.dtype} {self.gains.shape}")
