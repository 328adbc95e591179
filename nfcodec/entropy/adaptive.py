"""Flags and numbers whose chances are learned while they are coded, many at once, and the two ends of their stream.

Every flag has a *context*; a context counts how often its flags were set. Flags of one call share the counts as they
were before it, so that numpy codes them together; behind the call they are counted. All numbers are whole, so both ends
learn the same. Both ends run the same code: a writer is given values and hands them back, a reader is given none.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from nfcodec.entropy.coder import FLAG_BITS, LOGISTIC, SymbolDecoder, SymbolEncoder
from nfcodec.errors import CorruptError, InternalError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.types import Indices, Ints, Mask

# What one flag adds to its count, where counts are halved, and the least chance of either answer.
_UNIT, _MOST, _LEAST = 32, 32 * 1024, 1 << (FLAG_BITS - 11)
# Of numbers: magnitudes up to 2^LENGTHS − 1 are coded as their bit length, which has so many contexts.
LENGTHS = 14


class Counts:
    """How often the flags of every context were clear and set: (contexts, 2), in 32nds."""

    def __init__(self, counts: npt.NDArray[np.int64]) -> None:
        self._counts = counts

    @classmethod
    def of(cls, contexts: int) -> Counts:
        """Nothing is known of any context."""
        return cls(np.full((contexts, 2), _UNIT, np.int64))

    def copy(self) -> Counts:
        """Counts that go on from these."""
        return Counts(self._counts.copy())

    def chances(self, contexts: Indices) -> Indices:
        """Of 2^16 cases, in how many a flag of these contexts (n,) is set."""
        clear, found = self._counts.T
        chances: Indices = ((found << FLAG_BITS) // (clear + found)).clip(_LEAST, (1 << FLAG_BITS) - _LEAST)
        return chances[contexts]

    def learn(self, flags: Ints, contexts: Indices) -> None:
        """Count flags (n,) of contexts (n,)."""
        n = len(self._counts)
        both = np.bincount(2 * contexts + flags, minlength=2 * n).reshape(n, 2)
        self._counts += both * _UNIT
        large = self._counts.sum(1) > _MOST
        while large.any():
            self._counts[large] = (self._counts[large] + 1) >> 1
            large = self._counts.sum(1) > _MOST


class Stream(Protocol):
    """One end of a stream: a writer hands back what it is given, a reader is given None."""

    def flags(self, given: Ints | Mask | None, contexts: Indices, counts: Counts) -> Indices:
        """Flags (n,) of contexts (n,), 0 or 1, which ``counts`` then has learned."""
        ...

    def symbols(self, given: Ints | None, rows: Ints) -> Indices:
        """Symbols (n,) of rows (n,) of :data:`~nfcodec.entropy.coder.LOGISTIC`."""
        ...


class Writer:
    """The encoder's end."""

    def __init__(self) -> None:
        self._encoder = SymbolEncoder()
        self._coded: list[tuple[bool, Ints, Indices]] = []

    def flags(self, given: Ints | Mask | None, contexts: Indices, counts: Counts) -> Indices:
        """See :class:`Stream`."""
        assert given is not None, "a writer is given what it writes"
        values, chances = np.asarray(given, np.int64), counts.chances(contexts)
        self._encoder.put_flags(values, chances)
        self._coded.append((True, chances, values))
        counts.learn(values, contexts)
        return values

    def symbols(self, given: Ints | None, rows: Ints) -> Indices:
        """See :class:`Stream`."""
        assert given is not None, "a writer is given what it writes"
        values = np.asarray(given, np.int64)
        self._encoder.put(values, rows, LOGISTIC)
        self._coded.append((False, rows, values))
        return values

    def finish(self) -> bytes:
        """The payload, which was decoded once more: :class:`InternalError` where that gives anything else."""
        payload = self._encoder.finish()
        decoder = SymbolDecoder(payload, echo=False)
        for is_flag, tables, values in self._coded:
            try:
                found = decoder.get_flags(tables) if is_flag else decoder.get(tables, LOGISTIC)
            except CorruptError as error:
                raise InternalError(f"a coded stream cannot be decoded: {error}") from error
            if not np.array_equal(found, values):
                raise InternalError("a coded stream decodes to other numbers")
        return payload


class Reader:
    """The decoder's end. Its methods raise :class:`CorruptError` for bytes that no writer makes."""

    def __init__(self, payload: bytes, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._decoder = SymbolDecoder(payload, limits=limits)

    def flags(self, given: Ints | Mask | None, contexts: Indices, counts: Counts) -> Indices:  # noqa: ARG002
        """See :class:`Stream`."""
        values = self._decoder.get_flags(counts.chances(contexts)).astype(np.int64)
        counts.learn(values, contexts)
        return values

    def symbols(self, given: Ints | None, rows: Ints) -> Indices:  # noqa: ARG002
        """See :class:`Stream`."""
        return self._decoder.get(rows, LOGISTIC).astype(np.int64)

    def finish(self) -> None:
        """Raise :class:`CorruptError` unless everything was read, and could have been written."""
        self._decoder.finish()


def numbers(
    stream: Stream, given: Ints | None, contexts: Indices, counts: Counts, *, first: int, plain: int
) -> Indices:  # fmt: skip
    """Signed numbers (n,) below 2^14 in magnitude, of classes ``contexts`` (n,).

    The bit length is a row of flags whose contexts begin at ``first``, :data:`LENGTHS` for each class; sign and the
    bits below the highest one have the context ``plain`` and the one behind it.
    """
    magnitude = None if given is None else np.abs(np.asarray(given, np.int64))
    length = _lengths(stream, None if magnitude is None else _bit_length(magnitude), contexts, counts, first)
    some = np.flatnonzero(length)
    ones = np.full(len(some), plain)
    negative = stream.flags(None if given is None else (np.asarray(given)[some] < 0), ones, counts)
    value = np.zeros(len(contexts), np.int64)
    value[some] = 1
    for bit in range(1, int(length.max(initial=0))):
        more = np.flatnonzero(length > bit)
        shift = length[more] - 1 - bit
        low = None if magnitude is None else magnitude[more] >> shift & 1
        value[more] = 2 * value[more] + stream.flags(low, np.full(len(more), plain + 1), counts)
    value[some] = np.where(negative, -value[some], value[some])
    return value


def _bit_length(magnitude: Indices) -> Indices:
    return np.frexp(magnitude.astype(np.float64))[1].astype(np.int64)


def _lengths(stream: Stream, given: Indices | None, contexts: Indices, counts: Counts, first: int) -> Indices:
    length, going = np.zeros(len(contexts), np.int64), np.arange(len(contexts))
    for step in range(LENGTHS):
        if not len(going):
            break
        more = None if given is None else given[going] > step
        goes_on = stream.flags(more, first + LENGTHS * contexts[going] + step, counts)
        going = going[goes_on > 0]
        length[going] = step + 1
    return length
