"""From weights to samples in whole numbers: the transform of frames and the zones between them.

Weights and samples count 2^-20. Every step is a product with whole numbers in 2^-18, summed in float64 without error
and rounded down after adding a half, so that every machine has the same samples. With weights within ±2^27 no sum
reaches 2^53: a DCT-IV of K ≤ 8,192 bins is a discrete Fourier transform of K/2 = a · b points between two rotations
(Britanak, Yip & Rao 2007, chapter 4), taken as two products with orthonormal matrices of a and of b points; their
sums are at most 2^27.5 · √(2ab) · 2^18 < 2^52.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nfcodec.blas import single_threaded
from nfcodec.lapped.window import BITS, circle, rotation
from nfcodec.lapped.zones import frames_by_split, zones_of
from nfcodec.types import Bytes, Doubles

SAMPLE_BITS = 20
LARGEST_WEIGHT = 1 << 27
_UNIT = 2.0**-BITS


def _round(x: Doubles) -> Doubles:
    """Products in 2^-18 back to whole numbers."""
    x *= _UNIT
    x += 0.5
    return np.floor(x, out=x)


def _turned(re: Doubles, im: Doubles, c: Doubles, s: Doubles) -> tuple[Doubles, Doubles]:
    """(re + i im) · (c − i s)."""
    return _round(re * c + im * s), _round(im * c - re * s)


def factors(points: int) -> tuple[int, int]:
    """a ≤ b with a · b = points, a the largest one."""
    a = int(points**0.5) + 1
    while a * a > points or points % a:
        a -= 1
    return a, points // a


@lru_cache(maxsize=32)
def _fourier(points: int) -> tuple[Doubles, Doubles]:
    """cos and sin of 2π jk / points over √points, in 2^-18 (points, points)."""
    c, s = circle(4 * points)
    at = 4 * (np.outer(np.arange(points), np.arange(points)) % points)
    root = 1.0 / np.sqrt(np.float64(points))  # IEEE 754 rounds a square root and a quotient correctly
    return np.rint(c[at] * root), np.rint(s[at] * root)


@lru_cache(maxsize=16)
def _turns(size: int) -> tuple[Doubles, Doubles]:
    """cos and sin of π (n + 1/8) / size for n = 0 … size / 2 − 1."""
    c, s = circle(16 * size)
    at = 8 * np.arange(size // 2) + 1
    return c[at], s[at]


@lru_cache(maxsize=16)
def _between(a: int, b: int) -> tuple[Doubles, Doubles]:
    """cos and sin of 2π kn / ab (a, b)."""
    c, s = circle(4 * a * b)
    at = 4 * np.outer(np.arange(a), np.arange(b))
    return c[at], s[at]


@single_threaded
def whole_dct4(x: Doubles) -> Doubles:
    """The orthonormal DCT-IV along the last axis of whole numbers (…, K), whole; K even."""
    size = x.shape[-1]
    a, b = factors(size // 2)
    c, s = _turns(size)
    re, im = _turned(x[..., ::2], x[..., ::-2], c, s)
    re, im = _product(re.reshape(-1, a, b), im.reshape(-1, a, b), _fourier(a), left=True)
    re, im = _turned(re, im, *_between(a, b))
    re, im = _product(re, im, _fourier(b), left=False)
    # Column j of row i is point i + a · j.
    re, im = (part.swapaxes(1, 2).reshape(*x.shape[:-1], size // 2) for part in (re, im))
    re, im = _turned(re, im, c, s)
    out = np.empty(x.shape)
    out[..., ::2] = re
    out[..., ::-2] = -im
    return out


def _product(re: Doubles, im: Doubles, matrix: tuple[Doubles, Doubles], *, left: bool) -> tuple[Doubles, Doubles]:
    """Both parts (n, a, b) of the product with the symmetric matrix c − i s, along a (``left``) or b."""
    c, s = matrix
    if left:
        return _round(c @ re + s @ im), _round(c @ im - s @ re)
    return _round(re @ c + im @ s), _round(im @ c - re @ s)


def unfolded(weights: Doubles, splits: Bytes) -> Doubles:
    """Folded samples (P, frames · K) of weights (P, frames, K) of frames with ``splits``."""
    planes, _, spacing = weights.shape
    out = np.empty(weights.shape)
    for z, where in frames_by_split(splits.tobytes()):
        parts = weights[:, where].reshape(planes, len(where), spacing >> z, 1 << z)
        out[:, where] = whole_dct4(np.ascontiguousarray(parts.swapaxes(2, 3))).reshape(planes, len(where), spacing)
    return out.reshape(planes, -1)


def synthesized(weights: Doubles, splits: Bytes) -> Doubles:
    """Samples (P, frames · K) of consecutive frames; the first and the last one are taken to be at the ends of the
    signal, so that the half of their samples that an end lies beyond is not right where it does not."""
    x = unfolded(weights, splits)
    for zones in zones_of(splits, weights.shape[2]):
        c, s = rotation(zones.half)
        late, early = x[:, zones.behind], x[:, zones.before]
        x[:, zones.behind] = _round(c * late - s * early)
        x[:, zones.before] = _round(s * late + c * early)
    return x
