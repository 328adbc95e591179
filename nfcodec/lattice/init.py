"""A lattice init: everything that encoder and decoder share about signals on a lattice of cells, level by level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfcodec.errors import CorruptError
from nfcodec.lattice import order, restore
from nfcodec.lattice.enlarge import detail_shapes
from nfcodec.lattice.prior import Prior
from nfcodec.lattice.trunk import LatticeSpec
from nfcodec.types import Floats

Arrays = dict[str, Floats]


@dataclass(frozen=True)
class Level:
    """One lattice of cells.

    ``trunk``: the shared SIREN. ``restore``: D, which predicts what quantization removed. ``log_step``: (8, 3, K)
    log2 of the step sizes at the quality anchors. ``first_step``: what only the encoder needs, the preconditioner
    ("analysis.luma", "analysis.chroma": (K, 256)), log2 of the step size of every weight in the first inner step and
    in those after it ("log_gain": (3, K); "log_again": (steps, 3, K), if there are any), and the network of the
    correction ("e.…"). ``prior``: the integer networks. ``detail``: X, which tells what lies between the samples;
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
        return self.spec.planes * self.spec.bases

    @property
    def inner_steps(self) -> int:
        """Gradient steps of the encoder before its learned correction."""
        return 1 + len(self.first_step.get("log_again", ()))

    def steps(self, quality: int) -> Floats:
        """Step sizes (3, K) of a quality 0 … 100."""
        return np.exp2(np.tensordot(self.hats(quality), self.log_step, 1)).astype(np.float32)

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
        if spec.planes != 3 or spec.spacing != (order.SIDE, order.SIDE) or spec.bases != order.BASES:
            raise CorruptError(f"init {name}: a lattice of spacing {spec.spacing} is not known here")
        table = spec.bases, 4 * order.BASES
        _expect(name, self.trunk, spec.shapes())
        _expect(name, self.restore, self._net_shapes(name, self.restore, "d", spec.weights))
        _expect(name, self.first_step, self._net_shapes(name, self.first_step, "e", 6 * spec.bases))
        _expect(name, self.first_step, {"analysis.luma": table, "analysis.chroma": table, "log_gain": (3, table[0])})
        if "log_again" in self.first_step:
            _expect(name, self.first_step, {"log_again": (self.inner_steps - 1, 3, table[0])})
        _expect(name, {"log_step": self.log_step}, {"log_step": (order.QUALITY_LEVELS, 3, spec.bases)})
        if not (np.abs(self.log_step) < 40).all():
            raise CorruptError(f"init {name}: a step size is out of range")
        if self.detail:
            width = len(self.detail.get("in.weight", ()))
            _expect(name, self.detail, detail_shapes(width, order.QUALITY_LEVELS))
        self.prior.validate()

    def _net_shapes(self, name: str, group: Arrays, prefix: str, outputs: int) -> dict[str, tuple[int, ...]]:
        """The arrays of a network in weight space of the width and depth that ``group`` shows."""
        inputs = restore.input_count(self.spec.bases, order.QUALITY_LEVELS)
        width = len(group.get(f"{prefix}.in.bias", ()))
        shapes = restore.net_shapes(inputs, width, outputs, self.blocks(group, prefix), prefix)
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


def _expect(name: str, group: Arrays, shapes: dict[str, tuple[int, ...]]) -> None:
    for key, shape in shapes.items():
        if key not in group or tuple(group[key].shape) != tuple(shape):
            raise CorruptError(f"init {name}: tensor {key} is missing or has a wrong shape")
        if not np.isfinite(group[key]).all():
            raise CorruptError(f"init {name}: tensor {key} holds values that are not finite")
