"""A lattice init: everything that encoder and decoder share about signals on a lattice of cells, level by level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device

from nfcodec.errors import CorruptError
from nfcodec.lattice import order, restore
from nfcodec.lattice.enlarge import detail_shapes
from nfcodec.lattice.planes import PlaneSet, places, planes_of
from nfcodec.lattice.prior import Prior
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.types import Floats

Arrays = dict[str, Floats]


@dataclass(frozen=True)
class Level:
    """One lattice of cells, of P planes with K symbols per cell.

    ``trunk``: the shared SIREN. ``restore``: D, which predicts what quantization removed. ``log_step``: (8, P, K)
    log2 of the step sizes at the quality anchors. ``first_step``: what only the encoder needs, the preconditioner
    ("analysis.0", … for every set of functions: (K, ∏ 2s)), log2 of the step size of every weight in the first inner
    step and in those after it ("log_gain": (P, K); "log_again": (steps, P, K), if there are any), and the network of
    the correction ("e.…"). ``prior``: the integer networks. ``detail``: X, which tells what lies between the samples;
    empty where it was not trained.
    """

    spec: LatticeSpec
    trunk: Arrays
    restore: Arrays
    log_step: Floats
    first_step: Arrays
    prior: Prior
    detail: Arrays

    @property
    def parameters(self) -> int:
        """Parameters that encoder and decoder share, the prior not counted."""
        groups = (self.trunk, self.restore, self.first_step, self.detail)
        return sum(a.size for group in groups for a in group.values())

    @property
    def coded(self) -> int:
        """Symbols of one cell."""
        return self.spec.coded

    @property
    def inner_steps(self) -> int:
        """Gradient steps of the encoder before its learned correction."""
        return 1 + len(self.first_step.get("log_again", ()))

    def steps(self, quality: int) -> Floats:
        """Step sizes (P, K) of a quality 0 … 100."""
        xp = array_namespace(self.log_step)
        hats = xp.asarray(self.hats(quality), device=device(self.log_step))
        sizes: Floats = 2.0 ** xp.tensordot(hats, self.log_step, axes=1)
        return sizes

    @staticmethod
    def hats(quality: int) -> Floats:
        """Quality features (8,) that sum to 1."""
        return order.quality_features(quality).astype(np.float32) / np.float32(16.0)

    def blocks(self, group: Arrays, prefix: str) -> int:
        """Residual layers of one of the two networks in weight space."""
        return sum(1 for name in group if name.startswith(f"{prefix}.") and name.endswith(".weight")) - 2

    def validate(self, name: str) -> None:
        """Raise :class:`CorruptError` when arrays and spec do not fit together; ``name`` of the init."""
        spec = self.spec
        gains, places = (len(spec.planes), spec.bases), math.prod(2 * s for s in spec.spacing)
        _expect(name, self.trunk, spec.shapes())
        _expect(name, self.restore, self._net_shapes(name, self.restore, "d", spec.weights))
        _expect(name, self.first_step, self._net_shapes(name, self.first_step, "e", 2 * spec.coded))
        analysis = {f"analysis.{i}": (spec.bases, places) for i in range(spec.tables)}
        _expect(name, self.first_step, {**analysis, "log_gain": gains})
        if "log_again" in self.first_step:
            _expect(name, self.first_step, {"log_again": (self.inner_steps - 1, *gains)})
        _expect(name, {"log_step": self.log_step}, {"log_step": (order.QUALITY_LEVELS, *gains)})
        if not (np.abs(self.log_step) < 40).all():
            raise CorruptError(f"init {name}: a step size is out of range")
        self._check_detail(name)
        if self.prior.spec != spec:
            raise CorruptError(f"init {name}: the prior is of another lattice")
        self.prior.validate()

    def _check_detail(self, name: str) -> None:
        if self.detail:
            if self.spec.axes != 2:
                raise CorruptError(f"init {name}: detail is of pictures, not of {self.spec.axes} axes")
            width = len(self.detail.get("in.weight", ()))
            _expect(name, self.detail, detail_shapes(width, order.QUALITY_LEVELS))

    def _net_shapes(self, name: str, group: Arrays, prefix: str, outputs: int) -> dict[str, tuple[int, ...]]:
        """The arrays of a network in weight space of the width and depth that ``group`` shows."""
        spec, blocks = self.spec, self.blocks(group, prefix)
        inputs = restore.input_count(len(spec.planes), spec.bases, spec.axes, order.QUALITY_LEVELS)
        width = len(group.get(f"{prefix}.in.bias", ()))
        shapes = restore.net_shapes(inputs, width, outputs, blocks, prefix, spec.axes)
        if {n for n in group if n.startswith(f"{prefix}.")} != set(shapes):
            raise CorruptError(f"init {name}: the tensors {prefix}.… make no network")
        return shapes


@dataclass(frozen=True)
class LatticeInit:
    """A meta-learned lattice: its field is the sum of ``levels``.

    ``trade``: λ at quality 0 and its ratio over the whole range, squared error of a sample per bit and pixel.
    ``sha256``: of the file's bytes.
    """

    id: str
    modality: str
    levels: tuple[Level, ...]
    trade: tuple[float, float]
    sha256: bytes

    @property
    def kind(self) -> str:
        """The kind of field."""
        return "lattice"

    @property
    def parameters(self) -> int:
        """Parameters that encoder and decoder share, the priors not counted."""
        return sum(level.parameters for level in self.levels)

    @property
    def coded(self) -> int:
        """Symbols of one cell, of each level."""
        return sum(level.coded for level in self.levels)

    @property
    def axes(self) -> int:
        """Axes of its signals."""
        return self.levels[0].spec.axes

    @property
    def planes(self) -> PlaneSet:
        """The planes of its signals."""
        return planes_of([level.spec for level in self.levels])

    def places(self, level: int) -> list[int]:
        """Which of the planes those of a level are."""
        return places(self.levels[level].spec, self.planes)

    def coded_planes(self, level: int, channels: int) -> int:
        """How many planes of a level a signal of ``channels`` uses, its first ones."""
        most = self.planes.coded(channels)
        return sum(place < most for place in self.places(level))

    def plane_trade(self, quality: float) -> float:
        """λ of planes: squared error, summed over all of them, per bit."""
        return len(self.planes.names) * self.trade_off(quality)

    def trade_off(self, quality: float) -> float:
        """λ of a quality."""
        return float(self.trade[0] * self.trade[1] ** (quality / 100.0))

    def validate(self) -> None:
        """Raise :class:`CorruptError` when its parts do not fit together."""
        if not self.levels:
            raise CorruptError(f"init {self.id} has no levels")
        if not all(0 < t < 1e3 for t in self.trade):
            raise CorruptError(f"init {self.id}: impossible trade-off {self.trade}")
        for level in self.levels:
            level.validate(self.id)
        self._check_levels()

    def _check_levels(self) -> None:
        """Regions of all levels cover the same samples: a file has one numbering of regions."""
        first = self.levels[0].spec
        for level in self.levels:
            places(level.spec, self.planes)
            if _samples_of_region(level.spec) != _samples_of_region(first):
                raise CorruptError(f"init {self.id}: regions of its levels do not cover the same samples")


def _samples_of_region(spec: LatticeSpec) -> tuple[int, ...]:
    return tuple(n * s for n, s in zip(spec.region, spec.spacing, strict=True))


def _expect(name: str, group: Arrays, shapes: dict[str, tuple[int, ...]]) -> None:
    for key, shape in shapes.items():
        if key not in group or tuple(group[key].shape) != tuple(shape):
            raise CorruptError(f"init {name}: tensor {key} is missing or has a wrong shape")
        if not np.isfinite(group[key]).all():
            raise CorruptError(f"init {name}: tensor {key} holds values that are not finite")
