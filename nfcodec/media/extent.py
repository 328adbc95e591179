"""Which values an array has, and which of its samples are missing: NaN, infinite, or a number that stands for none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.types import Mask

_AT_ONCE = 1 << 20
# A number that stands for none lies farther from all others than these lie from each other, and comes more than once.
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class Extent:
    """The least and the largest sample that is there, (0, 0) where none is; ``gaps``: whether some are missing;
    ``fill``: the number that stands for those, beside NaN and infinity, or None."""

    range: tuple[float, float]
    gaps: bool
    fill: float | None


def extent_of(array: npt.NDArray[Any]) -> Extent:
    """The extent of an array of any kind, read in order of storage and in pieces."""
    low, high, gaps = _ends(array, None)
    if low > high:
        return Extent((0.0, 0.0), gaps, None)
    for fill in (low, high) if low < high else ():
        inner = _ends(array, fill)
        if _stands_out(array, fill, inner):
            return Extent(inner[:2], True, fill)
    return Extent((low, high), gaps, None)


def is_missing(samples: npt.NDArray[Any], fill: float | None) -> Mask:
    """Which samples (…) are missing."""
    gone = ~np.isfinite(samples) if samples.dtype.kind == "f" else np.zeros(samples.shape, bool)
    return gone if fill is None else gone | (samples == np.array(fill).astype(samples.dtype))


def _pieces(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    flat = array.reshape(-1, order="F" if array.flags.f_contiguous else "C")
    yield from (flat[start : start + _AT_ONCE] for start in range(0, flat.size, _AT_ONCE))


def _ends(array: npt.NDArray[Any], fill: float | None) -> tuple[float, float, bool]:
    """The least and the largest sample, infinities where there is none, and whether some are missing."""
    low, high, gaps = np.inf, -np.inf, False
    for part in _pieces(array):
        if part.dtype.kind == "f" or fill is not None:
            gone = is_missing(part, fill)
            gaps = gaps or bool(gone.any())
            part = part[~gone] if gaps else part
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high, gaps


def _stands_out(array: npt.NDArray[Any], fill: float, inner: tuple[float, float, bool]) -> bool:
    low, high, _ = inner
    with np.errstate(all="ignore"):
        width = np.float64(high) - np.float64(low)
        gap = np.float64(low) - fill if fill < low else fill - np.float64(high)
    # 64-bit integers that are no doubles could be mistaken for their neighbours.
    exact = array.dtype.itemsize < 8 or array.dtype.kind == "f" or abs(fill) < 2.0**53
    if not (exact and 0 < width < np.inf and gap > width):
        return False
    return sum(int((part == np.array(fill).astype(part.dtype)).sum()) for part in _pieces(array)) >= _FEWEST
