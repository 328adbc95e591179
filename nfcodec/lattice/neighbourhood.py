"""What is known of the regions of a mosaic, and the features that networks see of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.lattice.mosaic import Indices, MeanPass, Mosaic
from nfcodec.lattice.order import (
    BASES,
    EIGHT,
    HAT,
    LEVEL_CLASSES,
    NEAREST,
    NINE,
    PASSES,
    PHASES,
    PLANES,
    QUALITY_LEVELS,
    RING,
    compand,
    known_before,
    known_mask,
    phase_cells,
    quality_features,
)

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float32]

# What a feature is copied from: one slot of a neighbourhood's store. First one of zeros and one of ones, then the
# quality features, then for every plane and phase the symbols but the mean and the differences of the means.
_NOTHING, _ONES, _QUALITY, _PLANES = 0, 1, 2, 2 + QUALITY_LEVELS
_SLOTS = BASES - 1 + len(RING)
_CLOSE = [i for i, (dy, dx) in enumerate(RING) if max(abs(dy), abs(dx)) == 1]


@lru_cache(maxsize=len(PASSES) * len(PHASES))
def seen_features(number: int, phase: int) -> Indices:
    """Which of the features of pass ``number`` can be other than zero in a phase: (S,), rising."""
    return np.flatnonzero(_places(number, phase)[0] != _NOTHING)


@lru_cache(maxsize=len(PASSES) * len(PHASES))
def _seen_places(number: int, phase: int) -> Indices:
    return _places(number, phase)[:, seen_features(number, phase)]


def _places(number: int, phase: int) -> Indices:
    """Where the features of a phase of pass ``number`` come from: slots, first rows and first columns (3, F)."""
    plane, low, high = PASSES[number]
    others = [p for p in range(PLANES) if p != plane]
    nothing = _NOTHING, 0, 0
    found = [_place(plane, s, offset, phase) for offset in NINE for s in range(low - 1)]
    for offset, known in zip(EIGHT, known_mask()[phase], strict=True):
        found += [_place(plane, s, offset, phase) if known else nothing for s in range(low - 1, high - 1)]
    found += [_place(plane, BASES - 1 + j, (0, 0), phase) for j in range(len(RING))]
    found += [_place(p, BASES - 1 + j, (0, 0), phase) for p in others for j in _CLOSE]
    found += [_place(p, s, (0, 0), phase) for p in others for s in range(known_before(number, p) - 1)]
    found += [(_QUALITY + i, 0, 0) for i in range(QUALITY_LEVELS)]
    found += [(_ONES, 0, 0) if i == phase else nothing for i in range(len(PHASES))]
    return np.array(found).T.copy()


def _place(plane: int, slot: int, offset: tuple[int, int], phase: int) -> tuple[int, int, int]:
    """Slot, first row and first column of what lies at ``offset`` from the cells of a phase."""
    y, x = (p + o for p, o in zip(PHASES[phase], offset, strict=True))
    return _PLANES + ((plane * 2 + y % 2) * 2 + x % 2) * _SLOTS + slot, 1 + y // 2, 1 + x // 2


class Neighbourhood:
    """What is known of a mosaic, ready to become features of one pass after the other.

    Companded symbols are kept by (y mod 2, x mod 2) with a border of zero cells: the neighbours at one offset of
    all cells of a phase are then one rectangle. All rectangles of a phase are gathered at once. All values are whole
    numbers in float32, which is what the matrix product takes.
    """

    def __init__(self, mosaic: Mosaic, *, planes: int, qualities: Ints) -> None:
        """Nothing known: all symbols of all ``planes`` (1 … 3) are zero. ``qualities``: of every patch."""
        half = [(n + 1) // 2 + 2 for n in mosaic.shape]
        self.mosaic, self.planes = mosaic, planes
        self.means = np.zeros((planes, mosaic.shape[0] * mosaic.shape[1]), np.int64)
        self._hats = np.stack([quality_features(int(q)) for q in qualities], 1)
        self._store = np.zeros((_PLANES + planes * 4 * _SLOTS, *half), np.float32)
        self._store[_ONES] = HAT
        for hats, (top, left), (h, w) in zip(self._hats.T, mosaic.corners, mosaic.shapes, strict=True):
            place = slice(top // 2, top // 2 + (h + 1) // 2), slice(left // 2, left // 2 + (w + 1) // 2)
            self._store[(slice(_QUALITY, _PLANES), *place)] = hats[:, None, None]
        self._grids = self._store[_PLANES:].reshape(planes, 2, 2, _SLOTS, *half)
        self._compared = False

    # -- means -------------------------------------------------------------------------------------------
    def put_means(self, plane: int, cells: Indices, values: Ints) -> None:
        """Remember means ``values`` (n,) at positions ``cells`` (n,)."""
        self.means[plane, cells] = values
        self._compared = False

    def mean_features(self, plane: int, step: MeanPass) -> tuple[Floats, Indices]:
        """Features (F, n) of the means of ``plane`` in one pass, given all means so far, and what they are taken to be
        near (n,): the rounded mean of the nearest known ones."""
        present = step.neighbours >= 0
        rows: list[Ints] = []
        for p in (plane, *range(plane)):
            near = self.means[p].take(step.neighbours, mode="wrap")
            base = _rounded_mean(near[:, :NEAREST], present[:, :NEAREST])
            rows.append(compand((near - base[:, None]) * present).T)
            if p == plane:
                bases = base
            else:
                rows.append(compand(self.means[p].take(step.cells.flat) - base)[None])
        level = np.zeros((LEVEL_CLASSES, len(step.cells)), np.int16)
        level[step.level] = HAT
        rows += [level, self._hats[:, step.cells.owner]]
        return np.concatenate(rows).astype(np.float32), bases

    # -- the other symbols -------------------------------------------------------------------------------
    def put(self, plane: int, low: int, phase: int, cells: Indices, values: Ints) -> None:
        """Remember symbols [low, low + n) at positions ``cells`` (m,), all of one phase: ``values`` (n, m)."""
        y, x = np.divmod(cells, self.mosaic.shape[1])
        grid = self._grids[(plane, *PHASES[phase])]
        grid[low - 1 : low - 1 + len(values), 1 + y // 2, 1 + x // 2] = compand(values)

    def features(self, number: int, phase: int, cells: Indices) -> Floats:
        """Features (S, n) of pass ``number`` at positions ``cells`` (n,) of a phase; row by row where these are all of
        the canvas. They are those of :func:`seen_features`, the others are zero."""
        if not self._compared:
            self._compare()
        slots, top, left = _seen_places(number, phase)
        if self.planes < PLANES:
            slots = np.where(slots < len(self._store), slots, _NOTHING)
        rows, columns = (len(range(n)[s]) for n, s in zip(self.mosaic.shape, phase_cells(phase), strict=True))
        area, width = self._store[0].size, self._store.shape[2]
        # Every rectangle of this size, by the position of its first value.
        last = self._store.size - (rows - 1) * width - columns
        strides = tuple(self._store.itemsize * step for step in (1, width, 1))
        rectangles = np.lib.stride_tricks.as_strided(self._store, (last + 1, rows, columns), strides, writeable=False)
        found: Floats = rectangles[slots * area + top * width + left]
        found = found.reshape(len(slots), -1)
        if len(cells) == rows * columns:
            return found
        y, x = np.divmod(cells, self.mosaic.shape[1])
        few: Floats = found.take((y // 2) * columns + x // 2, axis=1)
        return few

    def _compare(self) -> None:
        """Keep the differences of the means."""
        differences = self._differences()
        for phase, (y, x) in enumerate(PHASES):
            part = differences[(slice(None), slice(None), *phase_cells(phase))]
            self._grids[:, y, x, BASES - 1 :, 1 : 1 + part.shape[2], 1 : 1 + part.shape[3]] = part
        self._compared = True

    def _differences(self) -> npt.NDArray[np.int16]:
        """Companded means around each cell less its own, (planes, RING, H, W); 0 for none."""
        height, width = self.mosaic.shape
        means = self.means.reshape(self.planes, height, width)
        wide, inside = np.pad(means, ((0, 0), (2, 2), (2, 2))), np.pad(self.mosaic.inside().astype(np.int64), 2)
        out = np.empty((self.planes, len(RING), height, width), np.int16)
        for j, (dy, dx) in enumerate(RING):
            y, x = slice(2 + dy, 2 + dy + height), slice(2 + dx, 2 + dx + width)
            out[:, j] = compand((wide[:, y, x] - means) * inside[y, x])
        return out


def _rounded_mean(values: Indices, present: npt.NDArray[np.bool_]) -> Indices:
    """The mean (n,) of those values (n, m) that are present, halves up; 0 where there is none."""
    total = (values * present).sum(1, dtype=np.int64)
    count = np.maximum(present.sum(1, dtype=np.int64), 1)
    means: Indices = (2 * total + count) // (2 * count)
    return means
