from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nfcodec.errors import LimitError
from nfcodec.limits import Limits
from nfcodec.media.metadata import (
    bare_exif,
    check_metadata,
    jpeg_exif,
    make_tags,
    orientation,
    upright_exif,
    upright_xmp,
)
from nfcodec.signal import Metadata


def exif_with(value, order="<", kind=3):
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHI", 0x0112, kind, 1) + struct.pack(order + ("H" if kind == 3 else "I"), value)
    other = struct.pack(order + "HHII", 0x0100, 4, 1, 99)
    return head + struct.pack(order + "IH", 8, 2) + other + entry.ljust(12, b"\0") + b"\0\0\0\0tail"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_is_found_and_reset_in_place(order, kind, value):
    exif = exif_with(value, order, kind)
    assert orientation(exif) == value
    reset = upright_exif(exif)
    assert orientation(reset) == 1
    assert len(reset) == len(exif) and sum(a != b for a, b in zip(reset, exif, strict=True)) <= 1


def test_pillow_agrees():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    payload = bare_exif(exif.tobytes())
    assert orientation(payload) == 6
    again = Image.Exif()
    again.load(upright_exif(payload))
    assert again[0x0112] == 1 and again[0x010F] == "maker"


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_illegal_orientations_count_as_upright(value):
    assert orientation(exif_with(value)) == 1


@given(st.binary(max_size=80), st.booleans())
def test_garbage_never_raises(data, head):
    exif = (b"II*\0" if head else b"") + data
    assert 1 <= orientation(exif) <= 8
    assert len(upright_exif(exif)) == len(exif)


def test_xmp_orientation_counts_when_exif_has_none():
    for text in (
        b'<x tiff:Orientation="6" y="6"/>',
        b"<tiff:Orientation>6</tiff:Orientation>",
        b"tiff:Orientation = '6'",
    ):
        assert orientation(b"", text) == 6
        assert orientation(exif_with(3), text) == 3
        reset = upright_xmp(text)
        assert orientation(b"", reset) == 1 and len(reset) == len(text)


def test_jpeg_prefix():
    assert bare_exif(jpeg_exif(b"II*\0data")) == b"II*\0data"
    assert jpeg_exif(b"") == b""


def test_tags():
    tags = make_tags({"title": "Söng", "artist": None, "album": "", "odd": "a\udcffb"})
    assert tags == (("title", "Söng"), ("odd", "a?b"))


def test_metadata_limit():
    metadata = Metadata(icc=b"x" * 60, tags=(("k", "v" * 60),))
    assert check_metadata(metadata, Limits()) is metadata
    with pytest.raises(LimitError, match="max_metadata"):
        check_metadata(metadata, Limits(max_metadata=100))
