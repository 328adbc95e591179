"""What each symbol of a lattice is predicted from: passes, phases and context features, integers only.

A *region* is a grid of (h, w) cells. Every cell has ``PLANES`` × ``BASES`` symbols, ordered by frequency
(:func:`frequency_order`); number 0 is the mean. The means are coded first, coarse to fine over the lattice
(:mod:`nfcodec.lattice.mosaic`), then the other symbols in the groups of :data:`PASSES`, low to high frequency, each in
four phases of a 2 × 2 pattern. The features of a pass are defined here once, for the coder and for training.
The order of everything here is part of the format: the networks were trained with it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]

PLANES = 3
SIDE = 8
BASES = SIDE * SIDE
QUALITY_LEVELS = 8
LARGEST_FEATURE = 127
HAT = 16

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
    t = (quality * HAT * (QUALITY_LEVELS - 1) + 50) // 100
    hats: npt.NDArray[np.int16] = np.maximum(0, HAT - np.abs(t - HAT * np.arange(QUALITY_LEVELS))).astype(np.int16)
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


def phase_cells(phase: int) -> tuple[slice, slice]:
    """The rows and columns of the cells of a phase."""
    y, x = PHASES[phase]
    return slice(y, None, 2), slice(x, None, 2)
