"""How the blocks of a picture move, and its coding: coarse to fine over the blocks, each block between its neighbours.

A block has 16 × 16 samples, a vector to each reference that it uses, in quarter samples, and says whether anything of
the residual is coded there. Blocks are coded in passes like the means of a lattice: the first block, then for falling
distances t those at odd multiples of t along both axes, then along one. Each pass is a few calls of the coder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nfcodec.entropy.adaptive import LENGTHS, Counts, Stream, numbers
from nfcodec.errors import CorruptError
from nfcodec.types import Bytes, Indices, Ints, Mask

BLOCK = 16
QUARTER = 4  # steps of a vector in a sample
LARGEST_VECTOR = (1 << 13) - 1
FIRST, SECOND, BOTH = 0, 1, 2  # modes

# Contexts of the flags: how many of the four neighbours do likewise, and classes by how far their vectors differ.
_BOTH, _SECOND, _CODED, _SAME = 0, 5, 10, 40
_SPREADS = 4
_VECTOR = 60
_PLAIN = _VECTOR + 2 * _SPREADS * LENGTHS
FINE = _PLAIN + 2  # whether the planes behind the first have symbols of high frequency
CONTEXTS = FINE + 1


@dataclass(frozen=True)
class Motion:
    """``modes`` uint8 (h, w): which references the blocks use; ``vectors`` int64 (2, h, w, 2): (y, x) in quarter
    samples to each of them, 0 where it is not used; ``coded`` bool (h, w): whether a block has a residual."""

    modes: Bytes
    vectors: Indices
    coded: Mask

    @property
    def stands(self) -> bool:
        """Whether everything stays what it is in the first reference."""
        return not (self.modes.any() or self.vectors.any() or self.coded.any())

    def uses(self, reference: int) -> Mask:
        """Which blocks (h, w) use a reference."""
        used: Mask = (self.modes == reference) | (self.modes == BOTH)
        return used

    def numbers(self) -> npt.NDArray[np.int32]:
        """Everything as one row of numbers."""
        return np.concatenate([self.modes.ravel(), self.vectors.ravel(), self.coded.ravel()]).astype(np.int32)


def grid(height: int, width: int) -> tuple[int, int]:
    """Blocks of a picture along each axis."""
    return -(-height // BLOCK), -(-width // BLOCK)


def standing(shape: tuple[int, int]) -> Motion:
    """Blocks that stay what they are in the first reference, with no residual."""
    return Motion(np.full(shape, FIRST, np.uint8), np.zeros((2, *shape, 2), np.int64), np.zeros(shape, bool))


@dataclass(frozen=True, slots=True)
class Pass:
    """Blocks that are coded at once: ``at`` (n,) flat places, ``near`` (n, 4) those of their neighbours, and whether
    they are ``there`` (n, 4)."""

    at: Indices
    near: Indices
    there: Mask


@lru_cache(maxsize=16)
def passes(height: int, width: int) -> tuple[Pass, ...]:
    """The passes over a grid of blocks."""
    diagonal, straight = ((-1, -1), (-1, 1), (1, -1), (1, 1)), ((-1, 0), (1, 0), (0, -1), (0, 1))
    found = [Pass(np.zeros(1, np.int64), np.zeros((1, 4), np.int64), np.zeros((1, 4), bool))]
    y, x = np.indices((height, width), np.int64).reshape(2, -1)
    t = 1 << max(height - 1, width - 1, 0).bit_length()
    while t:
        on, odd = (y % t == 0) & (x % t == 0), (y // t % 2) + (x // t % 2)
        for count, offsets in ((2, diagonal), (1, straight)):
            at = np.flatnonzero(on & (odd == count))
            if len(at):
                ny, nx = (a[at, None] + t * np.array(o) for a, o in zip((y, x), np.transpose(offsets), strict=True))
                there = (ny >= 0) & (ny < height) & (nx >= 0) & (nx < width)
                found.append(Pass(at, np.where(there, ny * width + nx, 0), there))
        t >>= 1
    return tuple(found)


def middle(values: Indices, there: Mask) -> Indices:
    """The median (n,) of those values (n, 4) that are ``there``: of two in the middle the mean, rounded down; 0 for
    none."""
    far = np.int64(1) << 40
    ordered, count = np.sort(np.where(there, values, far), 1), there.sum(1)
    rows = np.arange(len(values))
    low, high = ordered[rows, np.maximum(count - 1, 0) // 2], ordered[rows, np.minimum(count // 2, 3)]
    return np.where(count > 0, (low + high) >> 1, 0)


class _Coder:
    """Codes the motion of one picture with one or two references, from a stream or to it."""

    def __init__(self, stream: Stream, counts: Counts, given: Motion | None, shape: tuple[int, int]) -> None:
        self.stream, self.counts, self.given = stream, counts, given
        h, w = shape
        self.modes, self.coded = np.zeros(h * w, np.int64), np.zeros(h * w, np.int64)
        self.vectors = np.zeros((2, h * w, 2), np.int64)

    def _flags(self, values: Ints | Mask | None, contexts: Indices) -> Indices:
        return self.stream.flags(values, contexts, self.counts)

    def modes_of(self, step: Pass) -> None:
        """Which references the blocks of a pass use."""
        given = None if self.given is None else self.given.modes.ravel()[step.at]
        around = self.modes[step.near]
        both = self._flags(None if given is None else given == BOTH, _BOTH + ((around == BOTH) & step.there).sum(1))
        one = np.flatnonzero(both == 0)
        context = _SECOND + ((around == SECOND) & step.there).sum(1)[one]
        second = self._flags(None if given is None else given[one] == SECOND, context)
        modes = np.full(len(step.at), BOTH)
        modes[one] = second
        self.modes[step.at] = modes

    def vectors_of(self, step: Pass, reference: int) -> Indices:
        """Vectors to a reference; how many of them differ from what was expected, (n,) 0 or 1."""
        modes = self.modes[step.at]
        mine = np.flatnonzero((modes == reference) | (modes == BOTH))
        near, found = step.near[mine], self.vectors[reference]
        there = step.there[mine] & ((self.modes[near] == reference) | (self.modes[near] == BOTH))
        around = found[near]
        guess = np.stack([middle(around[..., i], there) for i in (0, 1)], 1)
        alike = ((around == guess[:, None]).all(2) & there).sum(1)
        given = None if self.given is None else self.given.vectors[reference].reshape(-1, 2)[step.at[mine]]
        other = self._flags(None if given is None else (given != guess).any(1), _SAME + 5 * (there.sum(1) > 0) + alike)
        moved = np.flatnonzero(other)
        spread = _spread(around[moved], guess[moved], there[moved])
        off = [
            numbers(
                self.stream, None if given is None else (given - guess)[moved, i], spread + _SPREADS * i, self.counts,
                first=_VECTOR, plain=_PLAIN,
            ) for i in (0, 1)
        ]  # fmt: skip
        vectors = guess
        vectors[moved] += np.stack(off, 1)
        if np.abs(vectors).max(initial=0) > LARGEST_VECTOR:
            raise CorruptError(f"vectors up to {np.abs(vectors).max()}, {LARGEST_VECTOR} is the largest")
        found[step.at[mine]] = vectors
        changed = np.zeros(len(step.at), np.int64)
        changed[mine] = other
        return changed

    def coded_of(self, step: Pass, changed: Indices) -> None:
        """Whether the blocks of a pass have a residual."""
        around = (self.coded[step.near] * step.there).sum(1)
        context = _CODED + 10 * changed + 5 * (step.there.sum(1) > 2) + around
        given = None if self.given is None else self.given.coded.ravel()[step.at]
        self.coded[step.at] = self._flags(given, context)


def _spread(around: Indices, guess: Indices, there: Mask) -> Indices:
    """Classes 0 … 3 by how far neighbours (n, 4, 2) are from what is expected (n, 2)."""
    far = (np.abs(around - guess[:, None]).max(2) * there).max(1, initial=0)
    return np.where(there.any(1), np.searchsorted([1, 4, 16], far, side="right"), _SPREADS - 1)


def exchange(stream: Stream, counts: Counts, given: Motion | None, shape: tuple[int, int], references: int) -> Motion:
    """Write ``given``, or read: the motion of a grid of ``shape`` blocks with one or two references."""
    coder = _Coder(stream, counts, given, shape)
    for step in passes(*shape):
        if references == 2:
            coder.modes_of(step)
        changed = coder.vectors_of(step, 0)
        if references == 2:
            changed |= coder.vectors_of(step, 1)
        coder.coded_of(step, changed)
    modes, coded = coder.modes.reshape(shape).astype(np.uint8), coder.coded.reshape(shape) > 0
    return Motion(modes, coder.vectors.reshape(2, *shape, 2), coded)
