"""What each symbol of a lattice is predicted from: passes, phases and context features, integers only.

A *region* is a grid of (h, w) cells. Every cell has ``PLANES`` × ``BASES`` symbols, ordered by frequency
(:func:`frequency_order`); number 0 is the mean. The means are coded first, coarse to fine over the lattice
(:func:`mean_levels`), then the other symbols in the groups of :data:`PASSES`, low to high frequency, each in
four phases of a 2 × 2 pattern. The features of a pass are defined here once, for the coder and for training.
The order of everything here is part of the format: the networks were trained with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float32]

PLANES = 3
SIDE = 8
BASES = SIDE * SIDE
QUALITY_LEVELS = 8
LARGEST_FEATURE = 127
_HAT = 16

# (plane, first symbol, one past the last) in coded order. Part of the format.
PASSES: tuple[tuple[int, int, int], ...] = (
    (0, 1, 3), (0, 3, 6), (1, 1, 6), (2, 1, 6), (0, 6, 10), (0, 10, 15), (1, 6, 15), (2, 6, 15),
    (0, 15, 28), (0, 28, 43), (0, 43, 64), (1, 15, 64), (2, 15, 64),
)  # fmt: skip

# The passes [first, last) of every layer of a progressive file; the means come before those of the first.
LAYERS: tuple[tuple[int, int], ...] = ((0, 4), (4, 8), (8, 13))

# The four phases by (y mod 2, x mod 2): later phases see earlier ones among their eight neighbours.
PHASES: tuple[tuple[int, int], ...] = ((0, 0), (1, 1), (0, 1), (1, 0))
NINE: tuple[tuple[int, int], ...] = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
EIGHT: tuple[tuple[int, int], ...] = tuple(o for o in NINE if o != (0, 0))
RING: tuple[tuple[int, int], ...] = tuple(
    (dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0)
)  # fmt: skip

_CLOSE = [i for i, (dy, dx) in enumerate(RING) if max(abs(dy), abs(dx)) == 1]

# Offsets, in units of the level, at which the neighbours of a mean are known when it is coded.
DIAGONAL = tuple((a, b) for a in (-1, 1) for b in (-1, 1)) + tuple(
    (a, b) for a in (-3, -1, 1, 3) for b in (-3, -1, 1, 3) if max(abs(a), abs(b)) == 3
)
EDGE = ((-1, 0), (1, 0), (0, -1), (0, 1)) + tuple(
    (a, b) for a in range(-3, 4) for b in range(-3, 4) if (a + b) % 2 and 1 < abs(a) + abs(b) <= 3
)
NEAREST = 4
LEVEL_CLASSES = 4


@lru_cache(maxsize=1)
def frequency_order() -> tuple[tuple[int, int], ...]:
    """(u, v) of the symbols of a plane: by u + v, then by u."""
    return tuple(sorted(((u, v) for u in range(SIDE) for v in range(SIDE)), key=lambda f: (f[0] + f[1], f[0])))


@lru_cache(maxsize=1)
def companded() -> npt.NDArray[np.int16]:
    """T[n] = round(16 · log2(1 + n)) for magnitudes 0 … 255, at most 127; int16 (256,).

    In whole numbers: (1 + n)^32 has ⌊32 · log2(1 + n)⌋ + 1 bits, and half of that is the rounded value.
    """
    return np.array([min(((1 + n) ** 32).bit_length() // 2, LARGEST_FEATURE) for n in range(256)], np.int16)


@lru_cache(maxsize=1)
def _compand_table() -> npt.NDArray[np.int16]:
    """Features of the symbols −255 … 255."""
    return np.concatenate([-companded()[:0:-1], companded()])


def compand(symbols: Ints) -> npt.NDArray[np.int16]:
    """Symbols as features: sign(q) · T[min(|q|, 255)], within ±127."""
    features: npt.NDArray[np.int16] = _compand_table().take(np.minimum(np.maximum(symbols, -255), 255) + 255)
    return features


@lru_cache(maxsize=101)
def quality_features(quality: int) -> npt.NDArray[np.int16]:
    """Quality 0 … 100 as hat functions over ``QUALITY_LEVELS`` anchors: (8,), two neighbours share 16."""
    t = (quality * _HAT * (QUALITY_LEVELS - 1) + 50) // 100
    hats: npt.NDArray[np.int16] = np.maximum(0, _HAT - np.abs(t - _HAT * np.arange(QUALITY_LEVELS))).astype(np.int16)
    hats.flags.writeable = False
    return hats


def known_mask() -> npt.NDArray[np.bool_]:
    """(4 phases, 8 offsets): whether that neighbour was coded in an earlier phase of the same pass."""
    rank = {phase: i for i, phase in enumerate(PHASES)}
    rows = [[rank[(y + dy) % 2, (x + dx) % 2] < rank[y, x] for dy, dx in EIGHT] for y, x in PHASES]
    return np.array(rows)


def feature_count(number: int) -> int:
    """Inputs of the network of pass ``number``."""
    plane, low, high = PASSES[number]
    own = 9 * (low - 1) + 8 * (high - low)
    others = sum(known_before(number, p) - 1 for p in range(PLANES) if p != plane)
    return own + len(RING) + 8 * (PLANES - 1) + others + QUALITY_LEVELS + len(PHASES)


def known_before(number: int, plane: int) -> int:
    """Symbols [0, n) of ``plane`` that are known before pass ``number``."""
    return max([high for p, _, high in PASSES[:number] if p == plane], default=1)


def mean_feature_count(plane: int) -> int:
    """Inputs of the two networks for the means of ``plane``."""
    return 16 + 17 * plane + LEVEL_CLASSES + QUALITY_LEVELS


@dataclass(frozen=True, slots=True)
class MeanPass:
    """Means that are coded at once: ``cells`` (n,) flat positions; ``neighbours`` (n, 16) flat positions, −1 where
    there is none; ``level`` the class of their distance; ``edge`` which of the two networks."""

    edge: bool
    level: int
    cells: npt.NDArray[np.int64]
    neighbours: npt.NDArray[np.int64]


def _lowest_bit(n: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.where(n == 0, np.int64(1) << 40, n & -n)


def _reflected(at: Ints, offset: Ints, n: int) -> npt.NDArray[np.int64]:
    """``at + offset``, or ``at − offset`` when that is outside [0, n), or −1 when both are."""
    there, back = at + offset, at - offset
    inside = np.where((back >= 0) & (back < n), back, -1)
    return np.where((there >= 0) & (there < n), there, inside)


def _mean_pass(edge: bool, unit: int, cells: npt.NDArray[np.int64], shape: tuple[int, int]) -> MeanPass:
    y, x = np.divmod(cells[:, None], shape[1])
    offsets = unit * np.array(EDGE if edge else DIAGONAL)
    ny, nx = _reflected(y, offsets[:, 0], shape[0]), _reflected(x, offsets[:, 1], shape[1])
    neighbours = np.where((ny < 0) | (nx < 0), -1, ny * shape[1] + nx)
    return MeanPass(edge, min(unit.bit_length() - 1, LEVEL_CLASSES - 1), cells, neighbours)


@lru_cache(maxsize=16)
def mean_levels(shape: tuple[int, int]) -> tuple[MeanPass, ...]:
    """The passes over the means of a region, coarse to fine; the first is the single cell (0, 0)."""
    y, x = np.divmod(np.arange(shape[0] * shape[1], dtype=np.int64), shape[1])
    low_y, low_x = _lowest_bit(y), _lowest_bit(x)
    unit = np.minimum(low_y, low_x)
    root = MeanPass(False, LEVEL_CLASSES - 1, np.zeros(1, np.int64), np.full((1, 16), -1, np.int64))
    passes, size = [root], 1 << (max(shape) - 1).bit_length()
    while size:
        for edge in (False, True):
            cells = np.flatnonzero((unit == size) & ((low_y != low_x) == edge))
            if len(cells):
                passes.append(_mean_pass(edge, size, cells, shape))
        size >>= 1
    return tuple(passes)


def mean_bases(values: Ints, neighbours: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The rounded mean (n,) of the nearest known neighbours; 0 where there is none."""
    near = neighbours[:, :NEAREST]
    present = near >= 0
    total = (values.take(near, mode="wrap") * present).sum(1, dtype=np.int64)
    count = np.maximum(present.sum(1, dtype=np.int64), 1)
    bases: npt.NDArray[np.int64] = (2 * total + count) // (2 * count)
    return bases


