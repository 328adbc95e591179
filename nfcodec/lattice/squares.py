"""A network of D's kind on a lattice of two axes, with two thirds of the products and fused, so that it seldom waits.

The numbers are those of :class:`nfcodec.lattice.restore.Restore`, to the last one: sums of whole numbers, and of their
halves, are exact in any order. Neighbours in a row are taken in pairs, as :mod:`nfcodec.lattice.paired` has it. So even
and odd columns lie apart: in arrays (rows, 2, F, half), where what 3 × 1 cells hold is a matrix in place, and products
with it are small enough for kernels that copy nothing. What a layer adds to some rows is made, clipped and activated
while it is in the processor's cache.
"""

from __future__ import annotations

import itertools
import math
import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nfcodec.entropy.networks import LINE, SMALL, Layer, lined
from nfcodec.lattice import paired
from nfcodec.lattice.restore import LARGEST_ACTIVATION, LARGEST_OUTPUT, LARGEST_STREAM, SLOPE, STREAM, Restore
from nfcodec.lattice.space import strips
from nfcodec.types import Bytes, Floats, Indices

# Of one strip: what it needs fits the second-level cache; threads would wait for each other between shorter ones.
_CELLS = 3200
# ⌊l(x)/4 + ½⌋ is the nearest whole number to a l(x)/4 that is larger by so little that only what lies halfway matters.
_UP = 2.0**-18
_NEGATIVE, _SCALE = SLOPE * (1 - 2 * _UP), (1 + _UP) / STREAM

Part = tuple[slice, slice]  # rows and columns


class Rooms(threading.local):
    """Arrays that each thread uses again, by name: fresh memory costs a good part of what is done in it."""

    def __init__(self) -> None:
        self._kept: dict[str, Floats] = {}

    def get(self, name: str, *shape: int) -> Floats:
        """An array of a shape, with anything in it."""
        size, kept = math.prod(shape), self._kept.get(name)
        if kept is None or len(kept) < size:
            kept = self._kept[name] = lined(size)
            kept[...] = 0.0
        return kept[:size].reshape(shape)

    def apart(self, name: str, count: int, *shape: int) -> Floats:
        """So many arrays of a shape, with gaps between them: where some lie whole pages apart, the processor takes
        loads from one for such of what it stores in another."""
        size = math.prod(shape)
        return self.get(name, count, size + 5 * LINE)[:, :size].reshape(count, *shape)


class _Seen:
    """Numbers (h, 2, F, half) of cells, even columns and odd ones, and a row more above and below, copies of those at
    the border. The first of them lies ``at`` rows from the start of a room."""

    def __init__(self, room: Floats, at: int, size: tuple[int, int]) -> None:
        self._room, self._at = room, at
        self._height, self._width = size

    @property
    def last(self) -> int:
        """The place of the last even column."""
        return (self._width - 1) // 2

    def at(self, rows: slice, more: int = 0) -> Floats:
        """A view (rows, 2, F, half), with so many rows more on each side."""
        return self._room[self._at + rows.start - more : self._at + rows.stop + more]

    def close(self, rows: slice) -> None:
        """Repeat the border where it touches rows."""
        own = self.at(rows, 1)
        if self._width % 2:
            own[1:-1, 1, :, self.last] = own[1:-1, 0, :, self.last]
        if rows.start == 0:
            own[0] = own[1]
        if rows.stop == self._height:
            own[-1] = own[-2]


class _Sides:
    """What layers multiply of rows of cells: sums and differences of columns, one after the other in the same room."""

    def __init__(self, seen: _Seen, rows: slice, rooms: Rooms) -> None:
        self._cells, self._last = seen.at(rows, 1), seen.last
        n, _, channels, half = self._cells.shape
        self._room = rooms.get("side", n, channels, half)
        self._flat = self._room.reshape(n, -1)
        self._even, self._odd = (self._cells[:, i].reshape(n, -1) for i in range(2))
        self._columns = np.ndarray((n - 2, 3 * channels, half), np.float32, self._room, 0, self._room.strides)

    def sums(self) -> Floats:
        """Of even columns and the odd ones behind: (rows, 3 · C, half), the three cells above each other."""
        np.add(self._even, self._odd, out=self._flat)
        return self._columns

    def differences(self) -> Floats:
        """The same of their differences."""
        np.subtract(self._even, self._odd, out=self._flat)
        return self._columns

    def of_odd(self) -> Floats:
        """By how much odd columns are more than the next odd ones, of which the first is next to the border."""
        np.subtract(self._moved(self._even.shape[1] - 1), self._odd, out=self._flat)
        return self._at_border(0)

    def of_even(self) -> Floats:
        """By how much even columns are more than the next even ones, of which the last is next to the border."""
        np.subtract(self._even, self._moved(1), out=self._flat)
        return self._at_border(self._last)

    def _at_border(self, column: int) -> Floats:
        """A neighbour beyond the border is the cell itself; at the other end of a row it may be of anything."""
        np.subtract(self._cells[:, 0, :, column], self._cells[:, 1, :, column], out=self._room[:, :, column])
        return self._columns

    def _moved(self, by: int) -> Floats:
        """Rows (rows, C · half) of as many numbers from so many behind the start of each on."""
        cells = self._cells
        strides = cells.strides[0], cells.itemsize
        return np.ndarray(self._flat.shape, np.float32, cells, by * cells.itemsize, strides)


