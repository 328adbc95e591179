"""A lattice init: everything that encoder and decoder share about signals on a lattice of cells, level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import CorruptError
from nfcodec.lattice import order, restore, steps
from nfcodec.lattice.context import FULL, Context
from nfcodec.lattice.enlarge import detail_shapes, detail_size
from nfcodec.lattice.filtering import SampleFilter
from nfcodec.lattice.heads import BLOCK
from nfcodec.lattice.masking import LARGEST_GAIN, cell_sizes
from nfcodec.lattice.native import check_table
from nfcodec.lattice.planes import PlaneSet, places, planes_of
from nfcodec.lattice.prior import Prior
from nfcodec.lattice.restore import Restore
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.wider import Wider, stretched
from nfcodec.options import Tune
from nfcodec.signal import SignalInfo
from nfcodec.types import Doubles, Floats

Arrays = dict[str, Floats]
Whole = npt.NDArray[np.integer[Any]]

DITHERS = 16  # parts of a step that grids of means are moved by
_TURNED = 3  # planes that may be turned


@dataclass(frozen=True)
class Level:
    """One lattice of cells.

    ``trunk``: the shared SIREN φ. ``table``: (F, ∏ 2s) φ at the samples' own positions, in whole numbers of 2^-16.
    ``restore``: D, which predicts what quantization removed. ``log_step``: (8, P, K) log2 of the step sizes at the
    quality anchors, in whole 256ths. ``first_step``: what only the encoder needs, the preconditioner
    ("analysis.0", … for every set of functions: (K, ∏ 2s)), log2 of the step size of every weight in the first inner
    step and in those after it ("log_gain": (P, K); "log_again": (steps, P, K), if there are any), and the network of
    the correction ("e.…"). ``prior``: the integer networks. ``detail``: X, which tells what lies between the samples;
    empty where it was not trained. ``offset``: W0 (P, K), the last layers that Δ is taken from, in whole numbers of
    2^-16; None for zeros. ``context``: what the further inner steps were trained on. ``masking``: γ (8, P, K) of the
    anchors in 256ths, by which steps grow with activity (:mod:`nfcodec.lattice.masking`); None where they do not.
    ``wider``: other spacings that the level may have (:mod:`nfcodec.lattice.wider`); ``finer``: by how much the quality
    of steps, D and prior is above that of the picture at the spacing that it has. ``filter``: Y, which tells what
    coding lost at the samples (:mod:`nfcodec.lattice.filtering`); None where it was not trained.
    """

    spec: LatticeSpec
    trunk: Arrays
    table: Whole
    restore: Restore
    log_step: Whole
    first_step: Arrays
    prior: Prior
    detail: Arrays
    offset: Whole | None = None
    context: Context = FULL
    masking: Whole | None = None
    wider: Mapping[int, Wider] = field(default_factory=dict)
    finer: int = 0
    filter: SampleFilter | None = None

    @property
    def parameters(self) -> int:
        """Parameters that encoder and decoder share, the prior not counted."""
        groups = (self.trunk, self.first_step, self.detail, {} if self.offset is None else {"offset": self.offset})
        networks = self.restore.parameters + (self.filter.parameters if self.filter else 0)
        return networks + sum(a.size for group in groups for a in group.values())

    @property
    def coded(self) -> int:
        """Symbols of one cell."""
        return self.spec.coded

    @property
    def inner_steps(self) -> int:
        """Gradient steps of the encoder before its learned correction."""
        return 1 + len(self.first_step.get("log_again", ()))

    def at(self, spacing: int) -> Level:
        """The level with cells ``spacing`` samples apart along every axis; KeyError unless it is made for that."""
        wider, spec = self.wider[spacing], replace(self.spec, spacing=(spacing,) * self.spec.axes)
        functions = {
            name: stretched(own, self.spec.spacing, spec.spacing)
            for name, own in self.first_step.items() if name.startswith("analysis.")
        }  # fmt: skip
        return replace(
            self, spec=spec, table=wider.table, finer=wider.finer, first_step=self.first_step | functions,
            prior=replace(self.prior, spec=spec), wider={}, filter=self._filter_at(spacing),
        )  # fmt: skip

    def _filter_at(self, spacing: int) -> SampleFilter | None:
        """Y as it is told of a spacing."""
        return self.filter and replace(self.filter, spacing=1 + sorted(self.wider).index(spacing))

    def dithered(self, dither: Sequence[int], quality: int) -> Level:
        """The level with the grids of its means moved by 16ths of their steps of a quality, plane by plane; those of
        planes that it does not have are 0, or it is a :class:`CorruptError`."""
        planes = len(self.spec.planes)
        if any(dither[planes:]):
            raise CorruptError(f"a dither {tuple(dither)} of {planes} planes")
        offset = np.zeros((planes, self.spec.bases), np.int64) if self.offset is None else self.offset.astype(np.int64)
        parts = np.array(dither[:planes], np.float64) * (restore.UNIT // DITHERS)
        sizes = steps.step_sizes(self.log_step, quality)[:, 0]
        offset[:, 0] += steps.weights(np.zeros(planes), parts, sizes).astype(np.int64)
        return replace(self, offset=offset)

    def steps(self, quality: int) -> Floats:
        """Step sizes (P, K) of a quality 0 … 100; where they grow with activity, those of a usual cell."""
        return steps.step_sizes(self.log_step, quality).astype(np.float32)

    def sizes(self, symbols: npt.NDArray[np.int32], quality: int) -> Doubles | Floats:
        """Step sizes (P, K), or (P, K, *cells), of symbols (P, K, *cells): exact."""
        if self.masking is None:
            return steps.step_sizes(self.log_step, quality)
        return cell_sizes(self.log_step, self.masking, quality, symbols[0, 0])

    @property
    def base(self) -> Floats:
        """W0 (P, K), the last layers that Δ is taken from."""
        if self.offset is None:
            return np.zeros((len(self.spec.planes), self.spec.bases), np.float32)
        return (self.offset * steps.WEIGHT_UNIT).astype(np.float32)

    @staticmethod
    def hats(quality: int) -> Floats:
        """Quality features (8,) that sum to 1."""
        return order.quality_features(quality).astype(np.float32) / np.float32(16.0)

    @property
    def correction_blocks(self) -> int:
        """Residual layers of the network of the encoder's correction."""
        return sum(1 for name in self.first_step if name.startswith("e.") and name.endswith(".weight")) - 2

    def validate(self, name: str, levels: int = 1) -> None:
        """Raise :class:`CorruptError` when arrays and spec do not fit together; ``name`` of the init, ``levels``: how
        many it has."""
        spec = self.spec
        _expect(name, self.trunk, spec.shapes())
        self._check_first_step(name)
        self._check_steps(name)
        self._check_offset(name)
        self._check_masking(name)
        check_table(name, spec, self.table, levels)
        self._check_wider(name)
        inputs = restore.input_count(len(spec.planes), spec.bases, spec.axes)
        self.restore.validate(inputs, spec.coded, spec.axes)
        self._check_filter(name)
        if self.prior.spec != spec:
            raise CorruptError(f"init {name}: the prior is of another lattice")
        if self.detail and spec.axes != 2:
            raise CorruptError(f"init {name}: detail is of pictures, not of {spec.axes} axes")
        if self.detail:
            _expect(name, self.detail, detail_shapes(*detail_size(self.detail), order.QUALITY_LEVELS))
        self.prior.validate()

    def _check_wider(self, name: str) -> None:
        for spacing, wider in self.wider.items():
            if spacing % 2 or not 0 < spacing < 256 or not 0 <= wider.finer <= 100:
                raise CorruptError(f"init {name}: impossible cells of {spacing} samples, {wider.finer} finer")
            check_table(name, replace(self.spec, spacing=(spacing,) * self.spec.axes), wider.table)

    def _check_filter(self, name: str) -> None:
        if self.filter is None:
            return
        if self.spec.axes != 2:
            raise CorruptError(f"init {name}: Y is of pictures, not of {self.spec.axes} axes")
        self.filter.validate(name, len(self.spec.planes), len(self.wider))
        if self.filter.heads > 1 and any(n % BLOCK for n in self.spec.region):
            raise CorruptError(f"init {name}: blocks of Y's heads of {BLOCK} cells in regions of {self.spec.region}")

    def _check_steps(self, name: str) -> None:
        shape = order.QUALITY_LEVELS, len(self.spec.planes), self.spec.bases
        if self.log_step.shape != shape or self.log_step.dtype != np.int16:
            raise CorruptError(f"init {name}: log_step of {self.log_step.dtype} {self.log_step.shape}")
        low, high = steps.LOWEST * steps.OCTAVE, steps.HIGHEST * steps.OCTAVE
        if self.log_step.min() < low or self.log_step.max() >= high:
            raise CorruptError(f"init {name}: a step size is out of range")

    def _check_offset(self, name: str) -> None:
        offset = self.offset
        if offset is None:
            return
        if offset.shape != (len(self.spec.planes), self.spec.bases) or offset.dtype != np.int32:
            raise CorruptError(f"init {name}: offset of {offset.dtype} {offset.shape}")
        if np.abs(offset.astype(np.int64)).max() > steps.LARGEST_WEIGHT:
            raise CorruptError(f"init {name}: an offset is out of range")

    def _check_masking(self, name: str) -> None:
        gains = self.masking
        if gains is None:
            return
        if gains.shape != self.log_step.shape or gains.dtype != np.int16:
            raise CorruptError(f"init {name}: masking of {gains.dtype} {gains.shape}")
        if np.abs(gains.astype(np.int64)).max() > LARGEST_GAIN or gains[:, :, 0].any():
            raise CorruptError(f"init {name}: a gain of masking is out of range, or one of the means")

    def _check_first_step(self, name: str) -> None:
        spec, group = self.spec, self.first_step
        sizes = spec.bases, int(np.prod([2 * s for s in spec.spacing]))
        width = len(group.get("e.in.bias", ()))
        shapes = correction_shapes(spec, width, self.correction_blocks)
        if {n for n in group if n.startswith("e.")} != set(shapes):
            raise CorruptError(f"init {name}: the tensors e.… make no network")
        gains = len(spec.planes), spec.bases
        _expect(name, group, shapes | {f"analysis.{i}": sizes for i in range(spec.tables)} | {"log_gain": gains})
        if "log_again" in group:
            _expect(name, group, {"log_again": (self.inner_steps - 1, *gains)})


