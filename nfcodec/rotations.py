"""Orthonormal rotations of the channels of a sample: opponent colours of RGB, mid and side of two channels.

Being orthonormal they change no squared error. The opponent rotation is the discrete cosine transform of three points:
luma first, then two chroma axes; a grey picture needs only the first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, namespace

# Bound once, with their type: to the type checker float ** float is Any.
ROOT3: float = 3.0**0.5
_ROOT2: float = 2.0**0.5
_OPPONENT = ((1.0, 1.0, 1.0), (1.5**0.5, 0.0, -(1.5**0.5)), (0.5**0.5, -(2.0**0.5), 0.5**0.5))


# round(2^16 · x) for x = 1/√3, 1/√2, 1/√6 and 2/√6.
_THIRD, _HALF, _SIXTH, _SIXTHS = 37837, 46341, 26755, 53510


def whole_rotation(planes: int, channels: int) -> npt.NDArray[np.int64]:
    """The rotation from planes to channels in 2^-16: (channels, planes). A grey picture is luma alone."""
    if channels == 3:
        rows = [[_THIRD, _HALF, _SIXTH], [_THIRD, 0, -_SIXTHS], [_THIRD, -_HALF, _SIXTH]]
    elif channels == 2:
        rows = [[_HALF, _HALF], [_HALF, -_HALF]]
    else:
        rows = [[(1 << 16, _HALF, _THIRD)[planes - 1], *[0] * (planes - 1)]]
    return np.array(rows, np.int64)


_TURN_BITS, _ONE = 16, 64


def whole_turn(turn: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The rotation (3, 3) of three planes by the quaternion 64 + x i + y j + z k of ``turn`` (x, y, z), in 2^-16, each
    number rounded to the nearest."""
    w, (x, y, z) = _ONE, turn
    rows = [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
    norm = w * w + x * x + y * y + z * z
    return ((np.array(rows, np.int64) << _TURN_BITS + 1) + norm) // (2 * norm)


def turned_rotation(channels: int, turn: tuple[int, ...] | None) -> npt.NDArray[np.int64]:
    """:func:`whole_rotation` (channels, 3) from planes that are turned; ``turn`` None: from planes as they are."""
    rotation = whole_rotation(3, channels)
    if turn is None:
        return rotation
    found: npt.NDArray[np.int64] = (rotation @ whole_turn(turn).T + (1 << _TURN_BITS - 1)) >> _TURN_BITS
    return found


def opponent_matrix(like: Array) -> Array:
    """T (3, 3), orthonormal: opponents = T · rgb; of the library and the type of ``like``."""
    return namespace(like).asarray(_OPPONENT, dtype=like.dtype) / ROOT3


def mid_side(values: Array) -> Array:
    """Rotate two channels (…, 2) to mid and side; it is its own inverse. Other channel counts pass through."""
    if values.shape[-1] != 2:
        return values
    left, right = values[..., 0], values[..., 1]
    return namespace(values).stack([left + right, left - right], -1) / _ROOT2
