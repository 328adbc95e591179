"""A network of D's kind on a lattice of two axes, fused so that memory is not what it waits for.

The numbers are those of :class:`nfcodec.lattice.restore.Restore`, to the last one: sums of whole numbers are exact in
any order. They lie row by row, in a row channel by channel: what columns of 3 × 1 cells hold is a matrix in place, and
products with it are small enough for kernels that copy nothing. What a layer adds to some rows is made, clipped and
activated while it is in the processor's cache.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np

from nfcodec.entropy.networks import Layer
from nfcodec.lattice.restore import LARGEST_ACTIVATION, LARGEST_STREAM, SLOPE, STREAM, Restore
from nfcodec.lattice.space import strips
from nfcodec.types import Floats

# Of one strip; threads side by side would wait for each other between shorter ones.
_CELLS = 7000

Part = tuple[slice, slice]  # rows and columns


class Rooms(threading.local):
    """Arrays that each thread uses again, by name: fresh memory costs a good part of what is done in it."""

    def __init__(self) -> None:
        self._kept: dict[str, Floats] = {}

    def get(self, name: str, *shape: int) -> Floats:
        """An array of a shape, with anything in it."""
        size, kept = math.prod(shape), self._kept.get(name)
        if kept is None or len(kept) < size:
            kept = self._kept[name] = np.zeros(size, np.float32)
        return kept[:size].reshape(shape)


class _Seen:
    """Numbers (h, F, w) of cells and a border of one more, a copy of those at the border."""

    def __init__(self, rooms: Rooms, name: str, channels: int, size: tuple[int, int]) -> None:
        self.height = size[0]
        self._flat = rooms.get(name, (size[0] + 2) * channels * (size[1] + 2) + 2)
        self._cells = self._flat[1:-1].reshape(size[0] + 2, channels, size[1] + 2)

    def at(self, rows: slice) -> Floats:
        """A view (rows, F, w + 2)."""
        return self._cells[rows.start + 1 : rows.stop + 1]

    def close(self, rows: slice) -> None:
        """Repeat the border where it touches rows."""
        own = self.at(rows)
        own[:, :, 0], own[:, :, -1] = own[:, :, 1], own[:, :, -2]
        if rows.start == 0:
            self._cells[0] = own[0]
        if rows.stop == self.height:
            self._cells[-1] = own[-1]

    def columns(self, rows: slice, across: int) -> Floats:
        """A view (rows, 3 · F, w + 2) of the three cells above each other around those of rows, at an offset; at the
        ends of a row they are none."""
        _, channels, width = self._cells.shape
        start = self._flat.itemsize * (1 + across + rows.start * channels * width)
        shape = rows.stop - rows.start, 3 * channels, width
        return np.ndarray(shape, np.float32, self._flat, start, self._cells.strides)


@dataclass(frozen=True)
class _Columns:
    """A layer by columns of 3 × 1 cells: its ``weights`` (F, 3 · C) for each of them, from the left; ``bias`` (F, w) of
    a row."""

    weights: tuple[Floats, ...]
    bias: Floats

    @classmethod
    def of(cls, layer: Layer, width: int) -> _Columns:
        """Those of a layer for rows of ``width`` numbers."""
        weight, bias = layer.shifted
        parts = weight.reshape(len(weight), 3, 3, -1).transpose(2, 0, 1, 3).reshape(3, len(weight), -1)
        return cls(tuple(parts), np.repeat(bias, width, 1))

    def add(self, seen: _Seen, rows: slice, stream: Floats, active: Floats, rooms: Rooms) -> None:
        """Add what the layer makes of rows to their ``stream`` (rows, F, w); ``active`` becomes what follows of it."""
        total, room = rooms.get("total", *stream.shape), rooms.get("room", *stream.shape)
        with np.errstate(all="ignore"):  # as in Layer
            for i, weight in enumerate(self.weights):
                np.matmul(weight, seen.columns(rows, i - 1), out=room if i else total)
                total += room if i else self.bias
        stream += np.floor(total, out=total)
        np.clip(stream, -LARGEST_STREAM, LARGEST_STREAM, out=stream)
        _activate(stream, room, active)


def _activate(stream: Floats, room: Floats, out: Floats) -> None:
    """:func:`nfcodec.lattice.restore.activation`; what is in ``room`` is lost."""
    np.multiply(stream, SLOPE, out=room)
    np.maximum(stream, room, out=room)
    room *= 1.0 / STREAM
    room += 0.5
    np.floor(room, out=room)
    np.clip(room, -LARGEST_ACTIVATION, LARGEST_ACTIVATION, out=out)


def outputs(
    network: Restore, enter: Layer, inputs: Floats, inner: Part | None = None, rooms: Rooms | None = None
) -> Floats:  # fmt: skip
    """The outputs (F, h, w) of a network whose first layer ``enter`` sees 3 × 3 cells of ``inputs`` (C, H, W), too; the
    border is repeated. ``inner``: rows and columns of the cells that are wanted, default all. What a thread needs
    besides is in ``rooms``."""
    (_, height, width), rooms = inputs.shape, rooms or Rooms()
    rows, columns = inner or (slice(0, height), slice(0, width))
    out = np.empty((len(network.leave.bias), rows.stop - rows.start, columns.stop - columns.start), np.float32)
    stream = rooms.get("stream", height, len(enter.bias), width + 2)
    stream[...] = 0.0
    seen, layers = _around(inputs, rooms), [enter, *network.blocks]
    for after, layer in zip(range(len(network.blocks), -1, -1), layers, strict=True):
        following = _Seen(rooms, f"seen {after % 2}", len(enter.bias), (height, width))
        own, reached = _Columns.of(layer, width + 2), _reached(rows, after, height)
        for strip in strips((reached.stop, width), _CELLS, reached.start):
            own.add(seen, strip, stream[strip], following.at(strip), rooms)
            if not after:
                found = network.leaving(following.at(strip))[:, :, 1 + columns.start : 1 + columns.stop]
                out[:, strip.start - rows.start : strip.stop - rows.start] = found.transpose(1, 0, 2)
        following.close(reached)
        seen = following
    return out


def _reached(rows: slice, layers: int, height: int) -> slice:
    """The rows that so many layers see around some."""
    return slice(max(0, rows.start - layers), min(height, rows.stop + layers))


def _around(inputs: Floats, rooms: Rooms) -> _Seen:
    size = inputs.shape[1], inputs.shape[2]
    seen, rows = _Seen(rooms, "inputs", len(inputs), size), slice(0, size[0])
    seen.at(rows)[:, :, 1:-1] = inputs.transpose(1, 0, 2)
    seen.close(rows)
    return seen
