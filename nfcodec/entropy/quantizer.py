"""Deltas to whole numbers of steps and back.

A step size is an integer exponent e, meaning δ = 2^(e/8): eighths of an octave, about 9 % apart. The quantizer is
mid-tread, so a delta of zero stays zero: Q(δ) = round(δ/step), ties to even; Q⁻¹(q) = q · step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import InternalError
from nfcodec.types import Ints

PER_OCTAVE = 8
MAX_EXPONENT = 512  # steps from 2^−64 to 2^64

# 2^(i/8), i = 0 … 7, correctly rounded to binary64. Literals because pow() may differ in the last bit.
_EIGHTHS = (
    float.fromhex("0x1.0000000000000p+0"),
    float.fromhex("0x1.172b83c7d517bp+0"),
    float.fromhex("0x1.306fe0a31b715p+0"),
    float.fromhex("0x1.4bfdad5362a27p+0"),
    float.fromhex("0x1.6a09e667f3bcdp+0"),
    float.fromhex("0x1.8ace5422aa0dbp+0"),
    float.fromhex("0x1.ae89f995ad3adp+0"),
    float.fromhex("0x1.d5818dcfba487p+0"),
)

Deltas = npt.NDArray[np.int32]


def step_size(e: Ints) -> npt.NDArray[np.float64]:
    """Step sizes 2^(e/8), the shape of ``e``; the same bits on every machine.

    Raises :class:`InternalError` when an exponent is no integer in −512 … 512.
    """
    e = np.asarray(e)
    if e.dtype.kind not in "iu" or (e.size and not -MAX_EXPONENT <= e.min() <= e.max() <= MAX_EXPONENT):
        raise InternalError(f"step exponents must be integers in ±{MAX_EXPONENT}")
    octave, eighth = np.divmod(e.astype(np.int32), PER_OCTAVE)
    steps: npt.NDArray[np.float64] = np.ldexp(np.array(_EIGHTHS)[eighth], octave)
    return steps


def dequantize(q: Deltas, e: Ints) -> npt.NDArray[np.float32]:
    """``q`` times the step sizes of ``e`` (broadcast), rounded to float64 and then to float32.

    Do not multiply in float32: the step itself would be rounded first, and decoders would disagree.
    """
    return (q.astype(np.float64) * step_size(e)).astype(np.float32)


def quantize(delta: npt.NDArray[np.floating[Any]], e: Ints) -> Deltas:
    """The nearest whole numbers of steps, int32 of the broadcast shape; ties go to the even one.

    Raises :class:`InternalError` when a delta is not finite or needs 2^31 steps or more.
    """
    steps = np.rint(np.asarray(delta, dtype=np.float64) / step_size(e))
    if steps.size and not np.abs(steps).max() < 2**31:  # also true for NaN
        raise InternalError(f"delta of {np.abs(steps).max()} steps cannot be coded")
    return steps.astype(np.int32)
