"""What is known of the regions of a mosaic, and the features that networks see of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nfcodec.lattice.given import Given
from nfcodec.lattice.mosaic import MeanPass, Mosaic
from nfcodec.lattice.order import HAT, LEVEL_CLASSES, QUALITY_LEVELS, Offset, Order, compand, quality_features
from nfcodec.lattice.space import strips
from nfcodec.types import Floats, Indices, Ints

# What a feature is copied from: one slot of a neighbourhood's store. First one of zeros and one of ones, then the
# quality features, then for every plane and phase the symbols but the mean and the differences of the means.
_NOTHING, _ONES, _QUALITY, _PLANES = 0, 1, 2, 2 + QUALITY_LEVELS

# Cells whose features are gathered at once: they stay near the processor's cache.
_CELLS = 768


def _slots(order: Order) -> int:
    """Slots of one plane and phase."""
    return order.spec.bases - 1 + len(order.ring)


@lru_cache(maxsize=512)
def seen_features(order: Order, number: int, phase: int) -> Indices:
    """Which of the features of pass ``number`` can be other than zero in a phase: (S,), rising."""
    return np.flatnonzero(_places(order, number, phase)[0] != _NOTHING)


@lru_cache(maxsize=512)
def _seen_places(order: Order, number: int, phase: int) -> Indices:
    return _places(order, number, phase)[:, seen_features(order, number, phase)]


def _places(order: Order, number: int, phase: int) -> Indices:
    """Where the features of a phase of pass ``number`` come from: slots, and first cells of each axis (1 + d, F)."""
    plane, low, high = order.spec.passes[number]
    others, means = order.others(plane), order.spec.bases - 1
    nothing, here = (_NOTHING, *(0 for _ in range(order.axes))), (0,) * order.axes
    found = [_place(order, plane, s, offset, phase) for offset in order.block for s in range(low - 1)]
    for offset, known in zip(order.near, order.known_mask[phase], strict=True):
        found += [_place(order, plane, s, offset, phase) if known else nothing for s in range(low - 1, high - 1)]
    found += [_place(order, plane, means + j, here, phase) for j in range(len(order.ring))]
    found += [_place(order, p, means + j, here, phase) for p in others for j in order.close]
    found += [_place(order, p, s, here, phase) for p in others for s in range(order.known_before(number, p) - 1)]
    found += [(_QUALITY + i, *here) for i in range(QUALITY_LEVELS)]
    found += [(_ONES, *here) if i == phase else nothing for i in range(len(order.phases))]
    return np.array(found).T.copy()


def _place(order: Order, plane: int, slot: int, offset: Offset, phase: int) -> tuple[int, ...]:
    """Slot, and first cells of what lies at ``offset`` from the cells of a phase."""
    at = [p + o for p, o in zip(order.phases[phase], offset, strict=True)]
    parity = plane
    for along in at:
        parity = 2 * parity + along % 2
    return (_PLANES + parity * _slots(order) + slot, *(1 + along // 2 for along in at))


class Neighbourhood:
    """What is known of a mosaic, ready to become features of one pass after the other.

    Companded symbols are kept by the parity of their cells along each axis, with a border of zero cells: the neighbours
    at one offset of all cells of a phase are then one box. All boxes of a phase are gathered at once. (Flat cells with
    tables of neighbours were measured: gathering through an index takes two to three times as long as copying boxes.)
    All values are whole numbers in float32, which is what the matrix product takes.
    """

    def __init__(self, mosaic: Mosaic, *, planes: int, qualities: Ints, given: Given | None = None) -> None:
        """Nothing known: all symbols of all ``planes`` (1 … P) are zero. ``qualities``: of every patch; ``given``: of
        the cells of the canvas."""
        self._given = given
        order = mosaic.order
        half = [(n + 1) // 2 + 2 for n in mosaic.shape]
        parities = [2] * order.axes
        self.mosaic, self.order, self.planes = mosaic, order, planes
        self.means = np.zeros((planes, math.prod(mosaic.shape)), np.int64)
        self._hats = np.stack([quality_features(int(q)) for q in qualities], 1)
        self._store = np.zeros((_PLANES + planes * math.prod(parities) * _slots(order), *half), np.float32)
        self._store[_ONES] = HAT
        for hats, corner, shape in zip(self._hats.T, mosaic.corners, mosaic.shapes, strict=True):
            place = (slice(c // 2, c // 2 + (n + 1) // 2) for c, n in zip(corner, shape, strict=True))
            self._store[(slice(_QUALITY, _PLANES), *place)] = hats.reshape(-1, *(1 for _ in shape))
        self._grids = self._store[_PLANES:].reshape(planes, *parities, _slots(order), *half)
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
            base = _rounded_mean(near[:, : step.nearest], present[:, : step.nearest])
            rows.append(compand((near - base[:, None]) * present).T)
            if p == plane:
                bases = base
            else:
                rows.append(compand(self.means[p].take(step.cells.flat) - base)[None])
        level = np.zeros((LEVEL_CLASSES, len(step.cells)), np.int16)
        level[step.level] = HAT
        rows += [level, self._hats[:, step.cells.owner]]
        return self._told(np.concatenate(rows).astype(np.float32), plane, (0, 1), step.cells.flat), bases

    def _told(self, features: Floats, plane: int, symbols: tuple[int, int], cells: Indices) -> Floats:
        """Features (S, n) of symbols [low, high) at positions ``cells`` (n,), and behind them what is given."""
        if self._given is None:
            return features
        return np.concatenate([features, self._given.rows(plane, *symbols, cells)])

    # -- the other symbols -------------------------------------------------------------------------------
    def put(self, plane: int, low: int, phase: int, cells: Indices, values: Ints) -> None:
        """Remember symbols [low, low + n) at positions ``cells`` (m,), all of one phase: ``values`` (n, m)."""
        at = np.unravel_index(cells, self.mosaic.shape)
        grid = self._grids[(plane, *self.order.phases[phase])]
        grid[(slice(low - 1, low - 1 + len(values)), *(1 + along // 2 for along in at))] = compand(values)

    def features(self, number: int, phase: int, cells: Indices) -> Iterator[Floats]:
        """Features (S, n) of pass ``number`` at positions ``cells`` (n,) of a phase, some cells after the other; in
        order of the axes where these are all of the canvas. They are those of :func:`seen_features`, the others are
        zero; behind them is what is given."""
        plane, *symbols = self.order.spec.passes[number]
        start = 0
        for some in self._seen(number, phase, cells):
            stop = start + some.shape[1]
            yield self._told(some, plane, (symbols[0], symbols[1]), cells[start:stop])
            start = stop

    def _seen(self, number: int, phase: int, cells: Indices) -> Iterator[Floats]:
        if not self._compared:
            self._compare()
        slots, *first = _seen_places(self.order, number, phase)
        if self.planes < self.order.planes:
            slots = np.where(slots < len(self._store), slots, _NOTHING)
        counts = [len(range(n)[s]) for n, s in zip(self.mosaic.shape, self.order.phase_cells(phase), strict=True)]
        if len(cells) == math.prod(counts):
            for rows in strips(counts, _CELLS):
                box = self._boxes(slots, [first[0] + rows.start, *first[1:]], [rows.stop - rows.start, *counts[1:]])
                yield box.reshape(len(slots), -1)
            return
        at = [along // 2 for along in np.unravel_index(cells, self.mosaic.shape)]
        every = self._boxes(slots, first, counts).reshape(len(slots), -1)
        yield every.take(np.ravel_multi_index(at, counts), axis=1)

    def _boxes(self, slots: Indices, first: Sequence[Indices], counts: Sequence[int]) -> Floats:
        """The boxes (S, *counts) of the store from cells ``first`` of its axes (S,) each."""
        steps = [step // self._store.itemsize for step in self._store.strides]
        # Every box of this size, by the position of its first value.
        last = self._store.size - 1 - sum((n - 1) * step for n, step in zip(counts, steps[1:], strict=True))
        strides = tuple(self._store.itemsize * step for step in (1, *steps[1:]))
        boxes = np.lib.stride_tricks.as_strided(self._store, (last + 1, *counts), strides, writeable=False)
        where = sum(along * step for along, step in zip((slots, *first), steps, strict=True))
        found: Floats = boxes[where]
        return found

    def _compare(self) -> None:
        """Keep the differences of the means."""
        differences = self._differences()
        for phase, parities in enumerate(self.order.phases):
            part = differences[(slice(None), slice(None), *self.order.phase_cells(phase))]
            inner = tuple(slice(1, 1 + n) for n in part.shape[2:])
            for plane, values in enumerate(part):
                self._grids[(plane, *parities)][(slice(self.order.spec.bases - 1, None), *inner)] = values
        self._compared = True

    def _differences(self) -> npt.NDArray[np.int16]:
        """Companded means around each cell less its own, (planes, ring, N_1, …, N_d); 0 for none."""
        shape, ring = self.mosaic.shape, self.order.ring
        means = self.means.reshape(self.planes, *shape)
        border = [(2, 2)] * len(shape)
        wide, inside = np.pad(means, ((0, 0), *border)), np.pad(self.mosaic.inside().astype(np.int64), border)
        out = np.empty((self.planes, len(ring), *shape), np.int16)
        for j, offset in enumerate(ring):
            there = tuple(slice(2 + o, 2 + o + n) for o, n in zip(offset, shape, strict=True))
            out[:, j] = compand((wide[(slice(None), *there)] - means) * inside[there])
        return out


def _rounded_mean(values: Indices, present: npt.NDArray[np.bool_]) -> Indices:
    """The mean (n,) of those values (n, m) that are present, halves up; 0 where there is none."""
    total = (values * present).sum(1, dtype=np.int64)
    count = np.maximum(present.sum(1, dtype=np.int64), 1)
    means: Indices = (2 * total + count) // (2 * count)
    return means
