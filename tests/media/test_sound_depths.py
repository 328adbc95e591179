"""Every depth through every container that has it, in and out: the same numbers, on the right scale.

Readings are compared with libsndfile's own where it reads the container, else with what was written.
"""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from .helpers import ffmpeg, read, write

BITS = {"u8": 8, "i8": 8, "i16": 16, "i24": 24, "i32": 32}
NAMES = {
    "PCM_U8": "u8", "PCM_S8": "i8", "PCM_16": "i16", "PCM_24": "i24", "PCM_32": "i32", "FLOAT": "f32", "DOUBLE": "f64",
}  # fmt: skip
FORMS = ("wav", "rf64", "w64", "aiff", "au", "caf", "flac")
# What libsndfile can write of these.
PAIRS = [(form, subtype) for form in FORMS for subtype in NAMES if soundfile.check_format(form.upper(), subtype)]
# (file, ffmpeg's codec, sample format, what nfc makes of it)
BY_FFMPEG = [
    ("a.m4a", "alac", "s16p", "i16"), ("a.m4a", "alac", "s32p", "i24"), ("a.mka", "pcm_f32le", "flt", "f32"),
    ("a.mka", "pcm_f64le", "dbl", "f64"), ("a.mka", "pcm_s32le", "s32", "i32"), ("a.mka", "pcm_u8", "u8", "u8"),
    ("a.mka", "pcm_s24le", "s32", "i24"), ("a.wv", "wavpack", "s16p", "i16"), ("a.wv", "wavpack", "fltp", "f32"),
    ("a.tta", "tta", "s16", "i16"), ("a.mka", "flac", "s16", "i16"),
]  # fmt: skip


def values(peak=0.9):
    rng = np.random.default_rng(2)
    out = rng.uniform(-peak, peak, (3000, 2))
    out[:2] = -peak, peak
    return out


@pytest.mark.parametrize(("form", "subtype"), PAIRS)
def test_in(tmp_path, form, subtype):
    path = tmp_path / f"a.{form}"
    soundfile.write(path, values(), 44100, subtype, format=form.upper())
    kind = NAMES[subtype]
    got = read(path, rows=999)
    assert got.info.sample_type == kind and got.info.rate == 44100 and got.warnings == []
    theirs = soundfile.read(path, always_2d=True)[0]
    if kind.startswith("f"):
        np.testing.assert_allclose(got.samples, theirs, atol=1e-7)
        return
    centre = 128 if kind == "u8" else 0
    ours = (got.samples.astype(np.float64) - centre) / 2 ** (BITS[kind] - 1)
    # Values are float32 inside, so 32 bits lose their last ones.
    np.testing.assert_allclose(ours, theirs, atol=2**-24 if kind == "i32" else 0)


@pytest.mark.parametrize("out", ["wav", "flac"])
@pytest.mark.parametrize(("form", "subtype"), PAIRS)
def test_out(tmp_path, form, subtype, out):
    path = tmp_path / f"a.{form}"
    soundfile.write(path, values(), 44100, subtype, format=form.upper())
    got = read(path, rows=999)
    warnings = write(tmp_path / f"b.{out}", got.info, got.samples, rows=999)
    narrow = out == "flac" and NAMES[subtype] in ("i32", "f32", "f64")
    assert [("24 bits" in w) for w in warnings] == [True] * narrow
    theirs, ours = (soundfile.read(p, always_2d=True)[0] for p in (path, tmp_path / f"b.{out}"))
    np.testing.assert_allclose(ours, theirs, atol=2**-23 if NAMES[subtype] in ("i32", "f64", "f32") else 0)


@pytest.mark.parametrize(("name", "codec", "form", "kind"), BY_FFMPEG)
def test_through_ffmpeg(tmp_path, name, codec, form, kind):
    written = {"f32": "FLOAT", "f64": "DOUBLE", "i32": "PCM_32", "i24": "PCM_24", "i16": "PCM_16", "u8": "PCM_U8"}[kind]
    soundfile.write(tmp_path / "a.wav", values(), 44100, written)
    ffmpeg("-i", str(tmp_path / "a.wav"), "-c:a", codec, "-sample_fmt", form, str(tmp_path / name))
    ours, theirs = read(tmp_path / name, rows=999), read(tmp_path / "a.wav", rows=999)
    assert ours.info == theirs.info and ours.info.sample_type == kind
    atol = 128 if kind == "i32" else 1e-7
    np.testing.assert_allclose(ours.samples.astype(float), theirs.samples.astype(float), atol=atol)
    assert ours.warnings == []


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.caf", "a.mka"])
def test_loud_floats_keep_their_range_and_say_so(tmp_path, name):
    soundfile.write(tmp_path / "c.wav", values(3.5), 44100, "FLOAT")
    if name.endswith("mka"):
        ffmpeg("-i", str(tmp_path / "c.wav"), "-c:a", "pcm_f32le", str(tmp_path / name))
    else:
        soundfile.write(tmp_path / name, values(3.5), 44100, "FLOAT")
    got = read(tmp_path / name, rows=999)
    assert got.info.value_range == (-3.5, 3.5) and len(got.warnings) == 1 and "±3.5" in got.warnings[0]
    np.testing.assert_allclose(got.samples, values(3.5), atol=1e-6)
    assert any("louder samples are clipped" in w for w in write(tmp_path / "b.flac", got.info, got.samples, rows=999))
