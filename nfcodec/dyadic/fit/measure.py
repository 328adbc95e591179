"""How samples are to be rounded so that a bound holds in their own type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nfcodec.dyadic.code import MOST_STEPS
from nfcodec.dyadic.values import EIGHTHS, Measure, Mode, Samples
from nfcodec.types import Doubles

# Up to this step integers are coded as such: their own grid is as coarse as errors may be.
_WHOLE_STEPS = 15
_SLACK = 1.0 - 2.0**-20  # of a bound, for what floats lose on the way
_SOME = 1 << 16  # samples in which a grid is looked for
_EXACT = 2.0**53


def measure_for(samples: Samples, low: float, high: float, bound: float) -> Measure:
    """For ``samples`` (n,) that are there, of an array whose samples reach from ``low`` to ``high``."""
    dtype = samples.dtype
    stored = Measure(Mode.STORED, dtype, low, high)
    if dtype.kind != "f":
        return _of_integers(samples, low, high, bound) or stored
    if low == high:
        return Measure(Mode.FREE, dtype, low, high)
    if not math.isfinite(high - low):
        return stored
    free = _free(dtype, low, high, bound - _half_digit(dtype, low, high))
    grid = _grid(samples, low, high, bound, free.steps if free else MOST_STEPS)
    return grid or free or stored


def _half_digit(dtype: np.dtype[Any], low: float, high: float) -> float:
    """How far rounding to the type may move a float."""
    with np.errstate(all="ignore"):
        return float(np.spacing(np.array(max(abs(low), abs(high))).astype(dtype))) / 2.0


def _free(dtype: np.dtype[Any], low: float, high: float, bound: float) -> Measure | None:
    """Steps of twice the bound; None if there would be too many of them."""
    with np.errstate(all="ignore"):
        count = np.ceil(EIGHTHS * (high - low) / np.float64(2.0 * bound * _SLACK)) if bound > 0 else np.inf
    return Measure(Mode.FREE, dtype, low, high, max(1, int(count))) if count <= EIGHTHS * MOST_STEPS else None


def _of_integers(samples: Samples, low: float, high: float, bound: float) -> Measure | None:
    dtype = samples.dtype
    first, last = (int(samples.min()), int(samples.max())) if samples.size else (0, 0)
    step = 2 * min(int(bound), 2**62) + 1
    if first == last or step <= _WHOLE_STEPS or last - first < step:
        step = min(step, max(1, last - first))
        # What a single step spans can be off by half of it.
        step = step if step <= 2 * int(bound) + 1 else 1
        whole = Measure(Mode.INTEGERS, dtype, low, high, step, first, last - first)
        return whole if whole.steps <= MOST_STEPS else None
    lost = 0.0 if max(abs(first), abs(last)) < _EXACT else 2.0 * np.spacing(float(max(abs(first), abs(last))))
    return _free(dtype, low, high, int(bound) + 0.5 - lost) if math.isfinite(high - low) else None


# -- grids -------------------------------------------------------------------------------------------------
def _grid(samples: Samples, low: float, high: float, bound: float, most: int) -> Measure | None:
    """Whole steps on which all samples lie, as packed data do, where these are no finer than the bound asks."""
    some = samples[:: max(1, samples.size // _SOME)].astype(np.float64)
    digit = 2.0 * _half_digit(samples.dtype, low, high)
    steps = _steps_between(np.unique(some), low, high, max(bound, digit), digit)
    if not 0 < steps <= most:
        return None
    found = Measure(Mode.WHOLE, samples.dtype, low, high, steps)
    back = found.samples(found.units(samples)).astype(np.float64)
    off = np.abs(back - samples.astype(np.float64))
    return found if samples.size and off.max() <= bound else None


def _steps_between(values: Doubles, low: float, high: float, tolerance: float, digit: float) -> int:
    """How many steps lie between ``low`` and ``high``; 0 where none are found. The least gap between ``values`` is a
    guess, which larger and larger distances from ``low`` make more precise."""
    gaps = np.diff(values)
    gaps = gaps[gaps > 4.0 * digit]
    if len(gaps) < 2:
        return 0
    step, above = float(gaps.min()), values - low
    unsure = 2.0 * digit / step
    while unsure > 0:
        known = above[above * unsure < step / 4.0]
        places = np.rint(known / step)
        if not places.any() or np.abs(known - places * step).max() > 0.25 * step + tolerance:
            return 0
        step = float((known * places).sum() / (places * places).sum())
        reach = float(known.max())
        if reach >= above[-1]:
            break
        better = 2.0 * digit / max(reach / step, 1.0) / step
        if not better < unsure:
            return 0
        unsure = better
    return round((high - low) / step) if (high - low) / step < MOST_STEPS else 0
