"""Signals on a lattice: CELLS sections, regions and layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.container.layout import Header, SectionType
from nfcodec.container.reader import Entry, Reader
from nfcodec.coords import sample_positions
from nfcodec.errors import CorruptError, UnsupportedFeatureError
from nfcodec.families import Box, Deltas, Preview
from nfcodec.lattice.anywhere import reached, render_grid, render_points
from nfcodec.lattice.code import RegionBytes, RegionCoder
from nfcodec.lattice.enlarge import REACH, between, detail
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.preview import preview
from nfcodec.lattice.space import Box as Cells
from nfcodec.lattice.space import Space, box_of, section_run, unpack_run
from nfcodec.lattice.spec import MOST_LAYERS
from nfcodec.lattice.stored_palette import StoredOverlay
from nfcodec.lattice.synthesis import region_layers
from nfcodec.lattice.tensors import tensors
from nfcodec.limits import Limits
from nfcodec.recent import Recent
from nfcodec.resample import LOBES, interpolate
from nfcodec.signal import Floats, SignalInfo
from nfcodec.types import Positions

Symbols = npt.NDArray[np.int32]
Span = tuple[int, int]

# Rendering goes through a picture row of regions by row of regions, and each needs its neighbours' borders.
_ROWS_KEPT = 3
# Samples apart: a grid that is denser, and not to show more, is there to be low-passed.
_DENSER = 1.0 - 1e-9


class LatticeField:
    """The lattice of a file, region by region. Raises :class:`CorruptError` when header and sections do not match.

    ``partial``: layers that are not there are zeros; without any, a region is the mean of the init.
    """

    def __init__(
        self, init: LatticeInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits,
        coder: RegionCoder, *, partial: bool,
    ) -> None:  # fmt: skip
        self.init, self.reader, self.info, self.limits, self._coder = init, reader, info, limits, coder
        self.header: Header = reader.header
        self.spaces = [Space.of(self.info.shape, level.spec) for level in init.levels]
        if self.header.chunk_rows != self.space.chunk_rows:
            raise CorruptError(f"{self.header.chunk_rows} rows of cells per chunk do not fit a lattice")
        self._planes = [init.coded_planes(i, info.channels) for i in range(len(init.levels))]
        self._layers = [len(v.spec.layers) if n else 0 for v, n in zip(init.levels, self._planes, strict=True)]
        self._entries = _by_region(index, self.space.count, self._layers, partial=partial)
        self._renderer = LatticeRenderer(init, self.spaces, self.header.quality, info, self._decoded)
        self.overlay = StoredOverlay(reader, index, self.info.shape, info.channels, self.chunk_length, limits)
        if self.overlay and len(info.shape) != 2:
            raise CorruptError(f"an overlay of a signal of {len(info.shape)} axes")

    @property
    def level(self) -> Level:
        """The first level."""
        return self.init.levels[0]

    @property
    def space(self) -> Space:
        """The cells of the first level."""
        return self.spaces[0]

    @property
    def chunk_length(self) -> int:
        """Samples of axis 0 in one row of regions."""
        return self.space.chunk_rows * self.level.spec.spacing[0]

    def symbols(self, chunk: int) -> Symbols:
        """The symbols of a row of regions, one region after the other and in each level after level, and the numbers of
        its overlay: (n,)."""
        levels = [i for i, planes in enumerate(self._planes) if planes]
        parts = [self._decoded(r.index, level).ravel() for r in self.space.row(chunk) for level in levels]
        overlay = self.overlay.chunk(chunk)
        return np.concatenate(parts if overlay is None else [*parts, overlay.numbers()])

    @property
    def covered(self) -> bool:
        """Whether an overlay lies over the lattice."""
        return bool(self.overlay)

    @property
    def trade(self) -> float:
        """λ: squared error of the values, summed, per bit."""
        return self.init.plane_trade(self.header.quality) / self.init.planes.unit(self.info.channels)

    def deltas(self) -> Deltas:
        """Symbols int32 (P, K, *cells) and steps (P, K); :class:`UnsupportedFeatureError` where there are several
        levels, whose cells have no common places."""
        if len(self.spaces) > 1:
            levels = len(self.spaces)
            raise UnsupportedFeatureError(f"init {self.init.id}: the cells of {levels} levels are no one array")
        spec = self.level.spec
        out = np.empty((len(spec.planes), spec.bases, *self.space.cells), np.int32)
        for index in range(self.space.count):
            out[self.space.box(index).cells] = self._decoded(index, 0)
        return Deltas(out, self.level.steps(self.header.quality))

    def lacking(self) -> str:
        """Which layers are not there; those of all levels count in their order."""
        known: Counter[int] = Counter()
        for (region, _), entries in self._entries.items():
            known[region] += sum(section_run(e.first or 0)[3] for e in entries)
        regions = self.space.count
        least = min(known.values()) if len(known) == regions else 0
        most = sum(self._layers)
        if least == most:
            return ""
        ahead = sum(n > least for n in known.values())
        more = f", and of {ahead} of {regions} regions more" if ahead else ""
        return f"{least} of {most} layers are there{more}"

    def preview(self, step: int, box: Box, *, rough: bool) -> Preview | None:
        """From the first layers alone, see :mod:`nfcodec.lattice.preview`."""
        if len(self.spaces) > 1 or len(self.info.shape) != 2:
            return None
        return preview(self, step, box, rough=rough)

    def _decoded(self, region: int, level: int, layers: int = MOST_LAYERS) -> Symbols:
        shape, quality, planes = self.spaces[level].box(region).shape, self.header.quality, self._planes[level]
        if not planes:
            spec = self.init.levels[level].spec
            return np.zeros((len(spec.planes), spec.bases, *shape), np.int32)
        payloads: list[bytes] = []
        for entry in self._entries.get((region, level), ()):
            if len(payloads) < layers:
                payloads += unpack_run(self.reader.read(entry).payload, len(self.spaces)).payloads
        coded = RegionBytes(payloads[:layers], shape, quality, planes, self.limits)
        return self._coder.decode(self.init.levels[level].prior, coded)

    def lowest(self, rows: Span, columns: Span, bases: int, layers: int) -> Tensor:
        """Last layers (P·bases, …) of the cells [rows) × [columns) from the first ``layers`` of the file alone, without
        D's correction: the lowest ``bases`` of every plane."""
        steps = torch.from_numpy(self.level.steps(self.header.quality))[:, :bases]

        def weights(region: Cells) -> Tensor:
            symbols = self._decoded(region.index, 0, layers)[:, :bases].astype(np.float32)
            return (torch.from_numpy(symbols) * steps[:, :, None, None]).flatten(0, 1)

        return _gathered(self.space, box_of([rows, columns]), weights)

    def render(self, chunk: int, positions: list[Positions], finer: float) -> Floats:  # noqa: ARG002 (needs no chunk)
        """Values (n_0, …, C) on the grid of native positions."""
        if not self.overlay:
            return self._renderer.render(positions, finer)
        return self.overlay.over(positions, lambda: self._renderer.render(positions, finer))

    def sample(self, chunk: int, positions: Positions) -> Floats:  # noqa: ARG002
        """Values (N, C) at native positions (N, d)."""
        values = self._renderer.sample(positions)
        return self.overlay.at(positions, values) if self.overlay else values


