"""Decides how blocks move, in coded order and at the prices of the coder: a vector that is expected costs next to
nothing, and what is decided for a block is expected of those that come after it.

A search for every block alone finds vectors whose bits are half of a file at low rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nfcodec.moving.fit.prices import Prices
from nfcodec.moving.fit.quarters import quarters
from nfcodec.moving.fit.search import BlockSearch, Searched, Shown, error_bits, neighbours
from nfcodec.moving.motion import BOTH, FIRST, LARGEST_VECTOR, SECOND, Course, Motion, Pass, Past, passes
from nfcodec.types import Doubles, Floats, Indices

# A number costs about this many bits, and so many more for every doubling.
_NUMBER, _DOUBLING = 0.7, 2.0
# In passes of less than this share of the blocks bits count less: many others are going to expect what is found there.
_FEW, _LESS = 0.12, 0.5
# Of the best vectors to each reference and those that are expected: what may go together.
_PAIRS = ((0, 0), (1, 1), (0, 1), (1, 0))


class _Vectors:
    """What vectors to one reference cost in a pass, less where few blocks are in it; those ``expected`` (n, 2) next to
    nothing."""

    def __init__(self, course: Course, prices: Prices, step: Pass, reference: int) -> None:
        self.expected = course.guess(step, reference)
        context = course.other_contexts(step, reference, self.expected)
        self._less = _LESS if len(step.at) < _FEW * len(course.modes) else 1.0
        self._as_expected, self._other = prices.no[context], prices.yes[context]
        self._others, self._fresh = course.others(step, reference, self.expected)
        context, count = course.near_contexts(self._fresh), self._fresh.sum(1)
        self._as_near = prices.yes[context] + np.log2(np.maximum(count, 1))
        self._not_near = np.where(count > 0, prices.no[context], 0.0)
        self.carried = None if course.carried is None else course.carried[reference][step.at]
        if self.carried is not None:
            context = course.carried_contexts(step, reference)
            self._as_carried = prices.yes[context]
            self._not_carried = np.where((self.carried != self.expected).any(1), prices.no[context], 0.0)

    def bits(self, vectors: Indices) -> Doubles:
        """Of vectors (n, c, 2): (n, c)."""
        off = vectors - self.expected[:, None]
        rest = self._not_near[:, None] + 2 * _NUMBER + _DOUBLING * np.log2(1.0 + np.abs(off)).sum(-1)
        for i in range(self._fresh.shape[1]):
            near = (vectors == self._others[:, i, None]).all(2) & self._fresh[:, i, None]
            rest = np.where(near, self._as_near[:, None], rest)
        if self.carried is not None:
            goes_on = (vectors == self.carried[:, None]).all(2)
            rest = np.where(goes_on, self._as_carried[:, None], rest + self._not_carried[:, None])
        expected = (off == 0).all(2)
        bits: Doubles = self._less * np.where(expected, self._as_expected[:, None], self._other[:, None] + rest)
        return bits


@dataclass(frozen=True, slots=True)
class _Single:
    """The best ``vectors`` (n, 2) to one reference, what their errors and they themselves cost (n,), and what others
    ``cost``."""

    vectors: Indices
    errors: Floats
    bits: Doubles
    cost: _Vectors


class Choice:
    """The motion of a picture, decided pass by pass from a search for each reference."""

    def __init__(self, found: Sequence[BlockSearch], past: Past, distances: Sequence[int]) -> None:
        self.found, self.shape = found, found[0].wanted.shape
        self.course, self.prices = Course(self.shape, distances, past), Prices.of(past.counts)
        self._near = [neighbours(one.vectors, self.shape) for one in found]

    def run(self) -> None:
        """Decide all passes."""
        for step in passes(*self.shape):
            singles = [self._single(step, reference) for reference in range(len(self.found))]
            if len(singles) == 1:
                vectors = singles[0].vectors
                self.course.put(step, np.full(len(vectors), FIRST), np.stack([vectors, 0 * vectors]))
            else:
                self._mode(step, singles)

    def _tried(self, step: Pass, reference: int, guess: Indices) -> Indices:
        """The vectors (n, c, 2) that are tried: first the one that was searched, then the one that is expected."""
        searched = self.found[reference].vectors[step.at]
        around, there = self.course.around(step, reference)
        tried = [searched, guess]
        tried += [np.stack([a[:, 0], b[:, 1]], 1) for a, b in ((searched, guess), (guess, searched))]
        tried += [*np.where(there[..., None], around, guess[:, None]).swapaxes(0, 1)]
        tried += [*self._near[reference][step.at].swapaxes(0, 1)]
        if self.course.carried is not None:
            tried.append(self.course.carried[reference][step.at])
        return np.stack(tried, 1).clip(-LARGEST_VECTOR, LARGEST_VECTOR)

    def _single(self, step: Pass, reference: int) -> _Single:
        """The best vectors to one reference."""
        found, cost = self.found[reference], _Vectors(self.course, self.prices, step, reference)
        tried = self._tried(step, reference, cost.expected)
        bits = cost.bits(tried)
        errors = np.full(bits.shape, np.inf, np.float32)
        errors[:, 0] = found.errors[step.at]
        hopeful = bits < (errors[:, 0] + bits[:, 0])[:, None]
        for i in range(tried.shape[1]):
            hopeful[:, i] &= ~(tried[:, i, None] == tried[:, :i]).all(2).any(1)
        hopeful[:, 0] = False
        n, c = np.nonzero(hopeful)
        errors[n, c] = found.error(tried[n, c], step.at[n])
        best = (errors + bits).argmin(1)
        rows = np.arange(len(best))
        return _Single(tried[rows, best], errors[rows, best], bits[rows, best], cost)

    def _mode(self, step: Pass, singles: list[_Single]) -> None:
        """Decide between two references and their mean."""
        course, prices = self.course, self.prices
        first, second = singles
        both, other = course.both_contexts(step), course.second_contexts(step)
        costs = [
            prices.no[both] + price[other] + one.errors + one.bits
            for one, price in zip(singles, (prices.no, prices.yes), strict=True)
        ]
        tried = [(one.vectors, one.cost.expected) for one in singles]
        shown = [
            [one.shown.quarters(v, one.corners[step.at]) for v in vectors]
            for one, vectors in zip(self.found, tried, strict=True)
        ]
        for i, j in _PAIRS:
            off = np.float32(0.5) * (shown[0][i] + shown[1][j]) - self.found[0].wanted.blocks[step.at]
            bits = first.cost.bits(tried[0][i][:, None]) + second.cost.bits(tried[1][j][:, None])
            costs.append(prices.yes[both] + error_bits(off, self.found[0].trade) + bits[:, 0])
        best = np.argmin(costs, 0)
        modes = np.array([FIRST, SECOND] + [BOTH] * len(_PAIRS))[best]
        vectors = np.stack([one.vectors for one in singles])
        for number, (i, j) in enumerate(_PAIRS, 2):
            mine = best == number
            vectors[:, mine] = tried[0][i][mine], tried[1][j][mine]
        vectors[0, modes == SECOND] = 0
        vectors[1, modes == FIRST] = 0
        course.put(step, modes, vectors)


def moved(
    wanted: Floats, references: Sequence[Shown], trade: float, past: Past, distances: Sequence[int]
) -> Motion:  # fmt: skip
    """How the blocks of a luma (H, W) move from references at ``distances`` (pictures ahead), at λ = ``trade`` of its
    planes; all blocks are coded."""
    sought = Searched(wanted)
    found = [BlockSearch(sought, shown, trade) for shown in references]
    for one in found:
        one.run()
    choice = Choice(found, past, distances)
    choice.run()
    shape, course = choice.shape, choice.course
    split = quarters(found, course.modes, course.vectors, choice.prices)
    return Motion(
        course.modes.reshape(shape).astype(np.uint8), course.vectors.reshape(2, *shape, 2), np.ones(shape, bool),
        split.reshape(*shape, -1),
    )  # fmt: skip
