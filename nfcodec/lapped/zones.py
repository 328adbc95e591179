"""Where the parts of frames meet: the zones in which two of them overlap.

Parts lie one after the other. At each boundary between two of them the h samples before and the h samples behind it are
rotated into each other, h half the shorter part: sample m behind (r) and sample m before (l), counted from the
boundary, become

    cos α · r + sin α · l  for the later part,    cos α · l − sin α · r  for the earlier one,    α = α_h[m]

(time-domain aliasing, Princen, Johnson & Bradley 1987, as rotations; windows switched as in Edler 1989). Then every
part is transformed by a DCT-IV. Each step is orthonormal, whatever the parts are, and so is the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nfcodec.types import Bytes, Indices


@dataclass(frozen=True)
class Zones:
    """The boundaries that share one half-width: for each the samples ``before`` it and ``behind`` it (n, h), both
    counted from the boundary."""

    half: int
    before: Indices
    behind: Indices


def part_sizes(splits: Bytes, spacing: int) -> Indices:
    """Sizes (n,) of the parts of frames whose ``splits`` are z (frames,)."""
    counts = 1 << splits.astype(np.int64)
    return np.repeat(spacing // counts, counts)


def zones_of(splits: Bytes, spacing: int, *, first: int = 0, last: int = 0) -> list[Zones]:
    """The zones between the parts of frames, by their half-width.

    ``first``, ``last``: sizes of the parts before the first frame and behind the last one; 0 where the signal begins or
    ends there, which has no zone.
    """
    sizes = part_sizes(splits, spacing)
    ends = np.cumsum(sizes)
    edges = np.concatenate([[0], ends])
    around = np.concatenate([[first], sizes, [last]])
    halves = np.minimum(around[:-1], around[1:]) // 2
    found = []
    for half in np.flatnonzero(np.bincount(halves, minlength=1)).tolist():
        if half:
            at, steps = edges[halves == half][:, None], np.arange(half)
            found.append(Zones(half, at - 1 - steps, at + steps))
    return found


@lru_cache(maxsize=64)
def frames_by_split(splits: bytes) -> tuple[tuple[int, Indices], ...]:
    """For every z that occurs in ``splits`` (the bytes of the array) the frames that have it."""
    values = np.frombuffer(splits, np.uint8)
    return tuple((z, np.flatnonzero(values == z)) for z in np.flatnonzero(np.bincount(values)).tolist())
