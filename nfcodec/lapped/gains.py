"""Gains: how much coarser the steps of a band of a frame are, and how they are coded.

Gains count half octaves, and are coded before all symbols of a chunk: by the phases of the order
(:mod:`nfcodec.lapped.order`), in each band by band from the lowest on. A gain is predicted from those of the band in
the two nearest frames that are known, and from how far the band below was off; in frames of the first phase it is that
of the band below. What remains is coded with the table of a scale, one for each phase, for the lowest and for other
bands, and by how far the two frames are apart. Between the middles of two bands the exponents of steps are
interpolated; everything is in whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nfcodec.entropy import logistic
from nfcodec.errors import CorruptError
from nfcodec.lapped.order import PHASES, Phase
from nfcodec.lattice.steps import OCTAVE
from nfcodec.types import Indices, Ints

UNIT = OCTAVE // 2
LARGEST_GAIN = 31
APART = 4  # classes of how far two frames are apart
# Of tables of scales: phases, the lowest band and others, classes.
SHAPE = (len(PHASES), 2, APART)

# Takes rows of tables (N, n) and gives what is coded with them (N, n).
Coded = Callable[[Ints], Ints]


# -- exponents -------------------------------------------------------------------------------------------
def exponents(gains: Ints, bands: tuple[int, ...], bins: int) -> Indices:
    """Exponents (…, bins), 256ths of an octave, of gains (…, bands) of bands with these first bins."""
    levels = UNIT * gains.astype(np.int64)
    if len(bands) == 1:
        return np.broadcast_to(levels, (*levels.shape[:-1], bins))
    below, part, whole = _between(bands, bins)
    low, high = levels[..., below], levels[..., below + 1]
    return low + (high - low) * part // whole


@lru_cache(maxsize=16)
def _between(bands: tuple[int, ...], bins: int) -> tuple[Indices, Indices, Indices]:
    """For every bin the band whose middle lies below it, how far above that it lies, and how far the next middle does;
    in half bins."""
    middles = np.array([*bands, bins])
    middles = middles[:-1] + middles[1:]
    at = 2 * np.arange(bins) + 1
    below = np.clip(np.searchsorted(middles, at, "right") - 1, 0, len(middles) - 2)
    whole = middles[below + 1] - middles[below]
    return below, np.clip(at - middles[below], 0, whole), whole


# -- coding ----------------------------------------------------------------------------------------------
def _around(gains: Ints, at: Indices, distance: int, band: int) -> tuple[Indices, Indices]:
    """Gains (N, n) of a band before and after frames; the other one's where there is none."""
    last = gains.shape[1] - 1
    before, after = at - distance, np.where(at + distance > last, at - distance, at + distance)
    return gains[:, before, band].astype(np.int64), gains[:, after, band].astype(np.int64)


def expected(gains: Ints, phase: Phase, band: int) -> tuple[Indices, Indices]:
    """What gains (N, n) of a band and phase are predicted to be, and how far apart the known ones are: a class."""
    at = np.arange(phase.start, gains.shape[1], phase.period)
    nothing = np.zeros((len(gains), len(at)), np.int64)
    if not phase.distance:
        return (gains[:, at, band - 1].astype(np.int64) if band else nothing), nothing
    before, after = _around(gains, at, phase.distance, band)
    found, apart = before + after + 1 >> 1, np.minimum(np.abs(before - after), APART - 1)
    if band:
        lower = _around(gains, at, phase.distance, band - 1)
        found = found + (gains[:, at, band - 1] - (lower[0] + lower[1] + 1 >> 1) >> 1)
    return found, apart


def rows_of(scales: npt.NDArray[np.uint8]) -> Ints:
    """Rows of the family of logistic tables for scales (…)."""
    rows = np.array([logistic.row_of(s, 0)[0] for s in range(logistic.SCALES)], np.uint8)
    return rows.take(scales)


def through(gains: Ints, scales: npt.NDArray[np.uint8], coded: Coded) -> None:
    """Fill ``gains`` (N, T, bands) in their order with what ``coded`` gives for rows of tables, added to what is
    expected. Raises :class:`CorruptError` beyond ±31."""
    rows = rows_of(scales)
    for number, phase in enumerate(PHASES):
        at = slice(phase.start, None, phase.period)
        if phase.start >= gains.shape[1]:
            continue
        for band in range(gains.shape[2]):
            wanted, apart = expected(gains, phase, band)
            found = wanted + coded(rows[number, int(band > 0)][apart])
            if np.abs(found).max() > LARGEST_GAIN:
                raise CorruptError(f"gain of {np.abs(found).max()}, at most {LARGEST_GAIN} is allowed")
            gains[:, at, band] = found


def residuals(gains: Ints) -> list[tuple[int, int, Indices, Indices]]:
    """What is coded of gains (T, bands), in order: number of the phase, band, classes (n,) and differences (n,)."""
    found = []
    for number, phase in enumerate(PHASES):
        at = slice(phase.start, None, phase.period)
        for band in range(gains.shape[1] if phase.start < len(gains) else 0):
            wanted, apart = expected(gains[None], phase, band)
            found.append((number, band, apart[0], gains[at, band] - wanted[0]))
    return found
