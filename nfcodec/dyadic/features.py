"""What a network sees around the samples of a phase: whole numbers within ±127.

Differences between predictions are told in units of the *scale* of a sample, which follows from how much the nearest
predictions disagree and how far those of its neighbours were off; so a network works the same at every size of errors.
All is exact: sums, products with eighths and quotients of whole numbers in float64, each of which IEEE 754 rounds the
same way everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nfcodec.dyadic.board import Level, Piece, T
from nfcodec.dyadic.order import NEAREST, PHASES, Offset, Phase, both
from nfcodec.types import Doubles, Mask

UNIT = 256  # a step of twice the bound, in units
LARGEST = 127
WEIGHT_UNIT = 64  # of a weight of a term
_SHARE = 8  # of a scale that a difference counts
_LEAST_SCALE = 32  # of a step
# log2(1 + i/128) in eighths, rounded down: 2^(L/8) ≤ 1 + i/128.
_LOG = np.array([int(np.searchsorted(128 * 2.0 ** (np.arange(1, 8) / 8), 128 + i, "right")) for i in range(128)])
_EXTRAS = 18


def inputs(phase: int) -> int:
    """How many numbers the network of a phase sees."""
    return 2 * len(PHASES[phase].pairs) + _EXTRAS


def term_count(phase: int, *, base: bool) -> int:
    """K: the terms of a phase."""
    pairs = len(PHASES[phase].pairs)
    return 2 * pairs + 1 if base else pairs


def log8(x: Doubles | float) -> Doubles:
    """⌊8 · log2(x + 1)⌋, near enough, of whole numbers (…) from 0 on; from the leading eight bits alone."""
    mantissa, exponent = np.frexp(x + 1.0)
    return np.asarray(_LOG[(mantissa * 256).astype(np.int64) - 128] + 8.0 * (exponent - 1))


@dataclass(frozen=True, slots=True)
class Seen:
    """Samples of a phase that are to be coded: ``features`` (F, n), ``scale`` (n,) and ``predicted`` (n,) in whole
    units."""

    features: npt.NDArray[np.int8]
    scale: Doubles
    predicted: Doubles


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Sums of pairs (J, …) of values and of what they are over the base, and where both are known (J, …)."""

    sums: Doubles
    left: Doubles
    valid: Mask


@dataclass(frozen=True, slots=True)
class Window:
    """The samples of a phase that are looked at: a ``piece`` of its planes and rows, and which are ``coded``."""

    level: Level
    phase: Phase
    piece: Piece
    coded: Mask

    def at(self, array: npt.NDArray[T], offset: Offset = (0, 0)) -> npt.NDArray[T]:
        """Their values (n,) in an array of the level, or those of their neighbours."""
        found: npt.NDArray[T] = self.level.at(array, self.phase, offset, self.piece)[self.coded]
        return found


@dataclass(frozen=True, slots=True)
class Setting:
    """What a phase is coded with: the ``step``, which ``series`` of steps the file uses, what is expected in the
    ``middle`` of nowhere."""

    step: int
    series: int
    middle: int


@dataclass(frozen=True, slots=True)
class Looked:
    """Samples of a window before a network sees them: their prediction (n,) in whole units, and the ``terms`` (K, n)
    of which weighted sums may be added to it, in half units."""

    t: int
    setting: Setting
    pairs: _Pairs
    near: _Near
    base: Doubles | None
    predicted: Doubles
    terms: Doubles

    def seen(self, weights: Sequence[int] = ()) -> Seen:
        """What a network is told; ``weights`` (K,): the file's own, of the terms, or none."""
        count, predicted = len(self.pairs.valid), self.predicted
        own, over = self.terms[:count], self.terms[count:]
        if len(weights):
            moved = np.rint(np.array(weights, np.float64) @ self.terms / (2.0 * WEIGHT_UNIT))
            predicted = predicted + moved
            own = np.where(self.pairs.valid, own - 2.0 * moved, 0.0)
        return _told(self, own, over, predicted, tuned=len(weights) > 0)


def look(window: Window, setting: Setting) -> Looked:
    """What is known about samples of a phase."""
    level = window.level
    pairs = _pairs(window)
    base = None if level.base is None else window.at(level.base)
    near = _Near.of(window)
    predicted = _predicted(window.phase, pairs, near, base, setting.middle)
    return Looked(level.t, setting, pairs, near, base, predicted, _terms(pairs, base, predicted))


def _terms(pairs: _Pairs, base: Doubles | None, predicted: Doubles) -> Doubles:
    """What each pair predicts beside ``predicted``, then, where there is a base, how much that differs for each pair
    without it, and the base itself; in half units, 0 where a pair is not known."""
    if base is None:
        return np.where(pairs.valid, pairs.left - 2.0 * predicted, 0.0)
    own = np.where(pairs.valid, pairs.left - 2.0 * (predicted - base), 0.0)
    over = np.where(pairs.valid, pairs.sums - pairs.left - 2.0 * base, 0.0)
    return np.concatenate([own, over, 2.0 * (base - predicted)[None]])


