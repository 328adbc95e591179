"""Render a lattice field at any positions: the field itself, at every scale and offset.

Along an axis a position lies between the centres of two neighbouring cells and is reached by these two. The
positions between one pair of centres form a stretch. Stretches that see the same offsets in their cells share a
pattern, whatever cells they lie between; on a regular grid there are few patterns, on an irregular one as many as
stretches. The trunk is evaluated once for every pattern, and one matrix product per pair of cells gives the values
of all stretches of a pattern. Nothing is computed twice and nothing overlaps, so memory is that of the output.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from nfcodec.blas import single_threaded
from nfcodec.errors import InternalError
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.trunk import trunk
from nfcodec.parallel import every, ordered_map
from nfcodec.types import Doubles, Floats
from nfcodec.types import Indices as Ints

Params = Mapping[str, Floats]

# Offsets are multiples of 2^-24 of a spacing, which float32 holds exactly. So positions that repeat but for the
# rounding of float64 see equal offsets.
_FINEST = 2.0**24
# Values of a table of the trunk that is kept (64 MB); larger ones are made piece by piece.
TABLE_VALUES = 1 << 24
PIECE_VALUES = 1 << 21
# Points of one evaluation of the trunk, and values of one product, stay near the processor's cache.
BATCH_POINTS = 1 << 12
BATCH_VALUES = 1 << 16
# Longest stretch by number of axes: it bounds the table of one pattern.
_LONGEST = {1: 4096, 2: 64, 3: 16}


@dataclass(frozen=True, slots=True)
class Run:
    """Stretches that follow each other regularly: ``count`` of them, the first at position ``start``, then every
    ``step`` positions; ``cells`` of the first one, within the window, then every ``cell_step`` cells."""

    start: int
    step: int
    count: int
    cells: tuple[int, ...]
    cell_step: int

    def part(self, first: int, count: int) -> Run:
        """``count`` stretches from number ``first`` on."""
        cells = tuple(c + first * self.cell_step for c in self.cells)
        return Run(self.start + first * self.step, self.step, count, cells, self.cell_step)

    def cut(self, most: int) -> list[Run]:
        """The run in parts of at most ``most`` stretches."""
        return [self.part(i, min(most, self.count - i)) for i in range(0, self.count, most)]

    def of_side(self, side: int) -> slice:
        """The cells of all stretches on one side."""
        first = self.cells[side]
        return slice(first, first + (self.count - 1) * self.cell_step + 1, self.cell_step)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What stretches see: for each of the two cells indices (n,) into the offsets of the axis; and the stretches."""

    sides: tuple[Ints, ...]
    runs: tuple[Run, ...]

    @property
    def size(self) -> int:
        """Positions of one stretch."""
        return len(self.sides[0])

    def cut(self, most: int) -> Pattern:
        """The same in runs of at most ``most`` stretches."""
        return Pattern(self.sides, tuple(part for run in self.runs for part in run.cut(most)))


@dataclass(frozen=True, slots=True)
class Axis:
    """Positions along one axis: offsets (m,) in [−1, 1] at which the trunk is needed, and who needs which."""

    offsets: Doubles
    patterns: tuple[Pattern, ...]

    def only(self, patterns: tuple[Pattern, ...]) -> Axis:
        """Some patterns, and only the offsets that they need, in their order."""
        offsets, kept, n = [], [], 0
        for p in patterns:
            offsets += [self.offsets[s] for s in p.sides]
            kept.append(Pattern(tuple(np.arange(p.size) + n + i * p.size for i in range(len(p.sides))), p.runs))
            n += len(p.sides) * p.size
        return Axis(np.concatenate(offsets), tuple(kept))

    def cut(self, most: int) -> Axis:
        """The same in runs of at most ``most`` stretches."""
        return Axis(self.offsets, tuple(p.cut(most) for p in self.patterns))


# Stands in for the missing columns of a lattice of one axis.
_NO_AXIS = Axis(np.zeros(1), (Pattern((np.zeros(1, np.int64),), (Run(0, 1, 1, (0,), 1),)),))


def _locate(positions: Doubles, spacing: int, cells: int) -> tuple[Ints, Doubles]:
    """The last cell whose centre is not behind each position (−1 before the first), and how far away, in [0, 1)."""
    u = np.asarray(positions, np.float64) / spacing
    outside = (u < 0.0) | (u > cells)
    if outside.any():
        u = np.where(outside, np.abs((u + cells) % (2.0 * cells) - cells), u)
    v = np.rint((u - 0.5) * _FINEST) / _FINEST
    low = np.floor(v)
    return low.astype(np.int64), v - low


