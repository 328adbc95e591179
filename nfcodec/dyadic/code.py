"""Planes to symbols and back: one walk through levels and phases for encoder and decoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from nfcodec.dyadic.board import Board, Level, Piece, Wrap
from nfcodec.dyadic.features import UNIT, Looked, Seen, Setting, Window, log8, look
from nfcodec.dyadic.init import DyadicInit
from nfcodec.dyadic.order import PHASES, spacings
from nfcodec.entropy import logistic
from nfcodec.types import Doubles, Indices, Ints, Mask, Scales

# Steps at the levels t = 1, 2, 4, …; the last one holds for all that are coarser. What is coarse is seen from far:
# where most samples need no symbol at all, it pays to know it better than the bound asks.
SERIES: tuple[tuple[int, ...], ...] = (
    (256,), (256, 232, 208, 184, 160, 144, 128, 112, 96), (256, 208, 160, 128, 112, 96, 96, 64),
    (256, 176, 128, 96, 64, 48, 48, 32),
)  # fmt: skip
MOST_STEPS = 1 << 30  # between the least and the largest sample
TUNABLE = 1024  # samples of a phase, with fewer of which it has no tuning
_FIRST_SCALE = 28  # of the first sample where there is a base: about six steps
_MOST_COUNTED = 8.0  # symbols, as contexts
_AT_ONCE = 1 << 15  # samples


@dataclass(frozen=True, slots=True)
class Scheme:
    """How planes are rounded: ``steps`` of 256 units between the least value, 0, and the largest; ``series`` of steps;
    ``whole``: only values that are whole steps occur; ``wrap``: along rows and columns."""

    steps: int
    series: int = 0
    whole: bool = False
    wrap: Wrap = (False, False)

    @property
    def top(self) -> int:
        """The largest value, in units."""
        return self.steps * UNIT

    def setting(self, t: int) -> Setting:
        """What samples at spacing ``t`` are coded with."""
        series = SERIES[self.series]
        step = UNIT if self.whole else series[min(t.bit_length() - 1, len(series) - 1)]
        return Setting(step, self.series, self.top // 2)


@dataclass(frozen=True, slots=True)
class Tuning:
    """The file's own corrections of what networks expect of a phase: ``weights`` of the terms of its predictions, or
    none, and by how many quarters of an octave scales ``change``."""

    weights: tuple[int, ...] = ()
    change: int = 0


@dataclass(frozen=True, slots=True)
class Where:
    """Samples of planes: the first row and column, the distance to the next, and which of those are meant (N, h, w)."""

    start: tuple[int, int]
    apart: int
    coded: Mask

    def of(self, planes: Doubles) -> Doubles:
        """The samples (n,) of ``planes`` (N, h, w)."""
        grid = planes[:, self.start[0] :: self.apart, self.start[1] :: self.apart]
        return np.asarray(grid[self.coded])


@dataclass(frozen=True, slots=True)
class Expected:
    """Samples that are expected at ``centre`` (n,), each with ``scale`` and ``fraction`` of its table (n,). Scales
    may still lie outside of those that there are."""

    centre: Doubles
    scale: Ints
    fraction: Indices
    step: int

    @classmethod
    def of(cls, scheme: Scheme, step: int, centre: Doubles, scale: Doubles | Ints) -> Expected:
        """Where values are whole steps, the centre is, too."""
        centre, fraction = np.clip(centre, 0.0, float(scheme.top)), np.zeros(len(centre), np.int64)
        if scheme.whole:
            whole = np.floor(centre / UNIT + 0.5) * UNIT
            fraction, centre = np.floor((centre - whole) * logistic.EIGHTHS / UNIT).astype(np.int64), whole
        return cls(centre, scale.astype(np.int64), fraction, step)

    @property
    def tables(self) -> tuple[Scales, Mask]:
        """Rows of tables (n,), and where symbols are coded with their sign turned (n,)."""
        return logistic.rows_of(np.clip(self.scale, 0, logistic.SCALES - 1), self.fraction)

    def changed(self, change: int) -> Expected:
        """With scales of so many quarters of an octave more."""
        return replace(self, scale=self.scale + change) if change else self


@dataclass(frozen=True)
class Sight:
    """A phase that is about to be coded."""

    init: DyadicInit
    scheme: Scheme
    level: Level
    number: int
    where: Where

    @cached_property
    def looked(self) -> list[Looked]:
        """What is known of its samples, piece by piece."""
        setting, phase, coded = self.scheme.setting(self.level.t), PHASES[self.number], self.where.coded
        return [look(Window(self.level, phase, piece, coded[piece]), setting) for piece in _pieces(coded)]

    @property
    def tunable(self) -> bool:
        """Whether there are enough samples for a tuning."""
        return sum(len(part.predicted) for part in self.looked) >= TUNABLE

    @cached_property
    def untuned(self) -> list[Seen]:
        """What networks are told without a tuning."""
        return [part.seen() for part in self.looked]

    def seen(self, tuning: Tuning) -> list[Seen]:
        """What networks are told."""
        return [part.seen(tuning.weights) for part in self.looked] if tuning.weights else self.untuned

    def expected(self, tuning: Tuning) -> Expected:
        """What networks expect."""
        step, network = self.scheme.setting(self.level.t).step, self.init.networks[self.number]
        centres, scales = [], []
        for part in self.seen(tuning):
            shift, change = network(part.features)
            centres.append(part.predicted + np.floor((shift * part.scale + 64.0) / 128.0))
            scales.append((log8(part.scale) - log8(float(step)) + change + 37.0) // 2.0)
        return Expected.of(self.scheme, step, np.concatenate(centres), np.concatenate(scales) + tuning.change)


class Exchange(Protocol):
    """Takes or gives symbols, one phase after the other."""

    def tuned(self, sight: Sight) -> Expected:
        """What is expected of a phase, once its tuning is known."""
        ...

    def symbols(self, where: Where, expected: Expected) -> Doubles:
        """Whole steps (n,) from what is expected to the samples ``where``."""
        ...


def walk(
    init: DyadicInit, scheme: Scheme, base: Doubles | None, coded: Mask, exchange: Exchange
) -> Doubles:  # fmt: skip
    """Decoded planes (N, h, w), in units; those of samples that are not ``coded`` (N, h, w) mean nothing. ``base``
    (N, h, w): what is expected of them already."""
    n, height, width = coded.shape
    board = Board.empty((n, height, width), base, scheme.wrap)
    _first(scheme, board, coded, exchange)
    for t in spacings(max(height, width)):
        level = Level.of(board, t)
        for number, phase in enumerate(PHASES):
            part = coded[:, phase.start[0] * t :: 2 * t, phase.start[1] * t :: 2 * t]
            if part.any():
                where = Where((phase.start[0] * t, phase.start[1] * t), 2 * t, part)
                _phase(Sight(init, scheme, level, number, where), exchange)
        level.store()
    return board.values


def _first(scheme: Scheme, board: Board, coded: Mask, exchange: Exchange) -> None:
    """The sample at the corner of every plane, which has no neighbours."""
    where = Where((0, 0), max(coded.shape[1:]), coded[:, :1, :1])
    count = int(where.coded.sum())
    if not count:
        return
    wide = 8 + 4 * scheme.steps.bit_length()
    scale = np.full(count, wide if board.base is None else min(wide, _FIRST_SCALE))
    centre = np.full(count, float(scheme.top // 2)) if board.base is None else where.of(board.base)
    expected = Expected.of(scheme, UNIT, centre, scale)
    found = expected.centre + exchange.symbols(where, expected) * UNIT
    board.values[:, :1, :1][where.coded] = found
    board.known[:, :1, :1] = where.coded


def _phase(sight: Sight, exchange: Exchange) -> None:
    level, where, phase = sight.level, sight.where, PHASES[sight.number]
    expected = exchange.tuned(sight)
    symbols = exchange.symbols(where, expected)
    level.put(phase, where.coded, expected.centre + symbols * expected.step)
    level.at(level.known, phase)[...] = where.coded
    level.at(level.activity, phase)[where.coded] = np.abs(symbols) * expected.step
    level.at(level.symbols, phase)[where.coded] = np.minimum(np.abs(symbols), _MOST_COUNTED)
    level.fill()


def _pieces(coded: Mask) -> Iterator[Piece]:
    """Planes and rows, few enough that what is known about them stays near the processor."""
    planes, rows, columns = coded.shape
    many = max(1, _AT_ONCE // columns)
    if many < rows:
        yield from ((slice(n, n + 1), slice(i, i + many)) for n in range(planes) for i in range(0, rows, many))
        return
    several = max(1, _AT_ONCE // (rows * columns))
    yield from ((slice(n, n + several), slice(0, rows)) for n in range(0, planes, several))