class LevelRenderer:
    """Renders the planes of one level from the symbols of its regions; ``symbols_of`` gives those of one."""

    def __init__(self, level: Level, space: Space, quality: int, symbols_of: Callable[[int], Symbols]) -> None:
        self.level, self.space, self.quality = level, space, quality
        self._trunk = tensors(level.trunk)
        self._symbols_of = symbols_of
        self._recent: Recent[Tensor] = Recent(_ROWS_KEPT * space.row_size)

    def _weights(self, region: Cells) -> Tensor:
        """Last layers (F, *cells) of a region."""
        return self._recent.get(region.index, lambda r: region_layers(self.level, self._symbols_of(r), self.quality))

    def _scattered(self, cells: Tensor) -> Tensor:
        """Last layers (N, F) of cells (N, d)."""
        out = torch.empty(len(cells), self.level.spec.weights)
        low, high = cells.amin(0).tolist(), cells.amax(0).tolist()
        for region in self.space.touched(box_of([(a, b + 1) for a, b in zip(low, high, strict=True)])):
            local = cells - torch.tensor(region.start)
            mine = ((local >= 0) & (local < torch.tensor(region.shape))).all(1).nonzero()[:, 0]
            out[mine] = self._weights(region)[(slice(None), *local[mine].T)].T
        return out

    def planes(self, positions: list[Positions]) -> Tensor:
        """Planes (P, n_0, …) on the grid of native positions."""
        spec, cells = self.level.spec, self.space.cells
        spans = [reached(p, s, n) for p, s, n in zip(positions, spec.spacing, cells, strict=True)]
        window = _gathered(self.space, box_of(spans), self._weights)
        return render_grid(spec, self._trunk, window, tuple(start for start, _ in spans), cells, positions)

    def sample(self, positions: Positions) -> Tensor:
        """Planes (P, N) at native positions (N, d); those outside the lattice get the value at its border."""
        spec, cells = self.level.spec, self.space.cells
        inside = np.clip(positions, 0.0, np.multiply(cells, spec.spacing))
        return render_points(spec, self._trunk, self._scattered, cells, inside).T