def _side(low: Ints, away: Doubles, side: int, cells: int) -> tuple[Ints, Doubles]:
    """Cells on one side of positions and the offsets in them; a border cell serves for its mirrored copy."""
    cell = low + side
    real = np.clip(cell, 0, cells - 1)
    return real, np.where(real == cell, away - side, side - away)


def reached(positions: Doubles, spacing: int, cells: int) -> tuple[int, int]:
    """First and stop of the cells along one axis that ``positions`` (n,), n ≥ 1, in native samples need."""
    low, _ = _locate(positions, spacing, cells)
    return max(0, int(low.min())), min(cells, int(low.max()) + 2)


def plan_axis(positions: Doubles, spacing: int, cells: int, origin: int, window: int, longest: int) -> Axis:
    """Group ``positions`` (n,) by pattern. Cells count from ``origin``, the first of ``window`` cells at hand.

    Raises :class:`InternalError` where positions need other cells.
    """
    low, away = _locate(positions, spacing, cells)
    sides = [_side(low, away, side, cells) for side in (0, 1)]
    needed = np.concatenate([cell for cell, _ in sides])
    if needed.min() < origin or needed.max() >= origin + window:
        raise InternalError(
            f"cells {needed.min()}…{needed.max()} are needed, {origin}…{origin + window - 1} are at hand"
        )
    offsets, index = np.unique(np.concatenate([offset for _, offset in sides]), return_inverse=True)
    both = index.reshape(2, -1)
    starts = _stretches(low, longest)
    stops = np.append(starts[1:], len(low))
    found: dict[bytes, list[int]] = {}
    for i, (a, b) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        found.setdefault(both[:, a:b].tobytes(), []).append(i)
    patterns = []
    for members in found.values():
        a, b = int(starts[members[0]]), int(stops[members[0]])
        first = [cell[starts[members]] - origin for cell, _ in sides]
        patterns.append(Pattern((both[0, a:b], both[1, a:b]), _runs(starts[members], first, b - a)))
    return Axis(offsets, tuple(patterns))


def _stretches(low: Ints, longest: int) -> Ints:
    """Where stretches of positions between the same cells start, none longer than ``longest``."""
    ends = [0, *(np.flatnonzero(np.diff(low)) + 1).tolist(), len(low)]
    return np.concatenate([np.arange(a, b, longest) for a, b in itertools.pairwise(ends)])


def _runs(starts: Ints, cells: list[Ints], size: int) -> tuple[Run, ...]:
    """Stretches of one pattern as runs."""
    rows = np.stack([starts, *cells], 1)
    runs, i = [], 0
    while i < len(rows):
        step = rows[min(i + 1, len(rows) - 1)] - rows[i]
        # Positions outside the lattice come back to cells, or walk backwards.
        if step.min() <= 0 or step[1] != step[2]:
            step = np.array([size, 1, 1])
        j = i + 1
        while j < len(rows) and (rows[j] - rows[j - 1] == step).all():
            j += 1
        start, *first = (int(x) for x in rows[i])
        runs.append(Run(start, int(step[0]), j - i, tuple(first), int(step[1])))
        i = j
    return tuple(runs)


@single_threaded
def render_grid(
    spec: LatticeSpec, params: Params, weights: Floats, origin: tuple[int, ...], cells: tuple[int, ...],
    positions: list[Doubles],
) -> Floats:  # fmt: skip
    """The field on the product grid of ``positions``: planes (planes, *n).

    ``weights``: last layers (planes·K, *window) of the cells from ``origin`` on, those that
    :func:`reached` tells or more; ``cells`` of the whole lattice along each axis. ``positions``: increasing (n_i,)
    per axis, in native samples of the whole signal, where sample i is at i + ½; beyond [0, s·cells] the field is
    mirrored. Raises :class:`InternalError` when the window lacks a cell that is needed.
    """
    out = np.empty((len(spec.planes), *(len(p) for p in positions)), weights.dtype)
    if not out.size:
        return out
    longest = _LONGEST[spec.axes]
    numbers = zip(positions, spec.spacing, cells, origin, weights.shape[1:], strict=True)
    axes = [plan_axis(*n, longest) for n in numbers]
    grid, layers = out, weights
    if spec.axes == 1:
        axes, grid, layers = [*axes, _NO_AXIS], out[..., None], layers[..., None]
    axes = _cut_runs(axes)

    offsets = tuple(a.offsets for a in axes)
    if spec.functions * math.prod(len(o) for o in offsets) <= TABLE_VALUES:
        table = evaluate(spec, params, offsets)
        jobs = (partial(_fill, spec, grid, layers, piece, table) for piece in _bands(axes))
    else:
        jobs = (partial(_fill_alone, spec, params, grid, layers, piece) for piece in _small_pieces(spec, axes))
    every(_do, jobs)
    return out