def mean_features(planes: Ints, plane: int, step: MeanPass, bases: list[Ints], quality: int) -> Ints:
    """Features (F, n) of the means of ``plane`` in one pass, given all means so far (PLANES, cells).

    ``bases``: predicted means of this plane and of the earlier ones at these cells, (plane + 1) × (n,).
    """
    present = step.neighbours >= 0
    rows = []
    for p in (plane, *range(plane)):
        around = (planes[p].take(step.neighbours, mode="wrap") - bases[p][:, None]) * present
        rows.append(compand(around).T)
        if p != plane:
            rows.append(compand(planes[p].take(step.cells) - bases[p])[None])
    n = len(step.cells)
    level = np.zeros((LEVEL_CLASSES, n), np.int16)
    level[step.level] = _HAT
    rows += [level, np.repeat(quality_features(quality)[:, None], n, 1)]
    return np.concatenate(rows)


def phase_cells(phase: int) -> tuple[slice, slice]:
    """The rows and columns of the cells of a phase."""
    y, x = PHASES[phase]
    return slice(y, None, 2), slice(x, None, 2)


def mean_differences(means: Ints) -> npt.NDArray[np.int16]:
    """Companded means around each cell less its own, (planes, RING, h, w) of (planes, h, w); 0 for none."""
    height, width = means.shape[1:]
    wide, inside = np.pad(means, ((0, 0), (2, 2), (2, 2))), np.pad(np.ones((height, width), np.int64), 2)
    out = np.empty((len(means), len(RING), height, width), np.int16)
    for j, (dy, dx) in enumerate(RING):
        y, x = slice(2 + dy, 2 + dy + height), slice(2 + dx, 2 + dx + width)
        out[:, j] = compand((wide[:, y, x] - means) * inside[y, x])
    return out


