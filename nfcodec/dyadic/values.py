"""Samples of any type as whole units and back, exactly as the file says.

================  =====================================================================================
mode              a sample
================  =====================================================================================
``STORED``        as it is, byte for byte
``FREE``          low + y · s/256 for y units, s being 8/``count`` of the range of values
``WHOLE``         low + m · s for m whole steps, s being 1/``count`` of the range of values
``INTEGERS``      ``first`` + min(m · ``count``, ``span``) for m whole steps, in the type's own arithmetic
================  =====================================================================================

``FREE`` and ``WHOLE`` are clipped to the range of values and rounded to the type.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.dyadic.features import UNIT
from nfcodec.types import Doubles

Samples = npt.NDArray[Any]
EIGHTHS = 8  # of a step, in which the range of values is counted


class Mode(IntEnum):
    """How units stand for samples; the numbers are codes in the file."""

    STORED = 0
    FREE = 1
    WHOLE = 2
    INTEGERS = 3


@dataclass(frozen=True, slots=True)
class Measure:
    """What turns units into samples of ``dtype``. ``low``, ``high``: the range of values; ``count``: see the module's
    table; ``first`` and ``span``: of integers, the least sample and how far the largest lies above it."""

    mode: Mode
    dtype: np.dtype[Any]
    low: float
    high: float
    count: int = 0
    first: int = 0
    span: int = 0

    @property
    def steps(self) -> int:
        """Steps from the least to the largest sample."""
        if self.mode == Mode.INTEGERS:
            return -(-self.span // self.count)
        return -(-self.count // EIGHTHS) if self.mode == Mode.FREE else self.count

    @property
    def whole(self) -> bool:
        """Whether only whole steps occur."""
        return self.mode != Mode.FREE

    @property
    def step(self) -> float:
        """A step of ``UNIT`` units, as samples count; 0 where all are equal."""
        size = self.high - self.low
        return 0.0 if not self.count else size * EIGHTHS / self.count if self.mode == Mode.FREE else size / self.count

    def samples(self, units: Doubles) -> Samples:
        """The samples (…) that units (…) stand for."""
        if self.mode == Mode.INTEGERS:
            return self._integers((units / UNIT).astype(np.uint64))
        with np.errstate(all="ignore"):
            found = np.clip(self.low + units / UNIT * self.step, self.low, self.high)
        return rounded(found, self.dtype)

    def units(self, samples: Samples) -> Doubles:
        """The inverse of :meth:`samples`; not rounded in ``FREE`` mode."""
        if self.mode == Mode.INTEGERS:
            return self._steps_of(samples) * UNIT
        if not self.step:
            return np.zeros(samples.shape)
        found = (samples.astype(np.float64) - self.low) / self.step
        return np.clip(np.rint(found) if self.whole else found, 0.0, float(self.steps)) * UNIT

    def _integers(self, steps: npt.NDArray[np.uint64]) -> Samples:
        count, span = np.uint64(self.count), np.uint64(self.span)
        # Modulo 2^64, so that every type is exact.
        offset = np.where(steps > span // count, span, np.minimum(steps, span // count) * count)
        return (offset + np.uint64(self.first % 2**64)).astype(self.dtype)

    def _steps_of(self, samples: Samples) -> Doubles:
        """The nearest steps."""
        count, span = np.uint64(self.count), np.uint64(self.span)
        above = samples.astype(np.uint64) - np.uint64(self.first % 2**64)
        steps = above // count
        here = above - steps * count
        # The last step may be shorter than the others.
        following = np.where(steps == span // count, span - steps * count, count)
        return (steps + (here > following // np.uint64(2)).astype(np.uint64)).astype(np.float64)


def rounded(values: Doubles, dtype: np.dtype[Any]) -> Samples:
    """Values (…) within the range of ``dtype`` in that type; integers to the nearest, ties to even."""
    if dtype.kind == "f":
        with np.errstate(all="ignore"):
            return values.astype(dtype)
    whole = np.rint(np.nan_to_num(values))
    if dtype.itemsize < 8:
        return whole.astype(dtype)
    top = 2.0 ** (64 if dtype.kind == "u" else 63)  # no double lies between this and the largest sample
    limits = np.iinfo(dtype)
    found = np.clip(whole, float(limits.min), np.nextafter(top, 0.0)).astype(dtype)
    found[whole >= top] = limits.max
    return found