def evaluate(spec: LatticeSpec, params: Params, offsets: tuple[Doubles, ...]) -> Floats:
    """Functions (F, *m) of the trunk on the product of ``offsets`` (m_i,); axes after those of the lattice have one
    offset."""
    dtype = params["trunk.0.weight"].dtype
    axes = [o.astype(dtype) for o in offsets[: spec.axes]]
    shape = tuple(len(a) for a in axes)
    out = np.empty((spec.functions, total := math.prod(shape)), dtype)

    def batch(first: int) -> None:
        stop = min(first + BATCH_POINTS, total)
        places = np.unravel_index(np.arange(first, stop), shape)
        out[:, first:stop] = trunk(spec, params, np.stack([a[i] for a, i in zip(axes, places, strict=True)], 1))

    _ = list(ordered_map(batch, range(0, total, BATCH_POINTS)))
    return out.reshape(spec.functions, *(len(o) for o in offsets))


def _do(job: Callable[[], None]) -> None:
    job()


def _cut_runs(axes: list[Axis]) -> list[Axis]:
    """Runs short enough for one product."""
    left = BATCH_VALUES // math.prod(max(p.size for p in a.patterns) for a in axes)
    found: list[Axis] = []
    for axis in reversed(axes):
        axis = axis.cut(max(1, left))
        left //= max(r.count for p in axis.patterns for r in p.runs)
        found.insert(0, axis)
    return found


def _bands(axes: list[Axis]) -> Iterator[list[Axis]]:
    """Pieces that share a table of all offsets: one run of each axis but the last."""
    runs = [[Axis(a.offsets, (Pattern(p.sides, (r,)),)) for p in a.patterns for r in p.runs] for a in axes[:-1]]
    for some in itertools.product(*runs):
        yield [*some, axes[-1]]


def _small_pieces(spec: LatticeSpec, axes: list[Axis]) -> Iterator[list[Axis]]:
    """Pieces with small tables of their own, which have no evaluation in common: one pattern of each axis but the
    last, and some patterns of that."""
    for some in itertools.product(*([a.only((p,)) for p in a.patterns] for a in axes[:-1])):
        most = PIECE_VALUES // (spec.functions * math.prod(len(a.offsets) for a in some))
        group: list[Pattern] = []
        for pattern in axes[-1].patterns:
            if group and 2 * sum(p.size for p in [*group, pattern]) > most:
                yield [*some, axes[-1].only(tuple(group))]
                group = []
            group.append(pattern)
        yield [*some, axes[-1].only(tuple(group))]


def _fill_alone(spec: LatticeSpec, params: Params, out: Floats, weights: Floats, piece: list[Axis]) -> None:
    """Write what a piece covers of ``out`` (planes, *n), with a table of its own."""
    table = evaluate(spec, params, tuple(a.offsets for a in piece))
    (_fill_lines if _follow(piece[-1].patterns) else _fill)(spec, out, weights, piece, table)


def _follow(patterns: tuple[Pattern, ...]) -> bool:
    """Whether patterns have one stretch each and these follow each other without a gap."""
    if any(len(p.runs) > 1 or p.runs[0].count > 1 for p in patterns):
        return False
    return all(a.runs[0].start + a.size == b.runs[0].start for a, b in itertools.pairwise(patterns))


def _fill(spec: LatticeSpec, out: Floats, weights: Floats, piece: list[Axis], table: Floats) -> None:
    """Write what a piece covers of ``out`` (planes, *n): a product for every choice of one run per axis."""
    for patterns in itertools.product(*(a.patterns for a in piece)):
        seen = _seen(table, patterns)
        size = math.prod(p.size for p in patterns)
        functions = [
            np.concatenate([f[spec.functions_of(plane)] for _, f in seen]).reshape(-1, size)
            for plane in range(len(spec.planes))
        ]
        for runs in itertools.product(*(p.runs for p in patterns)):
            for plane in range(len(spec.planes)):
                target = _stretched(out[plane], runs, patterns)
                layers = _layers(spec, weights, plane, runs)
                target[...] = (layers.T @ functions[plane]).reshape(target.shape)


def _stretched(plane: Floats, runs: tuple[Run, ...], patterns: tuple[Pattern, ...]) -> Floats:
    """What runs cover of a plane (*n), stretch by stretch: a view (*counts, *sizes)."""
    counts, sizes = tuple(r.count for r in runs), tuple(p.size for p in patterns)
    steps = tuple(r.step * s for r, s in zip(runs, plane.strides, strict=True))
    first = plane[tuple(slice(r.start, None) for r in runs)]
    return np.lib.stride_tricks.as_strided(first, counts + sizes, steps + plane.strides)


