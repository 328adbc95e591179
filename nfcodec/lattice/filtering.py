"""Y: an integer network that predicts at the samples of a picture what coding lost, from the decoded samples around.

It is a filter after decoding, as video codecs have them in their loops, and costs no bits. It works on the lattice of
squares of 2 × 2 samples (space to depth, Shi et al. 2016): inputs are the planes in a square less their means over the
squares around, in sixteenths of a unit that follows the quality, and the quality itself; then it is a network of the
kind of D (:mod:`nfcodec.lattice.restore`), the first layer of which sees the squares around, too: one of several, each
for a part of the range of qualities, since errors of coarse steps and of fine ones are little alike. Its output, in
256ths of the unit, is added to the planes. All numbers are whole: a part of a picture is the same as that part of the
whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.blas import single_threaded
from nfcodec.entropy.networks import Layer
from nfcodec.errors import CorruptError
from nfcodec.lattice import order, steps
from nfcodec.lattice.convolution import part_of, repeated
from nfcodec.lattice.restore import UNIT, Restore
from nfcodec.lattice.space import Box, Index, Space
from nfcodec.lattice.squares import Chosen, LastLayer, Rooms, outputs, widest
from nfcodec.parallel import every
from nfcodec.types import Bytes, Doubles, Floats, Span

SIDE = 2  # samples of a square along each axis
VIEWS = 1, 2, 4
MOST_HEADS = 8
LARGEST_INPUT = 1023
# Planes are rounded to this before they are filtered, as before they are rotated.
PLANE_BITS = 20
INPUT_UNIT = 16
# Planes in sixteenths of the unit, before their means are taken off: sums of 256 of them are exact in float32.
LARGEST_SAMPLE = 8191
# The means of the squares around weigh 1, 2, 2, 2, 1 along each axis.
MEAN_WEIGHTS, MEAN_BITS = (1, 2, 2, 2, 1), 8
# What the features of quality sum to, of 16ths.
QUALITY = 32
# Squares of a tile at most, and no more in a row than products are small for.
_TILE = 128, 400
_MARGIN = 3  # squares that the inputs and the first layer see on each side
# 22 MB for each thread that filters.
_ROOMS = Rooms()


@dataclass(frozen=True)
class SampleFilter:
    """Y. ``networks``: one for each of as many equal parts of the range of qualities; inputs of ``enter`` are 4·P
    numbers of each of the 3 × 3 squares, square by square, then 8 of the quality and one for each other spacing that
    the lattice may have. ``log_unit`` (8,): log2 of the unit at the quality anchors, in whole 256ths. ``spacing``: the
    number of the spacing that the lattice has, from 1 on; 0 for its own. ``views``: of the picture, 1, 2 (transposed)
    or 4 (both mirrored); the mean of what the network makes of them is added. ``heads``: of how many last layers, one
    behind the other, each square uses one."""

    networks: tuple[Restore, ...]
    log_unit: npt.NDArray[np.integer[Any]]
    spacing: int = 0
    views: int = 1
    heads: int = 1

    @property
    def reach(self) -> int:
        """Samples that it sees on each side of a square."""
        return SIDE * (_MARGIN + max(len(network.blocks) for network in self.networks))

    @property
    def parameters(self) -> int:
        """How many weights and biases there are."""
        return sum(network.parameters for network in self.networks)

    def network(self, quality: int) -> Restore:
        """The network for a quality."""
        return self.networks[part_of_range(quality, len(self.networks))]

    def validate(self, name: str, planes: int, spacings: int) -> None:
        """Raise :class:`CorruptError` unless it fits so many planes and other spacings, and every sum stays exact."""
        channels = SIDE**2 * planes
        if not self.networks:
            raise CorruptError(f"init {name}: Y has no network")
        if self.log_unit.shape != (order.QUALITY_LEVELS,) or self.log_unit.dtype != np.int16:
            raise CorruptError(f"init {name}: unit of Y of {self.log_unit.dtype} {self.log_unit.shape}")
        if self.log_unit.min() <= -16 * steps.OCTAVE or self.log_unit.max() > 0:
            raise CorruptError(f"init {name}: a unit of Y is out of range")
        if self.views not in VIEWS:
            raise CorruptError(f"init {name}: Y with {self.views} views")
        if not 1 <= self.heads <= MOST_HEADS:
            raise CorruptError(f"init {name}: Y with {self.heads} heads, there may be {MOST_HEADS}")
        inputs = 9 * channels + order.QUALITY_LEVELS + spacings
        for network in self.networks:
            network.validate(inputs, self.heads * channels, 2, name="Y", largest=LARGEST_INPUT)

    def entering(self, quality: int) -> Layer:
        """The first layer at a quality, for the squares alone."""
        first = self.network(quality).enter
        squares = 9 * self.channels
        row = told(quality, self.spacing, first.weight.shape[1] - squares - order.QUALITY_LEVELS)
        return Layer(first.weight[:, :squares], first.bias + first.weight[:, squares:] @ row, first.shift)

    @property
    def channels(self) -> int:
        """Numbers of one square."""
        return len(self.networks[0].leave.bias) // self.heads

    @property
    def planes(self) -> int:
        """P, the planes that are filtered."""
        return self.channels // SIDE**2

    @single_threaded
    def __call__(self, planes: Doubles, quality: int, heads: Bytes | None = None) -> Doubles:
        """Planes (P, H, W) of whole squares, in 2^-32, filtered; beyond their border it is repeated. Tile by tile.
        ``heads`` (H/2, W/2): the number of the one that each square uses, default the first."""
        out, exponent = np.empty_like(planes), self.exponent(quality)
        size = planes.shape[1] // SIDE, planes.shape[2] // SIDE
        chosen = np.zeros(size, np.uint8) if heads is None and self.heads > 1 else heads
        tiles = self.tiles(size)

        def fill(index: int) -> None:
            tile = tiles.box(index)
            seen = self._seen(planes, quality, tile)
            found, own = self._added(seen, quality, chosen), seen.own
            own += _scaled(found, exponent, PLANE_BITS - _bits(UNIT) - _bits(self.views))
            np.multiply(own, 2.0 ** (32 - PLANE_BITS), out=out[_samples(tile.cells)])

        every(fill, range(tiles.count))
        return out

    def tiles(self, size: tuple[int, int]) -> Space:
        """The tiles of a picture of so many squares."""
        pairs = zip(size, self.tile, strict=True)
        return Space(size, tuple(_even(n, most) for n, most in pairs))

    @property
    def tile(self) -> tuple[int, int]:
        """Squares that a tile may have along each axis."""
        return _TILE[0], min(_TILE[1], widest(len(self.networks[0].enter.bias)) - self.reach)

    def _added(self, seen: _Seen, quality: int, heads: Bytes | None) -> Floats:
        """What is added to a tile of squares, in 256ths of the unit, summed over the views: (P, h, w). ``heads`` (H/2,
        W/2) that the squares use; where there is but one, None."""
        chosen, leave = None if heads is None else heads[seen.around.cells[1:]], self.network(quality).leave
        parts = list[Floats]()
        for view in range(self.views):
            part = _viewed(seen.samples, chosen, seen.inner, view)
            last = None if part.heads is None else Chosen(leave, self.heads, part.heads[part.inner[0]])
            parts.append(_back(unsquared(self._outputs(part, quality, last)), view))
        return parts[0] if len(parts) == 1 else np.asarray(sum(parts), np.float32)

    def leaving(self, planes: Doubles, quality: int, tile: Box, last: Callable[[int, slice], LastLayer]) -> None:
        """Show the last activations of a ``tile`` of squares of planes (P, H, W), one view of them, to a layer that
        ``last`` makes for so many columns, of which those in a slice are of the tile."""
        seen = self._seen(planes, quality, tile)
        part = _viewed(seen.samples, None, seen.inner, 0)
        self._outputs(part, quality, last(seen.around.shape[1], part.inner[1]))

    def _seen(self, planes: Doubles, quality: int, tile: Box) -> _Seen:
        """What a tile of squares of planes (P, H, W) sees."""
        size = planes.shape[1] // SIDE, planes.shape[2] // SIDE
        around = Space(size, size).around(tile, self.reach // SIDE)
        _, rows, columns = inner = tile.within(around)
        whole = _rounded(planes[_samples(around.cells)])
        return _Seen(around, samples(whole, self.exponent(quality)), whole[_samples(inner)], (rows, columns))

    def _outputs(self, part: _View, quality: int, last: LastLayer | None) -> Floats:
        return outputs(self.network(quality), self.entering(quality), inputs(part.samples), part.inner, _ROOMS, last)

    def scale(self, quality: int) -> float:
        """What one of the numbers of the last layer adds to planes at a quality."""
        return unit(self.log_unit, quality) / (UNIT * self.views)

    def exponent(self, quality: int) -> int:
        """log2 of the unit of a quality in 256ths."""
        return int(steps.exponents(self.log_unit, quality))

    def grown(self, span: Span, size: int) -> Span:
        """Whole squares along an axis of ``size`` samples with all that those of a span see."""
        start, stop = span[0] - span[0] % SIDE, span[1] + span[1] % SIDE
        return max(0, start - self.reach), min(size, stop + self.reach)


@dataclass(frozen=True)
class _Seen:
    """The squares ``around`` a tile that it sees, and their ``samples`` (P, H, W) in sixteenths of the unit; the
    tile's ``own`` planes (P, h, w) in 2^-20, and where its squares are in those around."""

    around: Box
    samples: Floats
    own: Doubles
    inner: tuple[slice, slice]


