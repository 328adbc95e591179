"""Bjøntegaard deltas between curves of rate and decibels (ITU-T VCEG-M33), over PCHIP as in JVET-H0030.

Needs scipy: pip install 'nfcodec[bench]'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from nfcodec.errors import OptionError

Array = npt.NDArray[np.float64]
Numbers = Sequence[float]


def _curve(rate: Numbers, quality: Numbers, name: str) -> tuple[Array, Array]:
    """(log rate, dB) in increasing rate; both must increase together."""
    r, q = np.asarray(rate, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if r.ndim != 1 or r.shape != q.shape or r.size < 2:
        raise OptionError(f"curve {name} needs two or more points, got {r.size} rates and {q.size} values")
    if not (np.isfinite(r).all() and np.isfinite(q).all() and r.min() > 0.0):
        raise OptionError(f"curve {name} has a rate or a value that is not finite, or a rate that is not positive")
    order = np.argsort(r, kind="stable")
    r, q = np.log(r[order]), q[order]
    if np.diff(r).min() <= 0.0 or np.diff(q).min() <= 0.0:
        raise OptionError(f"curve {name} does not rise: more rate must mean more dB from point to point")
    return r, q


def _mean_gap(
    xa: Array, ya: Array, xb: Array, yb: Array, what: str, within: tuple[float, float] | None = None
) -> float:  # fmt: skip
    """Mean of curve b - curve a over the part of x that both cover, and that lies ``within`` bounds."""
    low, high = float(max(xa[0], xb[0])), float(min(xa[-1], xb[-1]))
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    if not high > low:
        raise OptionError(f"the curves do not overlap in {what}")
    area_a, area_b = (float(PchipInterpolator(x, y).integrate(low, high)) for x, y in ((xa, ya), (xb, yb)))
    return (area_b - area_a) / (high - low)


def bd_rate(
    rate_a: Numbers, psnr_a: Numbers, rate_b: Numbers, psnr_b: Numbers, within: tuple[float, float] | None = None
) -> float:  # fmt: skip
    """Bjøntegaard delta rate in percent: how much more rate b needs than a for the same dB.

    Negative means that b is better. PCHIP of log rate over dB, averaged over the range of dB that both
    curves cover, or the part of it ``within`` bounds. Raises OptionError when they share none or when a
    curve does not rise.
    """
    ra, pa = _curve(rate_a, psnr_a, "a")
    rb, pb = _curve(rate_b, psnr_b, "b")
    return 100.0 * math.expm1(_mean_gap(pa, ra, pb, rb, "dB", within))


def bd_psnr(rate_a: Numbers, psnr_a: Numbers, rate_b: Numbers, psnr_b: Numbers) -> float:
    """Bjøntegaard delta in dB: how much b is above a at the same rate; positive means that b is better."""
    ra, pa = _curve(rate_a, psnr_a, "a")
    rb, pb = _curve(rate_b, psnr_b, "b")
    return _mean_gap(ra, pa, rb, pb, "rate")
