"""What a picture shows between its samples: a second, uncoded lattice of spacing one.

Every sample is a cell of it that owns four weights of a plane, one for each point a quarter of a spacing off its
centre; the functions are the tents of linear interpolation between these points, drawn to zero at the centres of the
samples (:func:`share`). A small residual network X reads the weights off the picture at its own size (sub-pixel
convolution, Shi et al. 2016), which Y has filtered (:mod:`nfcodec.lattice.filtered`), so they cost no bits, and the
picture at its own size stays as it is. What it adds at the four points also takes back some of what coding lost there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nfcodec.arrays import Array, namespace
from nfcodec.lattice.convolution import filtered, part_of, repeated
from nfcodec.types import Doubles, Floats, Indices

SLOPE = 0.1
_MEAN = 4  # half the side of the square whose mean is taken off first
_COLOUR = (4 / 255) ** 2  # of as much colour around a sample, half of what X makes of colours is shown


def detail_shapes(width: int, blocks: int, seen: int, shown: int, qualities: int) -> dict[str, tuple[int, ...]]:
    """Tensors of X with ``blocks`` residual layers of ``width`` channels, which sees the first ``seen`` planes and adds
    to the first ``shown`` ones; biases follow the quality."""
    shapes: dict[str, tuple[int, ...]] = {"in.weight": (width, seen, 5, 5), "in.bias": (qualities, width)}
    for i in range(blocks):
        shapes |= {f"{i}.weight": (width, width, 3, 3), f"{i}.bias": (qualities, width)}
    return shapes | {"out.weight": (4 * shown, width, 3, 3), "out.bias": (4 * shown,)}


def detail_size(params: Mapping[str, Array]) -> tuple[int, int, int, int]:
    """Width, blocks, planes seen and planes shown of X by the tensors it has."""
    width, seen = params["in.weight"].shape[:2] if "in.weight" in params else (0, 0)
    blocks = sum(name.endswith(".weight") for name in params) - 2
    return width, blocks, seen, len(params.get("out.bias", ())) // 4


def reach(params: Mapping[str, Array]) -> int:
    """Samples that X sees on each side."""
    return _MEAN + 2 + detail_size(params)[1] + 1


# -- X ---------------------------------------------------------------------------------------------------
def leaky(x: Array) -> Array:
    """max(x, SLOPE · x)."""
    return namespace(x).maximum(x, SLOPE * x)


@dataclass(frozen=True, slots=True)
class Functions:
    """What X is made of. Training has those of torch, whose gradients take a fraction of the time."""

    convolve: Callable[[Array, Array, Array], Array] = filtered
    leaky: Callable[[Array], Array] = leaky


_OWN = Functions()


def detail(params: Mapping[str, Array], planes: Array, hats: Array, functions: Functions = _OWN) -> Array:
    """Weights (N, S, 2H, 2W), in place, of planes (N, P, H, W) at a quality with features (Q,), or a quality each with
    features (N, Q)."""
    convolve, leaky = functions.convolve, functions.leaky
    h = leaky(convolve(less_means(planes), params["in.weight"], hats @ params["in.bias"]))
    for i in range(detail_size(params)[1]):
        h = h + leaky(convolve(h, params[f"{i}.weight"], hats @ params[f"{i}.bias"]))
    out = convolve(h, params["out.weight"], params["out.bias"])
    luma, colours = out[:, :4], out[:, 4:]
    if colours.shape[1]:
        out = namespace(out).concat([luma, colours * colourful(planes)], axis=1)
    return _shuffled(out)


def less_means(planes: Array) -> Array:
    """Planes (…, H, W) less their means over the squares around."""
    return planes - _means(planes)


def colourful(planes: Array) -> Array:
    """How much of X's colours is shown, (N, 1, H, W) of 0 … 1, by the colours of planes (N, P, H, W) around: none where
    all is grey, which X alone would not always leave so."""
    colours = planes[:, 1:]
    energy = _means((colours * colours).sum(1)[:, None])
    return energy / (energy + _COLOUR)


def _means(planes: Array) -> Array:
    """Means over the squares around, the border repeated."""
    for axis in (-2, -1):
        wide, n = repeated(planes, axis, _MEAN), planes.shape[axis]
        parts = (part_of(wide, axis, i, i + n) for i in range(2 * _MEAN + 1))
        planes = sum(parts) / (2 * _MEAN + 1)
    return planes


def _shuffled(x: Array) -> Array:
    """(N, P, 2H, 2W) of (N, 4P, H, W): four numbers of a sample as a square."""
    n, _, height, width = x.shape
    square = namespace(x).permute_dims(x.reshape(n, -1, 2, 2, height, width), (0, 1, 4, 2, 5, 3))
    return square.reshape(n, -1, 2 * height, 2 * width)


# -- the field -------------------------------------------------------------------------------------------
def share(positions: Doubles) -> Floats:
    """m (n,): 0 at the centres of samples, rising to 1 at a quarter of a spacing from them and beyond.

    The detail counts as 1 − ∏ (1 − m) over the axes: not at all at the centres, so that the field there is the picture
    at its own size; in full at the points that own the weights, which are the samples of twice that size.
    """
    return np.minimum(1.0, 4.0 * np.abs(positions - np.floor(positions) - 0.5)).astype(np.float32)


def between(weights: Floats, origin: tuple[int, int], positions: list[Doubles]) -> Floats:
    """The detail (S, n_0, n_1) on the grid of native positions, from weights (S, 2H, 2W) of the samples from
    ``origin``."""
    for axis, (first, where) in enumerate(zip(origin, positions, strict=True), 1):
        low, part = _tents(where - first, weights.shape[axis])
        part = part[:, None] if axis == 1 else part
        below, above = weights.take(low, axis), weights.take(low + 1, axis)
        weights = below + part * (above - below)
    down, across = (1.0 - share(p) for p in positions)
    return np.asarray(weights * (1.0 - down[:, None] * across), np.float32)


def between_points(weights: Floats, origin: tuple[int, int], positions: Doubles) -> Floats:
    """:func:`between` at scattered positions (N, 2): (S, N)."""
    (y, down), (x, across) = (_tents(positions[:, a] - origin[a], weights.shape[1 + a]) for a in (0, 1))
    above = weights[:, y, x] * (1.0 - across) + weights[:, y, x + 1] * across
    below = weights[:, y + 1, x] * (1.0 - across) + weights[:, y + 1, x + 1] * across
    outside = 1.0 - np.prod(1.0 - share(positions), axis=1)
    return np.asarray((above * (1.0 - down) + below * down) * outside, np.float32)


def _tents(positions: Doubles, points: int) -> tuple[Indices, Floats]:
    """The first of the two points beside positions (n,), in samples from the first one, and the weight of the next."""
    at = np.clip(2.0 * positions - 0.5, 0, points - 1)
    low = np.minimum(at.astype(np.int64), points - 2)
    return low, (at - low).astype(np.float32)
