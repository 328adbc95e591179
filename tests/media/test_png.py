from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nfcodec.errors import OutputError
from nfcodec.media import open_sink
from nfcodec.media.png import PngShape, PngWriter
from nfcodec.parallel import limited
from nfcodec.signal import Block, Metadata, SignalInfo
from nfcodec.tags import Tags


def encode(samples, depth, cuts=1, **options):
    file = io.BytesIO()
    height, width, channels = samples.shape[-3:]
    writer = PngWriter(file, PngShape(width, height, channels, depth, **options), Metadata(), Tags())
    flat = samples.reshape(-1, width, channels)
    for part in np.array_split(flat, cuts):
        writer.rows(part)
    writer.close()
    file.seek(0)
    return file


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_8_bit_of_any_shape(height, width, channels, cuts, seed):
    rng = np.random.default_rng(seed)
    samples = (rng.integers(0, 256, (height, width, channels)) >> rng.integers(0, 8)).astype(np.uint8)
    with Image.open(encode(samples, 8, cuts)) as image:
        np.testing.assert_array_equal(np.asarray(image).reshape(samples.shape), samples)


@pytest.mark.parametrize("width", [1, 7, 8, 9])
def test_1_bit(width):
    bits = np.random.default_rng(0).integers(0, 2, (5, width, 1)).astype(np.uint8)
    with Image.open(encode(bits, 1)) as image:
        assert image.mode == "1"
        np.testing.assert_array_equal(np.asarray(image)[..., None], bits)


def test_16_bit_grey():
    samples = np.random.default_rng(0).integers(0, 65536, (9, 5, 1)).astype(np.uint16)
    with Image.open(encode(samples, 16)) as image:
        np.testing.assert_array_equal(np.asarray(image)[..., None], samples)


def test_smooth_pictures_become_small():
    x = np.arange(256)
    samples = ((x[None, :] + x[:, None]) // 2).astype(np.uint8)[..., None]
    assert len(encode(samples, 8).getvalue()) < 3000


def test_animation():
    samples = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 4)).astype(np.uint8)
    with Image.open(encode(samples, 8, 4, delays=(40.0, 100.0, 70_000.0), loop=3)) as image:
        assert (image.n_frames, image.info["loop"]) == (3, 3)
        times = []
        for number in range(3):
            image.seek(number)
            np.testing.assert_array_equal(np.asarray(image.convert("RGBA")), samples[number])
            times.append(image.info["duration"])
    assert times == [40.0, 100.0, 70_000.0]


# -- written beside what comes next ------------------------------------------------------------------------
def blocks(height, width):
    samples = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return samples, [Block((part / 255.0).astype(np.float32)) for part in np.array_split(samples, 5)]


def written(sink, pieces):
    for piece in pieces:
        sink.write(piece)
    sink.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_pieces_come_in_order(threads, tmp_path):
    samples, pieces = blocks(23, 9)
    with limited(threads):
        sink = open_sink(tmp_path / "a.png", SignalInfo("image", (23, 9), 3, "u8"), Metadata(), format="png")
        written(sink, pieces)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), samples)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("failing", [1, 5])
def test_an_error_comes_with_the_next_piece_or_the_end(threads, failing, tmp_path, monkeypatch):
    calls = []

    def rows(self, samples):
        calls.append(len(samples))
        if len(calls) == failing:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(PngWriter, "rows", rows)
    with limited(threads):
        sink = open_sink(tmp_path / "a.png", SignalInfo("image", (23, 9), 3, "u8"), Metadata(), format="png")
        with pytest.raises(OutputError, match=r"a\.png: No space"):
            written(sink, blocks(23, 9)[1])
        sink.abort()
    assert len(calls) == failing
