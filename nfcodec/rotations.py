"""Orthonormal rotations of the channels of a sample: opponent colours of RGB, mid and side of two channels.

Being orthonormal they change no squared error. The opponent rotation is the discrete cosine transform of three points:
luma first, then two chroma axes; a grey picture needs only the first.
"""

from __future__ import annotations

from nfcodec.arrays import Array, namespace

# Bound once, with their type: to the type checker float ** float is Any.
ROOT3: float = 3.0**0.5
_ROOT2: float = 2.0**0.5
_OPPONENT = ((1.0, 1.0, 1.0), (1.5**0.5, 0.0, -(1.5**0.5)), (0.5**0.5, -(2.0**0.5), 0.5**0.5))


def opponent_matrix(like: Array) -> Array:
    """T (3, 3), orthonormal: opponents = T · rgb; of the library and the type of ``like``."""
    return namespace(like).asarray(_OPPONENT, dtype=like.dtype) / ROOT3


def mid_side(values: Array) -> Array:
    """Rotate two channels (…, 2) to mid and side; it is its own inverse. Other channel counts pass through."""
    if values.shape[-1] != 2:
        return values
    left, right = values[..., 0], values[..., 1]
    return namespace(values).stack([left + right, left - right], -1) / _ROOT2