def correction_shapes(spec: LatticeSpec, width: int, blocks: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network of the encoder's correction: ``blocks`` residual 3^d layers of ``width``."""
    inputs = restore.input_count(len(spec.planes), spec.bases, spec.axes)
    shapes: dict[str, tuple[int, ...]] = {"e.in.weight": (width, inputs), "e.in.bias": (width,)}
    for i in range(blocks):
        shapes |= {f"e.{i}.weight": (width, width, *(3,) * spec.axes), f"e.{i}.bias": (width,)}
    return shapes | {"e.out.weight": (2 * spec.coded, width), "e.out.bias": (2 * spec.coded,)}


@dataclass(frozen=True)
class LatticeInit:
    """A meta-learned lattice: its field is the sum of ``levels``.

    ``trade``: λ at quality 0 and its ratio over the whole range, squared error of a sample per bit and pixel.
    ``sha256``: of the file's bytes. ``perceptual``: the same field as it is used to look well, with steps, D, prior and
    first step of its own; None where there is none. A file says which of the two it is of. ``turn``: of the planes
    of one picture (:func:`nfcodec.rotations.whole_turn`).
    """

    id: str
    modality: str
    levels: tuple[Level, ...]
    trade: tuple[float, float]
    sha256: bytes
    perceptual: LatticeInit | None = None
    turn: tuple[int, ...] | None = None
    _others: dict[int, LatticeInit] = field(default_factory=dict, init=False, repr=False, compare=False)

    def tuned(self, tune: Tune) -> LatticeInit:
        """The init as it is used for a tune; itself where there is but one way."""
        return self.perceptual if tune == "perceptual" and self.perceptual is not None else self

    @property
    def spacings(self) -> tuple[int, ...]:
        """Other spacings than its own that the lattice may have."""
        return tuple(sorted(self.levels[0].wider)) if len(self.levels) == 1 else ()

    def at(self, spacing: int | None) -> LatticeInit:
        """The init with cells ``spacing`` samples apart along every axis; itself for None. λ of a quality of the steps
        is that of the picture's own quality."""
        if spacing is None:
            return self
        if spacing not in self.spacings:
            raise CorruptError(f"init {self.id} has no cells {spacing} samples apart")
        if spacing not in self._others:  # made once: who knows symbols by the prior that codes them finds them again
            level = self.levels[0].at(spacing)
            trade = self.trade_off(-level.finer), self.trade[1]
            self._others[spacing] = replace(self, levels=(level,), trade=trade, perceptual=None)
        return self._others[spacing]

    def dithered(self, dither: Sequence[int] | None, quality: int) -> LatticeInit:
        """The init with the grids of its means moved (:meth:`Level.dithered`) for a ``quality`` of the steps; itself
        for None. Only where there is one level."""
        if dither is None:
            return self
        if len(self.levels) > 1:
            raise CorruptError(f"init {self.id}: a dither of {len(self.levels)} levels")
        return replace(self, levels=(self.levels[0].dithered(dither, quality),), perceptual=None)

    def turned(self, turn: tuple[int, ...] | None) -> LatticeInit:
        """The init with its three planes turned; itself for None."""
        if turn is not None and len(self.planes.names) != _TURNED:
            raise CorruptError(f"init {self.id}: a turn of {len(self.planes.names)} planes")
        return self if turn is None else replace(self, turn=turn)

    @property
    def finer(self) -> int:
        """By how much the quality of the steps is above that of a picture."""
        return self.levels[0].finer

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

    def takes(self, info: SignalInfo) -> bool:
        """Whether signals have its axes and channels."""
        return len(info.shape) == self.axes and self.planes.takes(info.channels)

    @property
    def planes(self) -> PlaneSet:
        """The planes of its signals."""
        return planes_of([level.spec for level in self.levels]).turned(self.turn)

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
            level.validate(self.id, len(self.levels))
        if len(self.levels) > 1 and any(level.wider for level in self.levels):
            raise CorruptError(f"init {self.id}: several levels, and other spacings of one of them")
        self._check_levels()
        if self.perceptual is not None:
            self._check_perceptual(self.perceptual)

    def _check_perceptual(self, other: LatticeInit) -> None:
        """The second way to use a field is of the same cells and functions."""
        own, theirs = ([(v.spec, v.table.tobytes()) for v in init.levels] for init in (self, other))
        if own != theirs or other.perceptual is not None:
            raise CorruptError(f"init {self.id}: its perceptual tune is of another field")
        other.validate()

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
