"""Signals on a lattice: CELLS sections, regions and layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nfcodec.container.layout import Header, SectionType
from nfcodec.container.reader import Entry, Reader
from nfcodec.coords import sample_positions
from nfcodec.errors import CorruptError, UnsupportedFeatureError
from nfcodec.families import Box, Deltas, Preview
from nfcodec.lattice.anywhere import reached, render_grid, render_points
from nfcodec.lattice.code import RegionBytes, RegionCoder
from nfcodec.lattice.detail import Detail
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.native import PLANE_UNIT, native_index, reached_cells, render_box
from nfcodec.lattice.native import render_points as native_points
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.preview import preview
from nfcodec.lattice.space import Box as Cells
from nfcodec.lattice.space import Space, box_of, section_run, unpack_run
from nfcodec.lattice.spec import MOST_LAYERS
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.stored_palette import StoredOverlay
from nfcodec.lattice.synthesis import region_layers, whole_to_values
from nfcodec.limits import Limits
from nfcodec.parallel import ordered_map
from nfcodec.recent import Recent
from nfcodec.resample import LOBES, interpolate
from nfcodec.signal import Floats, SignalInfo
from nfcodec.types import Doubles, Indices, Positions

Symbols = npt.NDArray[np.int32]
T = TypeVar("T", np.float32, np.float64)
Span = tuple[int, int]

# Rendering goes through a picture row of regions by row of regions, and each needs its neighbours' borders.
_ROWS_KEPT = 3
# Grids of samples that lie farther apart than this are rendered as any other grid.
_SPARSE = 4
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
        self.overlay = StoredOverlay(reader, index, info, self.chunk_length, limits)
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

    def _decoded(self, region: int, level: int) -> Symbols:
        if not self._planes[level]:
            spec = self.init.levels[level].spec
            return np.zeros((len(spec.planes), spec.bases, *self.spaces[level].box(region).shape), np.int32)
        return self._coder.decode(self.init.levels[level].prior, self._coded(region, level, MOST_LAYERS))

    def _coded(self, region: int, level: int, layers: int) -> RegionBytes:
        payloads: list[bytes] = []
        for entry in self._entries.get((region, level), ()):
            if len(payloads) < layers:
                payloads += unpack_run(self.reader.read(entry).payload, len(self.spaces)).payloads
        shape, quality, planes = self.spaces[level].box(region).shape, self.header.quality, self._planes[level]
        return RegionBytes(payloads[:layers], shape, quality, planes, self.limits)

    def lowest(self, rows: Span, columns: Span, bases: int, layers: int) -> Floats:
        """Last layers (P·bases, …) of the cells [rows) × [columns) from the first ``layers`` of the file alone, without
        D's correction: the lowest ``bases`` of every plane."""
        steps = self.level.steps(self.header.quality)[:, :bases, None, None]

        def weights(coded: RegionBytes) -> Floats:
            symbols = self._coder.decode(self.level.prior, coded)[:, :bases].astype(np.float32)
            return np.asarray((symbols * steps).reshape(-1, *symbols.shape[2:]), np.float32)

        part = box_of([rows, columns])
        touched = [region.index for region in self.space.touched(part)]
        # Read here, one after the other; decoded on threads.
        found = ordered_map(weights, (self._coded(index, 0, layers) for index in touched))
        known = dict(zip(touched, found, strict=True))
        return _gathered(self.space, part, lambda region: known[region.index])

    def render(self, chunk: int, positions: list[Positions]) -> Floats:  # noqa: ARG002 (needs no chunk)
        """Values (n_0, …, C) on the grid of native positions."""
        return self._over(positions, lambda: self._renderer.render(positions))

    def render_dense(self, chunk: int, positions: list[Positions]) -> Floats:  # noqa: ARG002
        """Values (n_0, …, C) on a grid that is there to be low-passed: between the samples, from the samples."""
        return self._over(positions, lambda: self._renderer.render_dense(positions))

    def _over(self, positions: list[Positions], below: Callable[[], Floats]) -> Floats:
        return self.overlay.over(positions, below) if self.overlay else below()

    def sample(self, chunk: int, positions: Positions) -> Floats:  # noqa: ARG002
        """Values (N, C) at native positions (N, d)."""
        values = self._renderer.sample(positions)
        return self.overlay.at(positions, values) if self.overlay else values


