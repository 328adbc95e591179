"""Pictures on a lattice: CELLS sections, regions and layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.blas import single_threaded
from nfcodec.container.layout import Header, SectionType
from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError
from nfcodec.families import Box, Deltas, Preview
from nfcodec.lattice.anywhere import reached, render_grid, render_points
from nfcodec.lattice.code import RegionBytes, RegionCoder
from nfcodec.lattice.detail import Detail
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.native import PLANE_UNIT, native_index, reached_cells, render_box
from nfcodec.lattice.native import render_points as native_points
from nfcodec.lattice.preview import preview
from nfcodec.lattice.regions import LAYERS, Layout, Region, section_run, unpack_run
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.stored_palette import StoredOverlay
from nfcodec.lattice.synthesis import region_layers, to_values, whole_to_values
from nfcodec.limits import Limits
from nfcodec.parallel import ordered_map
from nfcodec.recent import Recent
from nfcodec.resample import LOBES, interpolate
from nfcodec.signal import Floats, SignalInfo
from nfcodec.types import Doubles, Indices, Positions

Symbols = npt.NDArray[np.int32]
Span = tuple[int, int]

# Rendering goes through a picture row of regions by row of regions, and each needs its neighbours' borders.
_ROWS_KEPT = 3
# Samples apart: less is denser than the samples.
_DENSER = 1.0 - 1e-9
# Grids of samples that lie farther apart than this are rendered as any other grid.
_SPARSE = 4


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
        [self.level] = init.levels
        self.layout = Layout.of(self.info.shape, self.level.spec.spacing)
        if self.header.chunk_rows != self.layout.chunk_rows:
            raise CorruptError(f"{self.header.chunk_rows} rows of cells per chunk do not fit a lattice")
        self._entries = _by_region(index, self.layout, partial=partial)
        quality, channels = self.header.quality, self.info.channels
        self._renderer = LatticeRenderer(self.level, self.layout, quality, channels, self._decoded)
        self.overlay = StoredOverlay(reader, index, self.info.shape, channels, self.chunk_length, limits)

    @property
    def chunk_length(self) -> int:
        """Samples of axis 0 in one row of regions."""
        return self.layout.chunk_rows * self.level.spec.spacing[0]

    def symbols(self, chunk: int) -> Symbols:
        """The symbols of a row of regions, one region after the other, and the numbers of its overlay: (n,)."""
        parts = [self._decoded(r.index).ravel() for r in self.layout.row(chunk)]
        overlay = self.overlay.chunk(chunk)
        return np.concatenate(parts if overlay is None else [*parts, overlay.numbers()])

    @property
    def covered(self) -> bool:
        """Whether an overlay lies over the lattice."""
        return bool(self.overlay)

    @property
    def trade(self) -> float:
        """λ: squared error of the values, summed, per bit. Grey pictures are seen as three equal channels."""
        of_planes = 3.0 * self.init.trade_off(self.header.quality)
        return of_planes / 3.0 if self.info.channels == 1 else of_planes

    def deltas(self) -> Deltas:
        """Symbols int32 (3, K, rows, columns) and steps (3, K, 1, 1)."""
        out = np.empty((3, self.level.spec.bases, *self.layout.cells), np.int32)
        for index in range(self.layout.count):
            region = self.layout.region(index)
            out[:, :, region.top : region.bottom, region.left : region.right] = self._decoded(index)
        return Deltas(out, self.level.steps(self.header.quality)[:, :, None, None])

    def lacking(self) -> str:
        """Which layers are not there."""
        known: Counter[int] = Counter()
        for region, entries in self._entries.items():
            known[region] = sum(section_run(e.first or 0)[2] for e in entries)
        regions = self.layout.count
        least = min(known.values()) if len(known) == regions else 0
        if least == LAYERS:
            return ""
        ahead = sum(n > least for n in known.values())
        more = f", and of {ahead} of {regions} regions more" if ahead else ""
        return f"{least} of {LAYERS} layers are there{more}"

    def preview(self, step: int, box: Box, *, rough: bool) -> Preview | None:
        """From the first layers alone, see :mod:`nfcodec.lattice.preview`."""
        return preview(self, step, box, rough=rough)

    def _decoded(self, region: int) -> Symbols:
        return self._coder.decode(self.level.prior, self._coded(region, LAYERS))

    def _coded(self, region: int, layers: int) -> RegionBytes:
        payloads: list[bytes] = []
        for entry in self._entries.get(region, ()):
            if len(payloads) < layers:
                payloads += unpack_run(self.reader.read(entry).payload).payloads
        shape, quality, planes = self.layout.region(region).shape, self.header.quality, self.info.channels
        return RegionBytes(payloads[:layers], shape, quality, planes, self.limits)

    def lowest(self, rows: Span, columns: Span, bases: int, layers: int) -> Floats:
        """Last layers (3·bases, …) of the cells [rows) × [columns) from the first ``layers`` of the file alone, without
        D's correction: the lowest ``bases`` of every plane."""
        steps = self.level.steps(self.header.quality)[:, :bases, None, None]
        touched = list(self.layout.touched(rows, columns))

        def weights(coded: RegionBytes) -> Floats:
            symbols = self._coder.decode(self.level.prior, coded)[:, :bases].astype(np.float32)
            return (symbols * steps).reshape(-1, *symbols.shape[2:])

        # Read here, one after the other; decoded on threads.
        found = ordered_map(weights, (self._coded(region.index, layers) for row in touched for region in row))
        bands = [_joined([next(found)[_inside(region, rows, columns)] for region in row], 2) for row in touched]
        return _joined(bands, 1)

    def render(self, chunk: int, positions: list[Positions]) -> Floats:  # noqa: ARG002 (needs no chunk)
        """Values (n_0, n_1, C) on the grid of native positions."""
        return self._over(positions, lambda: self._renderer.render(positions))

    def render_dense(self, chunk: int, positions: list[Positions]) -> Floats:  # noqa: ARG002
        """Values (n_0, n_1, C) on a grid that is there to be low-passed: between the samples, from the samples."""
        return self._over(positions, lambda: self._renderer.render_dense(positions))

    def _over(self, positions: list[Positions], below: Callable[[], Floats]) -> Floats:
        return self.overlay.over(positions, below) if self.overlay else below()

    def sample(self, chunk: int, positions: Positions) -> Floats:  # noqa: ARG002
        """Values (N, C) at native positions (N, 2)."""
        values = self._renderer.sample(positions)
        return self.overlay.at(positions, values) if self.overlay else values


