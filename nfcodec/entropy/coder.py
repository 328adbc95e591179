"""Symbols to bytes with a range coder; the only module that touches ``constriction``.

One payload is one range-coded stream. Symbols are sorted stably by table row and handed over one row at a
time, which runs at tens of millions of symbols a second. Exactness on every machine rests on this: a
probability reaches constriction as a count ≤ 2^20 in a float64, and ``Categorical(perfect=False)`` turns counts
into 24-bit frequencies with one product by (2^24 − n)/2^20. All these numbers are whole or dyadic and below
2^53, so no operation rounds. Do not pass probabilities, float32, or ``perfect=True``: each would round.

constriction notices only half of all bit flips, so the caller must have checked a CRC first. What the CRC
cannot see (bytes that were never written by :class:`SymbolEncoder`) is found by coding the decoded symbols again
and comparing: every list of symbols has exactly one legal payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.entropy import logistic, tables
from nfcodec.errors import CorruptError, InternalError, NfcError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.types import Ints

Indices = npt.NDArray[np.int32]
Run = tuple[int, int, int, int]  # symbols [start, stop) that share a stream and a table: stream, row, start, stop

LARGEST = 2**31 - 1  # magnitude of a symbol
MAX_BITS = 8  # of one uniform code
FLAG_BITS = 16  # of the chance of a flag


@dataclass(frozen=True, slots=True, eq=False)  # equal by identity: it is looked up for every run
class Family:
    """Tables to choose from: ``rows`` of them, at most 256; ``counts`` gives one, 0, +1, −1, …, +L, −L, escape."""

    rows: int
    counts: Callable[[int], tuple[int, ...]]

    def support(self, row: int) -> int:
        """L: the largest magnitude that ``row`` codes without escape."""
        return len(self.counts(row)) // 2 - 1


LAPLACE = Family(tables.ROWS, tables.row_counts)
LOGISTIC = Family(logistic.ROWS, logistic.row_counts)


@contextmanager
def _guard(error: type[NfcError]) -> Iterator[None]:
    """Turn constriction's AssertionError and PanicException into ``error``.

    PanicException derives from BaseException and cannot be imported, hence the comparison by name. Do not
    widen this to every BaseException: KeyboardInterrupt and MemoryError must pass.
    """
    try:
        yield
    except BaseException as exc:
        if isinstance(exc, AssertionError) or type(exc).__name__ == "PanicException":
            raise error(f"range coder: {exc}") from exc
        raise


def _categorical(counts: tuple[int, ...]) -> Any:
    """constriction's model of whole counts that sum to a power of two ≤ 2^20."""
    import constriction

    total = sum(counts)
    if min(counts) < 1 or total > tables.TOTAL or total & (total - 1):
        raise InternalError(f"counts sum to {total} with a least count of {min(counts)}")
    return constriction.stream.model.Categorical(np.array(counts, dtype=np.float64), perfect=False)


@lru_cache(maxsize=8)
def _row_models(family: Family) -> tuple[Any, ...]:
    return tuple(_categorical(family.counts(row)) for row in range(family.rows))


@lru_cache(maxsize=8)
def _row_supports(family: Family) -> npt.NDArray[np.int64]:
    return np.array([family.support(row) for row in range(family.rows)], np.int64)


@lru_cache(maxsize=1)
def _escape_model() -> Any:
    return _categorical(tables.escape_counts())


@lru_cache(maxsize=MAX_BITS)
def _uniform_model(bits: int) -> Any:
    if not 1 <= bits <= MAX_BITS:
        raise InternalError(f"uniform code of {bits} bits, outside 1…{MAX_BITS}")
    return _categorical((1,) * (1 << bits))


@lru_cache(maxsize=1)
def _flag_models() -> Any:
    """constriction's family of tables given by their counts."""
    import constriction

    return constriction.stream.model.Categorical(perfect=False)


def _flag_counts(chances: Ints) -> npt.NDArray[np.float64]:
    """Counts (n, 2) of flags that are set in ``chances`` (n,) of 2^16 cases."""
    _whole_numbers(chances, "chances", 1, (1 << FLAG_BITS) - 1)
    return np.stack([(1 << FLAG_BITS) - chances, chances], 1).astype(np.float64)