class LevelRenderer:
    """Renders the planes of one level from the symbols of its regions; ``symbols_of`` gives those of one."""

    def __init__(self, level: Level, space: Space, quality: int, symbols_of: Callable[[int], Symbols]) -> None:
        self.level, self.space, self.quality = level, space, quality
        self._table = level.table.astype(np.float64)
        self._symbols_of = symbols_of
        self._recent: Recent[Floats] = Recent(_ROWS_KEPT * space.row_size)

    @property
    def sizes(self) -> list[int]:
        """Samples of the cells along each axis."""
        return [n * s for n, s in zip(self.space.cells, self.level.spec.spacing, strict=True)]

    def _weights(self, region: Cells) -> Floats:
        """Last layers (F, *cells) of a region, in 2^-16."""
        return self._recent.get(region.index, lambda r: region_layers(self.level, self._symbols_of(r), self.quality))

    def _window(self, spans: list[Span]) -> Floats:
        """Last layers (F, …) of the cells in ``spans``, in 2^-16."""
        return _gathered(self.space, box_of(spans), self._weights)

    def _scattered_floats(self, cells: Indices) -> Floats:
        """Last layers (N, F) of cells (N, d)."""
        return _floats(self._scattered(cells))

    def _scattered(self, cells: Indices) -> Floats:
        """Last layers (N, F) of cells (N, d), in 2^-16."""
        out = np.empty((len(cells), self.level.spec.coded), np.float32)
        low, high = cells.min(0).tolist(), cells.max(0).tolist()
        for region in self.space.touched(box_of([(a, b + 1) for a, b in zip(low, high, strict=True)])):
            local = cells - np.array(region.start)
            mine = ((local >= 0) & (local < region.shape)).all(1).nonzero()[0]
            out[mine] = self._weights(region)[(slice(None), *local[mine].T)].T
        return out

    def whole(self, index: list[Indices]) -> Doubles:
        """Whole planes (P, n_0, …) of a grid of samples, in ascending order, in 2^-32."""
        spec, cells, box = self.level.spec, self.space.cells, [(int(i[0]), int(i[-1]) + 1) for i in index]
        spans = [reached_cells(b, s, n) for b, s, n in zip(box, spec.spacing, cells, strict=True)]
        planes = render_box(spec, self._table, self._window(spans), [a for a, _ in spans], cells, box)
        for axis, (i, (start, stop)) in enumerate(zip(index, box, strict=True), 1):
            planes = planes if len(i) == stop - start else planes.take(i - start, axis)
        return planes

    def whole_points(self, index: Indices) -> Doubles:
        """Whole planes (P, N) of scattered samples (N, d), in 2^-32."""
        return native_points(self.level.spec, self._table, self._scattered, self.space.cells, index)

    def planes(self, positions: list[Positions]) -> Floats:
        """Planes (P, n_0, …) on any grid of native positions."""
        spec, cells = self.level.spec, self.space.cells
        spans = [reached(p, s, n) for p, s, n in zip(positions, spec.spacing, cells, strict=True)]
        origin, window = tuple(start for start, _ in spans), _floats(self._window(spans))
        return render_grid(spec, self.level.trunk, window, origin, cells, positions)

    def points(self, positions: Positions) -> Floats:
        """Planes (P, N) at native positions (N, d); those outside the lattice get the value at its border."""
        inside = np.clip(positions, 0.0, self.sizes)
        return render_points(self.level.spec, self.level.trunk, self._scattered_floats, self.space.cells, inside).T


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
        self._sizes = [min(n) for n in zip(*(level.sizes for level in self.levels), strict=True)]
        self._detail = self._detail_of(init.levels[-1], quality)

    def _detail_of(self, last: Level, quality: int) -> Detail | None:
        if not last.detail:
            return None
        height, width = self._sizes
        return Detail(last.detail, last.hats(quality), (height, width), self._first)

    def _summed(self, parts: Iterable[npt.NDArray[T]]) -> npt.NDArray[T]:
        """The planes of the set from those of all levels: sums of whole numbers are exact."""
        found: list[npt.NDArray[T]] = list(parts)
        if len(found) == 1 and len(found[0]) == len(self.set.names):
            return found[0]
        out = np.zeros((len(self.set.names), *found[0].shape[1:]), found[0].dtype)
        for places, planes in zip(self._places, found, strict=True):
            out[places] += planes
        return out

    def _native(self, positions: list[Positions]) -> list[Indices] | None:
        """The samples of a grid, where it is one of samples that are not far apart."""
        index = [native_index(p, n) for p, n in zip(positions, self._sizes, strict=True)]
        known = [i for i in index if i is not None and len(i) and i[-1] - i[0] < _SPARSE * len(i)]
        return known if len(known) == len(index) else None

    def _whole(self, index: list[Indices]) -> Doubles:
        return self._summed(level.whole(index) for level in self.levels)

    def planes(self, positions: list[Positions]) -> Floats:
        """Planes (P, n_0, …) on the grid of native positions, of the coded lattice alone."""
        native = self._native(positions)
        if native is not None:
            return (self._whole(native) * PLANE_UNIT).astype(np.float32)
        return self._summed(level.planes(positions) for level in self.levels)

    def _span_planes(self, spans: list[Span]) -> Floats:
        """Planes (P, n_0, …) of the samples in spans of each axis."""
        return self.planes([sample_positions(float(a), float(b), b - a) for a, b in spans])

    def _first(self, spans: list[Span]) -> Floats:
        first: Floats = self._span_planes(spans)[0]
        return first

    def _interpolated(self, positions: list[Positions]) -> Floats:
        """Planes (P, n_0, …) on a grid that is denser than the samples only to be low-passed: from the samples.

        Every cell would see such a grid at offsets of its own, and ask for its own values of the trunk.
        """
        pairs = zip(positions, self._sizes, strict=True)
        spans = [(max(0, int(p[0]) - LOBES), min(n, int(p[-1]) + LOBES + 1)) for p, n in pairs]
        planes = self._span_planes(spans)
        for axis, (where, (a, _)) in enumerate(zip(positions, spans, strict=True), 1):
            planes = interpolate(planes, axis, where - a)
        return planes

    def render(self, positions: list[Positions]) -> Floats:
        """Values (n_0, …, C) of the field on the grid of native positions; of samples exactly."""
        native = self._native(positions)
        if native is not None:
            return whole_to_values(self._whole(native), self.channels, self.offset)
        planes = self.planes(positions)
        detail = self._detail.grid(positions) if self._detail else None
        if detail is not None:
            planes[0] += detail
        return self._values(planes)

    def render_dense(self, positions: list[Positions]) -> Floats:
        """Values (n_0, …, C) on a grid that is there to be low-passed."""
        dense = any(len(p) > 1 and p[1] - p[0] < _DENSER for p in positions)
        return self._values(self._interpolated(positions) if dense else self.planes(positions))

    def sample(self, positions: Positions) -> Floats:
        """Values (N, C) of the field at native positions (N, d), of samples exactly; those outside the lattice get the
        value at its border."""
        native = [native_index(p, n) for p, n in zip(np.transpose(positions), self._sizes, strict=True)]
        if all(i is not None for i in native):
            index = np.stack([i for i in native if i is not None], 1)
            whole = self._summed(level.whole_points(index) for level in self.levels)
            return whole_to_values(whole, self.channels, self.offset)
        planes = self._summed(level.points(positions) for level in self.levels)
        if self._detail:
            planes[0] += self._detail.points(np.clip(positions, 0.0, self._sizes))
        return self._values(planes)

    def _values(self, planes: Floats) -> Floats:
        return np.asarray(self.set.to_values(planes, self.channels, self.offset), np.float32)


def _of_level(symbols_of: Callable[[int, int], Symbols], level: int, region: int) -> Symbols:
    return symbols_of(region, level)


def _floats(whole: Floats) -> Floats:
    """Last layers as floats."""
    return whole * np.float32(WEIGHT_UNIT)


def _gathered(space: Space, part: Cells, of_region: Callable[[Cells], Floats]) -> Floats:
    """What ``of_region`` tells of regions (F, *cells), put together for the cells of ``part``: (F, …)."""
    out: Floats | None = None
    for region in space.touched(part):
        values = of_region(region)[part.within(region)]
        if values.shape[1:] == part.shape:
            return values
        out = np.empty((len(values), *part.shape), values.dtype) if out is None else out
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
