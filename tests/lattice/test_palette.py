"""Overlays: palettes and planes of indices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference_overlay import ReferenceOverlay

from nfcodec.entropy.coder import SymbolDecoder, SymbolEncoder
from nfcodec.entropy.ranking import Ranker
from nfcodec.errors import CorruptError, InternalError, LimitError
from nfcodec.lattice.palette import MOST_COLOURS, decode_overlay, encode_overlay
from nfcodec.limits import Limits


def palette(colours, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (colours, channels)).astype(np.uint8)


def stripes(height, width, colours):
    """Repeated glyphs over clear samples."""
    glyph = np.random.default_rng(1).integers(0, colours + 1, (7, 5))
    return np.tile(glyph, (height // 7 + 1, width // 5 + 1))[:height, :width].astype(np.int32)


def known(indices):
    """A choice that is made already."""
    return lambda ranker, front: indices[np.arange(front.top, front.bottom), front.x].astype(np.int64)


def coded(indices, colours):
    return encode_overlay(colours, indices.shape, known(indices))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (17, 40), (40, 17)])
@pytest.mark.parametrize(("colours", "channels"), [(1, 1), (2, 3), (5, 3), (100, 1)])
def test_round_trip_and_the_document(shape, colours, channels):
    indices = np.random.default_rng(shape).integers(0, colours + 1, shape).astype(np.int32)
    indices[::2] = stripes(*shape, colours)[::2]
    data, overlay = coded(indices, palette(colours, channels))
    np.testing.assert_array_equal(overlay.indices, indices)
    back = decode_overlay(data, shape, channels)
    np.testing.assert_array_equal(back.indices, indices)
    np.testing.assert_array_equal(back.palette, palette(colours, channels))
    reference = ReferenceOverlay(data, *shape, channels)
    assert reference.palette == [tuple(c) for c in back.palette.tolist()]
    assert [reference.plane[cell] for cell in np.ndindex(shape)] == indices.ravel().tolist()
    assert reference.stream.only_stream() == data


@given(arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_any_plane(indices):
    data, _ = coded(indices, palette(3))
    np.testing.assert_array_equal(decode_overlay(data, indices.shape, 3).indices, indices)


def test_long_certainty_and_halved_counts():
    """Enough equal samples that certainties and counts reach their bounds, then a change."""
    indices = np.ones((90, 120), np.int32)
    indices[60:, 70:] = 2
    data, _ = coded(indices, palette(2))
    reference = ReferenceOverlay(data, *indices.shape, 3)
    assert [reference.plane[cell] for cell in np.ndindex(indices.shape)] == indices.ravel().tolist()
    assert max(sum(pair.counts) for pair in reference.pairs.values()) > 4096
    assert len(data) < 60


def test_what_repeats_is_cheap():
    repeated, _ = coded(stripes(140, 200, 6), palette(6))
    noise, _ = coded(np.random.default_rng(0).integers(0, 7, (140, 200)).astype(np.int32), palette(6))
    assert len(repeated) < len(noise) / 20
    assert len(noise) < 1.25 * 140 * 200 * np.log2(7) / 8


@given(st.data())
def test_any_change_decodes_or_is_corrupt(data):
    payload = bytearray(coded(stripes(9, 11, 4), palette(4))[0])
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        back = decode_overlay(bytes(payload), (9, 11), 3)
    except (CorruptError, LimitError):
        return
    assert back.indices.min() >= 0
    assert back.indices.max() <= len(back.palette)


def test_palettes_that_do_not_exist():
    with pytest.raises(CorruptError, match="palette"):
        decode_overlay(b"", (2, 2), 3)
    for colours in (0, MOST_COLOURS + 1):
        with pytest.raises(InternalError):
            encode_overlay(palette(colours), (2, 2), known(np.zeros((2, 2), np.int32)))


def test_the_largest_palette():
    indices = np.arange(MOST_COLOURS + 1, dtype=np.int32).reshape(64, 64)
    data, _ = coded(indices, palette(MOST_COLOURS))
    np.testing.assert_array_equal(decode_overlay(data, (64, 64), 3).indices, indices)


def forged(write):
    encoder = SymbolEncoder()
    encoder.put_bits(np.array([0, 2]), 6)
    write(encoder)
    return encoder.finish()


def put_grey(encoder, first, second, row=20):
    encoder.put_bits(np.array([row]), 6)
    if row < 48:
        encoder.put(np.array([first, second]), np.full(2, row))


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_of_16_bits(channels):
    colours = np.array([[0] * channels, [7, 65535, 300][:channels], [65535] * channels], np.uint16)
    indices = stripes(9, 14, 3)
    data, overlay = coded(indices, colours)
    back = decode_overlay(data, indices.shape, channels, deep=True)
    assert back.palette.dtype == np.uint16
    np.testing.assert_array_equal(back.palette, colours)
    np.testing.assert_array_equal(back.values(), overlay.values())
    reference = ReferenceOverlay(data, 9, 14, channels)
    assert reference.palette == [tuple(c) for c in colours.tolist()]
    with pytest.raises(CorruptError, match="colour"):
        decode_overlay(data, indices.shape, channels)
    with pytest.raises(CorruptError, match="colour"):
        decode_overlay(forged(lambda e: put_grey(e, 65535, 1)), (1, 1), 1, deep=True)


@pytest.mark.parametrize(("first", "second"), [(-1, 3), (200, 56), (255, -256)])
def test_colours_out_of_range(first, second):
    with pytest.raises(CorruptError, match="colour"):
        decode_overlay(forged(lambda e: put_grey(e, first, second)), (1, 1), 1)


def test_rows_that_do_not_exist():
    with pytest.raises(CorruptError, match="row 48"):
        decode_overlay(forged(lambda e: put_grey(e, 0, 0, row=48)), (1, 1), 1)


def test_an_index_beyond_the_palette():
    def write(encoder):
        put_grey(encoder, 5, 6)
        ranker = Ranker((1, 1), 2)
        front = next(ranker.fronts())
        # Three spelled with two bits, after the only guess (0) is refused.
        encoder.put_flags(np.array([0]), ranker.chances(front)[4])
        encoder.put_flags(np.array([1]), np.array([1 << 15]))
        encoder.put_flags(np.array([1]), np.array([1 << 15]))

    with pytest.raises(CorruptError, match="index 3 of 2"):
        decode_overlay(forged(write), (1, 1), 1)


def test_limits_come_first():
    data, _ = coded(stripes(30, 30, 4), palette(4))
    with pytest.raises(LimitError):
        decode_overlay(data, (30, 30), 3, limits=Limits(max_symbols=100))


def test_flags_must_have_a_chance():
    encoder = SymbolEncoder()
    for chance in (0, 1 << 16):
        with pytest.raises(InternalError):
            encoder.put_flags(np.array([1]), np.array([chance]))
    with pytest.raises(InternalError):
        encoder.put_flags(np.array([2]), np.array([5]))
    assert SymbolDecoder(b"").get_flags(np.zeros(0, np.int64)).size == 0
