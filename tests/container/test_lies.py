"""Files that lie, each named after its sin, with correct checksums unless the sin is the checksum."""

import struct

import container_files as files
import pytest
from container_files import raw_file, raw_front, raw_section

from nfcodec.container.layout import SIGNATURE, pack_fields
from nfcodec.container.varint import encode_varint
from nfcodec.errors import (
    ChecksumError,
    CorruptError,
    LimitError,
    NotNfcError,
    TruncatedError,
    UnsupportedFeatureError,
    UnsupportedVersionError,
)

DELTA = raw_section(*files.delta(0))


def fields(
    flags=0x40,
    samples=b"\x21",
    shape=b"\x08\x08",
    init=files.INIT,
    quality=b"\x4b",
    rows=b"\x01",
    rest=b"",
    body=DELTA,
    version=1,
    length=None,
):
    """An image file, one raw header field of which is replaced."""
    return raw_front(bytes([flags]) + samples + shape + init + quality + rows + rest, version, length) + body


def ranged(low, high):
    return fields(flags=0x64, samples=b"\x06", rest=struct.pack("<2d", low, high))


def sound(samples=b"\x11", shape=b"\x40", rest=b"\x01\x01", flags=0x51):
    """Two channels of u8 at 1 Hz."""
    return fields(flags=flags, samples=samples, shape=shape, rest=rest)


def varint(value):
    return encode_varint(value)


IMAGE_FIELDS = pack_fields(files.IMAGE)

