"""Several regions side by side on one canvas, so that one product of matrices serves all of them.

The patches of a mosaic know nothing of each other: they lie ``GAP`` cells apart, which is as far as context reaches,
and start at even cells, so that their phases coincide. A symbol is predicted from the same whole numbers, and hence
coded by the same table, as in a mosaic of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.lattice.order import DIAGONAL, EDGE, LEVEL_CLASSES, PHASES

GAP = 2  # cells; even
_ROOT = 1 << 40  # above every distance of means

Shape = tuple[int, int]
Indices = npt.NDArray[np.int64]
Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells that are coded at once, patch by patch and row by row: ``flat`` (n,) positions on the canvas, ``owner``
    (n,) the patches that they belong to."""

    flat: Indices
    owner: Indices

    def __len__(self) -> int:
        return len(self.flat)


@dataclass(frozen=True, slots=True)
class MeanPass:
    """Means that are coded at once: their ``cells``; ``neighbours`` (n, 16) positions on the canvas, −1 where there
    is none; ``level`` the class of their distance; ``edge`` which of the two networks."""

    edge: bool
    level: int
    cells: Cells
    neighbours: Indices


def _even(n: int) -> int:
    return n + n % 2


def _packed(shapes: Sequence[Shape]) -> tuple[list[Shape], Shape]:
    """Corners of the patches on shelves, the tallest patches first, and the shape of the canvas."""
    area = sum((h + GAP) * (w + GAP) for h, w in shapes)
    widest = max(max(w for _, w in shapes), int(area**0.5))
    corners: list[Shape] = [(0, 0)] * len(shapes)
    top, left, right, below = 0, 0, 0, 0
    for i in sorted(range(len(shapes)), key=lambda i: shapes[i], reverse=True):
        h, w = shapes[i]
        if left and left + w > widest:
            top, left = below + GAP, 0
        corners[i] = top, left
        below, right = max(below, top + _even(h)), max(right, left + w)
        left += _even(w) + GAP
    return corners, (max(t + h for (t, _), (h, _) in zip(corners, shapes, strict=True)), right)


class Mosaic:
    """Where the cells of regions of ``shapes`` (h, w) lie, and in which order they are coded."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = tuple(shapes)
        self.corners, self.shape = _packed(self.shapes)
        y, x, owner = (np.concatenate(part) for part in zip(*map(self._local, range(len(shapes))), strict=True))
        self._y, self._x, self._owner = y, x, owner

    def _local(self, patch: int) -> tuple[Indices, Indices, Indices]:
        h, w = self.shapes[patch]
        y, x = np.divmod(np.arange(h * w), w)
        return y, x, np.full(h * w, patch)

    def only(self, patches: npt.NDArray[np.bool_]) -> Mosaic:
        """The same canvas, but only the cells of some ``patches`` (n,) are coded."""
        if patches.all():
            return self
        fewer = object.__new__(Mosaic)
        fewer.shapes, fewer.corners, fewer.shape = self.shapes, self.corners, self.shape
        kept = patches[self._owner]
        fewer._y, fewer._x, fewer._owner = self._y[kept], self._x[kept], self._owner[kept]
        return fewer

    def patch(self, canvas: npt.NDArray[Any], patch: int) -> npt.NDArray[Any]:
        """The part (…, h, w) of a canvas (…, H, W) that is one patch."""
        (top, left), (h, w) = self.corners[patch], self.shapes[patch]
        return canvas[..., top : top + h, left : left + w]

    def inside(self) -> npt.NDArray[np.bool_]:
        """Whether a cell of the canvas belongs to a patch."""
        canvas = np.zeros(self.shape, bool)
        for i in range(len(self.shapes)):
            self.patch(canvas, i)[...] = True
        return canvas

    def _canvas_position(self, y: Indices, x: Indices, owner: Indices) -> Indices:
        top, left = np.array(self.corners).T
        flat: Indices = (y + top[owner]) * self.shape[1] + x + left[owner]
        return flat

    def phase(self, phase: int) -> Cells:
        """The cells of a phase."""
        return self._phases[phase]

    @cached_property
    def _phases(self) -> list[Cells]:
        found = []
        for y, x in PHASES:
            mine = (self._y % 2 == y) & (self._x % 2 == x)
            owner = self._owner[mine]
            found.append(Cells(self._canvas_position(self._y[mine], self._x[mine], owner), owner))
        return found

    # -- means -------------------------------------------------------------------------------------------
    @cached_property
    def mean_passes(self) -> list[MeanPass]:
        """The passes over the means, coarse to fine; the first is the first cell of every patch."""
        low_y, low_x = _lowest_bit(self._y), _lowest_bit(self._x)
        unit, edge = np.minimum(low_y, low_x), low_y != low_x
        return list(self._mean_passes(unit, edge))

    def _mean_passes(self, unit: Indices, edge: npt.NDArray[np.bool_]) -> Iterator[MeanPass]:
        size = 1 << (max(max(s) for s in self.shapes) - 1).bit_length()
        yield self._mean_pass(False, _ROOT, np.flatnonzero(unit == _ROOT))
        while size:
            for which in (False, True):
                cells = np.flatnonzero((unit == size) & (edge == which))
                if len(cells):
                    yield self._mean_pass(which, size, cells)
            size >>= 1

    def _mean_pass(self, edge: bool, unit: int, cells: Indices) -> MeanPass:
        y, x, owner = self._y[cells], self._x[cells], self._owner[cells]
        h, w = np.array(self.shapes).T[:, owner, None]
        offsets = unit * np.array(EDGE if edge else DIAGONAL)
        ny, nx = _reflected(y[:, None], offsets[:, 0], h), _reflected(x[:, None], offsets[:, 1], w)
        at = self._canvas_position(ny, nx, owner[:, None])
        near = np.where((ny < 0) | (nx < 0), -1, at)
        level = min(unit.bit_length() - 1, LEVEL_CLASSES - 1)
        return MeanPass(edge, level, Cells(self._canvas_position(y, x, owner), owner), near)


def _lowest_bit(n: Indices) -> Indices:
    return np.where(n == 0, np.int64(_ROOT), n & -n)


def _reflected(at: Indices, offset: Indices, n: Indices) -> Indices:
    """``at + offset``, or ``at − offset`` when that is outside [0, n), or −1 when both are."""
    there, back = at + offset, at - offset
    inside = np.where((back >= 0) & (back < n), back, -1)
    return np.where((there >= 0) & (there < n), there, inside)
