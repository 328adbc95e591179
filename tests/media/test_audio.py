from __future__ import annotations

import numpy as np
import pytest
import soundfile

from nfcodec.errors import LimitError, MediaReadError, NfcError, UnsupportedMediaError
from nfcodec.limits import Limits
from nfcodec.media import open_sink, open_source
from nfcodec.signal import Metadata, SignalInfo

from .helpers import ffmpeg, read, write


def wave(count, channels, peak=0.9, seed=0):
    rng = np.random.default_rng(seed)
    tone = np.sin(np.arange(count) * 0.05)[:, None] * 0.7
    return (tone + rng.uniform(-0.3, 0.3, (count, channels))) * peak


SUBTYPES = [
    ("wav", "PCM_U8", "u8", "wav"), ("flac", "PCM_S8", "i8", "flac"), ("wav", "PCM_16", "i16", "wav"),
    ("wav", "PCM_16", "i16", "flac"), ("flac", "PCM_24", "i24", "flac"), ("wav", "PCM_24", "i24", "wav"),
    ("aiff", "PCM_16", "i16", "wav"), ("aiff", "PCM_S8", "i8", "flac"), ("w64", "PCM_24", "i24", "wav"),
    ("caf", "PCM_16", "i16", "wav"), ("wav", "PCM_U8", "u8", "flac"), ("flac", "PCM_S8", "i8", "wav"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "subtype", "kind", "out"), SUBTYPES)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_integers_are_exact(tmp_path, form, subtype, kind, out, channels):
    soundfile.write(tmp_path / f"a.{form}", wave(3000, channels), 22050, subtype)
    got = read(tmp_path / f"a.{form}", rows=1000)
    assert got.info.modality == "audio" and got.info.shape == (3000,) and got.info.rate == 22050
    assert got.info.channels == channels and got.info.sample_type == kind and got.info.value_range is None
    raw = soundfile.read(tmp_path / f"a.{form}", dtype="int32", always_2d=True)[0]
    shift = {"u8": 24, "i8": 24, "i16": 16, "i24": 8}[kind]
    np.testing.assert_array_equal(got.samples.astype(np.int64) - (128 if kind == "u8" else 0), raw >> shift)
    assert write(tmp_path / f"b.{out}", got.info, got.samples, rows=999) == []
    again = soundfile.read(tmp_path / f"b.{out}", dtype="int32", always_2d=True)[0]
    np.testing.assert_array_equal(again, raw)


def test_32_bit(tmp_path):
    soundfile.write(tmp_path / "a.wav", wave(500, 2), 8000, "PCM_32")
    got = read(tmp_path / "a.wav")
    assert got.info.sample_type == "i32"
    raw = soundfile.read(tmp_path / "a.wav", dtype="int32", always_2d=True)[0]
    assert np.abs(got.samples.astype(np.int64) - raw).max() <= 64  # float32 carries 24 bits
    write(tmp_path / "b.wav", got.info, got.samples)
    assert soundfile.info(tmp_path / "b.wav").subtype == "PCM_32"


@pytest.mark.parametrize(("subtype", "kind"), [("FLOAT", "f32"), ("DOUBLE", "f64")])
@pytest.mark.parametrize("peak", [0.5, 1.0, 7.5, 30000.0])
def test_floats_keep_their_range(tmp_path, subtype, kind, peak):
    values = wave(2000, 2)
    values = values / np.abs(values).max() * peak
    soundfile.write(tmp_path / "a.wav", values, 44100, subtype)
    got = read(tmp_path / "a.wav", rows=700)
    raw = soundfile.read(tmp_path / "a.wav", always_2d=True)[0]
    assert got.info.sample_type == kind
    if peak > 1:
        assert got.info.value_range == (-np.abs(raw).max(), np.abs(raw).max()) and "range is kept" in got.warnings[0]
    else:
        assert got.info.value_range is None and not got.warnings
    np.testing.assert_allclose(got.samples, raw, atol=peak * 1e-6)
    assert write(tmp_path / "b.wav", got.info, got.samples) == []
    assert soundfile.info(tmp_path / "b.wav").subtype == subtype
    np.testing.assert_allclose(soundfile.read(tmp_path / "b.wav", always_2d=True)[0], raw, atol=peak * 1e-6)
    said = write(tmp_path / "c.flac", got.info, got.samples)
    assert "24 bits" in said[0] and (len(said) == 2) == (peak > 1)
    back = soundfile.read(tmp_path / "c.flac", always_2d=True)[0]
    np.testing.assert_allclose(back, np.clip(raw, -1, 1), atol=2e-7)