@dataclass(frozen=True)
class _View:
    """``samples`` (P, H, W), the ``heads`` (H/2, W/2) of their squares, which rows and columns of these are wanted."""

    samples: Floats
    heads: Bytes | None
    inner: tuple[slice, slice]


def _viewed(samples: Floats, heads: Bytes | None, inner: Sequence[slice], view: int) -> _View:
    """Samples with rows in the opposite order where bit 1 of ``view`` is set, then transposed where bit 0 is."""
    rows, columns = inner
    if view & 2:
        size = samples.shape[1] // SIDE
        samples, rows = samples[:, ::-1], slice(size - rows.stop, size - rows.start)
        heads = None if heads is None else heads[::-1]
    if view & 1:
        samples, rows, columns = samples.transpose(0, 2, 1), columns, rows
        heads = None if heads is None else heads.T
    return _View(samples, heads, (rows, columns))


def _back(planes: Floats, view: int) -> Floats:
    """Planes (P, h, w) of a view as they lie in the picture."""
    planes = planes.transpose(0, 2, 1) if view & 1 else planes
    return planes[:, ::-1] if view & 2 else planes


def told(quality: int, spacing: int, spacings: int) -> Floats:
    """What the network is told of a picture: features of its quality, and one for each of the other ``spacings``."""
    row = np.zeros(order.QUALITY_LEVELS + spacings, np.float32)
    row[: order.QUALITY_LEVELS] = QUALITY * order.quality_features(quality)
    if spacing:
        row[order.QUALITY_LEVELS + spacing - 1] = QUALITY * order.HAT
    return row