LIES = {
    "nothing": (b"", NotNfcError, "the file is empty"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(40), NotNfcError, "89 50 4e 47"),
    "png_in_front": (b"\x89PNG\r\n\x1a\n" + fields(), NotNfcError, "signature"),
    "signature_only": (SIGNATURE, TruncatedError, "header"),
    "half_a_signature": (SIGNATURE[:2], TruncatedError, "signature"),
    "version_0": (fields(version=0), CorruptError, "version 0"),
    "version_2": (fields(version=2), UnsupportedVersionError, "version 2"),
    "version_255": (fields(version=255), UnsupportedVersionError, "version 255"),
    "header_length_0": (raw_front(b"") + DELTA, TruncatedError, "header flags"),
    "header_length_128": (raw_front(bytes(128)), CorruptError, "128 header bytes"),
    "header_one_byte_too_long": (fields(rest=b"\0"), CorruptError, "1 bytes too many"),
    "header_one_byte_too_short": (raw_front(fields()[6:19]), TruncatedError, "chunk rows"),
    "header_checksum_wrong": (fields()[:21] + bytes(4) + DELTA, ChecksumError, "header"),
    "growing_and_counted": (fields(flags=0xC0), CorruptError, "counts its sections"),
    "growing_picture": (fields(flags=0x80), CorruptError, "header"),
    "modality_6": (fields(flags=0x46), CorruptError, "modality code 6"),
    "modality_7": (fields(flags=0x47), CorruptError, "modality code 7"),
    "sample_type_13": (fields(samples=b"\x2d"), CorruptError, "sample type code 13"),
    "sample_type_15": (fields(samples=b"\x2f"), CorruptError, "sample type code 15"),
    "channels_2_to_the_40": (sound(samples=varint(2**44 | 1)), LimitError, "max_channels"),
    "channels_65": (sound(samples=varint(64 << 4 | 1)), LimitError, "max_channels"),
    "height_0": (fields(shape=b"\x00\x08"), CorruptError, "shape (0, 8)"),
    "width_0": (fields(shape=b"\x08\x00"), CorruptError, "shape (8, 0)"),
    "width_2_to_the_31": (fields(shape=b"\x08" + varint(2**31)), LimitError, "max_dimension"),
    "width_2_to_the_63": (fields(shape=b"\x08" + varint(2**63)), CorruptError, "shape"),
    "pixels_overflow_64_bits": (fields(shape=varint(2**33) * 2), LimitError, "max_dimension"),
    "pixels_over_the_limit": (fields(shape=varint(60_000) * 2), LimitError, "max_pixels"),
    "width_overlong": (fields(shape=b"\x08\x88\x00"), CorruptError, "shortest form"),
    "width_of_11_bytes": (fields(shape=b"\x08" + b"\x80" * 10 + b"\x01"), CorruptError, "more than 10 bytes"),
    "width_of_65_bits": (fields(shape=b"\x08" + b"\xff" * 9 + b"\x02"), CorruptError, "64 bits"),
    "quality_101": (fields(quality=b"\x65"), CorruptError, "quality 101"),
    "quality_252": (fields(quality=b"\xfc"), CorruptError, "quality 124"),
    "dither_0": (fields(quality=b"\x7e\x00\x00\x32"), CorruptError, "dither (0, 0, 0)"),
    "dither_of_a_fourth_plane": (fields(quality=b"\x7e\x00\x10\x32"), CorruptError, "reserved bits of a dither"),
    "dither_twice": (fields(quality=b"\x7e\x01\x00\x7e\x01\x00\x32"), CorruptError, "bytes too many"),
    "turn_0": (fields(quality=b"\x7d\x00\x00\x00\x32"), CorruptError, "turn (0, 0, 0)"),
    "turn_after_dither": (fields(quality=b"\x7e\x01\x00\x7d\x01\x00\x00\x32"), CorruptError, "bytes too many"),
    "tune_after_a_turn": (fields(quality=b"\x7d\x01\x00\x00\xb2"), CorruptError, "quality 178"),
    "spacing_0": (fields(quality=b"\x7f\x00\x32"), CorruptError, "cells 0 samples apart"),
    "quality_101_of_a_spacing": (fields(quality=b"\xff\x10\x65"), CorruptError, "quality 101"),
    "quality_129_of_a_spacing": (fields(quality=b"\xff\x10\x81"), CorruptError, "quality 129"),
    "chunk_rows_0": (fields(rows=b"\0"), CorruptError, "0 rows of modules"),
    "one_section_spelled_out": (fields(flags=0, rest=b"\x01"), CorruptError, "spelled out"),
    "rate_0": (fields(flags=0x50, rest=b"\0\x01"), CorruptError, "rate 0/1"),
    "rate_over_0": (fields(flags=0x50, rest=b"\x01\0"), CorruptError, "rate 1/0"),
    "rate_not_reduced": (fields(flags=0x50, rest=b"\x04\x02"), CorruptError, "rate 4/2"),
    "range_nan": (ranged(float("nan"), 1.0), CorruptError, "value range"),
    "range_infinite": (ranged(0.0, float("inf")), CorruptError, "value range"),
    "range_upside_down": (ranged(1.0, 0.0), CorruptError, "value range"),
    "range_cut": (fields(flags=0x64, samples=b"\x06", rest=bytes(15)), TruncatedError, "value range"),
    "frames_over_the_limit": (
        fields(flags=0x52, shape=varint(2_592_001) + b"\x08\x08", rest=b"\x01\x01"),
        LimitError,
        "max_frames",
    ),
    "samples_over_the_limit": (sound(shape=varint(2**31 + 1)), LimitError, "max_samples"),
    "array_over_the_limit": (fields(flags=0x45, samples=b"\x01", shape=varint(2**20) * 3), LimitError, "max_array"),
    "picture_of_two_channels": (fields(samples=b"\x11"), CorruptError, "2 channels"),
    "picture_of_i64": (fields(samples=b"\x2a"), CorruptError, "sample type i64"),
    "bilevel_in_colour": (fields(samples=b"\x20"), CorruptError, "sample type u1"),
    "bilevel_with_alpha": (fields(flags=0x48, samples=b"\x00"), CorruptError, "sample type u1"),
    "picture_with_a_rate": (fields(flags=0x50, rest=b"\x01\x01"), CorruptError, "rate 1"),
    "bilevel_with_a_range": (fields(flags=0x60, samples=b"\x00", rest=bytes(16)), CorruptError, "value range"),
    "picture_of_u8_with_a_range_over_255": (
        fields(flags=0x60, rest=struct.pack("<2d", 0, 256)), CorruptError, "value range",
    ),
    "sound_of_u16": (sound(samples=b"\x12"), CorruptError, "sample type u16"),
    "sound_with_alpha": (sound(flags=0x59), CorruptError, "alpha"),
    "sound_of_silence": (sound(samples=b"\x16", flags=0x71, rest=b"\x01\x01" + bytes(16)), CorruptError, "value range"),
    "rate_of_32_bits": (sound(rest=varint(2**31) + b"\x01"), CorruptError, "rate 2147483648"),
    "period_of_32_bits": (sound(rest=b"\x01" + varint(2**31)), CorruptError, "rate 1/2147483648"),
    "array_of_channels": (fields(flags=0x44, samples=b"\x16"), CorruptError, "2 channels"),
    "array_with_alpha": (fields(flags=0x4C, samples=b"\x06"), CorruptError, "alpha"),
    "array_range_over_its_type": (
        fields(flags=0x64, samples=b"\x01", rest=struct.pack("<2d", 0, 256)),
        CorruptError,
        "value range",
    ),
    "no_section": (fields(body=b""), TruncatedError, "section type"),
    "section_count_too_small": (raw_file(DELTA, raw_section(*files.alpha(0)), count=1), CorruptError, "after the last"),
    "section_count_too_large": (raw_file(DELTA, count=2), TruncatedError, "section type"),
    "section_count_2_to_the_60": (raw_file(DELTA, count=2**60), TruncatedError, "section type"),
    "trailing_byte": (raw_file(DELTA) + b"\0", CorruptError, "after the last"),
    "trailing_zip": (raw_file(DELTA) + b"PK\x05\x06" + bytes(18), CorruptError, "after the last"),
    "two_files_in_one": (raw_file(DELTA) * 2, CorruptError, "after the last"),
    "section_past_the_end": (raw_file(raw_section(1, b"\0abc", varint(1000))), TruncatedError, "end"),
    "section_of_2_to_the_40": (raw_file(raw_section(1, b"\0abc", varint(2**40))), TruncatedError, "end"),
    "section_length_overlong": (raw_file(raw_section(1, b"\0abc", b"\x84\x00")), CorruptError, "shortest form"),
    "section_length_of_11_bytes": (raw_file(raw_section(1, b"", b"\x80" * 10 + b"\x01")), CorruptError, "10 bytes"),
    "unknown_critical_10": (raw_file(raw_section(10, b"new")), UnsupportedFeatureError, "0x0a"),
    "unknown_critical_0": (raw_file(raw_section(0, b"")), UnsupportedFeatureError, "0x00"),
    "delta_without_chunk": (raw_file(raw_section(1, b"")), CorruptError, "without a chunk index"),
    "delta_with_overlong_chunk": (raw_file(raw_section(1, b"\x80\x00")), CorruptError, "shortest form"),
    "delta_with_cut_chunk": (raw_file(raw_section(1, b"\x80")), TruncatedError, "chunk index"),
    "cells_without_index": (raw_file(raw_section(3, b"")), CorruptError, "without a chunk index"),
    "same_cells_twice": (raw_file(*[raw_section(*files.cells(7))] * 2), CorruptError, "for chunk 7"),
    "same_chunk_twice": (raw_file(DELTA, DELTA), CorruptError, "second section"),
    "same_alpha_twice": (raw_file(*[raw_section(*files.alpha(9))] * 2), CorruptError, "for chunk 9"),
    "two_sounds": (raw_file(*[raw_section(*files.SOUND)] * 2), CorruptError, "0x82"),
}


@pytest.mark.parametrize("read", files.WAYS, ids=["stream", "pipe", "index"])
@pytest.mark.parametrize(("data", "error", "message"), LIES.values(), ids=LIES)
def test_lies(data, error, message, read):
    with pytest.raises(error) as caught:
        read(data)
    assert type(caught.value) is error
    assert message in str(caught.value)


@pytest.mark.parametrize("read", files.WAYS, ids=["stream", "pipe", "index"])
def test_the_frame_of_the_lies_is_honest(read):
    for data in (fields(), ranged(0.0, 0.0), raw_file(DELTA), fields(flags=0, rest=b"\0", body=b"")):
        read(data)


def test_section_checksum_wrong():
    for read in files.WAYS:
        with pytest.raises(ChecksumError):
            read(raw_file(DELTA[:-4] + bytes(4)))


def test_a_checksum_is_verified_before_an_unknown_type_is_judged():
    damaged = bytearray(raw_section(4, b"new"))
    damaged[-1] ^= 1
    for read in files.WAYS:
        with pytest.raises(ChecksumError):
            read(raw_file(bytes(damaged)))
