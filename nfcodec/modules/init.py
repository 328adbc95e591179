"""An init: everything that encoder and decoder share about one kind of signal.

Δ lives on the support of the mask: θ̂ = θ0 + scatter(Δ). Where the init was trained as a masked network
(Meta-SparseINR) θ0 is already zero off the mask, so the same formula serves a dense θ0 as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, namespace
from nfcodec.errors import CorruptError
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec, TensorSpec
from nfcodec.types import Floats

QUALITY_ANCHORS = (0, 25, 50, 75, 100)
# Far beyond any real step or prior row, and within what the quantizer and the coder take at every quality.
_STEP_BOUND, _SCALE_BOUND = 400, 1000
Int32s = npt.NDArray[np.int32]


def quality_offset(quality: int) -> int:
    """How many 1/8 octaves finer the steps of a quality are than those of quality 0: 0…35, never falling."""
    return (quality * 23) >> 6


@dataclass(frozen=True)
class Init:
    """A meta-learned initialization.

    ``theta0``, ``mask``, ``log_rate``: one array per field tensor, without a module axis; mask entries are 0
    or 1, log_rate is the natural logarithm of the inner learning rate per weight (Meta-SGD). ``step``: (P,)
    step exponents at quality 0 of all P parameters in coded order, in 1/8 octaves. ``scale``: (anchors, P)
    table rows of the prior at QUALITY_ANCHORS. ``inner_steps``, ``gamma``: the inner loop the init was
    trained for, ``rho`` its Fisher sample weights. ``coarsest``: quantization error unit at quality 0, from which the
    encoder takes λ. ``sha256``: of the file's bytes.
    """

    id: str
    modality: str
    spec: FieldSpec
    theta0: dict[str, Floats]
    mask: dict[str, Floats]
    log_rate: dict[str, Floats]
    step: Int32s
    scale: Int32s
    inner_steps: int
    gamma: float
    coarsest: float
    sha256: bytes
    rho: float = 0.0

    @cached_property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The field's tensors in coded order."""
        return field_kind(self.spec.kind).tensors(self.spec)

    @cached_property
    def theta0_flat(self) -> Floats:
        """All parameters (P,) in coded order."""
        return np.concatenate([self.theta0[t.name].reshape(-1) for t in self.tensors])

    @cached_property
    def tensor_of(self) -> Int32s:
        """(P,) index of the tensor that each parameter belongs to."""
        return np.repeat(np.arange(len(self.tensors)), [int(np.prod(t.shape)) for t in self.tensors]).astype(np.int32)

    @property
    def kind(self) -> str:
        """The kind of field."""
        return self.spec.kind

    @property
    def parameters(self) -> int:
        """Parameters of one module."""
        return self.theta0_flat.size

    @property
    def coded(self) -> int:
        """Parameters of one module that a file holds."""
        return len(self.kept(self.spec.channels))

    def kept(self, outputs: int) -> npt.NDArray[np.int64]:
        """Positions (K,) of the coded parameters for a signal that uses the first ``outputs`` outputs."""
        keep = []
        last = len(self.tensors) - 2
        for i, t in enumerate(self.tensors):
            m = self.mask[t.name] != 0
            if i >= last:
                m[..., outputs:] = False
            keep.append(m.reshape(-1))
        return np.flatnonzero(np.concatenate(keep))

    def scales_at(self, quality: int) -> Int32s:
        """(P,) prior rows at a quality: integer linear interpolation between the anchors."""
        k = min(quality // 25, len(QUALITY_ANCHORS) - 2)
        r = quality - 25 * k
        low, high = self.scale[k].astype(np.int64), self.scale[k + 1].astype(np.int64)
        return np.asarray((low * (25 - r) + high * r + 12) // 25, np.int32)

    def steps_at(self, quality: int) -> Int32s:
        """(P,) step exponents at a quality, in 1/8 octaves."""
        return np.asarray(self.step - quality_offset(quality), np.int32)

    def params(self, delta: Array, kept: npt.NDArray[np.int64]) -> dict[str, Array]:
        """Named parameters (M, *shape) for deltas (M, K) on the kept positions, of the library of ``delta``."""
        xp = namespace(delta)
        flat = xp.tile(xp.asarray(self.theta0_flat, dtype=delta.dtype)[None], (delta.shape[0], 1))
        flat[:, kept] += delta
        return self.unflatten(flat)

    def unflatten(self, flat: Array) -> dict[str, Array]:
        """Split (M, P) into named parameters (M, *shape)."""
        stops = np.cumsum([math.prod(t.shape) for t in self.tensors]).tolist()
        parts = (flat[:, a:b] for a, b in zip([0, *stops], stops, strict=False))
        return {t.name: p.reshape(-1, *t.shape) for t, p in zip(self.tensors, parts, strict=True)}

    def validate(self) -> None:
        """Raise :class:`CorruptError` when tensors and spec do not fit together."""
        self.spec.validate()
        for group in (self.theta0, self.mask, self.log_rate):
            for t in self.tensors:
                if t.name not in group or tuple(group[t.name].shape) != t.shape:
                    raise CorruptError(f"init {self.id}: tensor {t.name} is missing or has a wrong shape")
                if not np.isfinite(group[t.name]).all():
                    raise CorruptError(f"init {self.id}: tensor {t.name} holds values that are not finite")
        if any(((m != 0) & (m != 1)).any() for m in self.mask.values()):
            raise CorruptError(f"init {self.id}: mask entries must be 0 or 1")
        p = len(self.theta0_flat)
        if self.step.shape != (p,) or self.scale.shape != (len(QUALITY_ANCHORS), p):
            raise CorruptError(f"init {self.id}: steps or scales do not match {p} parameters")
        if not (np.abs(self.step) <= _STEP_BOUND).all() or not (np.abs(self.scale) <= _SCALE_BOUND).all():
            raise CorruptError(f"init {self.id}: a step or a scale is out of range")
        loop = self.inner_steps >= 0 and 0 <= self.gamma < float("inf") and 0 <= self.rho <= 1
        if not loop or not 0 < self.coarsest < float("inf"):
            raise CorruptError(f"init {self.id}: impossible inner loop or step unit")