@dataclass(frozen=True)
class _Columns:
    """A layer by columns of 3 × 1 cells: ``weights`` (4, F, 3 · C) of what :class:`_Sides` has; ``bias`` (F, half)."""

    weights: Floats
    bias: Floats

    @classmethod
    def of(cls, layer: Layer, half: int) -> _Columns:
        """Those of a layer for rows of ``half`` numbers."""
        weight, bias = layer.shifted
        return cls(paired.weights(weight, 2).reshape(4, len(weight), -1), np.repeat(bias, half, 1))

    def of_rows(self, seen: _Seen, rows: slice, rooms: Rooms) -> Floats:
        """What the layer makes of rows (rows, 2, F, half), not yet rounded: in a room."""
        n, sides = rows.stop - rows.start, _Sides(seen, rows, rooms)
        total, (one, two) = rooms.get("total", n, 2, *self.bias.shape), rooms.apart("products", 2, n, *self.bias.shape)
        even, odd = total[:, 0], total[:, 1]
        with np.errstate(all="ignore"):  # as in Layer
            np.matmul(self.weights[0], sides.sums(), out=one)
            np.matmul(self.weights[1], sides.differences(), out=two)
            np.add(one, two, out=even)
            np.subtract(one, two, out=odd)
            even += np.matmul(self.weights[2], sides.of_odd(), out=one)
            odd += np.matmul(self.weights[3], sides.of_even(), out=two)
        total += self.bias
        return total


def activate(stream: Floats, largest: Floats, *, out: Floats) -> None:
    """:func:`nfcodec.lattice.restore.activation` of a stream, with an array of :data:`LARGEST_ACTIVATION`."""
    np.multiply(stream, _NEGATIVE, out=out)
    np.maximum(stream, out, out=out)
    out *= _SCALE
    np.rint(out, out=out)
    np.minimum(out, largest, out=out)


