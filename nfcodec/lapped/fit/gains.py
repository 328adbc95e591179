"""Gains of frames: how coarse steps are made where sound is loud, since it hides more error there.

The exponent of a step follows the level of its frame by ``follow``, and that of its band above its frame's by
``shape``; it grows with frequency by ``tilt``. All three stand for simultaneous masking (Zwicker & Fastl 2007, chapter
4), and were chosen by what scores of hearing say.
"""

from __future__ import annotations

import numpy as np

from nfcodec.lapped.gains import LARGEST_GAIN, UNIT
from nfcodec.lapped.law import Law
from nfcodec.lattice.steps import OCTAVE
from nfcodec.types import Floats, Gains

_FLOOR = -13.0  # log2 of the amplitude below which bands count as silent
_USUAL = -8.0  # that of frames whose gains are 0


def levels_of(bins: Floats, bands: tuple[int, ...]) -> Floats:
    """log2 of the amplitude (T, bands) of coefficients (P, T, K), smoothed over three frames."""
    power = np.square(bins).mean(0, dtype=np.float64)
    widths = np.diff([*bands, bins.shape[2]])
    power = np.add.reduceat(power, np.array(bands), axis=1) / widths
    wide = np.pad(power, ((1, 1), (0, 0)), "edge")
    power = wide[:-2] * 0.25 + wide[1:-1] * 0.5 + wide[2:] * 0.25
    found: Floats = np.maximum(0.5 * np.log2(power + 1e-12), _FLOOR)
    return found


def choose_gains(bins: Floats, bands: tuple[int, ...], law: Law) -> Gains:
    """Gains (T, bands) of coefficients (P, T, K)."""
    if not (law.follow or law.shape or law.tilt):
        return np.zeros((bins.shape[1], len(bands)), np.int8)
    levels = levels_of(bins, bands)
    mean = levels.mean(1, keepdims=True)
    middles = (np.array(bands) + np.array([*bands[1:], bins.shape[2]])) / (2 * bins.shape[2])
    octaves = law.follow * (mean - _USUAL) + law.shape * (levels - mean) + law.tilt * middles
    found: Gains = np.rint(octaves * (OCTAVE / UNIT)).clip(-LARGEST_GAIN, LARGEST_GAIN).astype(np.int8)
    return found