def part_of_range(quality: int, parts: int) -> int:
    """The number of the part that a quality is in, of as many equal parts of the range of qualities."""
    return quality * parts // (order.MOST_QUALITY + 1)


def unit(log_unit: npt.NDArray[np.integer[Any]], quality: int) -> float:
    """The unit of a quality."""
    return float(steps.step_sizes(log_unit, quality))


def _even(n: int, most: int) -> int:
    """Cells of parts of n of about the same size, none larger than ``most``."""
    return -(-n // -(-n // most))


def _samples(cells: Index) -> Index:
    """Where the samples of squares are."""
    return (..., *(slice(SIDE * s.start, SIDE * s.stop) for s in cells[1:]))


def _bits(power: int) -> int:
    return power.bit_length() - 1


def _scaled(x: Doubles | Floats, exponent: int, bits: int) -> Doubles:
    """⌊x · M · 2^(e // 256 − 16 + bits) + ½⌋ for whole numbers below 2^35: x · 2^(e/256 + bits)."""
    shift = exponent // steps.OCTAVE - steps.WEIGHT_BITS + bits
    scaled = np.multiply(x, np.ldexp(float(steps.mantissa(exponent % steps.OCTAVE)), shift), dtype=np.float64)
    scaled += 0.5
    whole: Doubles = np.floor(scaled, out=scaled)
    return whole


def _rounded(planes: Doubles) -> Doubles:
    """Planes in 2^-32 as whole numbers of 2^-20."""
    whole = planes * 2.0 ** (PLANE_BITS - 32)
    whole += 0.5
    rounded: Doubles = np.floor(whole, out=whole)
    return rounded


def samples(whole: Doubles, exponent: int) -> Floats:
    """Planes in 2^-20 as sixteenths of a unit of 2^(e/256)."""
    found = _scaled(whole, -exponent, _bits(INPUT_UNIT) - PLANE_BITS)
    return np.clip(found, -LARGEST_SAMPLE, LARGEST_SAMPLE, out=found).astype(np.float32)


def inputs(samples: Floats) -> Floats:
    """What squares are to the network (4·P, h, w): samples (P, H, W) less the means of the squares around."""
    squares = squared(samples)
    around = squares.reshape(len(samples), -1, *squares.shape[1:]).sum(1)
    for axis in (-2, -1):
        n, wide = around.shape[axis], repeated(around, axis, len(MEAN_WEIGHTS) // 2)
        around = sum(w * part_of(wide, axis, i, i + n) for i, w in enumerate(MEAN_WEIGHTS))
    around *= 2.0**-MEAN_BITS
    around += 0.5
    np.floor(around, out=around)
    found: Floats = (squares.reshape(len(samples), -1, *around.shape[1:]) - around[:, None]).reshape(squares.shape)
    return np.clip(found, -LARGEST_INPUT, LARGEST_INPUT, out=found)


def squared(planes: Floats) -> Floats:
    """(4·P, h, w) of (P, 2h, 2w): the samples of a square row by row, plane by plane."""
    p, h, w = planes.shape
    parts = planes.reshape(p, h // SIDE, SIDE, w // SIDE, SIDE).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(parts).reshape(-1, h // SIDE, w // SIDE)


def unsquared(squares: Floats) -> Floats:
    """The inverse of :func:`squared`."""
    c, h, w = squares.shape
    parts = squares.reshape(c // SIDE**2, SIDE, SIDE, h, w).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(parts).reshape(-1, SIDE * h, SIDE * w)
