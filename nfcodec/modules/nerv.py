"""NeRV: a time goes in, a frame comes out (Chen et al. 2021, §3.1, in the form of Tack et al. 2023, App.).

t → sin and cos of π·1.25^i·t, i < w0 → two dense layers → 4 × 4 cells of width/16 channels → ``depth`` blocks of
3×3 convolution, pixel shuffle and GELU → one 1×1 convolution. The first block has four times the stem's channels,
each later one half of those before it but never fewer than the stem; the first block enlarges as far as the others,
which double, leave it to. width 512, depth 4, w0 40 and 128×128 samples are the papers' 1,302,115 parameters.

Two things differ: the last layer is linear (there tanh squashes it), since deltas and contexts need that, and between
the samples of a frame its features are interpolated, which the linear head turns into interpolated frames. So the
field has a value at every coordinate, and at sample centres exactly the network's own.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, device, namespace
from nfcodec.coords import module_coords
from nfcodec.errors import CorruptError
from nfcodec.modules.spec import FieldSpec, Params, TensorSpec

STEM = 4  # cells of the stem along the shorter side
_BASE = 1.25


def strides(spec: FieldSpec) -> tuple[int, ...]:
    """By how much each block enlarges; :class:`CorruptError` where a frame is not made of whole steps."""
    last = 2 ** (spec.depth - 1)
    first = min(spec.tile[1:]) // (STEM * last) if spec.axes == 3 else 0
    if first < 1 or any(n % (first * last) for n in spec.tile[1:]) or spec.width % 16:
        raise CorruptError(
            f"NeRV of {spec.depth} blocks and {spec.width} units (a multiple of 16) cannot fill frames of {spec.tile}"
        )
    return (first, *[2] * (spec.depth - 1))


def channels(spec: FieldSpec) -> tuple[int, ...]:
    """Channels of the stem and after each block."""
    stem = spec.width // 16
    return (stem, *(max(4 * stem >> i, stem) for i in range(spec.depth)))


def _stem(spec: FieldSpec) -> tuple[int, int]:
    grown = math.prod(strides(spec))
    return spec.tile[1] // grown, spec.tile[2] // grown


def tensors(spec: FieldSpec) -> tuple[TensorSpec, ...]:
    """The parameter tensors in their coded order: two dense layers, the blocks, the head.

    A block's weight is (9·c_in, s·s·c_out): neighbours row by row and their channels, to cells and theirs.
    """
    enlarge, units = strides(spec), channels(spec)
    shapes = [(2 * spec.w0, spec.width), (spec.width, math.prod(_stem(spec)) * units[0])]
    shapes += [(9 * a, s * s * b) for a, b, s in zip(units[:-1], units[1:], enlarge, strict=True)]
    shapes.append((units[-1], spec.channels))
    out: list[TensorSpec] = []
    for i, (fan_in, fan_out) in enumerate(shapes):
        out.append(TensorSpec(f"{i}.weight", (fan_in, fan_out), "weight"))
        out.append(TensorSpec(f"{i}.bias", (fan_out,), "bias"))
    return tuple(out)


def features(spec: FieldSpec, params: Params, coords: Array) -> Array:
    """Features φ (M, N, K) of the last block at coords (M or 1, N, 3) in [-1, 1]: time, row, column."""
    plain = _plain(coords)
    if plain.shape[1] == math.prod(spec.tile) and (plain == module_coords(spec.tile)).all():
        first = coords.reshape(coords.shape[0], spec.tile[0], -1, 3)[:, :, 0, 0]
        maps = frames(spec, params, first)
        return maps.reshape(maps.shape[0], -1, maps.shape[-1])
    times, slot = _times(plain[..., 0])
    maps = frames(spec, params, _like(coords, times))
    return _interpolated(spec, maps, plain, slot, coords)


def frames(spec: FieldSpec, params: Params, times: Array) -> Array:
    """Features (M, T, H, W, K) of whole frames at ``times`` (M or 1, T) in [-1, 1]."""
    xp = namespace(times)
    scale = _like(times, math.pi * _BASE ** np.arange(spec.w0, dtype=np.float64))
    angle = (0.5 * (times + 1.0))[..., None] * scale
    h = xp.concat([xp.sin(angle), xp.cos(angle)], axis=-1)  # (M or 1, T, 2·w0)
    for i in range(2):
        h = gelu(h @ params[f"{i}.weight"] + params[f"{i}.bias"][:, None])
    h = h.reshape(*h.shape[:2], *_stem(spec), channels(spec)[0])
    for i, s in enumerate(strides(spec), 2):
        h = gelu(_shuffled(_convolved(h, params[f"{i}.weight"], params[f"{i}.bias"]), s))
    return h


def gelu(x: Array) -> Array:
    """x·Φ(x) by its tanh form (Hendrycks & Gimpel 2016, §2)."""
    return 0.5 * x * (1.0 + namespace(x).tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def _convolved(h: Array, weight: Array, bias: Array) -> Array:
    """3×3 convolution of h (M, T, H, W, c) with weights (M, 9·c, c') of each module; zeros lie around a frame."""
    xp = namespace(h)
    m, t, height, width, c = h.shape
    row = xp.zeros((m, t, 1, width, c), dtype=h.dtype, device=device(h))
    column = xp.zeros((m, t, height + 2, 1, c), dtype=h.dtype, device=device(h))
    padded = xp.concat([column, xp.concat([row, h, row], axis=2), column], axis=3)
    around = [padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    flat = xp.concat(around, axis=-1).reshape(m, t * height * width, 9 * c)
    return (flat @ weight + bias[:, None]).reshape(m, t, height, width, -1)


def _shuffled(h: Array, s: int) -> Array:
    """Pixel shuffle: (M, T, H, W, s·s·c) to (M, T, s·H, s·W, c)."""
    m, t, height, width, _ = h.shape
    cells = namespace(h).permute_dims(h.reshape(m, t, height, width, s, s, -1), (0, 1, 2, 4, 3, 5, 6))
    return cells.reshape(m, t, height * s, width * s, -1)


def head(spec: FieldSpec, params: Params, phi: Array) -> Array:
    """Raw outputs (M, N, channels) from features (M, N, K): the linear last layer, no offset."""
    last = spec.depth + 2
    return phi @ params[f"{last}.weight"] + params[f"{last}.bias"][:, None]


def forward(spec: FieldSpec, params: Params, coords: Array) -> Array:
    """Raw outputs (M, N, channels) of the modules at coords (M or 1, N, 3)."""
    return head(spec, params, features(spec, params, coords))


# -- any coordinates -----------------------------------------------------------------------------------------
def _plain(coords: Array) -> npt.NDArray[np.floating]:
    """Coordinates in numpy: they have no gradient."""
    return coords if isinstance(coords, np.ndarray) else np.asarray(coords.detach().cpu())


def _like(array: Array, values: npt.NDArray[np.floating]) -> Array:
    return namespace(array).asarray(values, dtype=array.dtype, device=device(array))


def _times(t: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.int64]]:
    """The different times (M, u) of each row of t (M, N), and which of them each sample has (M, N).

    Rows with fewer of them repeat their last one.
    """
    order = np.argsort(t, axis=1, kind="stable")
    rising = np.take_along_axis(t, order, 1)
    rank = np.concatenate([np.zeros((len(t), 1), np.int64), np.cumsum(np.diff(rising, axis=1) > 0, axis=1)], 1)
    slot = np.empty_like(rank)
    np.put_along_axis(slot, order, rank, 1)
    times = np.repeat(rising[:, -1:], int(rank.max()) + 1, axis=1)
    np.put_along_axis(times, rank, rising, 1)
    return times, slot


def _corners(at: npt.NDArray[np.floating], n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
    """Lower neighbour among n sample centres and the share of the next one, for coordinates in [-1, 1]."""
    position = np.clip(0.5 * (at.astype(np.float64) + 1.0) * n - 0.5, 0.0, n - 1.0)
    low = np.minimum(position.astype(np.int64), max(n - 2, 0))
    return low, position - low


def _interpolated(
    spec: FieldSpec, maps: Array, coords: npt.NDArray[np.floating], slot: npt.NDArray[np.int64], like: Array
) -> Array:  # fmt: skip
    """Features (M, N, K) between the samples of frames (M, u, H, W, K), linearly along rows and columns."""
    _, height, width = spec.tile
    flat = maps.reshape(maps.shape[0], -1, maps.shape[-1])
    (y, dy), (x, dx) = _corners(coords[..., 1], height), _corners(coords[..., 2], width)
    module = np.arange(maps.shape[0])[:, None]
    total: Array = 0.0
    for below, share_y in ((0, 1.0 - dy), (1, dy)):
        for right, share_x in ((0, 1.0 - dx), (1, dx)):
            index = (slot * height + np.minimum(y + below, height - 1)) * width + np.minimum(x + right, width - 1)
            total = total + flat[module, index] * _like(like, share_y * share_x)[..., None]
    return total
