"""One class per module, coded coarse to fine over the grid of modules.

A class is a loudness: 0 says that every delta of the module is zero, 1 … 15 shift the table rows of the module
by −14, −12 … +14 quarter octaves. Neighbouring modules are alike, so a class is predicted as the mean of its
nearest neighbours that are already known, and the difference is coded. Going from coarse to fine (the dyadic
quincunx order below) lets all modules of one pass be coded in one call and gives most of them neighbours on
every side, which a left-to-right scan cannot.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nfcodec.entropy.coder import SymbolDecoder, SymbolEncoder
from nfcodec.entropy.tables import ROWS, magnitude_bits
from nfcodec.errors import CorruptError

CLASS_BITS = 4
CLASSES = 1 << CLASS_BITS
# Quarter octaves by class; class 0 has no deltas, its shift is never used.
SHIFTS = (0, *range(-14, 15, 2))

# Row of the difference by context (see _context): neighbours equal, near, apart, far apart; coarse passes.
_CONTEXT_ROWS = (14, 18, 20, 21, 22)
# One number a = 0 … 15 per payload moves all of _CONTEXT_ROWS by 2a − 22.
_ADJUST_BITS = 4
_ADJUST_NEUTRAL = 11
_SPREADS = (1, 3, 6)  # context boundaries: max − min of the neighbours

Ints = npt.NDArray[np.int64]
_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_STRAIGHT = ((-1, 0), (1, 0), (0, -1), (0, 1))


def grid_of(modules: int, width: int) -> tuple[int, int]:
    """(height, width) of the grid that holds ``modules`` row by row; ``width`` 0 means one line."""
    width = min(width, modules) if width > 0 else modules
    return -(-modules // width), width


def _passes(height: int, width: int) -> Iterator[tuple[Ints, Ints, int, tuple[tuple[int, int], ...]]]:
    """(y (n,), x (n,), distance, directions) of every pass; together they visit all cells but (0, 0) once.

    When distance t comes, the cells at multiples of 2t are known. First those at odd multiples of t on both
    axes are predicted from their diagonal neighbours, then the rest of the multiples of t from the straight ones.
    """
    step = 1
    while step < max(height, width):
        step *= 2
    while step > 1:
        step //= 2
        y, x = np.meshgrid(np.arange(0, height, step), np.arange(0, width, step), indexing="ij")
        odd_y, odd_x = y // step % 2 == 1, x // step % 2 == 1
        for pick, directions in ((odd_y & odd_x, _DIAGONAL), (odd_y ^ odd_x, _STRAIGHT)):
            yield y[pick], x[pick], step, directions


def _neighbours(grid: Ints, y: Ints, x: Ints, step: int, directions: tuple[tuple[int, int], ...]) -> Ints:
    """Classes (4, n) in the given directions, −1 where there is no cell or none that is known."""
    height, width = grid.shape
    found = np.full((len(directions), y.size), -1, np.int64)
    for row, (dy, dx) in zip(found, directions, strict=True):
        ny, nx = y + dy * step, x + dx * step
        inside = (ny >= 0) & (ny < height) & (nx >= 0) & (nx < width)
        row[inside] = grid[ny[inside], nx[inside]]
    return found


def _context(around: Ints, step: int) -> tuple[Ints, Ints]:
    """Prediction (n,) and index into ``_CONTEXT_ROWS`` (n,) from the neighbours (4, n); one is always known."""
    known = around >= 0
    count = known.sum(axis=0)
    mean = (2 * np.where(known, around, 0).sum(axis=0) + count) // (2 * count)
    spread = around.max(axis=0) - np.where(known, around, CLASSES).min(axis=0)
    near = np.searchsorted(np.array(_SPREADS), spread, side="right")
    return mean, near if step == 1 else np.full_like(near, len(_CONTEXT_ROWS) - 1)


def _walk(grid: Ints, modules: int) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
    """(y, x, prediction, context) of each pass, all (n,); the caller fills ``grid`` before asking for the next."""
    height, width = grid.shape
    for y, x, step, directions in _passes(height, width):
        real = y * width + x < modules  # the last line may be cut short
        y, x = y[real], x[real]
        if y.size:
            yield (y, x, *_context(_neighbours(grid, y, x, step, directions), step))


def _rows(context: Ints, adjust: int) -> Ints:
    moved = np.array(_CONTEXT_ROWS) + 2 * (adjust - _ADJUST_NEUTRAL)
    rows: Ints = np.clip(moved, 0, ROWS - 1)[context]
    return rows


def _differences(classes: npt.NDArray[np.uint8], width: int) -> tuple[Ints, list[tuple[Ints, Ints]]]:
    """The classes on their grid, and (difference, context) of every pass."""
    grid = np.full(grid_of(classes.size, width), -1, np.int64)
    target = grid.copy()
    target.ravel()[: classes.size] = classes
    grid[0, 0] = target[0, 0]
    passes = []
    for y, x, mean, context in _walk(grid, classes.size):
        grid[y, x] = target[y, x]
        passes.append((target[y, x] - mean, context))
    return target, passes


def _best_adjust(passes: list[tuple[Ints, Ints]]) -> tuple[int, float]:
    """The adjustment with the fewest bits, and those bits."""
    difference = np.abs(np.concatenate([d for d, _ in passes]))
    context = np.concatenate([c for _, c in passes])
    costs = [float(magnitude_bits()[_rows(context, a), difference].sum()) for a in range(1 << _ADJUST_BITS)]
    best = int(np.argmin(costs))
    return best, costs[best]


def class_bits(classes: npt.NDArray[np.uint8], width: int = 0) -> float:
    """Bits that :func:`put_classes` spends on ``classes`` (M,), up to the coder's rounding."""
    _, passes = _differences(classes, width)
    return CLASS_BITS + (_ADJUST_BITS + _best_adjust(passes)[1] if passes else 0)


