import lzma
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nfcodec.entropy.lossless import _FILTERS, decode_plane, encode_plane
from nfcodec.errors import CorruptError, InternalError, LimitError
from nfcodec.limits import Limits

planes = hnp.arrays(st.sampled_from([np.uint8, np.uint16]), hnp.array_shapes(min_dims=1, max_dims=3, max_side=9))


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@settings(max_examples=100, deadline=None)
@given(planes)
def test_round_trip(plane):
    decoded = decode_plane(encode_plane(plane), plane.shape, plane.dtype)
    assert decoded.dtype == plane.dtype
    assert np.array_equal(decoded, plane)


@settings(max_examples=200, deadline=None)
@given(planes, st.data())
def test_any_change_decodes_or_is_corrupt(plane, data):
    payload = bytearray(encode_plane(plane))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    payload = payload[: data.draw(st.integers(0, len(payload)))]
    with suppress(CorruptError):
        assert decode_plane(bytes(payload), plane.shape, plane.dtype).shape == plane.shape


@pytest.mark.parametrize(
    ("dtype", "value", "payload"), [("u1", 255, "00ff"), ("u2", 65535, "00ffff"), ("u1", 0, "0000")]
)
def test_constant_planes_take_three_bytes_at_most(dtype, value, payload):
    plane = np.full((7, 5), value, dtype)
    assert encode_plane(plane).hex() == payload
    assert np.array_equal(decode_plane(bytes.fromhex(payload), (7, 5), dtype), plane)


def test_golden_two_level_plane():
    """Stored, two values 0 and 255, one bit per sample, no differences."""
    plane = decode_plane(bytes.fromhex("48 00 ff b1 80"), (3, 3), np.uint8)
    assert plane.tolist() == [[255, 0, 255], [255, 0, 0], [0, 255, 255]]


def test_golden_gradient_plane():
    """Stored, differences along both axes."""
    assert decode_plane(bytes.fromhex("43 0a 01 05 02"), (2, 2), np.uint8).tolist() == [[10, 11], [15, 18]]


def test_a_mask_is_small():
    y, x = np.mgrid[:512, :768]
    disc = ((y - 256) ** 2 + (x - 384) ** 2 < 200**2) * np.uint8(255)
    assert len(encode_plane(disc)) < 1100
    assert len(encode_plane(disc.astype(np.uint16) * 257)) < 1100


def test_noise_costs_one_byte_more():
    noise = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    assert len(encode_plane(noise)) == noise.size + 1


BAD = {
    "empty": b"",
    "constant_without_value": b"\0",
    "constant_with_two_values": b"\0\1\2",
    "mode_without_plane_bit": b"\x01" + bytes(64),
    "mode_with_bit_7": b"\xc0" + bytes(64),
    "packing_3": b"\x70" + bytes(64),
    "axis_2_of_2": b"\x44" + bytes(64),
    "stored_one_byte_short": b"\x40" + bytes(63),
    "stored_one_byte_long": b"\x40" + bytes(65),
    "deflate_garbage": b"\x50" + b"\xff" * 20,
    "deflate_bomb": b"\x50" + deflated(bytes(10_000_000)),
    "deflate_one_byte_short": b"\x50" + deflated(bytes(63)),
    "deflate_cut": b"\x50" + deflated(bytes(range(64)))[:-3],
    "deflate_with_a_tail": b"\x50" + deflated(bytes(64)) + b"x",
    "lzma_garbage": b"\x60" + b"\xff" * 20,
    "lzma_bomb": b"\x60" + lzma.compress(bytes(10_000_000), lzma.FORMAT_RAW, filters=_FILTERS),
    "lzma_cut": b"\x60" + lzma.compress(bytes(range(64)), lzma.FORMAT_RAW, filters=_FILTERS)[:-1],
    "lzma_with_a_tail": b"\x60" + lzma.compress(bytes(64), lzma.FORMAT_RAW, filters=_FILTERS) + b"x",
    "two_levels_without_values": b"\x48\x01",
    "two_levels_one_byte_short": b"\x48\0\xff" + bytes(7),
}


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD)
def test_bad_planes(payload):
    with pytest.raises(CorruptError):
        decode_plane(payload, (8, 8), np.uint8)


@pytest.mark.parametrize("side", [9, 10, 11])
def test_array_limit(side):
    limits = Limits(max_array=100)
    if side > 10:
        with pytest.raises(LimitError):
            decode_plane(b"\0\0", (side, side), np.uint8, limits=limits)
    else:
        assert decode_plane(b"\0\0", (side, side), np.uint8, limits=limits).size == side * side


@pytest.mark.parametrize("plane", [np.zeros((2, 2)), np.zeros((0, 2), np.uint8), np.zeros((1, 1, 1, 1), np.uint8)])
def test_planes_that_do_not_exist(plane):
    with pytest.raises(InternalError):
        encode_plane(plane)
