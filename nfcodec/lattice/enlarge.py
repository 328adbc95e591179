"""What a picture shows between its samples: a second, uncoded lattice of spacing one.

Every sample is a cell of it that owns four weights, one for each point a quarter of a spacing off its centre; the
functions are the tents of linear interpolation between these points, drawn to zero at the centres of the samples
(:func:`share`). A small convolutional network X reads the weights off the picture at its own size (sub-pixel
convolution, Shi et al. 2016), so they cost no bits, and the picture at its own size stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nfcodec.arrays import Array, namespace
from nfcodec.lattice.convolution import filtered, part_of, repeated
from nfcodec.types import Doubles, Floats, Indices

_MEAN = 4  # half the side of the square whose mean is taken off first
_BLOCKS = 2
REACH = _MEAN + 2 + _BLOCKS + 1  # samples that X sees on each side


def detail_shapes(width: int, qualities: int) -> dict[str, tuple[int, ...]]:
    """Tensors of X with ``width`` channels; biases follow the quality."""
    shapes: dict[str, tuple[int, ...]] = {"in.weight": (width, 1, 5, 5), "in.bias": (qualities, width)}
    for i in range(_BLOCKS):
        shapes |= {f"{i}.weight": (width, width, 3, 3), f"{i}.bias": (qualities, width)}
    return shapes | {"out.weight": (4, width, 3, 3), "out.bias": (4,)}


# -- X ---------------------------------------------------------------------------------------------------
def detail(params: Mapping[str, Array], plane: Array, hats: Array) -> Array:
    """Weights (N, 1, 2H, 2W), in place, of planes (N, 1, H, W) at a quality with features (Q,)."""
    h = _leaky(filtered(plane - _mean(plane), params["in.weight"], hats @ params["in.bias"]))
    for i in range(_BLOCKS):
        h = h + _leaky(filtered(h, params[f"{i}.weight"], hats @ params[f"{i}.bias"]))
    return _shuffled(filtered(h, params["out.weight"], params["out.bias"]))


def _leaky(x: Array) -> Array:
    return namespace(x).maximum(x, 0.1 * x)


def _mean(plane: Array) -> Array:
    """Means over the squares around, the border repeated."""
    for axis in (-2, -1):
        wide, n = repeated(plane, axis, _MEAN), plane.shape[axis]
        parts = (part_of(wide, axis, i, i + n) for i in range(2 * _MEAN + 1))
        plane = sum(parts) / (2 * _MEAN + 1)
    return plane


def _shuffled(x: Array) -> Array:
    """(N, 1, 2H, 2W) of (N, 4, H, W): four numbers of a sample as a square."""
    n, _, height, width = x.shape
    square = namespace(x).permute_dims(x.reshape(n, 2, 2, height, width), (0, 3, 1, 4, 2))
    return square.reshape(n, 1, 2 * height, 2 * width)


# -- the field -------------------------------------------------------------------------------------------
def share(positions: Doubles) -> Floats:
    """m (n,): 0 at the centres of samples, rising to 1 at a quarter of a spacing from them and beyond.

    The detail counts as 1 − ∏ (1 − m) over the axes: not at all at the centres, so that the field there is the picture
    at its own size; in full at the points that own the weights, which are the samples of twice that size.
    """
    return np.minimum(1.0, 4.0 * np.abs(positions - np.floor(positions) - 0.5)).astype(np.float32)


def between(weights: Floats, origin: tuple[int, int], positions: list[Doubles]) -> Floats:
    """The detail (n_0, n_1) on the grid of native positions, from weights (2H, 2W) of the samples from ``origin``."""
    for axis, (first, where) in enumerate(zip(origin, positions, strict=True)):
        low, part = _tents(where - first, weights.shape[axis])
        part = part[:, None] if axis == 0 else part
        below, above = weights.take(low, axis), weights.take(low + 1, axis)
        weights = below + part * (above - below)
    down, across = (1.0 - share(p) for p in positions)
    return np.asarray(weights * (1.0 - down[:, None] * across), np.float32)


def between_points(weights: Floats, origin: tuple[int, int], positions: Doubles) -> Floats:
    """:func:`between` at scattered positions (N, 2): (N,)."""
    (y, down), (x, across) = (_tents(positions[:, a] - origin[a], weights.shape[a]) for a in (0, 1))
    above = weights[y, x] * (1.0 - across) + weights[y, x + 1] * across
    below = weights[y + 1, x] * (1.0 - across) + weights[y + 1, x + 1] * across
    outside = 1.0 - np.prod(1.0 - share(positions), axis=1)
    return np.asarray((above * (1.0 - down) + below * down) * outside, np.float32)


def _tents(positions: Doubles, points: int) -> tuple[Indices, Floats]:
    """The first of the two points beside positions (n,), in samples from the first one, and the weight of the next."""
    at = np.clip(2.0 * positions - 0.5, 0, points - 1)
    low = np.minimum(at.astype(np.int64), points - 2)
    return low, (at - low).astype(np.float32)
