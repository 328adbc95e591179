"""Several regions side by side on one canvas, so that one product of matrices serves all of them.

The patches of a mosaic know nothing of each other: they lie ``GAP`` cells apart, which is as far as context reaches,
and start at even cells, so that their phases coincide. A symbol is predicted from the same whole numbers, and hence
coded by the same table, as in a mosaic of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.lattice.order import LEVEL_CLASSES, Order
from nfcodec.types import Indices, Shape

GAP = 2  # cells; even
_ROOT = 1 << 40  # above every distance of means


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells that are coded at once, patch by patch and in order of the axes: ``flat`` (n,) positions on the canvas,
    ``owner`` (n,) the patches that they belong to."""

    flat: Indices
    owner: Indices

    def __len__(self) -> int:
        return len(self.flat)


@dataclass(frozen=True, slots=True)
class MeanPass:
    """Means that are coded at once: their ``cells``; ``neighbours`` (n, m) positions on the canvas, −1 where there
    is none, the first ``nearest`` of them nearest; ``level`` the class of their distance; ``kind`` the number of their
    class in the order, which has a network of its own."""

    kind: int
    level: int
    cells: Cells
    neighbours: Indices
    nearest: int


def _even(n: int) -> int:
    return n + n % 2


def _packed(shapes: Sequence[Shape]) -> tuple[list[Shape], Shape]:
    """Corners of the patches on shelves, the tallest patches first, and the shape of the canvas.

    Shelves are of the last two axes: all patches start at 0 along those before, and with one axis there is one shelf.
    """
    lead = tuple(max(n) for n in zip(*(s[:-2] for s in shapes), strict=True))
    rows = [(1, *s) if len(s) == 1 else s[-2:] for s in shapes]
    area = sum((h + GAP) * (w + GAP) for h, w in rows)
    shelf = sum(_even(w) + GAP for _, w in rows) if len(shapes[0]) == 1 else int(area**0.5)
    widest = max(max(w for _, w in rows), shelf)
    corners: list[tuple[int, int]] = [(0, 0)] * len(rows)
    top, left, right, below = 0, 0, 0, 0
    for i in sorted(range(len(rows)), key=lambda i: rows[i], reverse=True):
        h, w = rows[i]
        if left and left + w > widest:
            top, left = below + GAP, 0
        corners[i] = top, left
        below, right = max(below, top + _even(h)), max(right, left + w)
        left += _even(w) + GAP
    tall = max(t + h for (t, _), (h, _) in zip(corners, rows, strict=True))
    kept = min(len(shapes[0]), 2)
    return [(*(0 for _ in lead), *c[2 - kept :]) for c in corners], (*lead, *(tall, right)[2 - kept :])


