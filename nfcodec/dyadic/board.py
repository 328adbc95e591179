"""What is known of planes that are being coded, and a level of it with margins on all sides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nfcodec.dyadic.order import MARGIN, Offset, Phase
from nfcodec.types import Doubles, Mask

Wrap = tuple[bool, bool]
T = TypeVar("T", np.float64, np.bool_)
Piece = tuple[slice, slice]
_ALL: Piece = (slice(None), slice(None))


@dataclass(slots=True)
class Board:
    """Planes (N, h, w) of equal size, coded side by side, in whole units.

    ``values``: what is decoded; ``known``: where; ``activity``: by how much predictions failed around there;
    ``symbols``: how many steps were needed there, at most 8. ``base``: another prediction of all samples, or None.
    """

    values: Doubles
    known: Mask
    activity: Doubles
    symbols: Doubles
    base: Doubles | None = None
    wrap: Wrap = (False, False)

    @classmethod
    def empty(cls, shape: tuple[int, int, int], base: Doubles | None, wrap: Wrap) -> Board:
        """Nothing is known yet."""
        return cls(np.zeros(shape), np.zeros(shape, bool), np.zeros(shape), np.zeros(shape), base, wrap)


@dataclass(slots=True)
class Level:
    """A board at spacing ``t``, each array with ``MARGIN`` more on all sides: beyond its border what is known goes on
    in straight lines, or, where the axis wraps, on the other side. ``left``: values less base."""

    t: int
    values: Doubles
    left: Doubles
    known: Mask
    activity: Doubles
    symbols: Doubles
    base: Doubles | None
    wrap: Wrap
    _board: Board = field(repr=False)

    @classmethod
    def of(cls, board: Board, t: int) -> Level:
        """The samples at multiples of ``t``."""
        shape = board.values.shape[1:]
        # A level wraps where its samples lie evenly across the seam.
        wrap = (board.wrap[0] and shape[0] % t == 0, board.wrap[1] and shape[1] % t == 0)
        parts: dict[str, Any] = {name: _framed(getattr(board, name)[:, ::t, ::t]) for name in _PLANES}
        base = None if board.base is None else _framed(board.base[:, ::t, ::t])
        left = parts["values"] if base is None else parts["values"] - base
        level = cls(t=t, left=left, base=base, wrap=wrap, _board=board, **parts)
        level.fill()
        return level

    def at(
        self, array: npt.NDArray[T], phase: Phase, offset: Offset = (0, 0), piece: Piece = _ALL
    ) -> npt.NDArray[T]:  # fmt: skip
        """A view of the samples of a phase in an array of this level, or of their neighbours at ``offset``; of a
        ``piece`` of the planes and of the rows of the phase."""
        height, width = array.shape[1:]
        rows = slice(MARGIN + phase.start[0] + offset[0], height - MARGIN + offset[0], 2)
        grid = array[:, rows, MARGIN + phase.start[1] + offset[1] : width - MARGIN + offset[1] : 2]
        return grid if piece is _ALL else grid[piece]

    def fill(self) -> None:
        """Make the margins anew."""
        for axis, wraps in enumerate(self.wrap, 1):
            extend = _wrapped if wraps else _continued
            extend(self.values, axis, straight=True)
            if self.base is not None:
                extend(self.base, axis, straight=True)
                extend(self.left, axis, straight=True)
            extend(self.known, axis, straight=False)
            for array in (self.activity, self.symbols):
                extend(array, axis, straight=False)

    def put(self, phase: Phase, where: Mask, values: Doubles) -> None:
        """Set the values (n,) of the samples of a phase that are ``where`` (N, h, w)."""
        self.at(self.values, phase)[where] = values
        if self.base is not None:
            self.at(self.left, phase)[where] = values - self.at(self.base, phase)[where]

    def store(self) -> None:
        """Take the level back to its board."""
        self._settle()
        core, t = (slice(None), slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN)), self.t
        for name in _PLANES:
            getattr(self._board, name)[:, ::t, ::t] = getattr(self, name)[core]

    def _settle(self) -> None:
        """Give the samples that were known before the activity of this level, that of their four neighbours."""
        even = Phase((0, 0), ((0, 1), (1, 0)))
        known = [self.at(self.known, even, o) for o in even.nearest]
        count = sum(k.astype(np.float64) for k in known)
        for array in (self.activity, self.symbols):
            total = sum(self.at(array, even, o) * k for o, k in zip(even.nearest, known, strict=True))
            mine = self.at(array, even)
            mine[...] = np.where(count > 0, np.floor(total / np.maximum(count, 1)), mine)


_PLANES = ("values", "known", "activity", "symbols")


def _framed(array: npt.NDArray[T]) -> npt.NDArray[T]:
    """``array`` (N, h, w) with margins of zeros."""
    n, height, width = array.shape
    out = np.zeros((n, height + 2 * MARGIN, width + 2 * MARGIN), array.dtype)
    out[:, MARGIN:-MARGIN, MARGIN:-MARGIN] = array
    return out


def _lines(array: npt.NDArray[T], axis: int) -> npt.NDArray[T]:
    """A view with ``axis`` first."""
    lines: npt.NDArray[T] = np.moveaxis(array, axis, 0)
    return lines


def _wrapped(array: npt.NDArray[T], axis: int, *, straight: bool) -> None:  # noqa: ARG001 (a circle needs no lines)
    lines = _lines(array, axis)
    size: int = len(lines) - 2 * MARGIN
    for place in (*range(-MARGIN, 0), *range(size, size + MARGIN)):
        lines[MARGIN + place] = lines[MARGIN + place % size]


def _continued(array: npt.NDArray[T], axis: int, *, straight: bool) -> None:
    """Even places beyond the border go on from the last two even ones, in a ``straight`` line or as the last is, and
    are known where both are; odd ones are unknown."""
    lines = _lines(array, axis)
    size: int = len(lines) - 2 * MARGIN
    last = (size - 1) // 2 * 2
    for end, inner, beyond in ((0, min(2, last), (-2,)), (last, max(0, last - 2), range(last + 2, size + MARGIN, 2))):
        edge, before = lines[MARGIN + end], lines[MARGIN + inner]
        for place in beyond:
            steps = abs(place - end) // 2
            if straight:
                lines[MARGIN + place] = edge + steps * (edge - before)
            elif array.dtype == bool:
                lines[MARGIN + place] = edge & before
            else:
                lines[MARGIN + place] = edge
