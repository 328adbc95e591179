"""Channels of a recording as pairs: each pair is coded as its mid and side, every other channel alone."""

from __future__ import annotations

import numpy as np

from nfcodec.types import Doubles, Floats

# By the number of channels, in the order of WAVE masks: front left and right, centre, low frequencies, then the pairs
# at the back and at the sides (with 7 channels a single one at the back before the sides).
_PAIRS: dict[int, tuple[tuple[int, ...], ...]] = {
    3: ((0, 1), (2,)), 5: ((0, 1), (2,), (3, 4)), 6: ((0, 1), (2,), (3,), (4, 5)),
    7: ((0, 1), (2,), (3,), (4,), (5, 6)), 8: ((0, 1), (2,), (3,), (4, 5), (6, 7)),
}  # fmt: skip
_HALF = 46341  # round(2^16 / √2)
_VALUE = 2.0**-36


def groups_of(channels: int) -> tuple[tuple[int, ...], ...]:
    """The channels of every group, one or two each."""
    if channels in _PAIRS:
        return _PAIRS[channels]
    return tuple(tuple(range(c, min(c + 2, channels))) for c in range(0, channels, 2))


def to_planes(values: Floats) -> Floats:
    """Planes (P, n) of the values (n, P) of one group: mid and side of a pair."""
    if values.shape[1] == 1:
        return np.ascontiguousarray(values.T)
    left, right = values.T
    return np.stack([left + right, left - right]) * np.float32(0.5**0.5)


def to_values(planes: Doubles) -> Floats:
    """Values (n, P) of the whole planes (P, n), in 2^-20, of one group; exact but for the last rounding to binary32."""
    if len(planes) == 1:
        return (planes.T * (2.0**16 * _VALUE)).astype(np.float32)
    mid, side = planes
    return (np.stack([mid + side, mid - side], 1) * (_HALF * _VALUE)).astype(np.float32)