# What a feature is copied from: one slot of a neighbourhood's store. First one of zeros and one of ones, then the
# quality features, then for every plane and phase the symbols but the mean and the differences of the means.
_NOTHING, _ONES, _QUALITY, _PLANES = 0, 1, 2, 2 + QUALITY_LEVELS
_SLOTS = BASES - 1 + len(RING)


@lru_cache(maxsize=len(PASSES) * len(PHASES))
def seen_features(number: int, phase: int) -> npt.NDArray[np.int64]:
    """Which of the features of pass ``number`` can be other than zero in a phase: (S,), rising."""
    return np.flatnonzero(_places(number, phase)[0] != _NOTHING)


@lru_cache(maxsize=len(PASSES) * len(PHASES))
def _seen_places(number: int, phase: int) -> npt.NDArray[np.int64]:
    return _places(number, phase)[:, seen_features(number, phase)]


def _places(number: int, phase: int) -> npt.NDArray[np.int64]:
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
    """What is known of a region, ready to become features of one phase after the other.

    Companded symbols are kept by (y mod 2, x mod 2) with a border of zero cells: the neighbours at one offset of
    all cells of a phase are then one rectangle. All rectangles of a phase are gathered at once. All values are whole
    numbers in float32, which is what the matrix product takes.
    """

    def __init__(self, shape: tuple[int, int], *, planes: int, quality: int) -> None:
        """Nothing known: all symbols of all ``planes`` (1 … 3) are zero."""
        half = [(n + 1) // 2 + 2 for n in shape]
        self.shape, self.planes = shape, planes
        self.means = np.zeros((planes, shape[0] * shape[1]), np.int64)
        self.quality = quality
        self._store = np.zeros((_PLANES + planes * 4 * _SLOTS, *half), np.float32)
        self._store[_ONES] = _HAT
        self._store[_QUALITY:_PLANES] = quality_features(quality)[:, None, None]
        self._grids = self._store[_PLANES:].reshape(planes, 2, 2, _SLOTS, *half)
        self._compared = False

    def put_means(self, plane: int, cells: Ints, values: Ints) -> None:
        """Remember means ``values`` (n,) at flat positions ``cells`` (n,)."""
        self.means[plane, cells] = values
        self._compared = False

    def put(self, plane: int, low: int, phase: int, values: Ints) -> None:
        """Remember symbols [low, low + n) of all cells of a phase, ``values`` (n, rows, columns)."""
        n, height, width = values.shape
        grid = self._grids[(plane, *PHASES[phase])]
        grid[low - 1 : low - 1 + n, 1 : 1 + height, 1 : 1 + width] = compand(values)

    def features(self, number: int, phase: int) -> Floats:
        """Features (S, cells of the phase) of pass ``number``: those of :func:`seen_features`, the others are zero."""
        if not self._compared:
            self._compare()
        slots, top, left = _seen_places(number, phase)
        if self.planes < PLANES:
            slots = np.where(slots < len(self._store), slots, _NOTHING)
        rows, columns = (len(range(n)[s]) for n, s in zip(self.shape, phase_cells(phase), strict=True))
        area, width = self._store[0].size, self._store.shape[2]
        # Every rectangle of this size, by the position of its first value.
        last = self._store.size - (rows - 1) * width - columns
        strides = tuple(self._store.itemsize * step for step in (1, width, 1))
        rectangles = np.lib.stride_tricks.as_strided(self._store, (last + 1, rows, columns), strides, writeable=False)
        found: Floats = rectangles[slots * area + top * width + left]
        return found.reshape(len(slots), -1)

    def _compare(self) -> None:
        """Keep the differences of the means."""
        differences = mean_differences(self.means.reshape(self.planes, *self.shape))
        for phase, (y, x) in enumerate(PHASES):
            part = differences[(slice(None), slice(None), *phase_cells(phase))]
            self._grids[:, y, x, BASES - 1 :, 1 : 1 + part.shape[2], 1 : 1 + part.shape[3]] = part
        self._compared = True