class Mosaic:
    """Where the cells of regions of ``shapes`` (n_1, …, n_d) lie, and in which order they are coded."""

    def __init__(self, shapes: Sequence[Shape], order: Order) -> None:
        self.shapes, self.order = tuple(shapes), order
        self.corners, self.shape = _packed(self.shapes)
        self._strides = tuple(int(np.prod(self.shape[axis + 1 :])) for axis in range(order.axes))
        places, owners = zip(*map(self._local, range(len(shapes))), strict=True)
        self._at, self._owner = np.concatenate(places, 1), np.concatenate(owners)

    def _local(self, patch: int) -> tuple[Indices, Indices]:
        shape = self.shapes[patch]
        places = np.indices(shape).reshape(len(shape), -1)
        return places, np.full(places.shape[1], patch)

    def only(self, patches: npt.NDArray[np.bool_]) -> Mosaic:
        """The same canvas, but only the cells of some ``patches`` (n,) are coded."""
        return self if patches.all() else self._fewer(patches[self._owner])

    def coded(self, cells: npt.NDArray[np.bool_]) -> Mosaic:
        """The same canvas of a single patch, but only some ``cells`` (*n) of it are coded."""
        return self if cells.all() else self._fewer(cells.ravel())

    def _fewer(self, kept: npt.NDArray[np.bool_]) -> Mosaic:
        fewer = object.__new__(Mosaic)
        fewer.shapes, fewer.order, fewer.corners, fewer.shape = self.shapes, self.order, self.corners, self.shape
        fewer._strides, fewer._at, fewer._owner = self._strides, self._at[:, kept], self._owner[kept]
        return fewer

    def patch(self, canvas: npt.NDArray[Any], patch: int) -> npt.NDArray[Any]:
        """The part (…, n_1, …, n_d) of a canvas (…, N_1, …, N_d) that is one patch."""
        corner, shape = self.corners[patch], self.shapes[patch]
        place: tuple[Any, ...] = (..., *(slice(c, c + n) for c, n in zip(corner, shape, strict=True)))
        part: npt.NDArray[Any] = canvas[place]
        return part

    def inside(self) -> npt.NDArray[np.bool_]:
        """Whether a cell of the canvas belongs to a patch."""
        canvas = np.zeros(self.shape, bool)
        for i in range(len(self.shapes)):
            self.patch(canvas, i)[...] = True
        return canvas

    def _canvas_position(self, at: Sequence[Indices] | Indices, owner: Indices) -> Indices:
        corners, flat = np.array(self.corners).T, np.int64(0)
        for along, corner, stride in zip(at, corners, self._strides, strict=True):
            flat = flat + (along + corner[owner]) * stride
        found: Indices = np.asarray(flat)
        return found

    def phase(self, phase: int) -> Cells:
        """The cells of a phase."""
        return self._phases[phase]

    @cached_property
    def _phases(self) -> list[Cells]:
        found = []
        for parities in self.order.phases:
            mine = np.logical_and.reduce([at % 2 == p for at, p in zip(self._at, parities, strict=True)])
            owner = self._owner[mine]
            found.append(Cells(self._canvas_position(self._at[:, mine], owner), owner))
        return found

    # -- means -------------------------------------------------------------------------------------------
    @cached_property
    def mean_passes(self) -> list[MeanPass]:
        """The passes over the means, coarse to fine; the first is the first cell of every patch."""
        low = _lowest_bit(self._at)
        unit = low.min(0)
        return list(self._mean_passes(unit, low == unit))

    def _mean_passes(self, unit: Indices, odd: npt.NDArray[np.bool_]) -> Iterator[MeanPass]:
        """``unit`` (n,): the distance at which each cell is coded; ``odd`` (d, n): along which axes it is an odd
        multiple of that."""
        size = 1 << (max(max(s) for s in self.shapes) - 1).bit_length()
        count = odd.sum(0)
        yield self._mean_pass(0, _ROOT, np.flatnonzero(unit == _ROOT), odd)
        while size:
            for kind, cells_of in enumerate(self.order.mean_classes):
                cells = np.flatnonzero((unit == size) & (count == cells_of.odd))
                if len(cells):
                    yield self._mean_pass(kind, size, cells, odd)
            size >>= 1

    def _mean_pass(self, kind: int, unit: int, cells: Indices, odd: npt.NDArray[np.bool_]) -> MeanPass:
        chosen, at, owner = self.order.mean_classes[kind], self._at[:, cells], self._owner[cells]
        sizes, offsets = np.array(self.shapes).T, unit * np.array(chosen.offsets).T
        around = [
            _reflected(along[:, None], offset, n[owner, None])
            for along, offset, n in zip(at, offsets, sizes, strict=True)
        ]
        outside = np.logical_or.reduce([place < 0 for place in around])
        if self.order.axes > 2:
            outside |= ~self._known_neighbours(kind, odd[:, cells])
        near = np.where(outside, -1, self._canvas_position(around, owner[:, None]))
        level = min(unit.bit_length() - 1, LEVEL_CLASSES - 1)
        return MeanPass(kind, level, Cells(self._canvas_position(at, owner), owner), near, chosen.nearest)

    def _known_neighbours(self, kind: int, odd: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which neighbours (n, m) of cells with ``odd`` axes (d, n) come before them."""
        chosen = self.order.mean_classes[kind]
        found = np.zeros((odd.shape[1], len(chosen.offsets)), bool)
        for axes in itertools.product((False, True), repeat=len(odd)):
            odd_axes = frozenset(i for i, is_odd in enumerate(axes) if is_odd)
            if len(odd_axes) == chosen.odd:
                found[(odd == np.array(axes)[:, None]).all(0)] = chosen.known(odd_axes)
        return found


def _lowest_bit(n: Indices) -> Indices:
    return np.where(n == 0, np.int64(_ROOT), n & -n)


def _reflected(at: Indices, offset: Indices, n: Indices) -> Indices:
    """``at + offset``, or ``at − offset`` when that is outside [0, n), or −1 when both are."""
    there, back = at + offset, at - offset
    inside = np.where((back >= 0) & (back < n), back, -1)
    return np.where((there >= 0) & (there < n), there, inside)
