"""How the blocks of a picture move, coarse to fine over the blocks, each block between its neighbours.

A block has 16 × 16 samples, a vector to each reference that it uses, in quarter samples, and says whether anything of
the residual is coded there. Blocks are coded in passes like the means of a lattice: the first block, then for falling
distances t those at odd multiples of t along both axes, then along one. Each pass is a few calls of the coder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nfcodec.entropy.adaptive import LENGTHS, Counts
from nfcodec.moving import parts
from nfcodec.types import Bytes, Indices, Mask

BLOCK = 16
QUARTER = 4  # steps of a vector in a sample
LARGEST_VECTOR = (1 << 13) - 1
FIRST, SECOND, BOTH = 0, 1, 2  # modes
_SPEED_BITS = 6

# Contexts of the flags: how many of the four neighbours do likewise, and classes by how far their vectors differ.
_BOTH, _SECOND, CODED, _SAME = 0, 5, 10, 40
SPREADS = 4
VECTOR = 60
PLAIN = VECTOR + 2 * SPREADS * LENGTHS
FINE = PLAIN + 2  # whether the planes behind the first have symbols of high frequency
_CARRIED = FINE + 1
_NEAR = _CARRIED + 5
WHICH = _NEAR + 4
PARTS = WHICH + 4
CONTEXTS = PARTS + parts.CONTEXTS


@dataclass(frozen=True)
class Motion:
    """``modes`` uint8 (h, w): which references the blocks use; ``vectors`` int64 (2, h, w, 2): (y, x) in quarter
    samples to each of them, 0 where it is not used; ``coded`` bool (h, w): whether a block has a residual; ``parts``
    uint8 (h, w, 4): what its quarters go with (:mod:`~nfcodec.moving.parts`)."""

    modes: Bytes
    vectors: Indices
    coded: Mask
    parts: Bytes

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
        every = (self.modes, self.vectors, self.coded, self.parts)
        return np.concatenate([a.ravel() for a in every]).astype(np.int32)


def grid(height: int, width: int) -> tuple[int, int]:
    """Blocks of a picture along each axis."""
    return -(-height // BLOCK), -(-width // BLOCK)


def standing(shape: tuple[int, int]) -> Motion:
    """Blocks that stay what they are in the first reference, with no residual."""
    vectors, coded = np.zeros((2, *shape, 2), np.int64), np.zeros(shape, bool)
    return Motion(np.full(shape, FIRST, np.uint8), vectors, coded, whole(shape))


def whole(shape: tuple[int, int]) -> Bytes:
    """Blocks whose quarters all go with them."""
    return np.zeros((*shape, parts.QUARTERS), np.uint8)


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


@dataclass(frozen=True)
class Past:
    """What the motion of a picture goes on from: the ``counts`` of its flags, which learn, and the ``speeds`` (h, w, 2)
    of the blocks of its heir, in 64ths of a quarter sample from picture to picture, if it has any (as
    in direct mode: Tourapis, Wu, Li 2005)."""

    counts: Counts
    speeds: Indices | None = None

    @classmethod
    def of(cls, heir: Past | None) -> Past:
        """That of a picture which goes on from its heir, or from nothing."""
        return cls(Counts.of(CONTEXTS)) if heir is None else cls(heir.counts.copy(), heir.speeds)

    def after(self, motion: Motion, distances: Sequence[int]) -> Past:
        """That of the heirs of a picture with ``motion`` to references at ``distances``."""
        return Past(self.counts, speeds(motion, distances) if distances else None)


def speeds(motion: Motion, distances: Sequence[int]) -> Indices:
    """Those of the blocks (h, w, 2): of two references the first one tells."""
    found: Indices = (motion.vectors[0] << _SPEED_BITS) // distances[0]
    if len(distances) == 2:
        second = (motion.vectors[1] << _SPEED_BITS) // distances[1]
        found = np.where((motion.modes == SECOND)[..., None], second, found)
    return found


class Course:
    """The motion of a picture to references at ``distances`` (pictures ahead), as far as it is known: pass by pass.

    ``modes`` (n,), ``vectors`` (2, n, 2); ``carried`` (references, n, 2): vectors as the heir goes on, if it moves."""

    def __init__(self, shape: tuple[int, int], distances: Sequence[int], past: Past) -> None:
        blocks = shape[0] * shape[1]
        self.modes, self.vectors = np.zeros(blocks, np.int64), np.zeros((2, blocks, 2), np.int64)
        self.carried: Indices | None = None
        if past.speeds is not None:
            scaled = past.speeds.reshape(1, blocks, 2) * np.array(distances)[:, None, None]
            whole = (scaled + (1 << (_SPEED_BITS - 1))) >> _SPEED_BITS
            self.carried = whole.clip(-LARGEST_VECTOR, LARGEST_VECTOR)

    def put(self, step: Pass, modes: Indices, vectors: Indices) -> None:
        """The modes (n,) and vectors (2, n, 2) of a pass."""
        self.modes[step.at], self.vectors[:, step.at] = modes, vectors

    def around(self, step: Pass, reference: int) -> tuple[Indices, Mask]:
        """The vectors (n, 4, 2) to a reference of the neighbours of a pass, and which of them (n, 4) use it."""
        modes = self.modes[step.near]
        return self.vectors[reference][step.near], step.there & ((modes == reference) | (modes == BOTH))

    def guess(self, step: Pass, reference: int) -> Indices:
        """The vectors (n, 2) that the blocks of a pass are expected to have."""
        around, there = self.around(step, reference)
        return np.stack([middle(around[..., i], there) for i in (0, 1)], 1)

    def both_contexts(self, step: Pass) -> Indices:
        """Of the flags (n,) for both references."""
        return _BOTH + self._alike(step, BOTH)

    def second_contexts(self, step: Pass) -> Indices:
        """Of the flags (n,) for the second reference alone."""
        return _SECOND + self._alike(step, SECOND)

    def _alike(self, step: Pass, mode: int) -> Indices:
        count: Indices = ((self.modes[step.near] == mode) & step.there).sum(1)
        return count

    def other_contexts(self, step: Pass, reference: int, guess: Indices) -> Indices:
        """Of the flags (n,) for vectors that are not as expected."""
        around, there = self.around(step, reference)
        alike: Indices = ((around == guess[:, None]).all(2) & there).sum(1)
        contexts: Indices = _SAME + 5 * there.any(1).astype(np.int64) + alike
        return contexts

    def carried_contexts(self, step: Pass, reference: int) -> Indices:
        """Of the flags (n,) for vectors as the heir goes on."""
        assert self.carried is not None, "asked where nothing is carried"
        around, there = self.around(step, reference)
        alike: Indices = ((around == self.carried[reference][step.near]).all(2) & there).sum(1)
        return _CARRIED + alike

    def others(self, step: Pass, reference: int, guess: Indices) -> tuple[Indices, Mask]:
        """Vectors (n, 4, 2) of the neighbours, and which of them (n, 4) are neither expected, nor carried, nor those of
        an earlier one."""
        around, there = self.around(step, reference)
        known = [guess] if self.carried is None else [guess, self.carried[reference][step.at]]
        fresh = there.copy()
        for i in range(around.shape[1]):
            before = np.concatenate([np.stack(known, 1), around[:, :i]], 1)
            counts = np.concatenate([np.ones((len(guess), len(known)), bool), there[:, :i]], 1)
            fresh[:, i] &= ~((around[:, i, None] == before).all(2) & counts).any(1)
        return around, fresh

    @staticmethod
    def near_contexts(fresh: Mask) -> Indices:
        """Of the flags (n,) for vectors of a neighbour, by how many (n, 4) are left."""
        contexts: Indices = _NEAR - 1 + fresh.sum(1)
        return contexts

    def spread(self, step: Pass, reference: int, guess: Indices) -> Indices:
        """Classes 0 … 3 (n,) by how far neighbours are from what is expected (n, 2)."""
        around, there = self.around(step, reference)
        far = (np.abs(around - guess[:, None]).max(2) * there).max(1, initial=0)
        return np.where(there.any(1), np.searchsorted([1, 4, 16], far, side="right"), SPREADS - 1)
