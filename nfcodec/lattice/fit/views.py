"""The context features of parts of a region whose symbols are all known, and the way back from their slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.lattice.fit.tiles import Tiles
from nfcodec.lattice.order import HAT, LARGEST_FEATURE, Offset, Order, compand
from nfcodec.types import Floats, Indices, Shape, Symbols

_Bools = npt.NDArray[np.bool_]

# Cells beyond a region or a tile that contexts of means and symbols reach.
HALO = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    """What features are copied from: symbols but the mean ``near`` (P, K − 1, *cells) with cells of zeros around, and
    differences of the means ``around`` (P, ring, *cells), companded; the quality features ``hats`` (Q,). Or slopes
    towards these. Of tiles, the cells are (n, *size)."""

    near: Floats
    around: Floats
    hats: Floats

    @classmethod
    def of(cls, order: Order, symbols: Symbols, hats: Floats) -> Inputs:
        """Of the symbols (P, K, *cells) of a region."""
        around = compand(means_around(order, symbols[:, 0])[0]).astype(np.float32)
        return cls(wide_of(symbols[:, 1:]), around, hats)

    @classmethod
    def zeros(cls, order: Order, shape: Shape) -> Inputs:
        """Slopes of nothing towards symbols of ``shape`` (P, K, *cells)."""
        planes, bases, *cells = shape
        near = np.zeros((planes, bases - 1, *(n + 2 * HALO for n in cells)), np.float32)
        return cls(near, np.zeros((planes, len(order.ring), *cells), np.float32), np.zeros(0, np.float32))

    def slopes(self, order: Order, symbols: Symbols) -> Floats:
        """The slopes of a region towards its symbols (P, K, *cells)."""
        found, cells = np.empty(symbols.shape, np.float32), symbols.shape[2:]
        inner: tuple[Any, ...] = (slice(None), *shifted((0,) * len(cells), cells))
        for own, near, plane in zip(found, self.near, symbols, strict=True):  # one at a time, for the memory
            np.multiply(near[inner], slopes_at(plane[1:]), out=own[1:])
        found[:, 0] = means_slope(order, symbols[:, 0], self.around)
        return found


class View:
    """The features of tiles, and the way back. Arrays of tiles are (…, n, *size)."""

    def __init__(self, order: Order, tiles: Tiles) -> None:
        self.order, self.tiles = order, tiles
        self.shape = (len(tiles.corners), *tiles.size)
        number = np.zeros((2,) * self.order.axes, np.intp)
        for i, parities in enumerate(self.order.phases):
            number[parities] = i
        self._phase = number[tuple(tiles.places % 2)]
        self._known = np.moveaxis(self.order.known_mask[self._phase], -1, 0)

    def of(self, whole: Inputs) -> Inputs:
        """The inputs of the tiles, from those of the region."""
        return Inputs(self._of(whole.near), self._of(whole.around), whole.hats)

    def opened(self, whole: Inputs) -> Inputs:
        """What slopes are added to: of the region itself, for a single tile."""
        parts = self.of(whole)
        if len(self.tiles.corners) == 1:
            return parts
        return Inputs(np.zeros_like(parts.near), np.zeros_like(parts.around), whole.hats)

    def close(self, parts: Inputs, whole: Inputs) -> None:
        """Add what was :meth:`opened` to the slopes of the region."""
        if len(self.tiles.corners) > 1:
            self._add(parts.near, whole.near)
            self._add(parts.around, whole.around)

    def _of(self, whole: Floats) -> Floats:
        """The tiles of (…, *shape) cells, or of as many more as there are on every side."""
        more, first = self._more(whole), -self.order.axes - 1
        parts = [whole[self._place(corner, more)] for corner in self.tiles.corners]
        return np.stack(parts, first) if len(parts) > 1 else np.expand_dims(parts[0], first)

    def _add(self, parts: Floats, whole: Floats) -> None:
        more, first = self._more(whole), whole.ndim - self.order.axes
        for part, corner in zip(np.moveaxis(parts, first, 0), self.tiles.corners, strict=True):
            whole[self._place(corner, more)] += part

    def _more(self, whole: Floats) -> list[int]:
        return [n - m for n, m in zip(whole.shape[whole.ndim - self.order.axes :], self.tiles.shape, strict=True)]

    def _place(self, corner: Indices, more: Sequence[int]) -> tuple[Any, ...]:
        along = zip(corner, self.tiles.size, more, strict=True)
        return (..., *(slice(int(c), int(c) + n + m) for c, n, m in along))

    def features(self, number: int, inputs: Inputs, room: Floats) -> Floats:
        """Inputs (F, cells) of the network of a pass, kept in ``room`` (F, cells); see :func:`_places` for their
        order."""
        found, end = room.reshape(-1, *self.shape), 0
        for place in _places(self.order, number, self.tiles.size):
            end = place.rows.stop
            source = (inputs.near if place.symbols else inputs.around)[place.source]
            if place.near is None:
                found[place.rows] = source
            else:
                np.multiply(source, self._known[place.near], out=found[place.rows])
        hats = inputs.hats
        found[end : end + len(hats)] = hats[(..., *(None,) * len(self.shape))]
        for phase in range(len(self.order.phases)):
            found[end + len(hats) + phase] = HAT * (self._phase == phase)
        return room

    def scatter(self, number: int, slopes: Floats, towards: Inputs) -> None:
        """Add slopes towards the features (F, cells) of a pass to those towards what they were taken from."""
        for place in _places(self.order, number, self.tiles.size):
            part = slopes[place.rows].reshape(-1, *self.shape)
            if place.near is not None:
                part = part * self._known[place.near]
            (towards.near if place.symbols else towards.around)[place.source] += part


@dataclass(frozen=True, slots=True)
class _Place:
    """Rows of a pass's features, whether they are copied from symbols or from differences of means, from which of
    them, and of which neighbour not all cells know."""

    rows: slice
    symbols: bool
    source: tuple[Any, ...]
    near: int | None


@lru_cache(maxsize=512)
def _places(order: Order, number: int, size: Shape) -> tuple[_Place, ...]:
    """Where the features of a pass come from in tiles of ``size``: own symbols that are known in all cells around,
    those of this pass that earlier phases have coded, differences of the means, and what is known of other planes."""
    plane, low, high = order.spec.passes[number]
    at = {offset: (slice(None), *shifted(offset, size)) for offset in order.block}
    sources: list[tuple[int, bool, tuple[Any, ...], int | None]] = [
        (low - 1, True, (plane, slice(0, low - 1), *at[offset]), None) for offset in order.block
    ]
    sources += [
        (high - low, True, (plane, slice(low - 1, high - 1), *at[offset]), i) for i, offset in enumerate(order.near)
    ]
    sources.append((len(order.ring), False, (plane,), None))
    sources += [(len(order.close), False, (p, list(order.close)), None) for p in order.others(plane)]
    for p in order.others(plane):
        known = order.known_before(number, p) - 1
        sources.append((known, True, (p, slice(0, known), *at[(0,) * order.axes]), None))
    stops = np.cumsum([count for count, *_ in sources]).tolist()
    pairs = zip(stops, sources, strict=True)
    return tuple(_Place(slice(n - count, n), symbols, source, near) for n, (count, symbols, source, near) in pairs)


# -- cells around ----------------------------------------------------------------------------------------
def wide_of(symbols: Symbols) -> Floats:
    """Symbols (P, K, *cells) as features, with cells of zeros around."""
    shape = symbols.shape[2:]
    found = np.zeros((*symbols.shape[:2], *(n + 2 * HALO for n in shape)), np.float32)
    inner = shifted((0,) * len(shape), shape)
    for part, plane in zip(found, symbols, strict=True):  # one at a time, for the memory
        part[(slice(None), *inner)] = compand(plane)
    return found


def means_around(order: Order, means: Symbols) -> tuple[Symbols, _Bools]:
    """Means (P, ring, *cells) around each cell less its own, 0 where there is none; and where there is one."""
    shape = means.shape[1:]
    border = [(HALO, HALO)] * len(shape)
    wide, inside = np.pad(means, [(0, 0), *border]), np.pad(np.ones(shape, bool), border)
    places = [shifted(offset, shape) for offset in order.ring]
    there = np.stack([inside[place] for place in places])
    return np.stack([wide[(slice(None), *place)] - means for place in places], 1) * there, there


def means_slope(order: Order, means: Symbols, around: Floats) -> Floats:
    """Slopes (P, *cells) towards means, from those towards their companded differences (P, ring, *cells)."""
    shape = means.shape[1:]
    differences, there = means_around(order, means)
    slopes = around * slopes_at(differences) * there
    wide = np.zeros((len(means), *(n + 2 * HALO for n in shape)), np.float32)
    for j, offset in enumerate(order.ring):
        wide[(slice(None), *shifted(offset, shape))] += slopes[:, j]
    found: Floats = wide[(slice(None), *shifted((0,) * len(shape), shape))] - slopes.sum(1)
    return found


def shifted(offset: Offset, shape: Shape) -> tuple[slice, ...]:
    """Where the neighbours of cells are in an array that is wider by the halo."""
    return tuple(slice(HALO + o, HALO + o + n) for o, n in zip(offset, shape, strict=True))


@lru_cache(maxsize=1)
def _compand_slopes() -> Floats:
    """Slopes of :func:`nfcodec.lattice.order.compand` at 0 … 255: between the next whole numbers on both sides, what a
    symbol can change by; 0 where the feature is at its limit."""
    at = np.arange(256.0)
    slopes = np.where(at < 1.0, 1.0, 0.5 * np.log2((2.0 + at) / np.maximum(at, 1.0)))
    found: Floats = (HAT * slopes * (compand(np.arange(256)) < LARGEST_FEATURE)).astype(np.float32)
    return found


def slopes_at(values: Symbols) -> Floats:
    """Slopes of the companded features of symbols."""
    found: Floats = _compand_slopes().take(np.minimum(np.abs(values), 255))
    return found
