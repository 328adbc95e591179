"""Which head of Y each block of a picture uses: blocks of 4 × 4 cells, and how their numbers are coded.

A block is expected to use what the block to its left uses, else what the one above uses. Flags say whether that is so;
where it is not, the number follows, bit by bit. All flags learn their chances while they are coded
(:mod:`nfcodec.entropy.adaptive`). Blocks are taken in fronts: those with equal row + column do not depend on each
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from nfcodec.entropy.adaptive import Counts, Reader, Stream, Writer
from nfcodec.errors import CorruptError
from nfcodec.lattice.filtering import MOST_HEADS, SIDE
from nfcodec.lattice.space import Space
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.types import Bytes, Indices, Ints, Mask, Span

BLOCK = 4  # cells along each axis
BITS = (MOST_HEADS - 1).bit_length()
# Contexts: whether a block is as its left one: four by whether that is like the one above, and whether it uses head 0;
# whether it is as the one above: two; the nodes of the tree of numbers.
_LEFT, _ABOVE, _TREE = 0, 4, 6
_CONTEXTS = _TREE + (1 << BITS)


def blocks(cells: int) -> int:
    """How many blocks so many cells along an axis have."""
    return -(-cells // BLOCK)


def encode_heads(heads: Bytes) -> bytes:
    """The payload of a chunk's heads (h, w), not all of them 0."""
    writer = Writer()
    _exchange(writer, heads.shape, heads)
    return writer.finish()


def decode_heads(payload: bytes, shape: tuple[int, int], count: int, *, limits: Limits = DEFAULT_LIMITS) -> Bytes:
    """Inverse of :func:`encode_heads` for ``shape`` blocks and ``count`` heads. Raises :class:`CorruptError`."""
    reader = Reader(payload, limits=limits)
    heads = _exchange(reader, shape, None)
    reader.finish()
    if heads.max() >= count or not heads.any():
        raise CorruptError(f"heads up to {heads.max()}, there are {count} of Y, and all 0 has no section")
    return heads


@dataclass(frozen=True)
class PictureHeads:
    """The heads of a picture on a ``space`` of cells of a ``spacing``: ``of_chunk`` gives those of the blocks of a row
    of regions (h, w), None where all are 0."""

    space: Space
    spacing: tuple[int, ...]
    of_chunk: Callable[[int], Bytes | None]

    def shape(self, chunk: int) -> tuple[int, int]:
        """Blocks of a chunk."""
        rows, columns = self.space.cells
        return blocks(min(self.space.region[0], rows - chunk * self.space.region[0])), blocks(columns)

    def of_squares(self, spans: list[Span]) -> Bytes | None:
        """The heads (h, w) of the whole squares of the samples in ``spans``; None where all are 0."""
        length = [BLOCK * s // SIDE for s in self.spacing]
        rows, columns = (np.arange(a // SIDE, b // SIDE) // n for (a, b), n in zip(spans, length, strict=True))
        per_chunk, parts = self.space.region[0] // BLOCK, list[Bytes]()
        for chunk in range(rows[0] // per_chunk, rows[-1] // per_chunk + 1):
            own, heads = rows[rows // per_chunk == chunk] - chunk * per_chunk, self.of_chunk(chunk)
            nothing = np.zeros((len(own), len(columns)), np.uint8)
            parts.append(nothing if heads is None else heads[own[:, None], columns])
        found = np.concatenate(parts)
        return found if found.any() else None


def _exchange(stream: Stream, shape: tuple[int, int], given: Bytes | None) -> Bytes:
    """Write ``given``, or read."""
    counts, found = Counts.of(_CONTEXTS), np.zeros((shape[0] + 1, shape[1] + 1), np.int64)
    for rows, columns in _fronts(shape):
        left, above = found[rows + 1, columns], found[rows, columns + 1]
        left = np.where(columns > 0, left, above)
        above = np.where(rows > 0, above, left)
        front = _Front(stream, counts, None if given is None else given[rows, columns].astype(np.int64))
        found[rows + 1, columns + 1] = front.run(left, above)
    return found[1:, 1:].astype(np.uint8)


def _fronts(shape: tuple[int, int]) -> Iterator[tuple[Indices, Indices]]:
    """Rows and columns of the blocks that are coded together."""
    height, width = shape
    for t in range(width + height - 1):
        rows = np.arange(max(0, t - width + 1), min(height, t + 1))
        yield rows, t - rows


class _Front:
    """The blocks of a front, given or not."""

    def __init__(self, stream: Stream, counts: Counts, given: Indices | None) -> None:
        self._stream, self._counts, self._given = stream, counts, given

    def run(self, left: Indices, above: Indices) -> Indices:
        """The heads of blocks (n,) whose neighbours have these."""
        found, alike = left.copy(), left == above
        other = np.flatnonzero(self._flags(left, slice(None), _LEFT + 2 * alike + (left == 0)) == 0)
        if len(other):
            unlike = other[~alike[other]]
            as_above = self._flags(above[unlike], unlike, np.full(len(unlike), _ABOVE) + (above[unlike] == 0))
            found[unlike] = above[unlike]
            spelled = np.sort(np.concatenate([other[alike[other]], unlike[as_above == 0]]))
            found[spelled] = self._spelled(spelled)
            if ((found == left) | (found == above))[spelled].any():
                raise CorruptError("a head is spelled that a flag could have told")
        return found

    def _flags(self, expected: Indices, at: Indices | slice, contexts: Indices) -> Indices:
        given: Mask | None = None if self._given is None else self._given[at] == expected
        return self._stream.flags(given, contexts, self._counts)

    def _spelled(self, at: Indices) -> Indices:
        node = np.ones(len(at), np.int64)
        for bit in reversed(range(BITS)):
            given: Ints | None = None if self._given is None else self._given[at] >> bit & 1
            node = 2 * node + self._stream.flags(given, _TREE + node, self._counts)
        return node - (1 << BITS)
