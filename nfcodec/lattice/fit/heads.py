"""Which head of Y each block of a region shall use: the one that leaves the least error, what it takes to say so
included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nfcodec.lattice.filtering import SIDE, SampleFilter
from nfcodec.lattice.heads import BLOCK, blocks
from nfcodec.lattice.space import Box
from nfcodec.parallel import every
from nfcodec.types import Bytes, Doubles, Floats, Indices

# About what it takes to say that a block uses the same head as its neighbours; as the left one alone; as the one above
# alone; and any other, besides the logarithm of how rare that is. In bits.
_ALIKE, _LEFT, _ABOVE, _OTHER = 0.5, 1.0, 2.0, 2.5
_SWEEPS = 3
_SECTION = 64.0  # bits


@dataclass(frozen=True)
class Chosen:
    """The ``heads`` (h, w) of the blocks of a region, and what they ``add`` to its planes (P, H, W), in 2^-20."""

    heads: Bytes
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
    counted with ``weight`` (H, W); ``trade``: squared error per bit."""
    count, size = len(missing), (planes.shape[1] // SIDE, planes.shape[2] // SIDE)
    added = np.empty((found.heads * count, *planes.shape[1:]), np.int16)
    starts = [place.starts(axis, n) for axis, n in enumerate(size)]
    errors = np.zeros((found.heads, *(blocks(n) for n in place.cells)))
    unit = found.scale(quality)

    def fill(tile: Box) -> None:
        rows, columns = (slice(SIDE * a, SIDE * b) for a, b in zip(tile.start, tile.stop, strict=True))
        every_head = added[:, rows, columns] = found.added(planes, quality, tile, None)
        left = every_head.reshape(found.heads, count, *every_head.shape[1:]) * unit
        left -= missing[:, rows, columns]
        squares = np.square(left, out=left).sum(1)
        squares *= weight[rows, columns]
        at = [s[(s >= a) & (s < b)] for s, a, b in zip(starts, tile.start, tile.stop, strict=True)]
        sums = np.add.reduceat(squares, SIDE * (at[0] - tile.start[0]), 1, np.float64)
        sums = np.add.reduceat(sums, SIDE * (at[1] - tile.start[1]), 2)
        first = [int(np.searchsorted(s, a)) for s, a in zip(starts, tile.start, strict=True)]
        errors[:, first[0] : first[0] + len(at[0]), first[1] : first[1] + len(at[1])] = sums

    every(fill, _tiles(starts, size, found.tile))
    heads = cheapest(errors / trade)
    own = [np.repeat(np.arange(len(s)), np.diff([*s, n]) * SIDE) for s, n in zip(starts, size, strict=True)]
    squares = heads[own[0][:, None], own[1]]
    shown = np.take_along_axis(added.reshape(found.heads, count, *squares.shape), squares[None, None], 0)[0]
    return Chosen(heads, shown * np.float32(unit))


def _tiles(starts: list[Indices], size: tuple[int, int], most: tuple[int, int]) -> Iterator[Box]:
    """Boxes of squares, of whole blocks that begin at ``starts``."""
    spans = [_spans(s, n, m) for s, n, m in zip(starts, size, most, strict=True)]
    for (a, b), (c, d) in itertools.product(*spans):
        yield Box(-1, (a, c), (b, d))


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
    for sweep, odd in itertools.product(range(_SWEEPS), range(2)):
        some = (rows + columns) % 2 == odd
        if not sweep and not odd:
            some[...] = True
        heads = np.where(some, (costs + _said(heads, len(costs))).argmin(0), heads)
    whole = np.take_along_axis(costs, heads[None], 0).sum() + _bits_of(heads, len(costs))
    return np.where(whole + _SECTION < costs[0].sum(), heads, 0).astype(np.uint8)


def _said(heads: Indices, count: int) -> Doubles:
    """What it would take, of all, to say each head of each block as the others are: (count, h, w)."""
    rare = _rarity(heads, count)
    own = np.arange(count)[:, None, None]
    left, above = _before(heads, 1), _before(heads, 0)
    bits = _price(own, left, above, rare)
    # What the blocks to the right and below are told by.
    bits[:, :, :-1] += _price(heads[:, 1:], own, above[:, 1:], rare)
    bits[:, :-1] += _price(heads[1:], left[1:], own, rare)
    return bits


def _bits_of(heads: Indices, count: int) -> float:
    bits = _price(heads, _before(heads, 1), _before(heads, 0), _rarity(heads, count))
    return float(bits.sum())


def _rarity(heads: Indices, count: int) -> Doubles:
    """−log2 of the share of each head."""
    found = np.bincount(heads.ravel(), minlength=count) + 1.0
    return np.asarray(-np.log2(found / found.sum()), np.float64)


def _before(heads: Indices, axis: int) -> Indices:
    """The head of the block before along an axis, the first one's own where there is none."""
    return np.concatenate([heads.take([0], axis), heads.take(range(heads.shape[axis] - 1), axis)], axis)


def _price(own: Indices, left: Indices, above: Indices, rare: Doubles) -> Doubles:
    """Bits to say ``own`` where the neighbours are these."""
    alike, as_left, as_above = left == above, own == left, own == above
    told = np.where(as_left, np.where(alike, _ALIKE, _LEFT), np.where(as_above, _ABOVE, _OTHER + rare[own]))
    return np.asarray(told, np.float64)