class LatticeRenderer:
    """Renders a picture from the symbols of its regions; ``symbols_of`` gives those of one."""

    def __init__(
        self, level: Level, layout: Layout, quality: int, channels: int, symbols_of: Callable[[int], Symbols]
    ) -> None:
        self.level, self.layout, self.quality, self.channels = level, layout, quality, channels
        self._table = level.table.astype(np.float64)
        self._symbols_of = symbols_of
        self._recent: Recent[Floats] = Recent(_ROWS_KEPT * layout.columns)
        self._size = layout.cells[0] * level.spec.spacing[0], layout.cells[1] * level.spec.spacing[1]
        self._detail = Detail(level.detail, level.hats(quality), self._size, self._first) if level.detail else None

    def _layers(self, region: int) -> Floats:
        """Last layers (F, h, w) of a region, in 2^-16."""
        return self._recent.get(region, self._made)

    def _made(self, region: int) -> Floats:
        return region_layers(self.level, self._symbols_of(region), self.quality)

    def _window(self, rows: Span, columns: Span) -> Floats:
        """Last layers (F, …) of the cells [rows) × [columns), in 2^-16."""
        bands = [
            _joined([self._layers(r.index)[_inside(r, rows, columns)] for r in row], 2)
            for row in self.layout.touched(rows, columns)
        ]
        return _joined(bands, 1)

    def _scattered(self, cells: Indices) -> Floats:
        """Last layers (N, F) of cells (N, 2), in 2^-16."""
        out = np.empty((len(cells), self.level.spec.weights), np.float32)
        low, high = cells.min(0).tolist(), cells.max(0).tolist()
        for row in self.layout.touched((low[0], high[0] + 1), (low[1], high[1] + 1)):
            for r in row:
                local = cells - np.array([r.top, r.left])
                mine = ((local >= 0) & (local < r.shape)).all(1).nonzero()[0]
                y, x = local[mine].T
                out[mine] = self._layers(r.index)[:, y, x].T
        return out

    # -- at the samples ----------------------------------------------------------------------------------
    def _native(self, positions: list[Positions]) -> list[Indices] | None:
        """The samples of a grid, where it is one of samples that are not far apart."""
        index = [native_index(p, n) for p, n in zip(positions, self._size, strict=True)]
        known = [i for i in index if i is not None and len(i) and i[-1] - i[0] < _SPARSE * len(i)]
        return known if len(known) == len(index) else None

    def _whole(self, index: list[Indices]) -> Doubles:
        """Whole planes (3, n_0, n_1) of a grid of samples, in ascending order, in 2^-32."""
        box = [(int(i[0]), int(i[-1]) + 1) for i in index]
        planes = self._box(box)
        for axis, (i, (start, stop)) in enumerate(zip(index, box, strict=True), 1):
            planes = planes if len(i) == stop - start else planes.take(i - start, axis)
        return planes

    def _box(self, box: list[Span]) -> Doubles:
        """Whole planes (3, h, w) of the samples in spans of rows and of columns, in 2^-32."""
        spec, cells = self.level.spec, self.layout.cells
        rows, columns = (reached_cells(b, s, n) for b, s, n in zip(box, spec.spacing, cells, strict=True))
        window = self._window(rows, columns)
        return render_box(spec, self._table, window, (rows[0], columns[0]), cells, box)

    def _first(self, box: list[Span]) -> Floats:
        """The first plane (h, w) of the samples in spans of rows and of columns."""
        return _floats(self._box(box)[0], PLANE_UNIT)

    # -- anywhere ----------------------------------------------------------------------------------------
    def _planes(self, positions: list[Positions]) -> Floats:
        """Planes (3, n_0, n_1) of the coded lattice on a grid of native positions."""
        spec, cells = self.level.spec, self.layout.cells
        rows, columns = (reached(p, s, n) for p, s, n in zip(positions, spec.spacing, cells, strict=True))
        window = _floats(self._window(rows, columns), WEIGHT_UNIT)
        return render_grid(spec, self.level.trunk, window, (rows[0], columns[0]), cells, positions)

    def _interpolated(self, positions: list[Positions]) -> Floats:
        """Planes (3, n_0, n_1) on a grid that is denser than the samples only to be low-passed: from the samples.

        Every cell would see such a grid at offsets of its own, and ask for its own values of the trunk.
        """
        pairs = zip(positions, self._size, strict=True)
        spans = [(max(0, int(p[0]) - LOBES), min(n, int(p[-1]) + LOBES + 1)) for p, n in pairs]
        planes = _floats(self._box(spans), PLANE_UNIT)
        for axis, (where, (a, _)) in enumerate(zip(positions, spans, strict=True), 1):
            planes = interpolate(planes, axis, where - a)
        return planes

    @single_threaded
    def render(self, positions: list[Positions]) -> Floats:
        """Values (n_0, n_1, C) of the field on the grid of native positions."""
        native = self._native(positions)
        if native is not None:
            return whole_to_values(self._whole(native), self.channels)
        planes = self._planes(positions)
        detail = self._detail.grid(positions) if self._detail else None
        if detail is not None:
            planes[0] += detail
        return np.asarray(to_values(planes, self.channels), np.float32)

    @single_threaded
    def render_dense(self, positions: list[Positions]) -> Floats:
        """Values (n_0, n_1, C) on a grid that is there to be low-passed."""
        if not any(len(p) > 1 and p[1] - p[0] < _DENSER for p in positions):
            return self.render(positions)
        return np.asarray(to_values(self._interpolated(positions), self.channels), np.float32)

    @single_threaded
    def sample(self, positions: Positions) -> Floats:
        """Values (N, C) of the field at native positions (N, 2); those outside the lattice get the value at its border.
        """
        spec, cells = self.level.spec, self.layout.cells
        native = [native_index(p, n) for p, n in zip(positions.T, self._size, strict=True)]
        if all(i is not None for i in native):
            index = np.stack([i for i in native if i is not None], 1)
            return whole_to_values(native_points(spec, self._table, self._scattered, cells, index), self.channels)
        inside = np.clip(positions, 0.0, self._size)
        planes = render_points(spec, self.level.trunk, self._scattered_floats, cells, inside).T
        if self._detail:
            planes = np.concatenate([planes[:1] + self._detail.points(inside), planes[1:]])
        return np.asarray(to_values(planes, self.channels), np.float32)

    def _scattered_floats(self, cells: Indices) -> Floats:
        return _floats(self._scattered(cells), WEIGHT_UNIT)


