"""Which head of Y each block of a region shall use: the one that leaves the least error, what it takes to say so
included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nfcodec.container.layout import section_size
from nfcodec.lattice import paired
from nfcodec.lattice.filtering import SIDE, SampleFilter, squared, unsquared
from nfcodec.lattice.heads import BLOCK, blocks, encode_heads
from nfcodec.lattice.space import Box
from nfcodec.parallel import ordered_map
from nfcodec.types import Bytes, Doubles, Floats, Indices

_SWEEPS = 3


@dataclass(frozen=True)
class Chosen:
    """The ``heads`` (h, w) of the blocks of a region, None for the first, and what they ``add`` to its planes (P, H,
    W)."""

    heads: Bytes | None
    added: Floats


@dataclass(frozen=True)
class Place:
    """Where samples lie in a region: the ``first`` of them along each axis, of ``cells`` and their ``spacing``."""

    first: tuple[int, int]
    cells: tuple[int, int]
    spacing: tuple[int, int]

    def starts(self, axis: int, size: int) -> Indices:
        """The squares, of ``size`` of them, with which blocks begin, the first one included."""
        length, first = BLOCK * self.spacing[axis] // SIDE, self.first[axis] // SIDE
        return np.unique(np.maximum(np.arange(0, first + size, length) - first, 0))


def choose(
    found: SampleFilter, planes: Doubles, missing: Floats, weight: Floats, place: Place, *, quality: int, trade: float
) -> Chosen:  # fmt: skip
    """The heads for planes (P, H, W), in 2^-32, of which ``missing`` (P, H, W) is to be added, errors of samples
    counted with ``weight`` (H, W); ``trade``: squared error per bit. Of one view, as rounds mind it."""
    size, unit = (planes.shape[1] // SIDE, planes.shape[2] // SIDE), found.scale(quality)
    starts = [place.starts(axis, n) for axis, n in enumerate(size)]
    errors = np.zeros((found.heads, *(blocks(n) for n in place.cells)))
    wanted, weights = squared(missing / np.float32(unit)), squared(weight[None])

    def weighed(tile: _Tile) -> _Weighed:
        made = list[_Weighed]()

        def last(columns: int, inner: slice) -> _Weighed:
            made.append(_Weighed(found, quality, wanted[tile.box.cells], weights[tile.box.cells], columns, inner))
            return made[0]

        found.leaving(planes, quality, tile.box, last)
        errors[(..., *tile.blocks)] = made[0].errors(tile.starts)
        return made[0]

    tiles = list(_tiles(starts, size, found.tile))
    kept = list(ordered_map(weighed, tiles))
    heads, added = cheapest(errors * (unit * unit / trade)), np.empty_like(missing)
    for tile, one in zip(tiles, kept, strict=True):
        added[tile.samples] = one.added(tile.starts, heads[tile.blocks])
    added *= np.float32(unit)
    return Chosen(heads, added)


@dataclass(frozen=True)
class _Tile:
    """A ``box`` of squares; the ``blocks`` that it is made of, and where in it they begin, along each axis."""

    box: Box
    blocks: tuple[slice, slice]
    starts: list[Indices]

    @property
    def samples(self) -> tuple[Any, ...]:
        """Where its samples are in planes."""
        return (..., *(slice(SIDE * a, SIDE * b) for a, b in zip(self.box.start, self.box.stop, strict=True)))


class _Weighed:
    """A last layer that keeps what all heads make of a tile of squares, and weighs what that leaves of ``wanted`` (4·P,
    h, w), both in 256ths of the unit, by the ``weights`` (4, h, w) of their samples. The tile has the ``inner`` ones of
    so many ``columns``."""

    outputs = 0  # there is nothing to show yet

    def __init__(
        self, found: SampleFilter, quality: int, wanted: Floats, weights: Floats, columns: int, inner: slice
    ) -> None:  # fmt: skip
        self._leaving, self._heads, self._inner = found.network(quality).leaving, found.heads, inner
        count, height, _ = wanted.shape
        self._wanted, self._weights = (self._apart(x, columns) for x in (wanted, weights.repeat(count // 4, 0)))
        half = self._wanted.shape[-1]
        self._kept = np.empty((height, 2, self._heads, count, half), np.int16)
        self._left = np.empty((height, 2, self._heads, half), np.float32)

    def _apart(self, x: Floats, columns: int) -> Floats:
        """Numbers (C, h, w) of a tile as layers have them, (h, 2, C, half), with zeros around."""
        half = paired.half(columns)
        wide = np.zeros((x.shape[1], len(x), 2 * half), np.float32)
        wide[:, :, self._inner] = x.transpose(1, 0, 2)
        return np.ascontiguousarray(wide.reshape(*wide.shape[:2], half, 2).transpose(0, 3, 1, 2))

    def __call__(self, active: Floats, rows: slice) -> Floats:
        """See :class:`nfcodec.lattice.squares.LastLayer`."""
        kept = self._kept[rows]
        found = self._leaving(active).reshape(kept.shape)
        kept[...] = found
        found -= self._wanted[rows, :, None]
        np.square(found, out=found)
        found *= self._weights[rows, :, None]
        np.sum(found, 3, out=self._left[rows])
        return np.empty((*active.shape[:2], 0, active.shape[3]), np.float32)

    def errors(self, starts: list[Indices]) -> Doubles:
        """What heads leave of blocks that begin at these rows and columns: (heads, h, w)."""
        sums = np.add.reduceat(self._left, starts[0], 0, np.float64)
        sums = sums.transpose(2, 0, 3, 1).reshape(self._heads, len(starts[0]), -1)[..., self._inner]
        return np.asarray(np.add.reduceat(sums, starts[1], 2), np.float64)

    def added(self, starts: list[Indices], heads: Bytes) -> Floats:
        """What the ``heads`` (h, w) of blocks that begin at these rows and columns add to planes: (P, 2H, 2W)."""
        size = len(self._kept), self._inner.stop - self._inner.start
        out = np.empty((self._kept.shape[3], *size), np.int16)
        rows, columns = (list(itertools.pairwise([*s.tolist(), n])) for s, n in zip(starts, size, strict=True))
        for (i, (top, bottom)), (j, (left, right)) in itertools.product(enumerate(rows), enumerate(columns)):
            for side in range(2):
                first, stop = (-(-(self._inner.start + c - side) // 2) for c in (left, right))
                own = slice(2 * first + side - self._inner.start, right, 2)
                out[:, top:bottom, own] = self._kept[top:bottom, side, heads[i, j], :, first:stop].swapaxes(0, 1)
        return unsquared(out.astype(np.float32))


def _tiles(starts: list[Indices], size: tuple[int, int], most: tuple[int, int]) -> Iterator[_Tile]:
    """Tiles of whole blocks that begin at ``starts``."""
    spans = [_spans(s, n, m) for s, n, m in zip(starts, size, most, strict=True)]
    for (a, b), (c, d) in itertools.product(*spans):
        first = [(np.searchsorted(s, p), np.searchsorted(s, q)) for s, p, q in zip(starts, (a, c), (b, d), strict=True)]
        rows, columns = (slice(int(p), int(q)) for p, q in first)
        yield _Tile(Box(-1, (a, c), (b, d)), (rows, columns), [starts[0][rows] - a, starts[1][columns] - c])


def _spans(starts: Indices, size: int, most: int) -> list[tuple[int, int]]:
    """What lies between starts, as many together as do not exceed ``most``."""
    ends = [*starts[1:].tolist(), size]
    found, first = [], 0
    for i, end in enumerate(ends):
        last = i + 1 == len(ends)
        if last or ends[i + 1] - first > most:
            found.append((first, end))
            first = end
    return found


def cheapest(costs: Doubles) -> Bytes:
    """The heads (h, w) that cost least, in bits: ``costs`` (heads, h, w) and what it takes to say which they are."""
    heads = costs.argmin(0)
    rows, columns = np.indices(heads.shape)
    for odd in [None, *(0, 1) * _SWEEPS]:
        said = (costs + _said(heads, _Chances.of(heads, len(costs)))).argmin(0)
        heads = said if odd is None else np.where((rows + columns) % 2 == odd, said, heads)
    found = heads.astype(np.uint8)
    told = 8 * section_size(1 + len(encode_heads(found))) if found.any() else 0
    whole = np.take_along_axis(costs, heads[None], 0).sum() + told
    return found if whole < costs[0].sum() else np.zeros_like(found)


@dataclass(frozen=True)
class _Chances:
    """What the answers cost that say a head, in bits: that a block ``is_left`` or is ``not_left`` by the context that
    :mod:`nfcodec.lattice.heads` has for it, that it is as the one above or not, and each ``number``."""

    is_left: Doubles
    not_left: Doubles
    is_above: float
    not_above: float
    number: Doubles

    @classmethod
    def of(cls, heads: Indices, count: int) -> _Chances:
        """From how often they occur in heads (h, w)."""
        left, above = _before(heads, 1), _before(heads, 0)
        as_left, as_above = heads == left, heads == above
        context = _context(left, above)
        yes, no = (np.bincount(context[which], minlength=4) + 1.0 for which in (as_left, ~as_left))
        asked = ~as_left & (left != above)
        above_yes, above_no = (asked & as_above).sum() + 1.0, (asked & ~as_above).sum() + 1.0
        spelled = np.bincount(heads[~as_left & ~as_above], minlength=count) + 1.0
        both, asks = yes + no, above_yes + above_no
        return cls(
            -np.log2(yes / both), -np.log2(no / both), float(-np.log2(above_yes / asks)),
            float(-np.log2(above_no / asks)), -np.log2(spelled / spelled.sum()),
        )  # fmt: skip

    def price(self, own: Indices, left: Indices, above: Indices) -> Doubles:
        """Bits to say ``own`` where the neighbours are these."""
        context, alike = _context(left, above), left == above
        other = self.number[own] + np.where(alike, 0.0, self.not_above)
        told = np.where((own == above) & ~alike, self.is_above, other)
        return np.where(own == left, self.is_left[context], self.not_left[context] + told)


def _context(left: Indices, above: Indices) -> Indices:
    return np.asarray(2 * (left == above) + (left == 0), np.int64)


def _said(heads: Indices, chances: _Chances) -> Doubles:
    """What it would take, of all, to say each head of each block as the others are: (heads, h, w)."""
    own = np.arange(len(chances.number))[:, None, None]
    left, above = _before(heads, 1), _before(heads, 0)
    bits = chances.price(own, left, above)
    # What the blocks to the right and below are told by.
    bits[:, :, :-1] += chances.price(heads[:, 1:], own, above[:, 1:])
    bits[:, :-1] += chances.price(heads[1:], left[1:], own)
    return bits


def _before(heads: Indices, axis: int) -> Indices:
    """The head of the block before along an axis, at the border that of the one before along the other, 0 for the first
    block."""
    moved = np.roll(heads, 1, axis)
    edge = np.take(np.roll(heads, 1, 1 - axis), [0], axis)
    edge[0, 0] = 0
    first = moved[:1] if axis == 0 else moved[:, :1]
    first[...] = edge
    return np.asarray(moved, np.int64)
