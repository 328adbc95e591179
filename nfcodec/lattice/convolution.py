"""Convolutions of numpy, which has none, and of torch: as products of matrices, the same for both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nfcodec.arrays import Array, namespace
from nfcodec.parallel import ordered_map

_SAMPLES = 1 << 11  # of one product, whose surroundings stay in the processor's cache


def filtered(x: Array, weight: Array, bias: Array) -> Array:
    """A convolution (N, F, H, W) that keeps the size, with a bias (F,), or (N, F); the border is repeated.

    Rows by rows as one product of matrices each, since numpy has no convolution; on several threads where no gradient
    asks for one order.
    """
    xp, side = namespace(x), weight.shape[-1]
    wide = repeated(repeated(x, -2, side // 2), -1, side // 2)
    height, width = x.shape[-2:]
    matrix = xp.permute_dims(weight, (0, 2, 3, 1)).reshape(weight.shape[0], -1)

    def rows(top: int) -> Array:
        stop = min(top + step, height)
        seen = [wide[..., dy + top : dy + stop, dx : dx + width] for dy, dx in itertools.product(range(side), repeat=2)]
        around = xp.concat(seen, axis=1).reshape(x.shape[0], -1, (stop - top) * width)
        return (matrix @ around + bias[..., None]).reshape(x.shape[0], -1, stop - top, width)

    step = max(1, _SAMPLES // width)
    each: Callable[..., Iterable[Any]] = ordered_map if isinstance(x, np.ndarray) else map
    return xp.concat(list(each(rows, range(0, height, step))), axis=2)


def repeated(x: Array, axis: int, margin: int) -> Array:
    """An array with ``margin`` copies of the border on both sides of an axis."""
    first, last = part_of(x, axis, 0, 1), part_of(x, axis, x.shape[axis] - 1, x.shape[axis])
    return namespace(x).concat([first] * margin + [x] + [last] * margin, axis=axis)


def part_of(x: Array, axis: int, start: int, stop: int) -> Array:
    """What lies in [start, stop) along an axis, which is counted from the last: −1, −2, …"""
    return x[(..., slice(start, stop), *(slice(None),) * (-1 - axis))]
