"""Steps that grow where much goes on: what is not seen there need not be coded finely.

The eye tolerates errors beside structure that is stronger than they are (visual masking; JPEG 2000 knows it as extended
masking, ISO/IEC 15444-2, annex on visual weighting; Zeng, Daly & Lei 2000). The means of all cells are coded before
everything else, so a decoder knows how they differ around a cell, and both sides take the steps of its other symbols
from that: nothing is sent. Let S be the sum of the absolute differences between the first plane's mean of a cell, as
dequantized without D, and those of the 3^d − 1 cells around (the border repeated), in 2^-16. Its *activity* is

    A = ⌊256 · log2(8 + min(⌊S / 2^10⌋, 8191))⌋ − 1638

in 256ths of an octave, and the exponent of a step (:mod:`nfcodec.lattice.steps`) changes by ⌊γ A / 2^8 + ½⌋ for the γ
of its plane, symbol and quality, in 256ths. The means themselves have γ = 0. All is whole numbers.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, device, namespace
from nfcodec.lattice import steps
from nfcodec.lattice.convolution import repeated
from nfcodec.types import Floats

FLOOR, LARGEST_SUM, SUM_BITS, USUAL = 8, 8191, 10, 1638
LARGEST_GAIN = 512  # of γ, in 256ths
_FINE = steps.WEIGHT_BITS - 8


@lru_cache(maxsize=1)
def activities() -> npt.NDArray[np.int16]:
    """A of every ⌊S / 2^10⌋, int16 (8192,): (8 + n)^256 has ⌊256 · log2(8 + n)⌋ + 1 bits."""
    return np.array([((FLOOR + n) ** 256).bit_length() - 1 - USUAL for n in range(LARGEST_SUM + 1)], np.int16)


@lru_cache(maxsize=1)
def _all_sizes() -> Floats:
    """Every step size by its exponent from the lowest on; float32 holds their 17 bits."""
    e = np.arange(steps.LOWEST * steps.OCTAVE, steps.HIGHEST * steps.OCTAVE)
    return np.ldexp(steps.mantissas(e).astype(np.float32), e // steps.OCTAVE - steps.WEIGHT_BITS)


def activity(means: Array, axes: int) -> Array:
    """A (…, *cells) of plain means (…, *cells), whole numbers of 2^-16."""
    xp, cells = namespace(means), means.shape[means.ndim - axes :]
    wide = means
    for axis in range(-axes, 0):
        wide = repeated(wide, axis, 1)
    total = xp.zeros_like(means)
    for offset in itertools.product(range(3), repeat=axes):
        at = (..., *(slice(o, o + n) for o, n in zip(offset, cells, strict=True)))
        total = total + xp.abs(wide[at] - means)
    index = xp.clip(xp.floor(total * 2.0**-SUM_BITS), 0, LARGEST_SUM)
    table = xp.asarray(activities(), device=device(means))
    return xp.astype(table[xp.astype(index, xp.int64)], means.dtype)


def plain_means(symbols: Array, size: Array) -> Array:
    """The means (…, *cells) of symbols (…, *cells) as dequantized without D, whole numbers of 2^-16."""
    return namespace(symbols).floor(symbols * 256.0 * (size * 2.0**_FINE) + 0.5)


def cell_sizes(
    log_step: npt.NDArray[np.integer[Any]], gains: npt.NDArray[np.integer[Any]], quality: int,
    means: npt.NDArray[np.integer[Any]],
) -> Floats:  # fmt: skip
    """Step sizes (P, K, *cells) of a quality for the symbols (*cells) of the means of the first plane; ``gains``: γ
    (8, P, K) of the anchors."""
    e = steps.exponents(log_step, quality)
    size = steps.step_sizes(log_step[:, :1, :1], quality)[0, 0]
    active = activity(plain_means(means.astype(np.float64), size), means.ndim).astype(np.int32)
    gain = steps.exponents(gains, quality).astype(np.int32)
    lead, found = (..., *(None,) * means.ndim), np.empty((*e.shape, *means.shape), np.float32)
    for plane, own in enumerate(found):  # one at a time, for the memory
        moved = gain[plane][lead] * active
        moved += 128
        moved >>= 8
        moved += (e[plane] - steps.LOWEST * steps.OCTAVE).astype(np.int32)[lead]
        _all_sizes().take(moved, out=own, mode="clip")
    return found
