from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder, frequencies

from nfcodec.entropy import coder, logistic, tables
from nfcodec.entropy.coder import LOGISTIC, SymbolDecoder, SymbolEncoder, decode_symbols, encode_symbols
from nfcodec.errors import CorruptError, InternalError, LimitError
from nfcodec.limits import Limits

# Bytes on the left for ever mean the symbols on the right. Never regenerate without a new format version.
GOLDEN = (
    ("", [0, 0, 0], [18, 18, 18]),
    ("6eb8", [1, -1, 0, 2, 0, -3], [18, 18, 18, 22, 10, 20]),
    (
        "fffffffffe000040ff107c8cae17b244bea6ce04522bffffffbff64b",
        [5, -700, 2**31 - 1, -(2**31) + 1, 0, 3],
        [0, 12, 30, 4, 47, 0],
    ),
    ("e38d6f1ab4774a", [100, -250, 13, 0, 77, -1], [40, 42, 47, 46, 45, 44]),
)

rows_and_symbols = st.lists(
    st.tuples(
        st.integers(0, tables.ROWS - 1),
        st.one_of(st.integers(-3, 3), st.integers(-1100, 1100), st.integers(-coder.LARGEST, coder.LARGEST)),
    ),
    max_size=60,
)


def arrays(pairs):
    return np.array([r for r, _ in pairs], np.int64), np.array([s for _, s in pairs], np.int64)


def laplace(rows, seed=0):
    rng = np.random.default_rng(seed)
    return np.rint(rng.laplace(size=rows.size) * 2.0 ** ((rows - 18) / 4)).astype(np.int32)


@pytest.mark.parametrize(("payload", "symbols", "rows"), GOLDEN)
def test_golden_vectors(payload, symbols, rows):
    data = bytes.fromhex(payload)
    assert decode_symbols(data, np.array(rows)).tolist() == symbols
    assert encode_symbols(np.array(symbols), np.array(rows)) == data
    assert ReferenceDecoder(data).symbols(rows) == symbols


@settings(max_examples=150, deadline=None)
@given(rows_and_symbols)
def test_round_trip_and_the_plain_python_decoder(pairs):
    rows, symbols = arrays(pairs)
    data = encode_symbols(symbols, rows)
    decoded = decode_symbols(data, rows)
    assert decoded.dtype == np.int32
    assert decoded.tolist() == symbols.tolist()
    reference = ReferenceDecoder(data)
    assert reference.symbols(rows.tolist()) == symbols.tolist()
    assert reference.only_stream() == data


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.lists(st.integers(0, tables.ROWS - 1), max_size=50))
def test_any_bytes_decode_or_are_corrupt_and_are_the_only_spelling(data, rows):
    try:
        symbols = decode_symbols(data, np.array(rows, np.int64))
    except CorruptError:
        return
    assert encode_symbols(symbols, np.array(rows, np.int64)) == data


@pytest.mark.parametrize("row", [0, 2, 5, 10, 18, 30, 47])
def test_within_one_percent_and_eight_bytes_of_the_ideal(row):
    rows = np.full(20_000, row)
    symbols = laplace(rows, row)
    ideal = tables.code_lengths()[rows, np.clip(symbols, -tables.LMAX, tables.LMAX) + tables.LMAX].sum() / 8
    assert len(encode_symbols(symbols, rows)) <= 1.01 * ideal + 8


def test_mixed_rows_within_one_percent_and_eight_bytes_of_the_ideal():
    rows = np.random.default_rng(1).integers(0, tables.ROWS, 30_000)
    symbols = laplace(rows)
    ideal = tables.code_lengths()[rows, np.clip(symbols, -tables.LMAX, tables.LMAX) + tables.LMAX].sum() / 8
    data = encode_symbols(symbols, rows)
    assert len(data) <= 1.01 * ideal + 8
    assert np.array_equal(decode_symbols(data, rows), symbols)


def test_many_zeros_cost_nothing():
    assert encode_symbols(np.zeros(5000, int), np.arange(5000) % tables.ROWS) == b""


def test_calls_may_be_mixed():
    encoder = SymbolEncoder()
    encoder.put_bits(np.array([3, 0]), 2)
    encoder.put(np.array([1, -9000]), np.array([5, 5]))
    encoder.put_bits(np.array([255]), 8)
    decoder = SymbolDecoder(encoder.finish())
    assert decoder.get_bits(2, 2).tolist() == [3, 0]
    assert decoder.get(np.array([5, 5])).tolist() == [1, -9000]
    assert decoder.get_bits(1, 8).tolist() == [255]
    decoder.finish()


def test_frequencies_of_uniform_counts_are_uniform():
    """put_bits relies on it: 2^b equal counts make 2^b equal frequencies."""
    for bits in range(1, 9):
        assert frequencies((1,) * (1 << bits)) == [i << (24 - bits) for i in range((1 << bits) + 1)]


@pytest.mark.parametrize("extra", [b"\0", b"\1", b"\0\0\0\0\1"])
def test_trailing_bytes_are_corrupt(extra):
    rows = np.full(50, 20)
    data = encode_symbols(laplace(rows), rows)
    with pytest.raises(CorruptError, match="coded payload"):
        decode_symbols(data + extra, rows)


def test_no_truncation_decodes_to_the_same_symbols():
    """A few prefixes are payloads of other symbols; telling those apart is the work of the section's CRC."""
    rows = np.full(60, 20)
    symbols = laplace(rows)
    data = encode_symbols(symbols, rows)
    for length in range(len(data)):
        with suppress(CorruptError):
            assert not np.array_equal(decode_symbols(data[:length], rows), symbols)


