"""Quarters of a block that move otherwise: as the block above or below, or as the one beside, whichever they touch.

So the borders of what moves lie between 8 × 8 samples, for one or two flags a quarter and no vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nfcodec.entropy.adaptive import Counts, Stream
from nfcodec.errors import CorruptError
from nfcodec.types import Bytes, Indices, Mask

OWN, ACROSS, BESIDE = 0, 1, 2  # what a quarter goes with
QUARTERS = 4

# Contexts: of blocks by how many neighbours move otherwise, of quarters by which of the two that they touch do.
_SPLIT, _OTHER, BESIDE_CONTEXT = 0, 4, 7
CONTEXTS = 8


@lru_cache(maxsize=16)
def touched(height: int, width: int) -> Indices:
    """The blocks (h · w, 4, 2) that the quarters of each block touch: above or below it, and beside it; the block
    itself where there is none. Quarters are counted along rows."""
    y, x = np.indices((height, width), np.int64).reshape(2, -1, 1)
    down, right = np.array([-1, -1, 1, 1]), np.array([-1, 1, -1, 1])
    rows, columns = y + down, x + right
    across = np.where((rows >= 0) & (rows < height), rows, y) * width + x
    beside = y * width + np.where((columns >= 0) & (columns < width), columns, x)
    return np.stack([across, beside], -1)


@dataclass(frozen=True)
class Unlike:
    """``around`` (n, 4, 2): which of the blocks that quarters touch move otherwise than their own; ``between`` (n, 4):
    where these two move otherwise than each other."""

    around: Mask
    between: Mask

    @classmethod
    def of(cls, modes: Indices, vectors: Indices, shape: tuple[int, int]) -> Unlike:
        """Of blocks with modes (n,) and vectors (2, n, 2), 0 where they are not used."""
        motion = np.concatenate([modes[:, None], vectors[0], vectors[1]], 1)
        near = motion[touched(*shape)]
        around = np.any(near != motion[:, None, None], axis=-1)
        return cls(around, np.any(near[:, :, 0] != near[:, :, 1], axis=-1))

    @property
    def any(self) -> Mask:
        """Which blocks (n,) have a quarter that could move otherwise."""
        found: Mask = np.any(self.around, axis=(1, 2))
        return found

    @property
    def free(self) -> Mask:
        """Which quarters (n, 4) could go with either of two that differ."""
        free: Mask = np.all(self.around, axis=2) & self.between
        return free

    def contexts(self) -> Indices:
        """Of the flags (n,) for blocks that are split, if :attr:`any` of their quarters could move otherwise."""
        sides = [self.around[:, quarter, side] for quarter, side in ((0, 0), (2, 0), (0, 1), (1, 1))]
        contexts: Indices = _SPLIT - 1 + np.stack(sides).astype(np.int64).sum(0)
        return contexts

    def quarter_contexts(self) -> Indices:
        """Of the flags (n, 4) for quarters that move otherwise, if they could."""
        contexts: Indices = _OTHER - 1 + self.around.astype(np.int64) @ np.array([1, 2])
        return contexts

    def at(self, blocks: Indices) -> Unlike:
        """Those of some blocks."""
        return Unlike(self.around[blocks], self.between[blocks])


def exchange(stream: Stream, counts: Counts, given: Bytes | None, unlike: Unlike, first: int) -> Bytes:
    """Write what the quarters of blocks go with, (n, 4), or read it; contexts count from ``first``."""
    parts, some = np.zeros(unlike.around.shape[:2], np.uint8), np.flatnonzero(unlike.any)
    contexts = first + unlike.contexts()[some]
    split = some[stream.flags(None if given is None else np.any(given[some] != OWN, axis=1), contexts, counts) > 0]
    here, told = unlike.at(split), None if given is None else given[split]
    found, could = parts[split], here.around.any(2)
    other = np.zeros(could.shape, bool)
    contexts = first + here.quarter_contexts()[could]
    other[could] = stream.flags(None if told is None else told[could] != OWN, contexts, counts)
    found[other] = np.where(here.around[other, 0], ACROSS, BESIDE)
    free = other & here.free
    contexts = np.full(int(free.sum()), first + BESIDE_CONTEXT)
    found[free] = ACROSS + stream.flags(None if told is None else told[free] == BESIDE, contexts, counts)
    if not found.any(1).all():
        raise CorruptError("a split block whose quarters all move as it does")
    parts[split] = found
    return parts


def sources(parts: Bytes, blocks: Indices, shape: tuple[int, int]) -> Indices:
    """The blocks (n, 4) whose motion the quarters of ``blocks`` (n,) have, which go with ``parts`` (n, 4)."""
    across, beside = np.moveaxis(touched(*shape)[blocks], -1, 0)
    return np.where(parts == OWN, blocks[:, None], np.where(parts == ACROSS, across, beside))