@pytest.mark.parametrize(("form", "subtype"), [("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III")])
def test_lossy_files(tmp_path, form, subtype):
    soundfile.write(tmp_path / f"a.{form}", wave(48000, 2, peak=1.0), 48000, subtype=subtype, format=form.upper())
    got = read(tmp_path / f"a.{form}", rows=5000)
    assert got.info.sample_type == "i16" and abs(got.info.shape[0] - 48000) < 3000
    assert got.samples.shape == (got.info.shape[0], 2)
    raw = soundfile.read(tmp_path / f"a.{form}", always_2d=True)[0]
    np.testing.assert_allclose(got.samples / 32768, np.clip(raw, -1, 1), atol=1 / 32768)
    write(tmp_path / "b.ogg", got.info, got.samples)
    assert soundfile.info(tmp_path / "b.ogg").frames == got.info.shape[0]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.m4a", "aac"), ("a.aac", "aac"), ("a.mka", "libopus"), ("a.wma", "wmav2")]
)
def test_other_files_through_ffmpeg(tmp_path, name, codec):
    ffmpeg("-f", "lavfi", "-i", "sine=440:duration=0.5:sample_rate=48000", "-ac", "2", "-c:a", codec,
           "-metadata", "title=Song", str(tmp_path / name))  # fmt: skip
    got = read(tmp_path / name, rows=5000)
    assert got.info.modality == "audio" and got.info.channels == 2 and got.info.rate == 48000
    assert 0.45 * 48000 < got.info.shape[0] < 0.65 * 48000 and got.samples.std() > 500
    if name != "a.aac":
        assert dict(got.metadata.tags)["title"] == "Song"


def test_alac_of_24_bit_is_exact(tmp_path):
    soundfile.write(tmp_path / "a.wav", wave(5000, 2), 48000, "PCM_24")
    ffmpeg("-i", str(tmp_path / "a.wav"), "-c:a", "alac", str(tmp_path / "a.m4a"))
    a, b = read(tmp_path / "a.wav", rows=999), read(tmp_path / "a.m4a", rows=999)
    assert b.info == a.info
    np.testing.assert_array_equal(a.samples, b.samples)


@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_tags(tmp_path, form):
    tags = (("title", "Söng"), ("artist", "Somebody"), ("date", "2020"))
    info = SignalInfo("audio", (100,), 1, "i16", rate=8000)
    write(tmp_path / f"a.{form}", info, np.zeros((100, 1), np.int16), metadata=Metadata(tags=tags))
    assert read(tmp_path / f"a.{form}").metadata.tags == tags


def test_no_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 1)), 8000)
    with pytest.raises(MediaReadError, match="no samples"):
        open_source(tmp_path / "a.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_is_refused(tmp_path, bad):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, bad, 0.5]), 8000, "FLOAT")
    with pytest.raises(MediaReadError, match="NaN or infinite"):
        open_source(tmp_path / "a.wav")


def test_limits(tmp_path):
    soundfile.write(tmp_path / "a.wav", wave(100, 3), 8000)
    for limits, word in ((Limits(max_samples=99), "max_samples"), (Limits(max_channels=2), "max_channels")):
        with pytest.raises(LimitError, match=word):
            open_source(tmp_path / "a.wav", limits=limits)


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_damage_never_escapes(tmp_path, form):
    soundfile.write(tmp_path / f"a.{form}", wave(3000, 1), 16000)
    data = (tmp_path / f"a.{form}").read_bytes()
    rng = np.random.default_rng(0)
    for keep in (5, 13, 45, 100, len(data) // 2, len(data)):
        broken = bytearray(data[:keep])
        broken[rng.integers(4, keep)] ^= 0xFF
        (tmp_path / f"b.{form}").write_bytes(broken)
        try:
            read(tmp_path / f"b.{form}", rows=777)
        except NfcError as error:
            assert "\n" not in str(error) and f"b.{form}" in str(error)  # noqa: PT017


def test_rates_and_channels_that_do_not_fit(tmp_path):
    info = SignalInfo("audio", (10,), 9, "i16", rate=8000)
    with pytest.raises(UnsupportedMediaError, match="9 channels"):
        open_sink(tmp_path / "a.flac", info, Metadata(), format="flac")
    odd = SignalInfo("audio", (10,), 1, "i16", rate=8000.4)
    assert "written as 8000 Hz" in write(tmp_path / "a.wav", odd, np.zeros((10, 1), np.int16))[0]