def test_too_few_rows_are_corrupt():
    rows = np.full(60, 20)
    with pytest.raises(CorruptError):
        decode_symbols(encode_symbols(laplace(rows), rows), rows[:30])


@pytest.mark.parametrize("count", [99, 100, 101])
def test_symbol_limit(count):
    limits = Limits(max_symbols=100)
    rows = np.full(count, 18)
    if count > 100:
        with pytest.raises(LimitError, match="max_symbols"):
            decode_symbols(b"", rows, limits=limits)
    else:
        assert not decode_symbols(b"", rows, limits=limits).any()


def test_symbol_limit_counts_all_calls():
    decoder = SymbolDecoder(b"", limits=Limits(max_symbols=100))
    decoder.get(np.full(60, 18))
    with pytest.raises(LimitError):
        decoder.get_bits(41, 8)


@pytest.mark.parametrize(
    ("symbols", "rows"),
    [
        (np.array([1.0]), np.array([1])),
        (np.array([1]), np.array([1.0])),
        (np.array([[1]]), np.array([[1]])),
        (np.array([1, 2]), np.array([1])),
        (np.array([1]), np.array([tables.ROWS])),
        (np.array([1]), np.array([-1])),
        (np.array([2**31]), np.array([1])),
        (np.array([-(2**31)]), np.array([1])),
        (np.array([True]), np.array([1])),
    ],
)
def test_impossible_arguments(symbols, rows):
    with pytest.raises(InternalError):
        encode_symbols(symbols, rows)


@pytest.mark.parametrize(("values", "bits"), [([4], 2), ([-1], 2), ([0], 0), ([0], 9)])
def test_impossible_uniform_values(values, bits):
    with pytest.raises(InternalError):
        SymbolEncoder().put_bits(np.array(values), bits)


@pytest.mark.parametrize("counts", [(0, 4), (3, 2), (1 << 20, 1 << 20)])
def test_impossible_counts(counts):
    with pytest.raises(InternalError):
        coder._categorical(counts)


def test_escape_beyond_32_bits_is_corrupt():
    encoder = SymbolEncoder()
    last = tables.support(18)
    encoder._encode(np.array([2 * last + 1], np.int32), coder._row_models(coder.LAPLACE)[18])
    encoder._put_escapes(np.array([2**31]))
    with pytest.raises(CorruptError, match="32 bits"):
        decode_symbols(encoder.finish(), np.array([18]))


class PanicException(BaseException):  # named like the one of pyo3, which cannot be imported
    pass


@pytest.mark.parametrize("raised", [PanicException, AssertionError])
@pytest.mark.parametrize("wanted", [CorruptError, InternalError])
def test_panics_become_errors(raised, wanted):
    with pytest.raises(wanted, match="boom"), coder._guard(wanted):
        raise raised("boom")


@pytest.mark.parametrize("raised", [KeyboardInterrupt, MemoryError, LimitError])
def test_other_errors_pass(raised):
    with pytest.raises(raised), coder._guard(CorruptError):
        raise raised("stop")


def test_a_real_panic_is_caught():
    import constriction

    with pytest.raises(CorruptError), coder._guard(CorruptError):
        constriction.stream.model.QuantizedGaussian(-10, 10, 0.0, -1.0)


def test_no_bit_flip_decodes_to_the_same_symbols():
    rows = np.full(40, 22)
    symbols = laplace(rows)
    data = encode_symbols(symbols, rows)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with suppress(CorruptError):
            assert not np.array_equal(decode_symbols(bytes(flipped), rows), symbols)


def logistic_symbols(count=3000, seed=4):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, logistic.ROWS, count).astype(np.uint8)
    loud = rng.choice([0.1, 1, 40, 900, 10**7], count)
    return np.rint(rng.laplace(size=count) * loud).astype(np.int32), rows


def test_the_logistic_tables_and_the_plain_python_decoder():
    symbols, rows = logistic_symbols()
    encoder = SymbolEncoder()
    encoder.put(symbols, rows, LOGISTIC)
    data = encoder.finish()
    decoder = SymbolDecoder(data)
    assert np.array_equal(decoder.get(rows, LOGISTIC), symbols)
    decoder.finish()
    reference = ReferenceDecoder(data)
    assert reference.symbols(rows.tolist(), logistic.row_counts) == symbols.tolist()
    assert reference.only_stream() == data


def test_families_may_be_mixed():
    symbols, rows = logistic_symbols(200)
    encoder = SymbolEncoder()
    encoder.put(symbols, rows, LOGISTIC)
    encoder.put(symbols, rows % tables.ROWS)
    decoder = SymbolDecoder(encoder.finish())
    assert np.array_equal(decoder.get(rows, LOGISTIC), symbols)
    assert np.array_equal(decoder.get(rows % tables.ROWS), symbols)
    decoder.finish()


def test_each_family_has_its_rows():
    for family in (coder.LAPLACE, LOGISTIC):
        SymbolEncoder().put(np.array([1]), np.array([family.rows - 1]), family)
        with pytest.raises(InternalError, match="table rows"):
            SymbolEncoder().put(np.array([1]), np.array([family.rows]), family)


def test_no_symbols_are_no_bytes():
    empty = np.zeros(0, np.int32)
    assert encode_symbols(empty, empty) == b""
    assert SymbolDecoder(b"").get(empty, LOGISTIC).dtype == np.int32