def _fill_lines(spec: LatticeSpec, out: Floats, weights: Floats, piece: list[Axis], table: Floats) -> None:
    """:func:`_fill` where the stretches of the last axis do not repeat but follow each other: a product for each would
    be a small one. Here every position brings its own last layers."""
    *lead, last = piece
    merged = Pattern(tuple(np.concatenate(sides) for sides in zip(*(p.sides for p in last.patterns), strict=True)), ())
    columns = np.repeat([p.runs[0].cells for p in last.patterns], [p.size for p in last.patterns], 0).T
    first = last.patterns[0].runs[0].start
    for patterns in itertools.product(*(a.patterns for a in lead)):
        seen = _seen(table, (*patterns, merged))
        for runs in itertools.product(*(p.cut(1).runs for p in patterns)):
            places = (slice(r.start, r.start + p.size) for r, p in zip(runs, patterns, strict=True))
            target = out[(slice(None), *places, slice(first, first + merged.size))]
            target[...] = 0.0
            for corner, functions in seen:
                layers = weights
                for run, side in zip(runs, corner[:-1], strict=True):
                    layers = layers[:, run.cells[side]]
                layers = layers.take(columns[corner[-1]], 1)
                _add(spec, target, layers.reshape(-1, *(1 for _ in runs), merged.size), functions)


def _add(spec: LatticeSpec, target: Floats, layers: Floats, functions: Floats) -> None:
    """Add products of last layers (planes·K, …) and functions (F, …), position by position."""
    for plane in range(len(spec.planes)):
        own, shared = layers[spec.weights_of(plane)], functions[spec.functions_of(plane)]
        target[plane] += np.einsum("k...,k...->...", own, shared)


def _corners(sides: Iterator[int]) -> Iterator[tuple[int, ...]]:
    """Every choice of one cell per axis."""
    return itertools.product(*(range(n) for n in sides))


def _seen(table: Floats, patterns: tuple[Pattern, ...]) -> list[tuple[tuple[int, ...], Floats]]:
    """For every corner, the functions (F, *sizes) that positions see of the cell there."""
    found = []
    for corner in _corners(len(p.sides) for p in patterns):
        functions = table
        for axis, (side, pattern) in enumerate(zip(corner, patterns, strict=True), 1):
            functions = _take(functions, axis, pattern.sides[side])
        found.append((corner, functions))
    return found


def _take(values: Floats, axis: int, index: Ints) -> Floats:
    if (index[1:] - index[:-1] == 1).all():
        return values[(*(slice(None),) * axis, slice(int(index[0]), int(index[0]) + len(index)))]
    return values.take(index, axis)


def _layers(spec: LatticeSpec, weights: Floats, plane: int, runs: tuple[Run, ...]) -> Floats:
    """Last layers of one plane of the cells at all corners of all stretches: (corners·K, stretches)."""
    parts = []
    for corner in _corners(len(r.cells) for r in runs):
        at = [run.of_side(side) for run, side in zip(runs, corner, strict=True)]
        parts.append(weights[(spec.weights_of(plane), *at)])
    return np.concatenate(parts).reshape(-1, math.prod(r.count for r in runs))


@single_threaded
def render_points(
    spec: LatticeSpec, params: Params, weights_at: Callable[[Ints], Floats], cells: tuple[int, ...], points: Doubles
) -> Floats:  # fmt: skip
    """The field at scattered ``points`` (N, d) in native samples: values (N, planes).

    ``weights_at`` gives the last layers (n, planes·K) of cells with indices (n, d), int64; it is called in
    the caller's thread, 2^d times for every few thousand points.
    """

    def values(batch: list[tuple[Floats, Floats]]) -> Floats:
        out = np.zeros((len(spec.planes), len(batch[0][0])), np.float32)
        for layers, where in batch:
            _add(spec, out, layers.T, trunk(spec, params, where))
        return out.T

    parts = (points[i : i + BATCH_POINTS] for i in range(0, len(points), BATCH_POINTS))
    batches = (_reaching(spec, weights_at, cells, part) for part in parts)
    return np.concatenate([np.empty((0, len(spec.planes)), np.float32), *ordered_map(values, batches)])


def _reaching(
    spec: LatticeSpec, weights_at: Callable[[Ints], Floats], cells: tuple[int, ...], points: Doubles
) -> list[tuple[Floats, Floats]]:
    """For each of the 2^d cells that reach points (n, d): last layers (n, F) and offsets (n, d)."""
    located = [_locate(points[:, a], s, n) for a, (s, n) in enumerate(zip(spec.spacing, cells, strict=True))]
    found = []
    for corner in itertools.product((0, 1), repeat=spec.axes):
        sides = [_side(*at, side, n) for at, side, n in zip(located, corner, cells, strict=True)]
        where = np.stack([offset for _, offset in sides], 1).astype(np.float32)
        found.append((weights_at(np.stack([cell for cell, _ in sides], 1)), where))
    return found