def _shortest(words: npt.NDArray[np.uint32], position: tuple[int, tuple[int, int]]) -> bytes:
    """The shortest bytes, zeros dropped at the end, that decode like ``words``; the least number if several do.

    After n words the coder's interval is [low, low + range) in units of 2^−32(n+2). Any number in it decodes to
    the same symbols, so take the one with the most trailing zeros. ``words`` is one such number; the true low
    is the nearest one below it that agrees with the coder's 64-bit ``lower``, whatever carry was pending.
    """
    count, (lower, width) = position
    size = 4 * (count + 2)
    sealed = int.from_bytes(words.astype(">u4").tobytes().ljust(size, b"\0"), "big")
    low = sealed - ((sealed - lower) & (2**64 - 1))
    end = min(low + width, 1 << 8 * size)
    for zeros in range(64, -1, -8):
        best = -(-low >> zeros) << zeros
        if best < end:
            return best.to_bytes(size, "big").rstrip(b"\0")
    raise InternalError(f"empty coder interval: {width} from {lower}")


def _whole_numbers(values: Ints, what: str, low: int, high: int) -> None:
    """Raise :class:`InternalError` unless ``values`` is (n,) integers in ``low`` … ``high``."""
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InternalError(f"{what}: need a line of integers, got {values.dtype} {values.shape}")
    if values.size and (values.min() < low or values.max() > high):
        raise InternalError(f"{what}: {values.min()}…{values.max()} leaves {low}…{high}")


def _sorted_rows(owners: Ints | None, rows: Ints, family: Family) -> tuple[npt.NDArray[np.intp], list[Run]]:
    """The stable order by stream and row (n,), and the runs in that order. ``owners``: the streams; None for one."""
    _whole_numbers(rows, "table rows", 0, family.rows - 1)
    # 8 and 16 bits make numpy's stable sort a radix sort.
    key = rows.astype(np.uint8) if owners is None else (owners * family.rows + rows).astype(np.uint16)
    order = np.argsort(key, kind="stable")
    counts = np.bincount(key)
    present = np.flatnonzero(counts)
    streams, used = np.divmod(present, family.rows)
    ends = np.cumsum(counts[present]).tolist()
    return order, list(zip(streams.tolist(), used.tolist(), [0, *ends][:-1], ends, strict=True))


