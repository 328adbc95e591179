"""Layers that see 3^d cells around each, cell by cell in pairs along the last axis: two thirds of the products.

Two neighbours in a row see four columns of cells, three of them each: six products. Four with sums and differences of
columns do (Winograd's F(2, 3), Lavin and Gray 2016, §4.1, along one axis: all factors are powers of two). Sums of whole
numbers, and of their halves, are exact in any order.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from nfcodec.entropy.networks import EXACT, LINE, Layer, lined, product
from nfcodec.lattice.convolution import repeated
from nfcodec.lattice.space import strips
from nfcodec.parallel import every
from nfcodec.types import Floats

# Sums of a layer must stay below this, so that those of halves of its weights and twice its inputs are exact.
LARGEST_SUM = EXACT // 2
# Cells of one product, whose inputs stay near the processor's cache.
_CELLS = 768
# Channels of so many cells that a thread prepares at a time.
_CHANNELS = 64


def weights(weight: Floats, axes: int) -> Floats:
    """Weights (4, F, 3^(d−1), C) of (F, 3^d · C): of sums of even columns and the odd ones behind, of their
    differences, of what odd ones are more than the next odd ones, and even ones than the next even ones.

    Of what they give, the first and the second plus the third make even columns, the first less the second plus the
    fourth odd ones.
    """
    left, own, right = weight.reshape(len(weight), 3 ** (axes - 1), 3, -1).transpose(2, 0, 1, 3)
    return np.stack([(own + left + right) / 2, (own - left - right) / 2, left, -right])


def half(width: int) -> int:
    """Pairs in a row of cells, with room to the end of a line of the processor's cache."""
    return -(-width // (2 * LINE)) * LINE


def outputs(layer: Layer, active: Floats) -> Floats:
    """The outputs (F, *cells) of a layer for numbers (C, *cells) of cells, the border repeated; strip by strip."""
    _, *cells = active.shape
    sides, shape = _sides(active)
    parts = np.ascontiguousarray(weights(layer.shifted[0], len(cells)).swapaxes(1, 2))
    steps = [math.prod(shape[axis:]) for axis in range(1, len(shape))]
    offsets = itertools.product(range(3), repeat=len(cells) - 1)
    places = [sum(o * step for o, step in zip(offset, steps, strict=False)) for offset in offsets]
    out = np.empty((len(parts[0, 0]), *cells), np.float32)
    rows_of = out if len(cells) > 1 else out[:, None]

    def summed(side: int, start: int, stop: int) -> Floats:
        total = product(parts[side, 0], sides[side, :, start:stop])
        for weight, place in zip(parts[side, 1:], places[1:], strict=True):
            total += product(weight, sides[side, :, start + place : stop + place])
        return total

    def fill(rows: slice) -> None:
        start, stop = rows.start * steps[0], rows.stop * steps[0]
        with np.errstate(all="ignore"):  # as in Layer
            one, two, before, behind = (summed(side, start, stop) for side in range(4))
        before += one + two
        behind += np.subtract(one, two, out=one)
        for odd, found in enumerate((before, behind)):
            found += layer.shifted[1]
            own = rows_of[:, rows, ..., odd::2]
            inside = tuple(slice(n) for n in own.shape[2:])
            np.floor(found.reshape(len(found), -1, *shape[1:])[(slice(None), slice(None), *inside)], out=own)

    every(fill, strips(rows_of.shape[1:], _CELLS))
    return out


def _sides(active: Floats) -> tuple[Floats, list[int]]:
    """What layers multiply (4, C, n) of cells (C, *cells), with a border along all axes but the last, and the shape of
    the cells therein; behind them are zeros, as many as what is farthest from the first cell may be beyond the last."""
    channels, *cells = active.shape
    for axis in range(1 - len(cells), 0):
        active = repeated(active, axis - 1, 1)
    width, shape = cells[-1], [*(active.shape[1:-1] or (1,)), half(cells[-1])]
    size, beyond = math.prod(shape), 2 * sum(math.prod(shape[axis:]) for axis in range(2, len(shape)))
    sides = lined(4, channels, size + beyond)
    sides[:, :, size - 1 :] = 0.0
    last, pairs = (width - 1) // 2, active.reshape(channels, -1, width)

    def fill(some: slice) -> None:
        columns = np.zeros((2, some.stop - some.start, size // shape[-1], shape[-1]), np.float32)
        for odd in range(2):
            columns[odd, :, :, : (width + 1 - odd) // 2] = pairs[some, :, odd::2]
        if width % 2:
            columns[1, ..., last] = columns[0, ..., last]
        even, odd_ones = columns.reshape(2, some.stop - some.start, size)
        sums, differences, before, behind = sides[:, some, :size]
        np.add(even, odd_ones, out=sums)
        np.subtract(even, odd_ones, out=differences)
        # At the ends of a row of cells neighbours are those of others, until they are set.
        np.subtract(odd_ones[:, :-1], odd_ones[:, 1:], out=before[:, 1:])
        np.subtract(even[:, :-1], even[:, 1:], out=behind[:, :-1])
        for side, column in ((before, 0), (behind, last)):
            side[:, column :: shape[-1]] = differences[:, column :: shape[-1]]

    every(fill, strips((channels, size), _CELLS * _CHANNELS))
    return sides, shape