def _joined(parts: list[Floats], axis: int) -> Floats:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def _floats(whole: npt.NDArray[np.floating[Any]], unit: float) -> Floats:
    """Whole numbers that count ``unit`` as what they stand for."""
    return (whole * whole.dtype.type(unit)).astype(np.float32)


def _inside(region: Region, rows: Span, columns: Span) -> tuple[slice, slice, slice]:
    """The part of a region's cells that lies in [rows) × [columns)."""
    y = slice(max(rows[0] - region.top, 0), min(rows[1], region.bottom) - region.top)
    x = slice(max(columns[0] - region.left, 0), min(columns[1], region.right) - region.left)
    return slice(None), y, x


def _by_region(index: list[Entry], layout: Layout, *, partial: bool) -> dict[int, list[Entry]]:
    """The CELLS sections of every region, in order of their layers; complete unless ``partial``."""
    runs: dict[int, list[tuple[range, Entry]]] = {}
    for entry in index:
        if entry.type == SectionType.DELTA:
            raise CorruptError("DELTA section in a file of a lattice")
        if entry.type == SectionType.CELLS and entry.first is not None:
            region, first, count = section_run(entry.first)
            runs.setdefault(region, []).append((range(first, first + count), entry))
    # By number and maximum: the header of a small file can announce millions of regions.
    if max(runs, default=0) >= layout.count or (not partial and len(runs) != layout.count):
        raise CorruptError(f"CELLS sections of {len(runs)} regions for {layout.count} regions")
    return {region: _in_order(region, parts, partial=partial) for region, parts in runs.items()}


def _in_order(region: int, parts: list[tuple[range, Entry]], *, partial: bool) -> list[Entry]:
    """The sections of one region by layer. What comes after a layer that is missing cannot be decoded."""
    layers = [layer for run, _ in parts for layer in run]
    if len(set(layers)) != len(layers):
        raise CorruptError(f"a layer of region {region} comes twice")
    if len(layers) != LAYERS and not partial:
        raise CorruptError(f"{len(layers)} layers of region {region}, {LAYERS} are needed")
    known, entries = 0, []
    for run, entry in sorted(parts, key=lambda part: part[0].start):
        if run.start != known:
            break
        known = run.stop
        entries.append(entry)
    return entries