def _to_indices(symbols: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> Indices:
    """Positions in ``row_counts``: 0, +1, −1, … → 0, 1, 2, …; everything beyond ``last`` → 2·last + 1."""
    magnitude = np.minimum(np.abs(symbols), last + 1)
    indices: Indices = np.minimum(2 * magnitude - (symbols > 0), 2 * last + 1).astype(np.int32)
    return indices


def _from_indices(indices: Indices) -> Indices:
    """Inverse of :func:`_to_indices`; an escape becomes +(last + 1), to which its excess is added."""
    half = (indices + 1) >> 1
    return np.where(indices & 1, half, -half).astype(np.int32)


def _pieces(length: int) -> list[int]:
    """How the ``length`` bits below the leading one of an excess are cut: the odd bits first, then bytes."""
    odd = [length % MAX_BITS] if length % MAX_BITS else []
    return odd + [MAX_BITS] * (length // MAX_BITS)


class SymbolEncoder:
    """Builds one payload from calls of :meth:`put` and :meth:`put_bits`."""

    def __init__(self) -> None:
        """Start an empty payload."""
        import constriction

        self._encoder = constriction.stream.queue.RangeEncoder()

    def put(self, symbols: Ints, rows: Ints, family: Family = LAPLACE) -> None:
        """Code ``symbols`` (n,), magnitudes up to 2^31 − 1, each with the table of its entry in ``rows`` (n,)."""
        put_each([self], None, symbols, rows, family)

    def put_bits(self, values: Ints, bits: int) -> None:
        """Code ``values`` (n,) in 0 … 2^bits − 1 at exactly ``bits`` (1 … 8) bits each."""
        _whole_numbers(values, "uniform values", 0, (1 << bits) - 1)
        self._encode(values.astype(np.int32), _uniform_model(bits))

    def put_flags(self, flags: Ints, chances: Ints) -> None:
        """Code ``flags`` (n,) of 0 and 1, each set in its entry of ``chances`` (n,), 1 … 2^16 − 1, of 2^16 cases."""
        _whole_numbers(flags, "flags", 0, 1)
        if flags.size:
            with _guard(InternalError):
                self._encoder.encode(np.ascontiguousarray(flags, np.int32), _flag_models(), _flag_counts(chances))

    def finish(self) -> bytes:
        """The payload; possibly empty."""
        with _guard(InternalError):
            return _shortest(self._encoder.get_compressed(), self._encoder.pos())

    def _encode(self, indices: Indices, model: Any) -> None:
        if indices.size:
            with _guard(InternalError):
                self._encoder.encode(np.ascontiguousarray(indices), model)

    def _put_escapes(self, excess: npt.NDArray[np.int64]) -> None:
        """Signed excesses (n,), never zero: bit lengths, signs, then for each length the bits below the top one."""
        if not excess.size:
            return
        size = np.abs(excess)
        # frexp is exact here (below 2^53): its exponent is the bit length.
        length = (np.frexp(size.astype(np.float64))[1] - 1).astype(np.int32)
        self._encode(length, _escape_model())
        self.put_bits((excess < 0).astype(np.int32), 1)
        for bits in np.flatnonzero(np.bincount(length)).tolist():
            left = bits
            for piece in _pieces(bits):
                left -= piece
                self.put_bits(size[length == bits] >> left & ((1 << piece) - 1), piece)


class SymbolDecoder:
    """Reads back a payload of :class:`SymbolEncoder` with the same calls in the same order.

    Every method raises :class:`CorruptError` for bytes that cannot have been written, and
    :class:`LimitError` when more than ``limits.max_symbols`` are asked for, before anything is allocated.
    ``echo``: code what is read again, for :meth:`finish`; who knows what to read needs neither.
    """

    def __init__(self, data: bytes, *, limits: Limits = DEFAULT_LIMITS, echo: bool = True) -> None:
        """Start at the first symbol of ``data``."""
        import constriction

        words = np.frombuffer(data + b"\0" * (-len(data) % 4), dtype=">u4").astype(np.uint32)
        self._data = data
        self._limits = limits
        self._taken = 0
        with _guard(CorruptError):
            self._decoder = constriction.stream.queue.RangeDecoder(words)
        self._echo = SymbolEncoder() if echo else None
        self._flags: list[tuple[Indices, Ints]] = []  # not yet echoed: they come in many small pieces

    def get(self, rows: Ints, family: Family = LAPLACE) -> Indices:
        """The next symbols, int32 (n,), coded with the tables ``rows`` (n,)."""
        return get_each([self], None, rows, family)

    def get_bits(self, count: int, bits: int) -> Indices:
        """The next ``count`` values of ``bits`` bits each, int32 (count,)."""
        self._charge(count)
        return self._decode(_uniform_model(bits), count)

    def get_flags(self, chances: Ints) -> Indices:
        """The next flags, int32 (n,), coded with ``chances`` (n,)."""
        self._charge(chances.size)
        if not chances.size:
            return np.zeros(0, np.int32)
        with _guard(CorruptError):
            flags: Indices = self._decoder.decode(_flag_models(), _flag_counts(chances))
        self._flags.append((flags, chances))
        return flags

    def _echo_flags(self) -> None:
        if self._flags and self._echo is not None:
            flags, chances = (np.concatenate(parts) for parts in zip(*self._flags, strict=True))
            self._echo.put_flags(flags, chances)
            self._flags.clear()

    def finish(self) -> None:
        """Check that the payload is exactly what the encoder writes for the symbols that were read."""
        self._echo_flags()
        echo = b"" if self._echo is None else self._echo.finish()
        if echo != self._data:
            raise CorruptError(f"coded payload of {len(self._data)} bytes is not the {len(echo)} that its symbols need")

    def _charge(self, count: int) -> None:
        self._taken += count
        self._limits.check("max_symbols", self._taken, "coded symbols of one section")

    def _decode(self, model: Any, count: int) -> Indices:
        if not count:
            return np.zeros(0, np.int32)
        with _guard(CorruptError):
            indices: Indices = self._decoder.decode(model, count)
        self._echo_flags()
        if self._echo is not None:
            self._echo._encode(indices, model)
        return indices

    def _get_escapes(self, ordered: Indices, places: npt.NDArray[np.intp]) -> None:
        """Replace the entries of ``ordered`` at ``places``, each last + 1 of its row, by the escaped symbols."""
        if not places.size:
            return
        length = self._decode(_escape_model(), places.size)
        negative = self._decode(_uniform_model(1), places.size)
        excess = np.int64(1) << length.astype(np.int64)
        for bits in np.flatnonzero(np.bincount(length)).tolist():  # np.unique would load all of numpy.ma
            left = bits
            for piece in _pieces(bits):
                left -= piece
                part = self._decode(_uniform_model(piece), int((length == bits).sum()))
                excess[length == bits] |= part.astype(np.int64) << left
        size = ordered[places].astype(np.int64) - 1 + excess
        if size.max() > LARGEST:
            raise CorruptError(f"escaped symbol of magnitude {size.max()} does not fit 32 bits")
        ordered[places] = np.where(negative, -size, size)


# -- many streams at once --------------------------------------------------------------------------------
def put_each(
    encoders: Sequence[SymbolEncoder], owners: Ints | None, symbols: Ints, rows: Ints, family: Family = LAPLACE
) -> None:  # fmt: skip
    """:meth:`SymbolEncoder.put` for several encoders: symbol i goes to ``encoders[owners[i]]``; None: all to the only
    one. Every payload is what its encoder would give alone."""
    _whole_numbers(symbols, "symbols", -LARGEST, LARGEST)
    if symbols.shape != rows.shape:
        raise InternalError(f"{symbols.size} symbols with {rows.size} table rows")
    order, runs = _sorted_rows(owners, rows, family)
    ordered = symbols[order].astype(np.int64)
    last = _row_supports(family).take(rows[order])
    _encode_runs(encoders, _to_indices(ordered, last), runs, family)
    out = np.flatnonzero(np.abs(ordered) > last)
    excess = ordered[out] - last[out] * np.sign(ordered[out])
    for stream, places in _by_stream(owners, order, out):
        encoders[stream]._put_escapes(excess[places])


def get_each(
    decoders: Sequence[SymbolDecoder], owners: Ints | None, rows: Ints, family: Family = LAPLACE
) -> Indices:  # fmt: skip
    """:meth:`SymbolDecoder.get` for several decoders, as :func:`put_each` has coded the symbols: int32 (n,)."""
    counts = [rows.size] if owners is None else np.bincount(owners, minlength=len(decoders)).tolist()
    for decoder, count in zip(decoders, counts, strict=True):
        decoder._charge(count)
    order, runs = _sorted_rows(owners, rows, family)
    indices = _decode_runs(decoders, runs, family)
    ordered = _from_indices(indices)
    escape = 2 * _row_supports(family) + 1
    lengths = [stop - start for _, _, start, stop in runs]
    out = np.flatnonzero(indices == np.repeat(escape.astype(np.int32)[[row for _, row, _, _ in runs]], lengths))
    for stream, places in _by_stream(owners, order, out):
        decoders[stream]._get_escapes(ordered, out[places])
    symbols = np.empty_like(ordered)
    symbols[order] = ordered
    return symbols


def _by_stream(
    owners: Ints | None, order: npt.NDArray[np.intp], places: npt.NDArray[np.intp]
) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:  # fmt: skip
    """Each stream that has some of the sorted ``places`` (n,), with the positions of these in ``places``."""
    if owners is None or not places.size:
        yield from [(0, np.arange(places.size))] if places.size else []
        return
    streams = owners[order[places]]
    for stream in np.unique(streams).tolist():
        yield stream, np.flatnonzero(streams == stream)


def _encode_runs(encoders: Sequence[SymbolEncoder], indices: Indices, runs: list[Run], family: Family) -> None:
    """Code ``indices`` (n,), sorted as ``runs`` are."""
    models, streams = _row_models(family), [e._encoder for e in encoders]
    with _guard(InternalError):
        for stream, row, start, stop in runs:
            streams[stream].encode(indices[start:stop], models[row])


def _decode_runs(decoders: Sequence[SymbolDecoder], runs: list[Run], family: Family) -> Indices:
    """The next indices (n,), sorted as ``runs`` are."""
    models, streams = _row_models(family), [d._decoder for d in decoders]
    with _guard(CorruptError):
        parts = [streams[stream].decode(models[row], stop - start) for stream, row, start, stop in runs]
    indices: Indices = np.concatenate([np.zeros(0, np.int32), *parts])
    for decoder in decoders:
        decoder._echo_flags()
    echoes = [d._echo for d in decoders if d._echo is not None]
    if echoes:
        _encode_runs(echoes, indices, runs, family)
    return indices


def encode_symbols(symbols: Ints, rows: Ints) -> bytes:
    """Code ``symbols`` (n,) with the tables ``rows`` (n,); :class:`InternalError` on impossible arguments."""
    encoder = SymbolEncoder()
    encoder.put(symbols, rows)
    return encoder.finish()


def decode_symbols(data: bytes, rows: Ints, *, limits: Limits = DEFAULT_LIMITS) -> Indices:
    """Inverse of :func:`encode_symbols`: int32 (n,). Raises :class:`CorruptError` and :class:`LimitError`."""
    decoder = SymbolDecoder(data, limits=limits)
    symbols = decoder.get(rows)
    decoder.finish()
    return symbols
