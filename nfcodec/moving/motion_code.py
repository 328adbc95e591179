"""Motion to a stream, or from one: pass by pass modes, vectors and what is coded, then the quarters of all blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nfcodec.entropy.adaptive import Counts, Stream, numbers
from nfcodec.errors import CorruptError
from nfcodec.moving import parts
from nfcodec.moving.motion import (
    BOTH,
    CODED,
    FIRST,
    LARGEST_VECTOR,
    PARTS,
    PLAIN,
    SECOND,
    SPREADS,
    VECTOR,
    WHICH,
    Course,
    Motion,
    Pass,
    Past,
    passes,
)  # fmt: skip
from nfcodec.types import Bytes, Indices, Ints, Mask


def exchange(
    stream: Stream, past: Past, given: Motion | None, shape: tuple[int, int], distances: Sequence[int]
) -> Motion:  # fmt: skip
    """Write ``given``, or read: the motion of a grid of ``shape`` blocks to one or two references at ``distances``
    (pictures ahead), whose ``past`` learns."""
    coder = _Coder(stream, past, given, shape, distances)
    for step in passes(*shape):
        modes = coder.modes_of(step) if len(distances) == 2 else np.full(len(step.at), FIRST)
        found = [coder.vectors_of(step, modes, reference) for reference in range(len(distances))]
        vectors = [v for v, _ in found] + [np.zeros_like(found[0][0])] * (2 - len(found))
        coder.course.put(step, modes, np.stack(vectors))
        coder.coded_of(step, np.max([changed for _, changed in found], 0))
    split, vectors_of = coder.parts_of(shape), coder.course.vectors.reshape(2, *shape, 2)
    return Motion(coder.course.modes.reshape(shape).astype(np.uint8), vectors_of, coder.coded.reshape(shape) > 0, split)


class _Coder:
    """Codes the motion of one picture with one or two references, from a stream or to it."""

    def __init__(
        self, stream: Stream, past: Past, given: Motion | None, shape: tuple[int, int], distances: Sequence[int]
    ) -> None:  # fmt: skip
        self.stream, self.counts, self.given = stream, past.counts, given
        self.course, self.coded = Course(shape, distances, past), np.zeros(shape[0] * shape[1], np.int64)

    def _flags(self, values: Ints | Mask | None, contexts: Indices) -> Indices:
        return self.stream.flags(values, contexts, self.counts)

    def modes_of(self, step: Pass) -> Indices:
        """Which references the blocks (n,) of a pass use."""
        given = None if self.given is None else self.given.modes.ravel()[step.at]
        both = self._flags(None if given is None else given == BOTH, self.course.both_contexts(step))
        one = np.flatnonzero(both == 0)
        context = self.course.second_contexts(step)[one]
        modes = np.full(len(step.at), BOTH)
        modes[one] = self._flags(None if given is None else given[one] == SECOND, context)
        return modes

    def vectors_of(self, step: Pass, modes: Indices, reference: int) -> tuple[Indices, Indices]:
        """Vectors (n, 2) to a reference, 0 where it is not used, and which of them are not as expected, (n,) 0 or 1."""
        given = None if self.given is None else self.given.vectors[reference].reshape(-1, 2)[step.at]
        coder = _VectorCoder(self.stream, self.counts, self.course, step, reference, given)
        changed = coder.run(np.flatnonzero((modes == reference) | (modes == BOTH)))
        if np.abs(coder.found).max(initial=0) > LARGEST_VECTOR:
            raise CorruptError(f"vectors up to {np.abs(coder.found).max()}, {LARGEST_VECTOR} is the largest")
        return coder.found, changed

    def coded_of(self, step: Pass, changed: Indices) -> None:
        """Whether the blocks of a pass have a residual."""
        around = (self.coded[step.near] * step.there).sum(1)
        context = CODED + 10 * changed + 5 * (step.there.sum(1) > 2) + around
        given = None if self.given is None else self.given.coded.ravel()[step.at]
        self.coded[step.at] = self._flags(given, context)

    def parts_of(self, shape: tuple[int, int]) -> Bytes:
        """What the quarters (h, w, 4) of all blocks go with."""
        unlike = parts.Unlike.of(self.course.modes, self.course.vectors, shape)
        given = None if self.given is None else self.given.parts.reshape(-1, parts.QUARTERS)
        return parts.exchange(self.stream, self.counts, given, unlike, PARTS).reshape(*shape, parts.QUARTERS)


class _VectorCoder:
    """Codes the vectors ``found`` (n, 2) of the blocks of a pass to one reference."""

    def __init__(
        self, stream: Stream, counts: Counts, course: Course, step: Pass, reference: int, given: Indices | None
    ) -> None:  # fmt: skip
        self.stream, self.counts, self.given = stream, counts, given
        self.course, self.place = course, (step, reference)
        self.guess = course.guess(*self.place)
        self.found = np.zeros_like(self.guess)

    def run(self, mine: Indices) -> Indices:
        """Code those of the blocks ``mine``; which of all (n,) are not as expected."""
        changed = np.zeros(len(self.guess), np.int64)
        self.found[mine] = self.guess[mine]
        contexts = self.course.other_contexts(*self.place, self.guess)
        changed[mine] = self._flags(None if self.given is None else (self.given != self.guess).any(1), contexts, mine)
        left = self._carried(np.flatnonzero(changed))
        self._differences(self._near(left))
        return changed

    def _flags(self, given: Mask | None, contexts: Indices, mine: Indices) -> Indices:
        """Flags of some of all blocks (n,)."""
        if not len(mine):
            return np.zeros(0, np.int64)
        return self.stream.flags(None if given is None else given[mine], contexts[mine], self.counts)

    def _carried(self, moved: Indices) -> Indices:
        """Of the blocks ``moved`` those that do not go on as the heir does."""
        if self.course.carried is None:
            return moved
        step, reference = self.place
        carried = self.course.carried[reference][step.at]
        asked = moved[(carried != self.guess).any(1)[moved]]
        given = None if self.given is None else (self.given == carried).all(1)
        going = asked[self._flags(given, self.course.carried_contexts(*self.place), asked) > 0]
        self.found[going] = carried[going]
        return _without(moved, going)

    def _near(self, moved: Indices) -> Indices:
        """Of the blocks ``moved`` those that do not move as one of their neighbours."""
        others, fresh = self.course.others(*self.place, self.guess)
        likewise = None if self.given is None else (others == self.given[:, None]).all(2) & fresh
        asked = moved[fresh[moved].any(1)]
        given = None if likewise is None else likewise.any(1)
        near = asked[self._flags(given, self.course.near_contexts(fresh), asked) > 0]
        open_ = near
        for i in range(fresh.shape[1]):
            mine = open_[fresh[open_, i]]
            # The last one needs no flag.
            asked = mine[fresh[mine, i + 1 :].any(1)]
            contexts = np.full(len(fresh), WHICH + i)
            told = self._flags(None if likewise is None else likewise[:, i], contexts, asked)
            mine = _without(mine, asked[told == 0])
            self.found[mine] = others[mine, i]
            open_ = _without(open_, mine)
        return _without(moved, near)

    def _differences(self, moved: Indices) -> None:
        """By how much the vectors of the blocks ``moved`` differ from what was expected."""
        classes = self.course.spread(*self.place, self.guess)[moved]
        for axis in (0, 1):
            off = None if self.given is None else (self.given - self.guess)[moved, axis]
            self.found[moved, axis] += numbers(
                self.stream, off, classes + SPREADS * axis, self.counts, first=VECTOR, plain=PLAIN
            )


def _without(blocks: Indices, gone: Indices) -> Indices:
    """Those blocks (n,), ascending, that are not ``gone``."""
    return blocks[~np.isin(blocks, gone, assume_unique=True)]
