"""Step sizes as powers of two in 256ths of an octave, from symbols to weights, in whole numbers.

A weight counts 2^-16. With the exponent e of a step, 256ths of an octave, and M[i] = round(2^16 · 2^(i/256)),

    step = M[e mod 256] · 2^⌊e/256⌋ / 2^16,   weight = ⌊M[e mod 256] · (256 q + r) / 2^(8 − ⌊e/256⌋) + ½⌋

for a symbol q and its correction r (:mod:`nfcodec.lattice.restore`); then W0 of the init is added, and the sum is at
most ±2^23. In float64 nothing of this is rounded before the floor: 256 q + r stays below 2^29, M below 2^17, and W0
within ±2^23.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, namespace
from nfcodec.entropy.rounding import floor
from nfcodec.lattice import order
from nfcodec.types import Doubles, Indices

OCTAVE = 256
WEIGHT_BITS = 16
WEIGHT_UNIT = 2.0**-WEIGHT_BITS
LARGEST_WEIGHT = 1 << 23
# log2 of the finest and of one past the coarsest step, so that every shift is to the right and within 32 bits.
LOWEST, HIGHEST = -24, 8


@lru_cache(maxsize=OCTAVE)
def mantissa(i: int) -> int:
    """M[i] = round(2^16 · 2^(i/256)): the whole number c with (2c − 1)^256 ≤ 2^(17 · 256 + i) < (2c + 1)^256."""
    power = 1 << (17 * OCTAVE + i)
    c: int = round(2.0 ** (WEIGHT_BITS + i / OCTAVE))  # a guess; what follows does not depend on it
    while (2 * c - 1) ** OCTAVE > power:
        c -= 1
    while (2 * c + 1) ** OCTAVE <= power:
        c += 1
    return c


def exponents(log_step: npt.NDArray[np.integer[Any]], quality: int) -> npt.NDArray[np.int64]:
    """e (…) of a quality 0 … 100, from those (8, …) of the anchors."""
    total = np.tensordot(order.quality_features(quality).astype(np.int64), log_step.astype(np.int64), 1)
    return (total + 8) >> 4


def mantissas(e: npt.NDArray[np.integer[Any]]) -> Indices:
    """M[e mod 256] of exponents (…) in 256ths of an octave."""
    return np.array([mantissa(int(i)) for i in (e % OCTAVE).ravel()], np.int64).reshape(e.shape)


def step_sizes(log_step: npt.NDArray[np.integer[Any]], quality: int) -> Doubles:
    """Step sizes (…) of a quality; float64 holds them exactly."""
    e = exponents(log_step, quality)
    return np.ldexp(mantissas(e).astype(np.float64), e // OCTAVE - WEIGHT_BITS)


def weights(symbols: Array, corrections: Array, sizes: Array, offset: Array | None = None) -> Array:
    """Weights (…) of symbols and corrections (…), in 2^-16, for step sizes that broadcast against them; so does the
    ``offset`` W0, whole numbers of 2^-16 (None: zeros).

    Whole numbers: exact where all is float64, within one where it is float32.
    """
    exact = floor((symbols * 256.0 + corrections) * (sizes * 2.0 ** (WEIGHT_BITS - 8)) + 0.5)
    exact = exact if offset is None else exact + offset
    return namespace(exact).clip(exact, -LARGEST_WEIGHT, LARGEST_WEIGHT)
