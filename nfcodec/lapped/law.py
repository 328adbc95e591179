"""From symbols to weights: step sizes by quality, companded or not, in whole numbers.

With the exponent e of a step, 256ths of an octave, and M[i] = round(2^16 · 2^(i/256)), a symbol q with the correction
r, 256ths of a step, has the magnitude m = 256 |q| + r, or m²/256 rounded where the law is companded, and the weight

    sign(q) · ⌊m · M[e mod 256] · 2^⌊e/256⌋ / 2^4 + ½⌋  in 2^-20,

at most ±2^27. In float64 nothing of this is rounded before the floors: m stays below 2^35, M below 2^17.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nfcodec.errors import CorruptError
from nfcodec.lapped.synthesis import LARGEST_WEIGHT, SAMPLE_BITS
from nfcodec.lattice.steps import OCTAVE, WEIGHT_BITS, mantissa
from nfcodec.types import Doubles, Ints

LARGEST_SYMBOL = 1 << 20
LARGEST_COMPANDED = 1 << 13
_PART = 256  # of a step, in which corrections count
GAIN_UNIT = OCTAVE // 8
MOST_GAIN = 127


@dataclass(frozen=True, slots=True)
class Law:
    """``coarsest``, ``finest``: −log2 of the step at quality 0 and 100 in 256ths of an octave; ``companded``: the
    square root of a magnitude is what is rounded; ``trade``: λ of symbols, squared steps per bit, of the encoder."""

    coarsest: int
    finest: int
    companded: bool
    trade: float

    def validate(self) -> None:
        """Raise :class:`CorruptError` unless steps lie between 2^-24 and 1 at every quality."""
        numbers = type(self.coarsest) is type(self.finest) is int and type(self.companded) is bool
        if not numbers or not 0 <= self.coarsest <= self.finest <= 20 * OCTAVE:
            raise CorruptError(f"impossible steps {self}")
        if not (isinstance(self.trade, float) and 0 < self.trade < 100):
            raise CorruptError(f"impossible trade-off {self.trade}")

    @property
    def largest(self) -> int:
        """The largest magnitude of a symbol."""
        return LARGEST_COMPANDED if self.companded else LARGEST_SYMBOL

    def exponent(self, quality: int, gain: int) -> int:
        """log2 of the step in 256ths of an octave; ``gain`` makes it coarser, by an eighth of an octave each."""
        finer = ((self.finest - self.coarsest) * quality + 50) // 100
        return gain * GAIN_UNIT - self.coarsest - finer

    def step(self, quality: int, gain: int) -> float:
        """The step size."""
        e = self.exponent(quality, gain)
        return float(np.ldexp(float(mantissa(e % OCTAVE)), e // OCTAVE - WEIGHT_BITS))

    def compressed(self, bins: Any, step: float) -> Any:
        """What is rounded of coefficients: their magnitudes in steps."""
        sizes = np.abs(bins) * np.float32(1.0 / step)
        return np.sqrt(sizes) if self.companded else sizes

    def weights(self, symbols: Ints, corrections: Ints, exponent: int) -> Doubles:
        """Weights (…) in 2^-20 of symbols and their corrections (…)."""
        m = np.abs(symbols).astype(np.float64) * _PART + corrections
        if self.companded:
            m = np.floor((m * m + _PART / 2) / _PART)
        unit = np.ldexp(float(mantissa(exponent % OCTAVE)), exponent // OCTAVE + SAMPLE_BITS - WEIGHT_BITS - 8)
        found: Doubles = np.minimum(np.floor(m * unit + 0.5), LARGEST_WEIGHT)
        if not found[symbols == 0].any():
            return np.copysign(found, symbols) + 0.0
        return np.copysign(found, np.where(symbols == 0, noise_signs(symbols.shape), symbols)) + 0.0


def noise_signs(shape: tuple[int, ...]) -> Ints:
    """Signs (P, T, K) that look random: the top bit of splitmix64 (Steele, Lea & Flood 2014) of the place in the chunk,
    2^32 · plane + 2^16 · frame + bin."""
    planes, frames, bins = (np.arange(n, dtype=np.uint64) for n in shape)
    x = (planes[:, None, None] << np.uint64(32)) + (frames[:, None] << np.uint64(16)) + bins
    x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.where((x ^ (x >> np.uint64(31))) >> np.uint64(63), -1, 1)