def class_penalties(classes: npt.NDArray[np.uint8], width: int = 0) -> npt.NDArray[np.float64]:
    """Rough bits (M, CLASSES) for giving module m each class while its neighbours keep theirs. Encoder only."""
    grid = np.full(grid_of(classes.size, width), -1, np.int64)
    grid.ravel()[: classes.size] = classes
    if classes.size == 1:
        return np.zeros((1, CLASSES))
    y, x = np.divmod(np.arange(classes.size), grid.shape[1])
    mean, context = _context(_neighbours(grid, y, x, 1, _STRAIGHT), 1)
    distance = np.abs(np.arange(CLASSES) - mean[:, None])
    penalties: npt.NDArray[np.float64] = magnitude_bits()[_rows(context, _ADJUST_NEUTRAL)[:, None], distance]
    return penalties


def put_classes(encoder: SymbolEncoder, classes: npt.NDArray[np.uint8], width: int = 0) -> None:
    """Code ``classes`` (M,) in 0 … 15 of modules that lie row by row on a grid ``width`` wide (0: one line)."""
    target, passes = _differences(classes, width)
    encoder.put_bits(target[:1, 0], CLASS_BITS)
    if passes:
        adjust, _ = _best_adjust(passes)
        encoder.put_bits(np.array([adjust]), _ADJUST_BITS)
        for difference, context in passes:
            encoder.put(difference, _rows(context, adjust))


def get_classes(decoder: SymbolDecoder, modules: int, width: int = 0) -> npt.NDArray[np.uint8]:
    """Inverse of :func:`put_classes`: uint8 (modules,). Raises :class:`CorruptError`."""
    grid = np.full(grid_of(modules, width), -1, np.int64)
    grid[0, 0] = decoder.get_bits(1, CLASS_BITS)[0]
    adjust = int(decoder.get_bits(1, _ADJUST_BITS)[0]) if modules > 1 else 0
    for y, x, mean, context in _walk(grid, modules):
        found = mean + decoder.get(_rows(context, adjust))
        if found.min() < 0 or found.max() >= CLASSES:
            raise CorruptError(f"module class {found.min()}…{found.max()} leaves 0…{CLASSES - 1}")
        grid[y, x] = found
    return grid.ravel()[:modules].astype(np.uint8)
