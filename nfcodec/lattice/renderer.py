"""Renders a signal from the symbols of its lattice: samples in whole numbers, everything between them in floats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nfcodec.blas import single_threaded
from nfcodec.lattice.anywhere import reached, render_grid, render_points
from nfcodec.lattice.detail import Detail
from nfcodec.lattice.filtered import Filtered, Window, seen
from nfcodec.lattice.heads import PictureHeads
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.native import PLANE_UNIT, native_index, reached_cells, render_box
from nfcodec.lattice.native import render_points as native_points
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.space import Box as Cells
from nfcodec.lattice.space import Space, box_of
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import region_layers, whole_to_values
from nfcodec.parallel import every, ordered_map
from nfcodec.recent import Recent
from nfcodec.resample import LOBES, interpolate
from nfcodec.signal import SignalInfo
from nfcodec.types import Bytes, Doubles, Floats, Indices, Positions, Span, Symbols

T = TypeVar("T", np.float32, np.float64)

# Rendering goes down a picture band by band, and a band touches at most two rows of regions.
_ROWS_KEPT = 2
# Grids of samples that lie farther apart than this are rendered as any other grid.
_SPARSE = 4
# Samples apart: a grid that is denser, and not to show more, is there to be low-passed.
_DENSER = 1.0 - 1e-9
# Of samples that are rendered at once: whole planes in float64 are three times as large as what comes out.
_BAND_SAMPLES, _BAND_ROWS = 1 << 19, 32
# Y sees some rows more on both sides of a band, so larger ones take less time.
_FILTERED_BAND = 4


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
        return self._recent.get(region.index, self._made)

    def _made(self, region: int) -> Floats:
        return region_layers(self.level, self._symbols_of(region), self.quality)

    def _window(self, spans: list[Span]) -> Floats:
        """Last layers (F, …) of the cells in ``spans``, in 2^-16."""
        part = box_of(spans)
        touched = list(self.space.touched(part))
        missing = [r.index for r in touched if not self._recent.has(r.index)]
        if len(missing) > 1 and len(touched) <= _ROWS_KEPT * self.space.row_size:
            for index, layers in zip(missing, ordered_map(self._made, missing), strict=True):
                self._recent.put(index, layers)
        return gathered(self.space, part, self._weights)

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
    and a level, ``heads_of`` the heads of Y of the blocks of a chunk, None where all are 0."""

    def __init__(
        self, init: LatticeInit, spaces: Sequence[Space], quality: int, info: SignalInfo,
        symbols_of: Callable[[int, int], Symbols], heads_of: Callable[[int], Bytes | None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.set, self.channels, self.offset = init.planes, info.channels, offset_of(info.modality)
        self.turn = init.turn
        coded = [i for i in range(len(spaces)) if init.coded_planes(i, info.channels)]
        self._places = [init.places(i) for i in coded]
        self.levels = [
            LevelRenderer(init.levels[i], spaces[i], quality, partial(_of_level, symbols_of, i)) for i in coded
        ]
        self._sizes = [min(n) for n in zip(*(level.sizes for level in self.levels), strict=True)]
        last = init.levels[-1]
        # X and Y were trained on pictures of the quality that the file tells.
        shown = quality - last.finer
        self._detail = Detail(last.detail, last.hats(shown), self._size, self._shown_planes) if last.detail else None
        heads = PictureHeads(spaces[-1], last.spec.spacing, heads_of)
        self._filtered = (
            Filtered(last.filter, shown, self._size, self.coded, heads.of_squares) if last.filter else None
        )  # fmt: skip

    @property
    def _size(self) -> tuple[int, int]:
        height, width = self._sizes
        return height, width

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

    def coded(self, index: list[Indices]) -> Doubles:
        """Whole planes (P, n_0, …) of a grid of samples, of the coded lattice alone, in 2^-32."""
        return self._summed(level.whole(index) for level in self.levels)

    def _whole(self, index: list[Indices]) -> Doubles:
        """Whole planes (P, n_0, …) of a grid of samples, in 2^-32."""
        return self._filtered.grid(index) if self._filtered else self.coded(index)

    def _shown_planes(self, spans: list[Span]) -> Floats:
        """Planes (P, n_0, …) of the samples in spans of each axis."""
        return _unit(self._whole(_samples(spans)))

    @single_threaded
    def planes(self, positions: list[Positions]) -> Floats:
        """Planes (P, n_0, …) on the grid of native positions, without X."""
        native = self._native(positions)
        if native is not None:
            return _unit(self._whole(native))
        return self._between(positions, self._window(positions))

    def _between(self, positions: list[Positions], window: Window | None) -> Floats:
        """Planes (P, n_0, …) on a grid of native positions, of the coded lattice and of what Y adds between them."""
        planes = self._summed(level.planes(positions) for level in self.levels)
        if window is not None:
            planes += window.between(positions)
        return planes

    def _window(self, positions: list[Positions], margin: int = LOBES) -> Window | None:
        """The samples around a grid and so many on each side, where they are filtered."""
        return self._filtered.window(seen(positions, self._size, margin)) if self._filtered else None

    def _interpolated(self, positions: list[Positions]) -> Floats:
        """Planes (P, n_0, …) on a grid that is denser than the samples only to be low-passed: from the samples.

        Every cell would see such a grid at offsets of its own, and ask for its own values of the trunk.
        """
        spans = seen(positions, tuple(self._sizes))
        planes = self._shown_planes(spans)
        for axis, (where, (a, _)) in enumerate(zip(positions, spans, strict=True), 1):
            planes = interpolate(planes, axis, where - a)
        return planes

    @single_threaded
    def render(self, positions: list[Positions]) -> Floats:
        """Values (n_0, …, C) of the field on the grid of native positions; of samples exactly."""
        native = self._native(positions)
        if native is not None:
            return self._native_values(native)
        window = self._window(positions, max(LOBES, self._detail.margin if self._detail else 0))
        planes = self._between(positions, window)
        detail = self._detail.grid(positions, window.part if window else None) if self._detail else None
        if detail is not None:
            planes[: len(detail)] += detail
        return self._values(planes)

    def _native_values(self, index: list[Indices]) -> Floats:
        """Values (n_0, …, C) of a grid of samples, some rows after the other, for the memory."""
        rows, *rest = index
        out = np.empty((*(len(i) for i in index), self.channels), np.float32)
        band = _BAND_SAMPLES * (_FILTERED_BAND if self._filtered else 1)
        step = max(1, band // math.prod(len(i) for i in rest) // _BAND_ROWS) * _BAND_ROWS

        def fill(piece: tuple[int, Doubles]) -> None:
            start, planes = piece
            out[start : start + planes.shape[1]] = whole_to_values(planes, self.channels, self.offset, self.turn)

        for start in range(0, len(rows), step):
            planes = self._whole([rows[start : start + step], *rest])
            pieces = range(0, planes.shape[1], _BAND_ROWS)
            every(fill, ((start + i, planes[:, i : i + _BAND_ROWS]) for i in pieces))
        return out

    @single_threaded
    def render_dense(self, positions: list[Positions]) -> Floats:
        """Values (n_0, …, C) on a grid that is there to be low-passed."""
        dense = any(len(p) > 1 and p[1] - p[0] < _DENSER for p in positions)
        return self._values(self._interpolated(positions) if dense else self.planes(positions))

    @single_threaded
    def sample(self, positions: Positions) -> Floats:
        """Values (N, C) of the field at native positions (N, d), of samples exactly; those outside the lattice get the
        value at its border."""
        native = [native_index(p, n) for p, n in zip(np.transpose(positions), self._sizes, strict=True)]
        if all(i is not None for i in native):
            whole = self._whole_points(np.stack([i for i in native if i is not None], 1))
            return whole_to_values(whole, self.channels, self.offset, self.turn)
        planes = self._summed(level.points(positions) for level in self.levels)
        inside = np.clip(positions, 0.0, self._sizes)
        if self._filtered:
            planes += self._filtered.points(inside)
        if self._detail:
            planes[: self._detail.shown] += self._detail.points(inside)
        return self._values(planes)

    def _whole_points(self, index: Indices) -> Doubles:
        """Whole planes (P, N) of scattered samples (N, d), in 2^-32."""
        whole = self._summed(level.whole_points(index) for level in self.levels)
        return whole + self._filtered.added(index) if self._filtered else whole

    def _values(self, planes: Floats) -> Floats:
        return np.asarray(self.set.to_values(planes, self.channels, self.offset), np.float32)


def _of_level(symbols_of: Callable[[int, int], Symbols], level: int, region: int) -> Symbols:
    return symbols_of(region, level)


def _samples(spans: list[Span]) -> list[Indices]:
    """The samples in spans of each axis."""
    return [np.arange(start, stop) for start, stop in spans]


def _unit(whole: Doubles) -> Floats:
    """Planes as floats."""
    return (whole * PLANE_UNIT).astype(np.float32)


def _floats(whole: Floats) -> Floats:
    """Last layers as floats."""
    return whole * np.float32(WEIGHT_UNIT)


def gathered(space: Space, part: Cells, of_region: Callable[[Cells], Floats]) -> Floats:
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