def widest(channels: int) -> int:
    """How many cells a row may have for products of a network of such a width to be small ones."""
    return 2 * (SMALL // (3 * channels**2) // LINE) * LINE


class LastLayer(Protocol):
    """Makes of activations (n, 2, C, half) of some of the ``rows`` that are wanted its ``outputs`` (n, 2, F, half)."""

    outputs: int

    def __call__(self, active: Floats, rows: slice) -> Floats:
        """Whole numbers within ±:data:`LARGEST_OUTPUT`."""
        ...


class Single:
    """The last layer of a network as it is."""

    def __init__(self, network: Restore) -> None:
        self.outputs, self._leaving = len(network.leave.bias), network.leaving

    def __call__(self, active: Floats, rows: slice) -> Floats:  # noqa: ARG002 (it is the same for all)
        """See :class:`LastLayer`."""
        found: Floats = self._leaving(active)
        return found


class Chosen:
    """Of ``count`` last layers, cut from ``leave`` one behind the other, for each cell the one that ``heads`` (h, w)
    tell, of the wanted rows and all columns."""

    def __init__(self, leave: Layer, count: int, heads: Bytes) -> None:
        weight, bias = leave.shifted
        self._weights = weight.reshape(count, -1, weight.shape[1])
        self._biases = bias.reshape(count, -1)
        self._heads, self.outputs = _apart(heads), self._biases.shape[1]

    def __call__(self, active: Floats, rows: slice) -> Floats:
        """See :class:`LastLayer`."""
        heads = self._heads[rows]
        out = np.empty((*heads.shape[:2], self.outputs, heads.shape[2]), np.float32)
        changes = np.flatnonzero((heads[1:] != heads[:-1]).any((1, 2))) + 1
        for part in _runs(changes, len(heads)):
            for side in range(2):
                self._fill(out[part, side], active[part, side], heads[part.start, side])
        np.floor(out, out=out)
        return np.clip(out, -LARGEST_OUTPUT, LARGEST_OUTPUT, out=out)

    def _fill(self, out: Floats, active: Floats, heads: Bytes) -> None:
        """The outputs (n, F, half), not yet rounded, of rows whose columns have heads alike."""
        for run in _runs(np.flatnonzero(heads[1:] != heads[:-1]) + 1, len(heads)):
            with np.errstate(all="ignore"):  # as in Layer
                np.matmul(self._weights[heads[run.start]], active[..., run], out=out[..., run])
        out += self._biases[heads].T


def _apart(heads: Bytes) -> Bytes:
    """Even and odd columns (h, 2, half) of (h, w), with the last of each repeated to the end of its room."""
    half = paired.half(heads.shape[1])
    sides = [heads[:, i::2] if heads.shape[1] > i else heads for i in range(2)]
    return np.stack([np.pad(s, ((0, 0), (0, half - s.shape[1])), "edge") for s in sides], 1)


def _runs(changes: Indices, size: int) -> list[slice]:
    """What lies between places where something changes."""
    ends = [0, *changes.tolist(), size]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def outputs(
    network: Restore, enter: Layer, inputs: Floats, inner: Part | None = None, rooms: Rooms | None = None,
    leave: LastLayer | None = None,
) -> Floats:  # fmt: skip
    """The outputs (F, h, w) of a network whose first layer ``enter`` sees 3 × 3 cells of ``inputs`` (C, H, W), too; the
    border is repeated. ``inner``: rows and columns of the cells that are wanted, default all. What a thread needs
    besides is in ``rooms``. ``leave``: takes the place of the last layer."""
    (_, height, width), rooms = inputs.shape, rooms or Rooms()
    rows, columns = inner or (slice(0, height), slice(0, width))
    half, channels, blocks = paired.half(width), len(enter.bias), len(network.blocks)
    leave = leave or Single(network)
    out = np.empty((leave.outputs, rows.stop - rows.start, half, 2), np.float32)
    stream = rooms.get("stream", height, 2, channels, half)
    room = rooms.get("seen", height + blocks + 2, 2, channels, half)
    largest = np.full((channels, half), LARGEST_ACTIVATION, np.float32)
    seen, layers = _around(inputs, half, rooms), [enter, *network.blocks]
    for after, layer in zip(range(blocks, -1, -1), layers, strict=True):
        # What follows of a row takes the place of the row before, which nothing needs any more.
        following = _Seen(room, after + 1, (height, width))
        own, reached = _Columns.of(layer, half), _reached(rows, after, height)
        for strip in strips((reached.stop, width), _CELLS, reached.start):
            active = following.at(strip)
            _add(own.of_rows(seen, strip, rooms), stream[strip], first=after == blocks)
            activate(stream[strip], largest, out=active)
            if not after:
                wanted = slice(strip.start - rows.start, strip.stop - rows.start)
                out[:, wanted] = leave(active, wanted).transpose(2, 0, 3, 1)
        following.close(reached)
        seen = following
    return out.reshape(*out.shape[:2], 2 * half)[:, :, columns]


def _add(total: Floats, stream: Floats, *, first: bool) -> None:
    """Add what a layer makes, rounded down, to the stream, of which it is the ``first`` number."""
    if first:
        np.floor(total, out=stream)
    else:
        stream += np.floor(total, out=total)
    np.clip(stream, -LARGEST_STREAM, LARGEST_STREAM, out=stream)


def _reached(rows: slice, layers: int, height: int) -> slice:
    """The rows that so many layers see around some."""
    return slice(max(0, rows.start - layers), min(height, rows.stop + layers))


def _around(inputs: Floats, half: int, rooms: Rooms) -> _Seen:
    """What the first layer sees of inputs (C, H, W)."""
    channels, height, width = inputs.shape
    seen, rows = _Seen(rooms.get("inputs", height + 2, 2, channels, half), 1, (height, width)), slice(0, height)
    for odd in range(2):
        seen.at(rows)[:, odd, :, : (width + 1 - odd) // 2] = inputs[:, :, odd::2].transpose(1, 0, 2)
    seen.close(rows)
    return seen
