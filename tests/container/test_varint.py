import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.errors import CorruptError, InternalError, TruncatedError


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (16_384, "808001"), (2**64 - 1, "ffffffffffffffffff01")],
)
def test_golden(value, encoded):
    assert encode_varint(value).hex() == encoded
    assert ByteReader(bytes.fromhex(encoded)).varint() == value


@given(st.integers(0, 2**64 - 1))
def test_round_trip(value):
    reader = ByteReader(encode_varint(value))
    assert reader.varint() == value
    reader.expect_end("varint")


@given(st.binary(max_size=12))
def test_whatever_reads_is_the_shortest_form(data):
    reader = ByteReader(data)
    try:
        value = reader.varint()
    except (CorruptError, TruncatedError):
        return
    assert encode_varint(value) == data[: reader.position]


@pytest.mark.parametrize("value", [-1, 2**64])
def test_out_of_range(value):
    with pytest.raises(InternalError):
        encode_varint(value)


@pytest.mark.parametrize(
    ("encoded", "error"),
    [
        ("", TruncatedError),
        ("80", TruncatedError),
        ("ffffff", TruncatedError),
        ("8000", CorruptError),
        ("ff00", CorruptError),
        ("ffffffffffffffffff02", CorruptError),
        ("ffffffffffffffffffff", CorruptError),
        ("8080808080808080808000", CorruptError),
        ("ffffffffffffffffffff01", CorruptError),
    ],
)
def test_bad_varints(encoded, error):
    with pytest.raises(error):
        ByteReader(bytes.fromhex(encoded)).varint()


@pytest.mark.parametrize("size", [4, -1])
def test_take_checks_its_bounds(size):
    with pytest.raises(TruncatedError):
        ByteReader(b"abc").take(size)


def test_expect_end():
    reader = ByteReader(b"abc")
    reader.take(2)
    with pytest.raises(CorruptError, match="1 bytes too many"):
        reader.expect_end("thing")
    assert reader.rest() == b"c"
