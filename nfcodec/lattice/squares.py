"""A network of D's kind on a large lattice of two axes, fused so that memory is not what it waits for.

The numbers are those of :class:`nfcodec.lattice.restore.Restore`, to the last one: sums of whole numbers are exact in
any order. What a layer adds to some rows is made, clipped and activated while it is in the processor's cache.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from nfcodec.entropy.networks import Layer
from nfcodec.lattice.restore import LARGEST_ACTIVATION, LARGEST_OUTPUT, LARGEST_STREAM, SLOPE, STREAM, Restore
from nfcodec.lattice.space import strips
from nfcodec.parallel import ordered_map, thread_count
from nfcodec.types import Floats

# Of one strip; threads side by side would wait for each other between shorter ones.
_CELLS, _CELLS_BESIDE = 2048, 8192


class _Seen:
    """Numbers (F, h, w) and a border of one more cell, row after row: what all cells of some rows see at one offset is
    a slice, whose first and last cell of each row are beyond the border."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        self.size, self.row = size, size[1] + 2
        self._flat = np.zeros((channels, (size[0] + 2) * self.row + 2), np.float32)

    def at(self, rows: slice, down: int = 0, across: int = 0) -> Floats:
        """A view (F, rows · (w + 2)) of what rows see at an offset."""
        start = 1 + down * self.row + across
        found: Floats = self._flat[:, start + (rows.start + 1) * self.row : start + (rows.stop + 1) * self.row]
        return found

    def close(self, rows: slice) -> None:
        """Repeat the border at the ends of rows."""
        inside = self.at(rows).reshape(len(self._flat), -1, self.row)
        inside[:, :, 0], inside[:, :, -1] = inside[:, :, 1], inside[:, :, -2]

    def finish(self) -> None:
        """Repeat the first and the last row."""
        height = self.size[0]
        self.at(slice(-1, 0))[...] = self.at(slice(0, 1))
        self.at(slice(height, height + 1))[...] = self.at(slice(height - 1, height))


def outputs(network: Restore, enter: Layer, inputs: Floats) -> Floats:
    """The outputs (F, h, w) of a network whose first layer ``enter`` sees 3 × 3 cells of ``inputs`` (C, h, w), too; the
    border is repeated."""
    size = inputs.shape[1], inputs.shape[2]
    seen = _around(inputs, size)
    stream = np.zeros((len(enter.bias), size[0], size[1] + 2), np.float32)
    out = np.empty((len(network.leave.bias), *size), np.float32)
    room = [_Seen(len(enter.bias), size) for _ in range(min(2, len(network.blocks)))]
    layers = [enter, *network.blocks]
    cells = _CELLS if thread_count() == 1 else _CELLS_BESIDE
    for number, layer in enumerate(layers):
        following = room[number % 2] if number + 1 < len(layers) else None
        step = _step(network, layer, seen, stream, following, out)
        for _ in ordered_map(step, strips(size, cells)):
            pass
        if following is not None:
            following.finish()
            seen = following
    return out


def _around(inputs: Floats, size: tuple[int, int]) -> _Seen:
    seen, rows = _Seen(len(inputs), size), slice(0, size[0])
    seen.at(rows).reshape(len(inputs), -1, seen.row)[:, :, 1:-1] = inputs
    seen.close(rows)
    seen.finish()
    return seen


def _step(network: Restore, layer: Layer, seen: _Seen, stream: Floats, following: _Seen | None, out: Floats) -> Any:
    """What a layer does to some rows: it adds to their stream, and leaves what the ``following`` layer sees, or after
    the last one what comes ``out``."""

    def step(rows: slice) -> None:
        added, room = _product(layer, seen, rows)
        own = stream[:, rows]
        own += added.reshape(own.shape)
        np.clip(own, -LARGEST_STREAM, LARGEST_STREAM, out=own)
        active = _activated(own.reshape(added.shape), room)
        if following is None:
            found = network.leave(active).reshape(len(out), -1, seen.row)[:, :, 1:-1]
            np.clip(found, -LARGEST_OUTPUT, LARGEST_OUTPUT, out=out[:, rows])
        else:
            following.at(rows)[...] = active
            following.close(rows)

    return step


def _product(layer: Layer, seen: _Seen, rows: slice) -> tuple[Floats, Floats]:
    """A layer's outputs for some rows (F, rows · (w + 2)), and as much room."""
    weight, bias = layer.shifted
    channels = weight.shape[1] // 9
    shape = len(weight), (rows.stop - rows.start) * seen.row
    total, room = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for i, offset in enumerate(itertools.product((-1, 0, 1), repeat=2)):
        own = weight[:, i * channels : (i + 1) * channels]
        with np.errstate(all="ignore"):  # as in Layer
            np.matmul(own, seen.at(rows, *offset), out=room if i else total)
        total += room if i else bias
    return np.floor(total, out=total), room


def _activated(stream: Floats, room: Floats) -> Floats:
    """:func:`nfcodec.lattice.restore.activation`, in ``room``."""
    np.multiply(stream, SLOPE, out=room)
    np.maximum(stream, room, out=room)
    room *= 1.0 / STREAM
    room += 0.5
    np.floor(room, out=room)
    return np.clip(room, -LARGEST_ACTIVATION, LARGEST_ACTIVATION, out=room)