class LatticeRenderer:
    """Renders a signal, the sum of its levels, from the symbols of its regions: ``symbols_of`` gives those of a region
    and a level."""

    def __init__(
        self, init: LatticeInit, spaces: Sequence[Space], quality: int, info: SignalInfo,
        symbols_of: Callable[[int, int], Symbols],
    ) -> None:  # fmt: skip
        self.set, self.channels, self.offset = init.planes, info.channels, offset_of(info.modality)
        coded = [i for i in range(len(spaces)) if init.coded_planes(i, info.channels)]
        self._places = [init.places(i) for i in coded]
        self.levels = [
            LevelRenderer(init.levels[i], spaces[i], quality, partial(_of_level, symbols_of, i)) for i in coded
        ]
        last = init.levels[-1]
        self._x, self._hats = tensors(last.detail), torch.from_numpy(last.hats(quality))
        sizes = [[n * s for n, s in zip(r.space.cells, r.level.spec.spacing, strict=True)] for r in self.levels]
        self._sizes = [min(n) for n in zip(*sizes, strict=True)]

    def _summed(self, parts: Iterable[Tensor]) -> Tensor:
        """The planes of the set from those of all levels."""
        out: Tensor | None = None
        for places, part in zip(self._places, parts, strict=True):
            out = part.new_zeros(len(self.set.names), *part.shape[1:]) if out is None else out
            out[places] += part
        assert out is not None, "the first plane is always coded"
        return out

    def planes(self, positions: list[Positions]) -> Tensor:
        """Planes (P, n_0, …) on the grid of native positions, of the coded lattice alone."""
        return self._summed(level.planes(positions) for level in self.levels)

    def _interpolated(self, positions: list[Positions]) -> Tensor:
        """Planes (P, n_0, …) on a grid that is denser than the samples only to be low-passed: from the samples.

        Every cell would see such a grid at offsets of its own, and ask for its own values of the trunk.
        """
        spans = self._spans(positions, LOBES)
        planes = self.planes([sample_positions(float(a), float(b), b - a) for a, b in spans]).numpy()
        for axis, (where, (a, _)) in enumerate(zip(positions, spans, strict=True), 1):
            planes = interpolate(planes, axis, where - a)
        return torch.from_numpy(planes)

    def _spans(self, positions: list[Positions], margin: int) -> list[Span]:
        """The samples around a grid, ``margin`` more on each side as far as the lattice goes."""
        pairs = zip(positions, self._sizes, strict=True)
        return [(max(0, int(p[0]) - margin), min(n, int(p[-1]) + margin + 1)) for p, n in pairs]

    def _detail(self, positions: list[Positions]) -> Tensor:
        """What lies between the samples (n_0, n_1), read off the picture at its own size."""
        spans = self._spans(positions, REACH + 1)  # the network sees REACH samples more, and interpolation one point
        native = [sample_positions(float(a), float(b), b - a) for a, b in spans]
        weights = detail(self._x, self.planes(native)[None, :1], self._hats)
        return between(weights[0, 0], (spans[0][0], spans[1][0]), positions)

    def render(self, positions: list[Positions], finer: float = 0.0) -> Floats:
        """Values (n_0, …, C) on the grid of native positions. ``finer``: how much of the detail between the samples
        the grid can show, from 0 (at the signal's own size) to 1 (at twice that and more)."""
        with torch.no_grad():
            dense = any(len(p) > 1 and p[1] - p[0] < _DENSER for p in positions)
            planes = self._interpolated(positions) if dense and finer == 0.0 else self.planes(positions)
            if finer > 0.0 and self._x:
                planes[0] += finer * self._detail(positions)
            return self._values(planes)

    def sample(self, positions: Positions) -> Floats:
        """Values (N, C) at native positions (N, d); those outside the lattice get the value at its border."""
        with torch.no_grad():
            return self._values(self._summed(level.sample(positions) for level in self.levels))

    def _values(self, planes: Tensor) -> Floats:
        return np.asarray(self.set.to_values(planes, self.channels, self.offset).numpy(), np.float32)


