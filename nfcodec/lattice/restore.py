"""D: the integer network in weight space that predicts what quantization removed from the last layers.

Works on a lattice of cells: inputs are the symbols of each cell (companded), the differences of its means to its
neighbours and the quality; its output is added to the dequantized last layers, in 256ths of their steps. It is one
layer from every cell alone into a stream of numbers per cell, some residual layers that see the neighbours, and one
layer out of it. All numbers are whole (:mod:`nfcodec.entropy.networks`), and the same functions serve arrays of numpy,
exactly, and tensors of torch with gradients.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, device, namespace
from nfcodec.entropy.networks import Layer, check_layer
from nfcodec.entropy.rounding import floor
from nfcodec.errors import CorruptError
from nfcodec.lattice import order, paired
from nfcodec.lattice.convolution import repeated
from nfcodec.lattice.paired import LARGEST_SUM
from nfcodec.lattice.space import strips
from nfcodec.parallel import every

UNIT = 256  # the output counts 256ths of a step
STREAM = 4  # numbers of the stream count quarters of an activation
LARGEST_STREAM = 8191
LARGEST_ACTIVATION = 255
LARGEST_OUTPUT = 2047
SLOPE = 13 / 128
# Cells of one product, whose inputs stay near the processor's cache.
_CELLS = 768


@dataclass(frozen=True)
class Restore:
    """D. ``enter`` (width, C), ``blocks`` (width, 3^d · width) each, ``leave`` (P·K, width).

    The inputs of a block are the activations of the 3^d cells around, cell by cell, the last axis fastest.
    """

    enter: Layer
    blocks: tuple[Layer, ...]
    leave: Layer

    def __call__(self, features: Array, axes: int) -> Array:
        """256ths of a step (…, P·K, *cells) for features (…, C, *cells) of a lattice of ``axes`` axes; the border of
        the lattice is repeated."""
        cells = features.shape[features.ndim - axes :]
        stream = self.through(_unflat(self.enter(_flat(features, axes)), cells), axes)
        return _unflat(self.leaving(_flat(activation(stream), axes)), cells)

    def through(self, stream: Array, axes: int) -> Array:
        """The last stream (…, width, *cells) of the first one, which may be lost."""
        stream = _clip(stream, LARGEST_STREAM)
        for block in self.blocks:
            around = self.around(block, activated(stream, axes), axes).reshape(stream.shape)
            stream = _clip(_add(stream, around), LARGEST_STREAM)
        return stream

    def leaving(self, active: Array) -> Array:
        """256ths of a step (…, P·K, cells) for the last activations (…, width, cells)."""
        return _clip(self.leave(active), LARGEST_OUTPUT)

    def around(self, block: Layer, active: Array, axes: int) -> Array:
        """The outputs (…, width, cells) of a block for activations (…, width, *cells)."""
        if isinstance(active, np.ndarray):
            lead = active.shape[: active.ndim - axes - 1]
            found = [paired.outputs(block, one) for one in active.reshape(-1, *active.shape[len(lead) :])]
            return np.stack(found).reshape(*lead, len(block.bias), -1)
        parts = list(map(block, _surroundings(active, axes)))
        return parts[0] if len(parts) == 1 else namespace(active).concat(parts, axis=-1)

    @property
    def layers(self) -> dict[str, Layer]:
        """All layers by name, in the order of their use."""
        return {"in": self.enter, **{str(i): block for i, block in enumerate(self.blocks)}, "out": self.leave}

    @classmethod
    def of(cls, layers: Mapping[str, Layer]) -> Restore:
        """The inverse of :attr:`layers`; KeyError for names that make no network."""
        blocks = tuple(layers[str(i)] for i in range(len(layers) - 2))
        return cls(layers["in"], blocks, layers["out"])

    @property
    def parameters(self) -> int:
        """How many weights and biases there are."""
        return sum(layer.weight.size + layer.bias.size for layer in self.layers.values())

    def validate(
        self, inputs: int, outputs: int, axes: int, *, name: str = "D", largest: int = order.LARGEST_FEATURE
    ) -> None:  # fmt: skip
        """Raise :class:`CorruptError` unless shapes fit ``inputs`` within ±``largest`` and ``outputs`` and every sum
        stays exact; ``name`` says which network it is."""
        width = len(self.enter.bias)
        check_layer(f"{name}, layer in", self.enter, inputs, largest, LARGEST_SUM)
        for i, block in enumerate(self.blocks):
            check_layer(f"{name}, layer {i}", block, 3**axes * width, LARGEST_ACTIVATION, LARGEST_SUM)
            if len(block.bias) != width:
                raise CorruptError(f"{name}, layer {i}: {len(block.bias)} outputs for a stream of {width}")
        check_layer(f"{name}, layer out", self.leave, width, LARGEST_ACTIVATION, LARGEST_SUM)
        if len(self.leave.bias) != outputs:
            raise CorruptError(f"{name} has {len(self.leave.bias)} outputs for {outputs} weights")


def _clip(x: Array, largest: int) -> Array:
    """An array within bounds; where no gradient asks for it, it is changed itself."""
    if isinstance(x, np.ndarray):
        found: Array = np.clip(x, -largest, largest, out=x)
        return found
    return namespace(x).clip(x, -largest, largest)


def _add(x: Array, more: Array) -> Array:
    """A sum, which an array of numpy becomes itself."""
    if isinstance(x, np.ndarray):
        x += more
        return x
    return x + more


def activated(stream: Array, axes: int) -> Array:
    """:func:`activation` of a stream (…, width, *cells), of numpy strip by strip."""
    if not isinstance(stream, np.ndarray):
        return activation(stream)
    out = np.empty_like(stream)

    def fill(rows: slice) -> None:
        at: tuple[Any, ...] = (..., rows, *(slice(None),) * (axes - 1))
        out[at] = activation(stream[at])

    every(fill, strips(stream.shape[stream.ndim - axes :], _CELLS))
    return out


def activation(stream: Array) -> Array:
    """⌊l(x)/4 + ½⌋ within ±255 of the stream, with the leaky rectifier l(x) = max(x, 13 x / 128)."""
    xp = namespace(stream)
    active = floor(xp.maximum(stream, stream * SLOPE) * (1.0 / STREAM) + 0.5)
    return xp.clip(active, -LARGEST_ACTIVATION, LARGEST_ACTIVATION)


def _flat(x: Array, axes: int) -> Array:
    """(…, F, cells) of (…, F, *cells)."""
    return x.reshape((*x.shape[: x.ndim - axes], -1))


def _unflat(x: Array, cells: tuple[int, ...]) -> Array:
    return x.reshape((*x.shape[:-1], *cells))


def _surroundings(active: Array, axes: int) -> Iterator[Array]:
    """What the cells see of the 3^d cells around them: (…, 3^d · F, n) for some rows of cells after the other."""
    xp, first = namespace(active), active.ndim - axes
    cells = active.shape[first:]
    wide = repeated_border(active, axes)
    for rows in strips(cells, _CELLS):
        seen = []
        for offset in itertools.product(range(3), repeat=axes):
            at = [slice(o, o + n) for o, n in zip(offset, cells, strict=True)]
            at[0] = slice(rows.start + offset[0], rows.stop + offset[0])
            seen.append(wide[(..., *at)])
        yield _flat(xp.concat(seen, axis=first - 1), axes)


def repeated_border(x: Array, axes: int) -> Array:
    """(…, *cells) with one more cell on every side, copies of those at the border."""
    for axis in range(-axes, 0):
        x = repeated(x, axis, 1)
    return x


# -- inputs ----------------------------------------------------------------------------------------------
def compand(x: Array) -> Array:
    """Whole numbers as features within ±127 (:func:`nfcodec.lattice.order.compand`), in float32.

    Where gradients are asked for, the slope is that between the next whole numbers on both sides: what a symbol can
    change by.
    """
    if isinstance(x, np.ndarray):
        return order.compand(x.astype(np.int32, copy=False)).astype(np.float32)
    xp = namespace(x)
    at = xp.abs(x if not x.requires_grad else x.detach())
    table = xp.asarray(order.companded().astype(np.float32), device=device(x))
    feature = xp.sign(x) * table[xp.astype(xp.clip(at, 0, 255), xp.int64)]
    if not x.requires_grad:
        return feature
    slope = 16.0 * xp.where(at < 1.0, xp.ones_like(at), 0.5 * xp.log2((2.0 + at) / xp.clip(at, 1.0, None)))
    return feature.detach() + slope * (x - x.detach())


def features(symbols: Array, qualities: Array) -> Array:
    """Inputs (…, C, *cells) of symbols (…, P, K, *cells) at quality features (…, Q) that sum to 16, in float32.

    Their order: symbols 1 … K − 1 of every plane, companded; differences of the means to those of the neighbours,
    neighbour by neighbour, of every plane, companded, the border repeated; the quality features, alike in all cells.
    """
    xp = namespace(symbols)
    axes = symbols.ndim - qualities.ndim - 1
    plane = qualities.ndim - 1
    cells = symbols.shape[plane + 2 :]
    lead = (slice(None),) * plane
    means = symbols[(*lead, slice(None), 0)]
    wide = repeated_border(means, axes)
    around = [
        wide[(..., *(slice(o, o + n) for o, n in zip(offset, cells, strict=True)))] - means
        for offset in itertools.product(range(3), repeat=axes) if set(offset) != {1}
    ]  # fmt: skip
    rest = symbols[(*lead, slice(None), slice(1, None))]
    coded = compand(rest).reshape((*rest.shape[:plane], -1, *cells))
    quality = qualities.reshape((*qualities.shape, *(1 for _ in cells)))
    quality = xp.broadcast_to(quality, (*qualities.shape, *cells))
    return xp.concat([coded, compand(xp.concat(around, axis=plane)), xp.astype(quality, coded.dtype)], axis=plane)


def input_count(planes: int, bases: int, axes: int) -> int:
    """C, the channels of :func:`features`."""
    around: int = 3**axes - 1
    return planes * (bases - 1 + around) + order.QUALITY_LEVELS


def quality_row(quality: int) -> npt.NDArray[np.float32]:
    """Quality features (Q,) that sum to 16."""
    return order.quality_features(quality).astype(np.float32)
