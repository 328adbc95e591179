"""From symbols to weights: step sizes by quality and gain, companded or not, in whole numbers.

With the exponent e of a step, 256ths of an octave, and M[i] = round(2^16 · 2^(i/256)), a symbol q with the correction
r, 256ths of a step, has the magnitude m = 256 |q| + r; where the law is companded, m^(3/2) / 16 or m² / 256 rounded in
its place; and the weight

    sign(q) · ⌊m · M[e mod 256] · 2^⌊e/256⌋ / 2^4 + ½⌋  in 2^-20,

at most ±2^27. In float64 m stays below 2^35 and M below 2^17; IEEE 754 rounds square roots and products correctly, so
that every machine has the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from nfcodec.errors import CorruptError
from nfcodec.lapped.synthesis import LARGEST_WEIGHT, SAMPLE_BITS
from nfcodec.lattice.steps import OCTAVE, WEIGHT_BITS, mantissa
from nfcodec.types import Doubles, Ints

LARGEST_SYMBOL = 1 << 20
LARGEST_COMPANDED = 1 << 13
_PART = 256  # of a step, in which corrections count
PLAIN = 6  # the power that leaves magnitudes as they are
POWERS = (3, 4, 6)


@dataclass(frozen=True, slots=True)
class Law:
    """``coarsest``, ``finest``: −log2 of the step at quality 0 and 100 in 256ths of an octave; ``power``: in sixths, of
    a magnitude that is rounded: 6, 4 or 3.

    For encoders alone: ``trade``, λ of symbols, squared steps per bit; ``follow`` and ``shape``, by how many octaves
    steps follow an octave of the level of a frame, and of a band above that of its frame, and ``tilt``, by how many
    they grow from the lowest to the highest frequency."""

    coarsest: int
    finest: int
    power: int
    trade: float
    follow: float = 0.0
    shape: float = 0.0
    tilt: float = 0.0

    def validate(self) -> None:
        """Raise :class:`CorruptError` unless steps lie between 2^-24 and 1 at every quality."""
        numbers = type(self.coarsest) is type(self.finest) is type(self.power) is int and self.power in POWERS
        if not numbers or not 0 <= self.coarsest <= self.finest <= 20 * OCTAVE:
            raise CorruptError(f"impossible steps {self}")
        if not (isinstance(self.trade, float) and 0 < self.trade < 100):
            raise CorruptError(f"impossible trade-off {self.trade}")
        if not all(isinstance(x, float) and 0 <= x <= 4 for x in (self.follow, self.shape, self.tilt)):
            raise CorruptError(f"steps that follow by {self.follow}, {self.shape}, {self.tilt}")

    @property
    def largest(self) -> int:
        """The largest magnitude of a symbol."""
        return LARGEST_SYMBOL if self.power == PLAIN else LARGEST_COMPANDED

    def exponent(self, quality: int) -> int:
        """log2 of the step in 256ths of an octave where gains are 0."""
        return -self.coarsest - ((self.finest - self.coarsest) * quality + 50) // 100

    def step(self, quality: int) -> float:
        """The step size where gains are 0."""
        return float(np.exp2(self.exponent(quality) / OCTAVE))

    def compressed(self, bins: Any, exponents: Ints) -> Any:
        """What is rounded of coefficients (P, T, K): their magnitudes in steps of 2^(exponents / 256), (T, K) or 1."""
        sizes = np.abs(bins) * np.exp2(exponents.astype(np.float32) * np.float32(-1 / OCTAVE))
        if self.power == PLAIN:
            return sizes
        return np.sqrt(sizes) if self.power == 3 else np.cbrt(sizes) ** 2

    def weights(self, symbols: Ints, corrections: Ints, exponents: Ints) -> Doubles:
        """Weights (P, T, K) in 2^-20 of symbols and their corrections, steps being 2^(exponents / 256), (T, K) or 1."""
        m = np.abs(symbols).astype(np.float64) * _PART + corrections
        if self.power == 3:
            m = np.floor((m * m + _PART / 2) / _PART)
        elif self.power == 4:
            m = np.floor(m * np.sqrt(m) / 16 + 0.5)
        # Few exponents differ: their steps are looked up.
        low = int(exponents.min())
        every = np.arange(low, int(exponents.max()) + 1)
        units = np.ldexp(_mantissas()[every % OCTAVE], every // OCTAVE + (SAMPLE_BITS - WEIGHT_BITS - 8))
        found: Doubles = np.minimum(np.floor(m * units.take(exponents - low) + 0.5), LARGEST_WEIGHT)
        zeros = symbols == 0
        if not (found * zeros).any():
            return np.copysign(found, symbols) + 0.0
        return np.copysign(found, np.where(zeros, noise_signs(symbols.shape), symbols)) + 0.0


@lru_cache(maxsize=1)
def _mantissas() -> Doubles:
    return np.array([mantissa(i) for i in range(OCTAVE)], np.float64)


@lru_cache(maxsize=2)
def noise_signs(shape: tuple[int, ...]) -> Ints:
    """Signs (P, T, K) that look random: the top bit of splitmix64 (Steele, Lea & Flood 2014) of the place in the chunk,
    2^32 · plane + 2^16 · frame + bin."""
    planes, frames, bins = (np.arange(n, dtype=np.uint64) for n in shape)
    x = (planes[:, None, None] << np.uint64(32)) + (frames[:, None] << np.uint64(16)) + bins
    x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    signs = np.where((x ^ (x >> np.uint64(31))) >> np.uint64(63), np.int8(-1), np.int8(1))
    signs.flags.writeable = False
    return signs
