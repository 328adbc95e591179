"""What the prior says of a region whose symbols are all known, and how that changes with each of them.

The coder goes phase by phase, since a decoder does. An encoder knows all symbols, so it takes all cells of a pass in
one product; the sums are of whole numbers, hence the same. What was computed on the way is kept, and one pass back
through the networks gives the slope of all later bits towards every symbol: the look ahead of the rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.blas import single_threaded
from nfcodec.entropy import logistic
from nfcodec.entropy.networks import Layer
from nfcodec.lattice.code import Prediction, RegionSymbols, predict
from nfcodec.lattice.order import HAT, LARGEST_FEATURE, Offset, Order, compand, quality_features
from nfcodec.lattice.prior import LARGEST_HIDDEN, LARGEST_MEAN, Network, Prior
from nfcodec.types import Floats, Indices, Shape, Symbols

_Bools = npt.NDArray[np.bool_]

_EIGHTHS = logistic.EIGHTHS
# Cells beyond a region or a tile that contexts of means and symbols reach.
_HALO = 2
# Of a region: where tiles are more, looking at it as a whole takes no longer.
_MOST_IN_TILES = 0.5
# Eighths of a step from the mean, beyond which slopes count as those at this distance.
_FARTHEST = 200 * _EIGHTHS
_SCALE_UNIT, _SCALE_ZERO = 4.0, 18.0  # scale indices per octave, and the index of a width of one step


@lru_cache(maxsize=1)
def _bit_slopes() -> tuple[Floats, Floats]:
    """Slopes of the bits of a symbol e eighths of a step above its mean: towards the mean's eighths and towards the
    scale's index, both (SCALES, 2 · _FARTHEST + 1), e = −_FARTHEST first.

    Of the logistic density integrated over ±½, −log2 P = softplus(l) + softplus(−h) − log(1 − e^(−1/b)) with
    l, h = (|x| ∓ ½)/b, in nats.
    """
    x = np.arange(-_FARTHEST, _FARTHEST + 1) / _EIGHTHS
    inverse = np.exp2((_SCALE_ZERO - np.arange(logistic.SCALES)) / _SCALE_UNIT)[:, None]
    low, high = (np.abs(x) - 0.5) * inverse, (np.abs(x) + 0.5) * inverse
    below, above = _sigmoid(low), _sigmoid(-high)
    towards_x = np.sign(x) * (below - above) * inverse / math.log(2.0)
    with np.errstate(over="ignore"):  # infinity is right: then nothing is left of the quotient
        wider = above * high - below * low + inverse / np.expm1(inverse)
    return (-towards_x / _EIGHTHS).astype(np.float32), (wider / _SCALE_UNIT).astype(np.float32)


def _sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * x))
    return found


@lru_cache(maxsize=1)
def _compand_slopes() -> Floats:
    """Slopes of :func:`nfcodec.lattice.order.compand` at 0 … 255: between the next whole numbers on both sides, what a
    symbol can change by; 0 where the feature is at its limit."""
    at = np.arange(256.0)
    slopes = np.where(at < 1.0, 1.0, 0.5 * np.log2((2.0 + at) / np.maximum(at, 1.0)))
    found: Floats = (HAT * slopes * (compand(np.arange(256)) < LARGEST_FEATURE)).astype(np.float32)
    return found


def _slopes_at(values: Symbols) -> Floats:
    found: Floats = _compand_slopes().take(np.minimum(np.abs(values), 255))
    return found


@dataclass(frozen=True, slots=True)
class _Kept:
    """Of one pass: which activations (width, cells) of both hidden layers, and which means and scales (2n, cells), were
    within their bounds."""

    first: _Bools
    second: _Bools
    out: _Bools

    def part(self, cells: Indices | slice) -> _Kept:
        """The same of some cells."""
        return _Kept(self.first[:, cells], self.second[:, cells], self.out[:, cells])

    def with_part(self, cells: Indices | slice, part: _Kept) -> _Kept:
        """The same, but of some cells what ``part`` says."""
        if isinstance(cells, slice):
            return part
        whole = _Kept(self.first.copy(), self.second.copy(), self.out.copy())
        whole.first[:, cells], whole.second[:, cells], whole.out[:, cells] = part.first, part.second, part.out
        return whole


@dataclass(frozen=True, slots=True)
class _Packed:
    """The same, a bit for each: of a large region and two states of it they would be a seventh of all memory."""

    bits: tuple[npt.NDArray[np.uint8], ...]
    cells: int

    @classmethod
    def of(cls, kept: _Kept) -> _Packed:
        """Packed along the cells."""
        parts = (kept.first, kept.second, kept.out)
        return cls(tuple(np.packbits(part, axis=1) for part in parts), kept.first.shape[1])

    def open(self) -> _Kept:
        """The inverse of :meth:`of`."""
        first, second, out = (np.unpackbits(b, axis=1, count=self.cells).view(bool) for b in self.bits)
        return _Kept(first, second, out)


class Outlook:
    """Looks at regions of ``shape`` cells, whole or tile by tile."""

    def __init__(self, prior: Prior, shape: Shape, planes: int) -> None:
        self.prior, self.shape, self.planes = prior, shape, planes
        self.whole = tiles_of(shape)

    @property
    def order(self) -> Order:
        """The order of the symbols."""
        return self.prior.order

    def passes(self) -> Iterator[int]:
        """The numbers of the passes that are coded."""
        return (i for i, (plane, _, _) in enumerate(self.order.spec.passes) if plane < self.planes)

    @single_threaded
    def look(self, region: RegionSymbols, before: Look | None = None, tiles: Tiles | None = None) -> Look:
        """Predictions of all symbols of a region, and what is needed for their slopes. ``before``: a look at symbols
        from which these differ so little that other cells than those of ``tiles`` have the same contexts."""
        tiles = tiles or self.whole
        symbols, view = region.symbols, _View(self, tiles)
        means = predict(self.prior, region, means=True)
        mean, scale = means.mean, means.scale
        if before:
            mean[:, 1:], scale[:, 1:] = before.prediction.mean[:, 1:], before.prediction.scale[:, 1:]
        differences = compand(_means_around(self.order, symbols[:, 0])[0]).astype(np.float32)
        wide, around = view.of(_wide(compand(symbols[:, 1:]))), view.of(differences)
        hats, kept = quality_features(region.quality).astype(np.float32), {}
        for i in self.passes():
            plane, low, high = self.order.spec.passes[i]
            inputs = view.features(i, wide, around, hats)
            found, scales, free = _forward(self.prior.groups[i], inputs.reshape(len(inputs), -1))
            mean[plane, low:high].reshape(high - low, -1)[:, tiles.selected] = found
            scale[plane, low:high].reshape(high - low, -1)[:, tiles.selected] = scales
            kept[i] = _Packed.of(before.kept[i].open().with_part(tiles.selected, free) if before else free)
        return Look(region, Prediction(mean, scale, self.planes), kept)

    @single_threaded
    def slope(self, look: Look, tiles: Tiles | None = None) -> Floats:
        """Slope of the bits of all symbols but the means, towards every symbol (P, K, *cells) that they are predicted
        from; ``tiles``: only the bits of their cells."""
        symbols, view = look.region.symbols, _View(self, tiles or self.whole)
        wide = np.zeros((len(symbols), symbols.shape[1] - 1, *view.wide_shape), np.float32)
        around = np.zeros((len(symbols), len(self.order.ring), *view.shape), np.float32)
        for i in self.passes():
            slopes = self._out_slopes(look, i, view.tiles) * view.tiles.once
            slopes = _backward(self.prior.groups[i], look.kept[i].open().part(view.tiles.selected), slopes)
            view.scatter(i, slopes, wide, around)
        found = np.empty(symbols.shape, np.float32)
        inner: tuple[Any, ...] = (..., *_shifted((0,) * len(self.shape), self.shape))
        found[:, 1:] = view.back(wide, _HALO)[inner] * _slopes_at(symbols[:, 1:])
        found[:, 0] = _means_slope(self.order, symbols[:, 0], view.back(around, 0))
        return found

    def _out_slopes(self, look: Look, number: int, tiles: Tiles) -> Floats:
        """Slopes (2n, cells) of the bits of a pass towards the outputs of its network."""
        plane, low, high = self.order.spec.passes[number]
        rows, cells = (plane, slice(low, high)), tiles.selected
        q = look.region.symbols[rows].reshape(high - low, -1)[:, cells]
        mean = look.prediction.mean[rows].reshape(high - low, -1)[:, cells]
        scale = look.prediction.scale[rows].reshape(high - low, -1)[:, cells]
        off = np.clip(_EIGHTHS * q - mean, -_FARTHEST, _FARTHEST)
        index = scale * np.intp(2 * _FARTHEST + 1) + (off + _FARTHEST)
        return np.concatenate([table.ravel().take(index) for table in _bit_slopes()])


@dataclass(frozen=True, slots=True)
class Look:
    """How the symbols of a region are predicted."""

    region: RegionSymbols
    prediction: Prediction
    kept: dict[int, _Packed]


# -- tiles -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Tiles:
    """Parts of ``size`` of a region of ``shape`` cells: their first cells ``corners`` (n, d). They may overlap."""

    shape: Shape
    size: Shape
    corners: Indices

    @cached_property
    def cells(self) -> Indices:
        """Flat positions (n · ∏ size,) of their cells in the region."""
        at = self.places
        found: Indices = np.ravel_multi_index(tuple(at), self.shape).ravel()
        return found

    @property
    def selected(self) -> Indices | slice:
        """:attr:`cells`; of a tile that is the region, a slice that copies nothing."""
        return slice(None) if self.size == self.shape else self.cells

    @cached_property
    def once(self) -> _Bools:
        """(n · ∏ size,): which of the cells have not been in a tile before."""
        found = np.zeros(len(self.cells), bool)
        found[np.unique(self.cells, return_index=True)[1]] = True
        return found

    @property
    def places(self) -> Indices:
        """Positions (d, n, *size) of their cells."""
        local = np.indices(self.size)[:, None]
        found: Indices = local + self.corners.T.reshape(len(self.shape), -1, *(1 for _ in self.shape))
        return found


def tiles_of(shape: Shape) -> Tiles:
    """A region as one tile."""
    return Tiles(shape, shape, np.zeros((1, len(shape)), np.intp))


def tiles_around(chosen: _Bools, shape: Shape, block: int, margin: int) -> Tiles:
    """Tiles of the ``chosen`` (*blocks) of ``block`` cells along each axis, with ``margin`` cells around; one tile
    where they would be most of the region."""
    size = tuple(min(block + 2 * margin, n) for n in shape)
    corners = np.argwhere(chosen) * block - margin
    if not len(corners) or len(corners) * math.prod(size) > _MOST_IN_TILES * math.prod(shape):
        return tiles_of(shape)
    return Tiles(shape, size, np.clip(corners, 0, np.subtract(shape, size)))


class _View:
    """The features of tiles, and the way back. Arrays of tiles are (…, n, *size)."""

    def __init__(self, outlook: Outlook, tiles: Tiles) -> None:
        self.order, self.tiles = outlook.order, tiles
        self.shape = (len(tiles.corners), *tiles.size)
        self.wide_shape = (len(tiles.corners), *(n + 2 * _HALO for n in tiles.size))
        number = np.zeros((2,) * self.order.axes, np.intp)
        for i, parities in enumerate(self.order.phases):
            number[parities] = i
        self._phase = number[tuple(tiles.places % 2)]
        self._known = np.moveaxis(self.order.known_mask[self._phase], -1, 0)

    def of(self, whole: Floats) -> Floats:
        """The tiles of (…, *shape) cells, or of as many more as there are on every side."""
        more = [n - m for n, m in zip(whole.shape[whole.ndim - self.order.axes :], self.tiles.shape, strict=True)]
        parts = [whole[self._place(corner, more)] for corner in self.tiles.corners]
        first = -self.order.axes - 1
        return np.stack(parts, first) if len(parts) > 1 else np.expand_dims(parts[0], first)

    def back(self, parts: Floats, halo: int) -> Floats:
        """The sum of tiles, each at its place in the region with ``halo`` cells around."""
        lead = parts.shape[: parts.ndim - self.order.axes - 1]
        found = np.zeros((*lead, *(n + 2 * halo for n in self.tiles.shape)), np.float32)
        for part, corner in zip(np.moveaxis(parts, len(lead), 0), self.tiles.corners, strict=True):
            found[self._place(corner, [2 * halo] * self.order.axes)] += part
        return found

    def _place(self, corner: Indices, more: Sequence[int]) -> tuple[Any, ...]:
        along = zip(corner, self.tiles.size, more, strict=True)
        return (..., *(slice(int(c), int(c) + n + m) for c, n, m in along))

    def _at(self, offset: Offset) -> tuple[slice, ...]:
        return (slice(None), *_shifted(offset, self.tiles.size))

    def features(self, number: int, wide: Floats, around: Floats, hats: Floats) -> Floats:
        """Inputs (F, n, *size) of the network of a pass; see :meth:`_places` for their order."""
        found = np.empty((self.order.feature_count(number), *self.shape), np.float32)
        end = 0
        for place in self._places(number):
            end = place.rows.stop
            found[place.rows] = (wide if place.symbols else around)[place.source]
            if place.near is not None:
                found[place.rows] *= self._known[place.near]
        found[end : end + len(hats)] = hats[(..., *(None,) * len(self.shape))]
        for phase in range(len(self.order.phases)):
            found[end + len(hats) + phase] = HAT * (self._phase == phase)
        return found

    def scatter(self, number: int, slopes: Floats, wide: Floats, around: Floats) -> None:
        """Add slopes towards the features (F, cells) of a pass to those towards what they were taken from."""
        for place in self._places(number):
            part = slopes[place.rows].reshape(-1, *self.shape)
            if place.near is not None:
                part = part * self._known[place.near]
            (wide if place.symbols else around)[place.source] += part

    def _places(self, number: int) -> Iterator[_Place]:
        """Where the features of a pass come from: own symbols that are known in all cells around, those of this pass
        that earlier phases have coded, differences of the means, and what is known of other planes."""
        order = self.order
        plane, low, high = order.spec.passes[number]
        here = self._at((0,) * order.axes)
        sources: list[tuple[int, bool, tuple[Any, ...], int | None]] = [
            (low - 1, True, (plane, slice(0, low - 1), *self._at(offset)), None) for offset in order.block
        ]
        sources += [
            (high - low, True, (plane, slice(low - 1, high - 1), *self._at(offset)), i)
            for i, offset in enumerate(order.near)
        ]
        sources.append((len(order.ring), False, (plane,), None))
        sources += [(len(order.close), False, (p, list(order.close)), None) for p in order.others(plane)]
        for p in order.others(plane):
            known = order.known_before(number, p) - 1
            sources.append((known, True, (p, slice(0, known), *here), None))
        at = 0
        for count, symbols, source, near in sources:
            yield _Place(slice(at, at + count), symbols, source, near)
            at += count


@dataclass(frozen=True, slots=True)
class _Place:
    """Rows of a pass's features, whether they are copied from symbols or from differences of means, from which of
    them, and of which neighbour not all cells know."""

    rows: slice
    symbols: bool
    source: tuple[Any, ...]
    near: int | None


# -- cells around ----------------------------------------------------------------------------------------
def _wide(features: npt.NDArray[np.int16]) -> Floats:
    """Features (P, K, *cells) with cells of zeros around."""
    axes = features.ndim - 2
    found: Floats = np.pad(features.astype(np.float32), [(0, 0), (0, 0), *([(_HALO, _HALO)] * axes)])
    return found


def _means_around(order: Order, means: Symbols) -> tuple[Symbols, _Bools]:
    """Means (P, ring, *cells) around each cell less its own, 0 where there is none; and where there is one."""
    shape = means.shape[1:]
    border = [(_HALO, _HALO)] * len(shape)
    wide, inside = np.pad(means, [(0, 0), *border]), np.pad(np.ones(shape, bool), border)
    places = [_shifted(offset, shape) for offset in order.ring]
    there = np.stack([inside[place] for place in places])
    return np.stack([wide[(slice(None), *place)] - means for place in places], 1) * there, there


def _means_slope(order: Order, means: Symbols, around: Floats) -> Floats:
    """Slopes (P, *cells) towards means, from those towards their companded differences (P, ring, *cells)."""
    shape = means.shape[1:]
    differences, there = _means_around(order, means)
    slopes = around * _slopes_at(differences) * there
    wide = np.zeros((len(means), *(n + 2 * _HALO for n in shape)), np.float32)
    for j, offset in enumerate(order.ring):
        wide[(slice(None), *_shifted(offset, shape))] += slopes[:, j]
    found: Floats = wide[(slice(None), *_shifted((0,) * len(shape), shape))] - slopes.sum(1)
    return found


def _shifted(offset: Offset, shape: Shape) -> tuple[slice, ...]:
    """Where the neighbours of cells are in an array that is wider by the halo."""
    return tuple(slice(_HALO + o, _HALO + o + n) for o, n in zip(offset, shape, strict=True))


# -- networks --------------------------------------------------------------------------------------------
def _forward(network: Network, x: Floats) -> tuple[Indices, Indices, _Kept]:
    """Means and scales (n, cells) as of :class:`Network`, and where nothing was cut off."""
    free = []
    for layer in network.layers[:-1]:
        x = layer(x)
        free.append((x > 0) & (x < LARGEST_HIDDEN))
        np.clip(x, 0, LARGEST_HIDDEN, out=x)
    out = network.layers[-1](x)
    n = len(out) // 2
    inside = np.empty(out.shape, bool)
    inside[:n] = np.abs(out[:n]) < LARGEST_MEAN
    inside[n:] = (out[n:] > 0) & (out[n:] < logistic.SCALES - 1)
    mean = np.clip(out[:n], -LARGEST_MEAN, LARGEST_MEAN).astype(np.int32)
    return mean, np.clip(out[n:], 0, logistic.SCALES - 1).astype(np.uint8), _Kept(free[0], free[1], inside)


def _backward(network: Network, kept: _Kept, slopes: Floats) -> Floats:
    """Slopes (F, cells) towards the inputs of a network, from those (2n, cells) towards its outputs."""
    for layer, inside in zip(reversed(network.layers), (kept.out, kept.second, kept.first), strict=True):
        slopes = _transposed(layer) @ (slopes * inside)
    return slopes


def _transposed(layer: Layer) -> Floats:
    weight: Floats = layer.shifted[0]
    return weight.T
