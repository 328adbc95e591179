"""Layers of integer networks, and the proof that floats compute them exactly.

Every number is whole. A layer is ⌊(W x + b + 2^(sh − 1)) / 2^sh⌋; inputs and weights are whole numbers in float32, and
:func:`check_layer` makes sure that no partial sum reaches 2^24. So the matrix product is exact in whatever order it
adds, with or without fused operations, on every machine. A convolution routine would not be: some transform their
inputs first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nfcodec.arrays import Array, device, namespace
from nfcodec.entropy.rounding import floor
from nfcodec.errors import CorruptError
from nfcodec.types import Floats

EXACT = 1 << 24  # float32 holds every whole number up to here
LARGEST_SHIFT = 24
# Multiplications of a product that OpenBLAS takes with kernels for small matrices, which copy nothing.
SMALL = 10**6
LINE = 16  # numbers in a line of the processor's cache
# Cells of a piece of a product, and rows that it has at least.
_PIECE, _FEWEST = 64, 32


@dataclass(frozen=True)
class Layer:
    """``weight`` (rows, inputs) and ``bias`` (rows,): whole numbers in float32; ``shift`` (rows,) int32, 1 … 24."""

    weight: Array
    bias: Array
    shift: Array

    def __call__(self, x: Array) -> Array:
        """Whole outputs (…, rows, cells) of whole inputs (…, inputs, cells), in float32."""
        weight, bias = self.shifted
        # Some matrix kernels raise floating-point flags for what lies beside the operands; whole numbers raise none.
        with np.errstate(all="ignore"):
            out = product(weight, x) if isinstance(x, np.ndarray) else weight @ x
        out += bias
        return np.floor(out, out=out) if isinstance(out, np.ndarray) else floor(out)

    @cached_property
    def shifted(self) -> tuple[Array, Array]:
        """Weight (rows, inputs) and bias (rows, 1) over 2^shift: powers of two change no digit of any sum."""
        unit = np.ldexp(np.float32(1), -self.shift)[:, None]
        xp = namespace(self.weight)
        scale = xp.asarray(unit, device=device(self.weight))
        weight = self.weight * scale
        # What was selected by columns lies column by column.
        weight = np.ascontiguousarray(weight) if isinstance(weight, np.ndarray) else weight
        return weight, self.bias[:, None] * scale + 0.5


def product(weight: Floats, x: Floats) -> Floats:
    """``weight @ x`` of numbers of which it is exact. OpenBLAS takes small pieces with kernels that copy nothing, which
    is faster where rows begin with a line of the processor's cache."""
    rows, inputs = weight.shape
    parts, cells = -(-rows * inputs * _PIECE // SMALL), x.shape[-1] - x.shape[-1] % _PIECE
    whole = rows * inputs * x.shape[-1] <= SMALL or rows % parts or rows < parts * min(rows, _FEWEST) or not cells
    if x.ndim > 2 or whole or not _in_lines(x):
        found: Floats = weight @ x
        return found
    out = lined(rows, x.shape[1])
    pieces = out[:, :cells].reshape(parts, rows // parts, -1, _PIECE).swapaxes(1, 2)
    seen = x[:, :cells].reshape(inputs, -1, _PIECE).swapaxes(0, 1)
    np.matmul(weight.reshape(parts, 1, -1, inputs), seen, out=pieces)
    if cells < x.shape[1]:
        np.matmul(weight, x[:, cells:], out=out[:, cells:])
    return out


def lined(*shape: int) -> Floats:
    """A new array, with anything in it, that begins with a line of the processor's cache."""
    room = np.empty(math.prod(shape) + LINE, np.float32)
    first = -(room.ctypes.data // room.itemsize) % LINE
    return room[first : first + math.prod(shape)].reshape(shape)


def _in_lines(x: Floats) -> bool:
    line = LINE * np.dtype(np.float32).itemsize
    return x.dtype == np.float32 and x.strides[0] % line == 0 and x.ctypes.data % line == 0


def check_layer(name: str, layer: Layer, inputs: int, largest: int, most: int = EXACT) -> None:
    """Raise :class:`CorruptError` unless ``layer`` takes ``inputs`` numbers and, none of them beyond ±``largest``,
    every sum stays below ``most``, exact; ``name`` says which layer it is."""
    _check_shapes(name, layer, inputs)
    if not all((values == np.rint(values)).all() for values in (layer.weight, layer.bias)):  # false for NaN
        raise CorruptError(f"{name}: weights are not whole numbers")
    if layer.shift.min() < 1 or layer.shift.max() > LARGEST_SHIFT:
        raise CorruptError(f"{name}: shifts {layer.shift.min()}…{layer.shift.max()} leave 1…{LARGEST_SHIFT}")
    half = np.ldexp(1.0, layer.shift - 1)
    sums = np.abs(layer.weight).sum(1, dtype=np.float64) * largest + np.abs(layer.bias) + half
    if not sums.max() < most:  # also true for infinity
        raise CorruptError(f"{name}: a sum may reach {sums.max()}, floats are exact up to {most}")


def _check_shapes(name: str, layer: Layer, inputs: int) -> None:
    rows = layer.bias.shape
    if len(rows) != 1 or not rows[0] or layer.weight.shape != (*rows, inputs) or layer.shift.shape != rows:
        shapes = f"{layer.weight.shape}, {layer.bias.shape}, {layer.shift.shape}"
        raise CorruptError(f"{name}: shapes {shapes} for {inputs} inputs")
    if layer.weight.dtype != np.float32 or layer.bias.dtype != np.float32 or layer.shift.dtype != np.int32:
        raise CorruptError(f"{name}: {layer.weight.dtype}, {layer.bias.dtype} and {layer.shift.dtype}")