def _pairs(window: Window) -> _Pairs:
    level, phase = window.level, window.phase

    def two(array: npt.NDArray[T], offset: Offset) -> tuple[npt.NDArray[T], npt.NDArray[T]]:
        first, second = both((offset,))
        return window.at(array, first), window.at(array, second)

    sums = np.stack([np.add(*two(level.values, o)) for o in phase.pairs])
    left = sums if level.base is None else np.stack([np.add(*two(level.left, o)) for o in phase.pairs])
    return _Pairs(sums, left, np.stack([np.logical_and(*two(level.known, o)) for o in phase.pairs]))


@dataclass(frozen=True, slots=True)
class _Near:
    """The four nearest neighbours, each (4, n), and how many are known (n,); of farther ones their symbols (n,)."""

    values: Doubles
    known: Mask
    activity: Doubles
    symbols: Doubles
    ring: Doubles

    @classmethod
    def of(cls, window: Window) -> _Near:
        level, phase = window.level, window.phase

        def four(array: npt.NDArray[T]) -> npt.NDArray[T]:
            return np.stack([window.at(array, o) for o in phase.nearest])

        known = four(level.known)
        ring = sum(window.at(level.symbols, o) for o in phase.ring)
        values = four(level.left if level.base is not None else level.values)
        return cls(values, known, four(level.activity) * known, four(level.symbols), np.asarray(ring))

    @property
    def count(self) -> Doubles:
        return np.asarray(self.known.sum(0), np.float64)


def _predicted(phase: Phase, pairs: _Pairs, near: _Near, base: Doubles | None, middle: int) -> Doubles:
    """Interpolation by cubic polynomials, where too little is known by straight lines or the mean."""
    s, v = pairs.left, pairs.valid
    mean = (near.values * near.known).sum(0) / np.maximum(near.count, 1.0)
    if phase.diagonal:
        lines = (s[0] * v[0] + s[1] * v[1]) / np.maximum(2.0 * (v[0] + 1.0 * v[1]), 1.0)
        cubic = (81.0 * (s[0] + s[1]) - 9.0 * (s[2] + s[3] + s[4] + s[5]) + s[6] + s[7]) / 256.0
        found = np.where(v.all(0), cubic, np.where(v[0] | v[1], lines, mean))
    else:
        along = [np.where(v[i + 2], (9.0 * s[i] - s[i + 2]) / 16.0, s[i] / 2.0) * v[i] for i in range(NEAREST)]
        found = np.where(v[0] | v[1], (along[0] + along[1]) / np.maximum(v[0] + 1.0 * v[1], 1.0), mean)
    if base is not None:
        return np.asarray(np.rint(found + base))
    return np.asarray(np.rint(np.where(near.count > 0, found, float(middle))))


def _told(looked: Looked, own: Doubles, over: Doubles, predicted: Doubles, *, tuned: bool) -> Seen:
    near, base, step = looked.near, looked.base, looked.setting.step
    activity = np.floor(near.activity.sum(0) / np.maximum(near.count, 1.0))
    apart = np.floor(np.abs(own[:NEAREST]).sum(0) / 4.0)
    scale = np.floor((activity + apart) / 2.0) + max(1, step // _LEAST_SCALE)
    unknown = looked.setting.middle // 4 if base is None else step
    scale = np.where(near.count > 0, scale, scale + unknown)
    size = log8(scale)
    apiece = [*own, *(over[:-1] if base is not None else np.zeros_like(own))]
    shares = [_clipped(np.rint(x * (_SHARE / 2.0) / scale)) for x in apiece]
    far = np.abs(own[NEAREST:])
    sizes = [
        activity, near.activity.max(0), apart, np.floor(far.mean(0)), far.max(0),
        np.abs(own[0]), np.abs(own[1]), _slope(near, 0), _slope(near, 2),
    ]  # fmt: skip
    rest = [
        np.zeros_like(scale) if base is None else np.rint((base - predicted) * _SHARE / scale),
        size - log8(float(step)), 16.0 * near.symbols.sum(0), 8.0 * near.ring,
        np.full_like(scale, 8.0 * min(looked.t.bit_length(), 8)), np.full_like(scale, 32.0 * looked.setting.series),
        np.full_like(scale, 64.0 * (base is not None)), 8.0 * (near.count + looked.pairs.valid.sum(0)),
        np.full_like(scale, 64.0 * tuned),
    ]  # fmt: skip
    told = [*shares, *(_clipped(log8(x) - size) for x in sizes), *(_clipped(x) for x in rest)]
    return Seen(np.stack(told).astype(np.int8), scale, predicted)


def _slope(near: _Near, first: int) -> Doubles:
    """How far two opposite neighbours are apart."""
    both_known = near.known[first] & near.known[first + 1]
    return np.asarray(np.abs(near.values[first] - near.values[first + 1]) * both_known)


def _clipped(x: Doubles) -> Doubles:
    return np.clip(x, -LARGEST, LARGEST)
