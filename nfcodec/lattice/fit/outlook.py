"""What the prior says of a region whose symbols are all known, and how that changes with each of them.

The coder goes phase by phase, since a decoder does. An encoder knows all symbols, so it takes all cells of a pass in
one product; the sums are of whole numbers, hence the same. What was computed on the way is kept, and one pass back
through the networks gives the slope of all later bits towards every symbol: the look ahead of the rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nfcodec.blas import single_threaded
from nfcodec.entropy import logistic
from nfcodec.entropy.networks import Layer, lined
from nfcodec.lattice.code import Prediction, RegionSymbols, predict
from nfcodec.lattice.fit.tiles import Tiles, tiles_of
from nfcodec.lattice.fit.views import Inputs, View
from nfcodec.lattice.given import Given
from nfcodec.lattice.order import Order, quality_features
from nfcodec.lattice.prior import LARGEST_HIDDEN, LARGEST_MEAN, Network, Prior
from nfcodec.types import Floats, Indices, Scales, Shape, Symbols

_Bools = npt.NDArray[np.bool_]

_EIGHTHS = logistic.EIGHTHS
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


@dataclass(frozen=True, slots=True)
class _Kept:
    """Of one pass: which activations (width, cells) of both hidden layers, and which means and scales (2n, cells), were
    within their bounds, eight of them to a byte: a region has tens of megabytes of them, in several states at once."""

    bits: tuple[npt.NDArray[np.uint8], ...]
    cells: int

    @classmethod
    def of(cls, layers: Sequence[_Bools]) -> _Kept:
        """The layers (rows, cells) in their order."""
        return cls(tuple(np.packbits(layer, axis=1) for layer in layers), layers[0].shape[1])

    @classmethod
    def joined(cls, parts: Sequence[_Kept]) -> _Kept:
        """What strips of cells say, one after the other; all but the last are of whole bytes."""
        layers = tuple(np.concatenate(rows, axis=1) for rows in zip(*(p.bits for p in parts), strict=True))
        return cls(layers, sum(p.cells for p in parts))

    def layers(self, cells: slice = slice(None)) -> list[_Bools]:
        """The layers of some cells, whole bytes of them."""
        start, stop, _ = cells.indices(self.cells)
        parts = [bits[:, start // 8 : -(-stop // 8)] for bits in self.bits]
        return [np.unpackbits(part, axis=1, count=stop - start).view(bool) for part in parts]

    def by_tiles(self, views: Sequence[View]) -> Iterator[list[_Bools]]:
        """The layers of the cells of each view."""
        layers = self.layers() if views[0].tiles.strip is None else []
        for tiles in (view.tiles for view in views):
            yield [layer[:, tiles.cells] for layer in layers] if tiles.strip is None else self.layers(tiles.strip)

    def with_parts(self, views: Sequence[View], parts: Sequence[_Kept]) -> _Kept:
        """The same, but of the cells of each view what a part says."""
        layers = self.layers()
        for view, part in zip(views, parts, strict=True):
            for layer, found in zip(layers, part.layers(), strict=True):
                layer[:, view.tiles.cells] = found
        return _Kept.of(layers)


class Outlook:
    """Looks at regions of ``shape`` cells, whole or tile by tile."""

    def __init__(self, prior: Prior, shape: Shape, planes: int) -> None:
        self.prior, self.shape, self.planes = prior, shape, planes
        self.whole = tiles_of(shape)
        self._room = np.empty(0, np.float32)

    @property
    def order(self) -> Order:
        """The order of the symbols."""
        return self.prior.order

    def passes(self) -> Iterator[int]:
        """The numbers of the passes that are coded."""
        return (i for i, (plane, _, _) in enumerate(self.order.spec.passes) if plane < self.planes)

    def room(self, number: int, view: View) -> Floats:
        """(F, cells) of undefined numbers for the inputs of a pass; the next call gives them away again."""
        rows, cells = self.prior.groups[number].layers[0].weight.shape[1], math.prod(view.shape)
        if self._room.size < rows * cells:
            self._room = lined(rows * cells)
        return self._room[: rows * cells].reshape(rows, cells)

    def _views(self, tiles: Tiles | None) -> list[View]:
        return [View(self.order, part) for part in (tiles or self.whole).parts]

    @single_threaded
    def look(self, region: RegionSymbols, before: Look | None = None, tiles: Tiles | None = None) -> Look:
        """Predictions of all symbols of a region, and what is needed for their slopes. ``before``: a look at symbols
        from which these differ so little that other cells than those of ``tiles`` have the same contexts."""
        views, symbols = self._views(tiles), region.symbols
        before = None if views[0].tiles.strip else before
        means = predict(self.prior, region, means=True)
        mean, scale = means.mean, means.scale
        if before:
            mean[:, 1:], scale[:, 1:] = before.prediction.mean[:, 1:], before.prediction.scale[:, 1:]
        inputs = Inputs.of(self.order, symbols, quality_features(region.quality).astype(np.float32))
        parts = [view.of(inputs) for view in views]
        kept = {}
        for i in self.passes():
            both = zip(views, parts, strict=True)
            free = [self._predict(i, view, part, region.given, mean, scale) for view, part in both]
            kept[i] = before.kept[i].with_parts(views, free) if before else _Kept.joined(free)
        return Look(region, Prediction(mean, scale, self.planes), kept)

    def _predict(
        self, number: int, view: View, inputs: Inputs, given: Given | None, mean: Symbols, scale: Scales
    ) -> _Kept:  # fmt: skip
        """Fill in the means and scales (P, K, *cells) of a pass for the cells of a view."""
        plane, low, high = self.order.spec.passes[number]
        room, count = self.room(number, view), self.order.feature_count(number)
        view.features(number, inputs, room[:count])
        if given is not None:
            room[count:] = given.rows(plane, low, high, view.tiles.selected)
        found, scales, free = _forward(self.prior.groups[number], room)
        mean[plane, low:high].reshape(high - low, -1)[:, view.tiles.selected] = found
        scale[plane, low:high].reshape(high - low, -1)[:, view.tiles.selected] = scales
        return free

    @single_threaded
    def slope(self, look: Look, tiles: Tiles | None = None) -> Floats:
        """Slope of the bits of all symbols but the means, towards every symbol (P, K, *cells) that they are predicted
        from; ``tiles``: only the bits of their cells."""
        views, symbols = self._views(tiles), look.region.symbols
        once = None if views[0].tiles.strip else (tiles or self.whole).once
        whole = Inputs.zeros(self.order, symbols.shape)
        parts = [view.opened(whole) for view in views]
        for i in self.passes():
            start, network = 0, self.prior.groups[i]
            for view, part, kept in zip(views, parts, look.kept[i].by_tiles(views), strict=True):
                slopes = self._out_slopes(look, i, view.tiles)
                stop = start + slopes.shape[1]
                slopes = slopes if once is None else slopes * once[start:stop]
                view.scatter(i, _backward(network, kept, slopes, self.room(i, view)), part)
                start = stop
        for view, part in zip(views, parts, strict=True):
            view.close(part, whole)
        return whole.slopes(self.order, symbols)

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
    kept: dict[int, _Kept]


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
    return mean, np.clip(out[n:], 0, logistic.SCALES - 1).astype(np.uint8), _Kept.of([*free, inside])


def _backward(network: Network, kept: Sequence[_Bools], slopes: Floats, out: Floats) -> Floats:
    """Slopes ``out`` (F, cells) towards the inputs of a network, from those (2n, cells) towards its outputs; ``kept``:
    what was not cut off, layer by layer."""
    first, *rest = network.layers
    for layer, inside in zip(reversed(rest), reversed(kept[1:]), strict=True):
        slopes = _transposed(layer) @ (slopes * inside)
    return np.matmul(_transposed(first), slopes * kept[0], out=out)


def _transposed(layer: Layer) -> Floats:
    weight: Floats = layer.shifted[0]
    return weight.T
