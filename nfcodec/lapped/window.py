"""The window of a lapped field and the circle of its transform, in whole numbers from whole numbers.

The window is the Kaiser–Bessel derived one with α = 2 (Princen, Johnson & Bradley 1987; Fielder et al. 1996): among α
= 2, 3, 4, the sine and the power-sine window the one whose coefficients of speech need the fewest bits, at every size.
Cosines, sines and the Bessel function are sums and products of Python's integers, so that every machine has the same
ones.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from nfcodec.types import Doubles

BITS = 18  # of every factor
_WORK = 128
_ONE = 1 << _WORK
# ⌊2^128 π⌋.
_PI = 0x3243F6A8885A308D313198A2E03707344
_ALPHA = 2


def _bessel(x_squared: int) -> int:
    """I0(x) in 2^-128 of x² in 2^-128, by its series."""
    quarter, term, total, k = x_squared >> 2, _ONE, _ONE, 1
    while term:
        term = (term * quarter >> _WORK) // (k * k)
        total, k = total + term, k + 1
    return total


def _kaiser(half: int) -> list[int]:
    """The Kaiser window at 0 … 2 · half, in units of its own."""
    squared = (_PI * _ALPHA) ** 2 >> _WORK
    rising = [_bessel(squared - squared * (n - half) ** 2 // half**2) for n in range(half + 1)]
    return rising + rising[-2::-1]


@lru_cache(maxsize=64)
def rotation(half: int) -> tuple[Doubles, Doubles]:
    """cos α and sin α in 2^-18, whole (half,): of the zones of half-width ``half``, from the boundary outwards."""
    sums, total = [0], 0
    for value in _kaiser(half)[:-1]:
        total += value
        sums.append(total)
    # Twice the squared rising slope halfway between its steps; mirrored places sum to the same.
    slope = [a + b for a, b in zip(sums, sums[1:], strict=False)]
    found = []
    for m in range(half):
        up, down = slope[half + m], slope[half - 1 - m]
        found.append([math.isqrt((part << 2 * BITS + 2) // (up + down)) + 1 >> 1 for part in (up, down)])
    c, s = np.array(found, np.float64).T
    return c, s


@lru_cache(maxsize=32)
def circle(points: int) -> tuple[Doubles, Doubles]:
    """cos and sin of 2π j / points in 2^-18, whole (points,); ``points`` is a multiple of 4."""
    step = 2 * _PI // points
    c, s = _cosine_and_sine(step)
    x, y, quarter = _ONE, 0, []
    for _ in range(points // 4):
        quarter.append((_rounded(x), _rounded(y)))
        x, y = (x * c - y * s) >> _WORK, (x * s + y * c) >> _WORK
    cos, sin = np.array(quarter, np.float64).T
    return np.concatenate([cos, -sin, -cos, sin]), np.concatenate([sin, cos, -sin, -cos])


def _cosine_and_sine(angle: int) -> tuple[int, int]:
    """cos and sin in 2^-128 of an angle in 2^-128, at most π/2, by their series."""
    parts, term, n = [0, 0], _ONE, 0
    while term:
        parts[n % 2] += -term if n % 4 > 1 else term
        n += 1
        term = (term * angle >> _WORK) // n
    return parts[0], parts[1]


def _rounded(x: int) -> int:
    return x + (1 << _WORK - BITS - 1) >> _WORK - BITS
