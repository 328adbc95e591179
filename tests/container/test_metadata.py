import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfcodec.container.metadata import KINDS, kind_name, pack_metadata, pack_tags, unpack_metadata, unpack_tags
from nfcodec.errors import CorruptError, FormatError, InternalError, LimitError, TruncatedError
from nfcodec.limits import Limits


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@given(st.dictionaries(st.sampled_from(KINDS), st.binary(max_size=300)))
def test_round_trip(metadata):
    payloads = [pack_metadata(kind, data) for kind, data in metadata.items()]
    assert unpack_metadata(payloads) == list(metadata.items())


@pytest.mark.parametrize(("kind", "data", "first"), [("icc", b"", 0), ("xmp", b"ab", 2), ("tags", b"a" * 99, 0x43)])
def test_stored_unless_deflate_helps(kind, data, first):
    payload = pack_metadata(kind, data)
    assert payload[0] == first
    assert len(payload) <= len(data) + 1


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=200)), max_size=5))
def test_tags_round_trip(tags):
    assert unpack_tags(pack_tags(tags)) == tuple(tags)


def test_names_that_are_not_unicode_survive():
    assert unpack_tags(pack_tags([("file", "\udcff")])) == (("file", "\udcff"),)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_raise_only_our_errors(data):
    with suppress(FormatError):
        unpack_metadata([data])
    with suppress(FormatError):
        unpack_tags(data)


def test_zip_bomb_is_refused_without_inflating_it():
    bomb = b"\x40" + deflated(bytes(50 << 20))
    assert len(bomb) < 60_000
    with pytest.raises(LimitError, match="max_metadata"):
        unpack_metadata([bomb], limits=Limits(max_metadata=1000))


@pytest.mark.parametrize("pack", [lambda d: b"\x40" + deflated(d), lambda d: b"\0" + d], ids=["deflated", "stored"])
@pytest.mark.parametrize("size", [99, 100, 101])
def test_limit(pack, size):
    limits = Limits(max_metadata=100)
    if size > 100:
        with pytest.raises(LimitError):
            unpack_metadata([pack(bytes(size))], limits=limits)
    else:
        assert unpack_metadata([pack(bytes(size))], limits=limits) == [("icc", bytes(size))]


def test_limit_is_for_all_kinds_together():
    payloads = [pack_metadata("icc", bytes(60)), pack_metadata("exif", bytes(41))]
    with pytest.raises(LimitError):
        unpack_metadata(payloads, limits=Limits(max_metadata=100))


def test_unknown_kinds_are_left_out():
    assert unpack_metadata([b"\x3fwhat", b"\x84what", pack_metadata("xmp", b"x")]) == [("xmp", b"x")]
    assert kind_name(None) is None
    assert kind_name(0x43) == "tags"


BAD = {
    "no_kind": ([b""], CorruptError),
    "same_kind_twice": ([b"\0a", b"\0b"], CorruptError),
    "same_kind_twice_packed_differently": ([b"\0a", b"\x40" + deflated(b"a")], CorruptError),
    "deflate_garbage": ([b"\x40\xff\xff\xff"], CorruptError),
    "deflate_empty": ([b"\x40"], CorruptError),
    "deflate_cut": ([b"\x40" + deflated(b"hello world")[:-2]], CorruptError),
    "deflate_with_a_tail": ([b"\x40" + deflated(b"hello") + b"x"], CorruptError),
}


@pytest.mark.parametrize(("payloads", "error"), BAD.values(), ids=BAD)
def test_bad_metadata(payloads, error):
    with pytest.raises(error):
        unpack_metadata(payloads)


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"\x05ab", TruncatedError), (b"\x01a", CorruptError), (b"\x01\xff\x00", CorruptError), (b"\x80", TruncatedError)],
)
def test_bad_tags(data, error):
    with pytest.raises(error):
        unpack_tags(data)


def test_kinds_that_do_not_exist():
    with pytest.raises(InternalError):
        pack_metadata("horoscope", b"")
