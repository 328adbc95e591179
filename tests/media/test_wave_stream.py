"""WAV that is still being written: every depth, headers that know the length and headers that do not."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from nfcodec.errors import LimitError, MediaReadError, NfcError, UnsupportedMediaError
from nfcodec.limits import Limits
from nfcodec.media.wave_stream import WaveStream


def packed(kind, values):
    """Samples as WAV stores them, and the tag and bits of its format."""
    if kind == "i24":
        return b"".join(int(v).to_bytes(3, "little", signed=True) for v in values.reshape(-1)), 1, 24
    dtype, tag, bits = {
        "u8": ("u1", 1, 8), "i16": ("<i2", 1, 16), "i32": ("<i4", 1, 32), "f32": ("<f4", 3, 32), "f64": ("<f8", 3, 64),
    }[kind]  # fmt: skip
    return values.astype(dtype).tobytes(), tag, bits


def wave(data, tag, bits, channels=1, rate=8000, size=None, extra=b"", form=b""):
    fields = struct.pack("<HHIIHH", tag, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits) + form
    chunk = b"fmt " + struct.pack("<I", len(fields)) + fields
    length = struct.pack("<I", len(data) if size is None else size)
    return b"RIFF" + bytes(4) + b"WAVE" + extra + chunk + b"data" + length + data


def read(tmp_path: Path, raw, rows=7, **options):
    path = tmp_path / "a.wav"
    path.write_bytes(raw)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        stream = WaveStream(descriptor, "a.wav", patience=0.0, **options)
        blocks = [b.values for b in stream.blocks(rows)]
    finally:
        os.close(descriptor)
    return stream, blocks


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("u8", 0, 255), ("i16", -32768, 32767), ("i24", -(2**23), 2**23 - 1), ("i32", -(2**31), 2**31 - 1)],
)
@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_depths(tmp_path, kind, low, high, size):
    values = np.random.default_rng(0).integers(low, high, (20, 2), endpoint=True)
    values[0], values[1] = low, high
    data, tag, bits = packed(kind, values)
    stream, blocks = read(tmp_path, wave(data, tag, bits, 2, size=size))
    assert [len(b) for b in blocks] == [7, 7, 6] and blocks[0].dtype == np.float32
    half = 2.0 ** (bits - 1)
    centre = half if kind == "u8" else 0.0
    np.testing.assert_allclose(np.concatenate(blocks), (values - centre) / half, rtol=1e-6, atol=1e-7)
    assert stream.info.sample_type == kind and stream.info.channels == 2 and stream.info.rate == 8000


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_floats_are_clipped_and_said(tmp_path, kind):
    values = np.array([[0.5], [1.5], [-3.0], [np.nan], [np.inf]])
    stream, blocks = read(tmp_path, wave(*packed(kind, values)))
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], [0.5, 1.0, -1.0, 0.0, 1.0])
    assert len(stream.warnings) == 1


def test_other_chunks_and_extensible_formats(tmp_path):
    data, _, bits = packed("i16", np.arange(10)[:, None])
    form = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    extra = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    _, blocks = read(tmp_path, wave(data, 0xFFFE, bits, extra=extra, form=form) + b"LIST\x02\0\0\0ab")
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0] * 32768, np.arange(10))


def test_a_sample_that_is_not_whole_is_left_out(tmp_path):
    data, tag, bits = packed("i16", np.arange(10)[:, None])
    _, blocks = read(tmp_path, wave(data + b"\x01", tag, bits, size=0))
    assert sum(map(len, blocks)) == 10


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"OggS" + bytes(60), UnsupportedMediaError),
        (wave(b"", 2, 4), UnsupportedMediaError),
        (wave(b"", 1, 16, channels=0), UnsupportedMediaError),
        (wave(b"", 1, 16, channels=300), LimitError),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", MediaReadError),
        (b"RIFF\0\0\0\0WAVE", NfcError),
    ],
)
def test_what_is_no_sound(tmp_path, raw, error):
    with pytest.raises(error):
        read(tmp_path, raw, stopped=iter([False] * 2 + [True] * 99).__next__)


def test_a_pipe_ends_when_it_is_closed(tmp_path):
    data, tag, bits = packed("i16", np.arange(50)[:, None])
    reading, writing = os.pipe()
    os.write(writing, wave(data, tag, bits, size=0xFFFFFFFF))
    os.close(writing)
    stream = WaveStream(reading, "pipe")
    assert sum(len(b.values) for b in stream.blocks(16)) == 50
    os.close(reading)


def test_limits(tmp_path):
    data, tag, bits = packed("i16", np.arange(50)[:, None])
    with pytest.raises(LimitError, match="max_samples"):
        read(tmp_path, wave(data, tag, bits), limits=Limits(max_samples=20))
