"""Planes of indices by symbol ranking: every sample is compared with guesses, the likeliest first.

After Fenwick, "Symbol ranking text compression" (1996), in two dimensions and for many samples at once. Samples whose
x + 2·y is equal, a *front*, do not depend on each other when the samples to the left, above and above to the right
are known, so numpy takes a front at a time. The guesses of a sample are what followed the same 11, 7, 4 and 2
neighbours the last times, then the neighbours themselves; what no guess hits is spelled out bit by bit.

Everything here is a whole number: both sides do the same steps on the same numbers (FORMAT.md §19).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nfcodec.entropy.coder import FLAG_BITS, SymbolDecoder, SymbolEncoder
from nfcodec.errors import CorruptError
from nfcodec.types import Ints

Wide = npt.NDArray[np.int64]

# (fronts back, rows up) of the neighbours: left, above, above left, above right, …; part of the format.
_NEIGHBOURS = ((1, 0), (2, 1), (3, 1), (1, 1), (2, 0), (4, 2), (3, 2), (4, 1), (2, 2), (3, 0), (5, 2))
_ORDERS = (11, 7, 4, 2)
_RING = 6
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SLOT_BITS = 20
_SURE_BITS = 4
_SUREST = 15

STAGES = len(_ORDERS) + 3
_CONTEXTS = 256
_MOST, _STEP = 8192, 2
_MOST_SPELLED, _STEP_SPELLED = 1024, 8


class _Chances:
    """Adaptive chances of flags: ``contexts`` pairs of counts that start at one each."""

    def __init__(self, contexts: int, *, step: int, most: int) -> None:
        # Of unset and set flags in turn.
        self._counts = np.ones(2 * contexts, np.int64)
        self._step, self._most = step, most

    def of(self, contexts: Ints) -> Wide:
        """Chances (n,) out of 2^16 that the flag is set."""
        ones = self._counts[2 * contexts + 1]
        chances: Wide = (ones << FLAG_BITS) // (self._counts[2 * contexts] + ones)
        return chances

    def learn(self, contexts: Ints, flags: Ints) -> None:
        """Count flags (n,); pairs that grow too large are halved, so that what is old counts less."""
        counts = self._counts
        counts += self._step * np.bincount(2 * contexts + flags, minlength=counts.size)
        large = counts[0::2] + counts[1::2] > self._most
        if large.any():
            both = large.repeat(2)
            counts[both] = (counts[both] + 1) >> 1


@dataclass(frozen=True, slots=True)
class Front:
    """Samples that are coded together: rows [top, bottom), columns ``x`` (n,) one for each row; their guesses
    (STAGES, n), −1 where there is none, and the contexts (STAGES, n) that the flags are counted in."""

    top: int
    bottom: int
    x: Wide
    guesses: Wide
    contexts: Wide
    slots: Wide
    entries: Wide


class Answers(Protocol):
    """Who knows whether a guess is right: the samples themselves, or a stream."""

    def hits(self, where: Ints, guesses: Ints, chances: Ints) -> Ints:
        """Flags (n,): the samples at ``where`` equal ``guesses``."""
        ...

    def bits(self, where: Ints, level: int, chances: Ints) -> Ints:
        """Bit ``level`` (n,) of the samples at ``where``."""
        ...


class Ranker:
    """What is known while a plane of ``shape`` is coded, of indices 0 … ``largest`` (at least 1)."""

    def __init__(self, shape: tuple[int, int], largest: int) -> None:
        self.shape, self.levels = shape, int(largest).bit_length()
        self._ring = np.zeros((_RING, shape[0] + 2), np.int64)
        # An entry is 16 · (index + 1) + how sure it is; 0: nothing was seen yet.
        self._seen = np.zeros((len(_ORDERS), 1 << _SLOT_BITS), np.int32)
        self._stages = [_Chances(_CONTEXTS, step=_STEP, most=_MOST) for _ in range(STAGES)]
        self._spelled = _Chances(1 << self.levels, step=_STEP_SPELLED, most=_MOST_SPELLED)

    def fronts(self) -> Iterator[Front]:
        """All fronts in order. :meth:`settle` must have been called for one before the next is asked for."""
        rows, columns = self.shape
        for t in range(columns + 2 * (rows - 1)):
            top, bottom = max(0, (t - columns + 2) // 2), min(rows, t // 2 + 1)
            if bottom > top:
                yield self._front(t, top, bottom)
            else:  # a picture one sample wide has no sample on every other front
                self._ring[t % _RING] = 0

    def _front(self, t: int, top: int, bottom: int) -> Front:
        near = [self._ring[(t - back) % _RING, top + 2 - up : bottom + 2 - up] for back, up in _NEIGHBOURS]
        slots = self._slots(near)
        entries = np.stack([seen[at] for seen, at in zip(self._seen, slots, strict=True)]).astype(np.int64)
        found = (entries >> _SURE_BITS) - 1
        guesses = np.concatenate([found, np.stack([near[0], near[1], near[3]])])
        sure = np.minimum(entries & _SUREST, 7)
        alike = (near[0] == near[1]) + 2 * (near[0] == near[2]) + 4 * (near[1] == near[3])
        agree = 8 * (found[0] == found[1]) + 16 * (found[1] == found[2])
        contexts = np.concatenate([32 * sure + agree + alike, np.broadcast_to(8 * sure[0] + alike, (3, len(alike)))])
        return Front(top, bottom, t - 2 * np.arange(top, bottom), guesses, contexts, slots, entries)

    def _slots(self, near: list[Wide]) -> Wide:
        """Where what followed the nearest 11, 7, 4 and 2 neighbours is kept: (4, n)."""
        key = np.zeros(len(near[0]), np.uint64)
        slots: dict[int, npt.NDArray[np.uint64]] = {}
        for count, values in enumerate(near, 1):
            key = (key + values.astype(np.uint64) + np.uint64(1)) * _MULTIPLIER
            slots[count] = key >> np.uint64(64 - _SLOT_BITS)
        return np.stack([slots[order] for order in _ORDERS]).astype(np.int64)

    def chances(self, front: Front) -> Wide:
        """Chances (STAGES, n) out of 2^16 that each guess is right, if it comes to it."""
        return np.stack([s.of(c) for s, c in zip(self._stages, front.contexts, strict=True)])

    def settle(self, front: Front, answers: Answers) -> Wide:
        """Learn the indices (n,) of a front from ``answers``."""
        values = np.zeros(len(front.x), np.int64)
        left, open_ = np.arange(len(front.x)), np.ones(len(front.x), np.bool_)
        for stage, guesses in enumerate(front.guesses):
            if not left.size:
                break
            fresh = guesses[left] >= 0
            for earlier in front.guesses[:stage]:
                fresh &= guesses[left] != earlier[left]
            asked = left[fresh]
            contexts = front.contexts[stage, asked]
            flags = answers.hits(asked, guesses[asked], self._stages[stage].of(contexts))
            self._stages[stage].learn(contexts, flags)
            hit = asked[flags == 1]
            values[hit] = guesses[hit]
            open_[hit] = False
            left = np.flatnonzero(open_)
        values[left] = self._spell(left, answers)
        self._remember(front, values)
        return values

    def _spell(self, where: Ints, answers: Answers) -> Wide:
        """Indices (n,) that no guess hit, from the highest bit down."""
        node = np.ones(len(where), np.int64)
        for level in range(self.levels - 1, -1, -1) if len(where) else ():
            bits = answers.bits(where, level, self._spelled.of(node))
            self._spelled.learn(node, bits)
            node = 2 * node + bits
        return node - (1 << self.levels)

    def _remember(self, front: Front, values: Wide) -> None:
        ring = self._ring[(int(front.x[0]) + 2 * front.top) % _RING]
        ring[:] = 0
        ring[front.top + 2 : front.bottom + 2] = values
        old, sure = front.entries, front.entries & _SUREST
        right = old >> _SURE_BITS == values + 1
        kept = np.where(right, np.minimum(old + 1, old | _SUREST), old - sure + (sure >> 1))
        new = np.where(right | (sure > 0), kept, ((values + 1) << _SURE_BITS) + 1)
        for seen, at, entry in zip(self._seen, front.slots, new, strict=True):
            seen[at] = entry  # where two samples share a slot, the lower one stays: numpy keeps the last


# -- coding ----------------------------------------------------------------------------------------------
class _Known:
    """Answers from the indices of a front, which are written down for the coder."""

    def __init__(self) -> None:
        self.values: Ints = np.zeros(0, np.int64)
        self._flags: list[Ints] = []
        self._chances: list[Ints] = []

    def _note(self, flags: Ints, chances: Ints) -> Ints:
        self._flags.append(flags)
        self._chances.append(chances)
        return flags

    def hits(self, where: Ints, guesses: Ints, chances: Ints) -> Ints:
        return self._note((self.values[where] == guesses).astype(np.int64), chances)

    def bits(self, where: Ints, level: int, chances: Ints) -> Ints:
        return self._note(self.values[where] >> level & 1, chances)

    def put(self, encoder: SymbolEncoder) -> None:
        if self._flags:
            encoder.put_flags(np.concatenate(self._flags), np.concatenate(self._chances))


class _Stream:
    """Answers from a stream."""

    def __init__(self, decoder: SymbolDecoder) -> None:
        self._decoder = decoder

    def hits(self, where: Ints, guesses: Ints, chances: Ints) -> Ints:  # noqa: ARG002 (the chances say it all)
        return self._decoder.get_flags(chances).astype(np.int64)

    def bits(self, where: Ints, level: int, chances: Ints) -> Ints:  # noqa: ARG002
        return self._decoder.get_flags(chances).astype(np.int64)


Choose = Callable[[Ranker, Front], Ints]


def put_plane(encoder: SymbolEncoder, shape: tuple[int, int], largest: int, choose: Choose) -> Ints:
    """Code a plane of indices 0 … ``largest``; ``choose`` gives the indices (n,) of each front. Returns the plane."""
    ranker, known, plane = Ranker(shape, largest), _Known(), np.zeros(shape, np.int32)
    for front in ranker.fronts():
        known.values = choose(ranker, front)
        plane[np.arange(front.top, front.bottom), front.x] = ranker.settle(front, known)
    known.put(encoder)
    return plane


def get_plane(decoder: SymbolDecoder, shape: tuple[int, int], largest: int) -> npt.NDArray[np.int32]:
    """Inverse of :func:`put_plane`: int32 ``shape``. Raises :class:`CorruptError` and :class:`LimitError`."""
    ranker, stream, plane = Ranker(shape, largest), _Stream(decoder), np.zeros(shape, np.int32)
    for front in ranker.fronts():
        plane[np.arange(front.top, front.bottom), front.x] = ranker.settle(front, stream)
    if plane.max() > largest:
        raise CorruptError(f"index {plane.max()} of {largest} colours")
    return plane