def _of_level(symbols_of: Callable[[int, int], Symbols], level: int, region: int) -> Symbols:
    return symbols_of(region, level)


def _gathered(space: Space, part: Cells, of_region: Callable[[Cells], Tensor]) -> Tensor:
    """What ``of_region`` tells of regions (F, *cells), put together for the cells of ``part``: (F, …)."""
    out: Tensor | None = None
    for region in space.touched(part):
        values = of_region(region)[part.within(region)]
        if tuple(values.shape[1:]) == part.shape:
            return values
        out = values.new_empty(len(values), *part.shape) if out is None else out
        out[region.within(part)] = values
    assert out is not None, "a part has cells"
    return out


def _by_region(
    index: list[Entry], regions: int, layers: list[int], *, partial: bool
) -> dict[tuple[int, int], list[Entry]]:  # fmt: skip
    """The CELLS sections of every (region, level), in order of their layers, of which levels have ``layers``; complete
    unless ``partial``."""
    runs: dict[tuple[int, int], list[tuple[range, Entry]]] = {}
    for entry in index:
        if entry.type == SectionType.DELTA:
            raise CorruptError("DELTA section in a file of a lattice")
        if entry.type == SectionType.CELLS and entry.first is not None:
            region, level, first, count = section_run(entry.first, len(layers))
            if first + count > layers[level]:
                raise CorruptError(f"layers up to {first + count} of region {region}, there are {layers[level]}")
            runs.setdefault((region, level), []).append((range(first, first + count), entry))
    # By number and maximum: the header of a small file can announce millions of regions.
    wanted, last = regions * sum(n > 0 for n in layers), max((region for region, _ in runs), default=0)
    if last >= regions or (not partial and len(runs) != wanted):
        raise CorruptError(f"CELLS sections of {len(runs)} regions for {wanted} regions")
    return {at: _in_order(at[0], parts, layers[at[1]], partial=partial) for at, parts in runs.items()}


def _in_order(region: int, parts: list[tuple[range, Entry]], count: int, *, partial: bool) -> list[Entry]:
    """The sections of one region by layer. What comes after a layer that is missing cannot be decoded."""
    layers = [layer for run, _ in parts for layer in run]
    if len(set(layers)) != len(layers):
        raise CorruptError(f"a layer of region {region} comes twice")
    if len(layers) != count and not partial:
        raise CorruptError(f"{len(layers)} layers of region {region}, {count} are needed")
    known, entries = 0, []
    for run, entry in sorted(parts, key=lambda part: part[0].start):
        if run.start != known:
            break
        known = run.stop
        entries.append(entry)
    return entries
