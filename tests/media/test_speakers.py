"""Every layout of 1 to 8 channels through every container, against ffmpeg's reading: one tone for each loudspeaker."""

from __future__ import annotations

import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfcodec.media.ffmpeg import ffmpeg_path
from nfcodec.media.speakers import customary_mask, from_xiph, inverse, says_more, to_xiph, usable_mask
from nfcodec.signal import Metadata, SignalInfo

from .helpers import ffmpeg, read, write

RATE = 48000
TONES = (300, 500, 800, 60, 1800, 2600, 3400, 4300)
COUNT = 9600
PCM = bytes.fromhex("0100000000001000800000aa00389b71")
# ffmpeg's names of the layouts that Vorbis, Opus and FLAC have.
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
OTHER_MASKS = {"2.1": 0xB, "4.0": 0x107, "5.0(side)": 0x607, "5.1(side)": 0x60F, "7.1(wide)": 0xFF, "hexagonal": 0x137}


def tones(channels):
    t = np.arange(COUNT) / RATE
    return np.stack([0.5 * np.sin(2 * np.pi * f * t) for f in TONES[:channels]], 1)


def heard(samples):
    """The loudest frequency of each channel, as an index of TONES; low tones need the whole second."""
    spectrum = np.abs(np.fft.rfft(samples[:COUNT], axis=0))
    peaks = spectrum.argmax(axis=0) * RATE / len(samples[:COUNT])
    return [int(np.abs(np.array(TONES) - p).argmin()) for p in peaks]


def extensible(path, mask, samples):
    """A WAV of 16 bits with a channel mask."""
    data = np.rint(samples * 32767).astype("<i2").tobytes()
    channels = samples.shape[1]
    width = 2 * channels
    form = struct.pack("<HHIIHHHHI", 0xFFFE, channels, RATE, RATE * width, width, 16, 22, 16, mask) + PCM
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def played(path):
    """What ffmpeg plays: float32 (n, C) in the order of WAVE, and the mask of the WAV that it makes."""
    command = [ffmpeg_path(), "-v", "error", "-i", str(path), "-c:a", "pcm_f32le", "-f", "wav", "-"]
    wave = subprocess.run(command, check=True, capture_output=True).stdout
    kind, channels = struct.unpack_from("<HH", wave, 20)
    mask = struct.unpack_from("<I", wave, 40)[0] if kind == 0xFFFE else 0
    start = wave.index(b"data") + 8
    return np.frombuffer(wave[start:], "<f4").reshape(-1, channels), mask


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.ogg", "libvorbis"), ("a.opus", "libopus"), ("a.flac", "flac"), ("a.mka", "libvorbis"), ("a.m4a", "alac"),
     ("a.caf", "pcm_s16be"), ("a.w64", "pcm_s16le"), ("b.wav", "pcm_s24le")],
)  # fmt: skip
def test_layouts_in(tmp_path, channels, name, codec):
    if codec == "alac" and channels == 4:
        pytest.skip("ALAC has no quad layout")
    if name == "a.caf" and channels == 8:
        pytest.skip("ffmpeg writes back before side under a tag that says side before back")
    mask = customary_mask(channels)
    extensible(tmp_path / "a.wav", mask, tones(channels))
    family = ["-mapping_family", "1" if channels > 2 else "0"]
    quality = ["-b:a", f"{min(512, 128 * channels)}k", *family] if codec == "libopus" else []
    layout = ["-af", f"aformat=channel_layouts={LAYOUTS[channels]}"] if codec != "alac" else []
    ffmpeg("-i", str(tmp_path / "a.wav"), *layout, "-c:a", codec, *quality, str(tmp_path / name))
    theirs, their_mask = played(tmp_path / name)
    ours = read(tmp_path / name, rows=5000)
    # Opus cuts what is over its band for the low-frequency channel, so that one may have another tone.
    assert heard(ours.samples / 32768.0) == heard(theirs)
    told = dict(ours.metadata.tags).get("channel_mask")
    assert (int(told, 16) if told else None) == (their_mask if says_more(their_mask or None, channels) else None)


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_layouts_out(tmp_path, channels, form):
    mask = customary_mask(channels)
    info = SignalInfo("audio", (COUNT,), channels, "i16", rate=RATE)
    samples = np.rint(tones(channels) * 32767).astype(np.int16)
    tags = (("channel_mask", f"{mask:#x}"),)
    assert write(tmp_path / f"a.{form}", info, samples, metadata=Metadata(tags=tags), rows=4000) == []
    theirs, their_mask = played(tmp_path / f"a.{form}")
    assert heard(theirs) == list(range(channels))
    assert their_mask in (mask, 0) and (their_mask == mask or channels <= 2)
    ours = read(tmp_path / f"a.{form}", rows=5000)
    assert heard(ours.samples) == list(range(channels))
    assert ours.metadata.tags == (tags if channels > 2 else ())


@pytest.mark.parametrize(("name", "mask"), OTHER_MASKS.items())
@pytest.mark.parametrize("form", ["wav", "flac"])
def test_other_masks_are_kept(tmp_path, name, mask, form):
    extensible(tmp_path / "a.wav", mask, tones(mask.bit_count()))
    got = read(tmp_path / "a.wav", rows=5000)
    assert dict(got.metadata.tags)["channel_mask"] == f"{mask:#x}", name
    assert write(tmp_path / f"b.{form}", got.info, got.samples, metadata=got.metadata, rows=5000) == []
    again = read(tmp_path / f"b.{form}", rows=5000)
    np.testing.assert_array_equal(again.samples, got.samples)
    assert again.metadata == got.metadata
    assert played(tmp_path / f"b.{form}")[1] == mask


def test_a_mask_that_vorbis_lacks_is_told(tmp_path):
    extensible(tmp_path / "a.wav", 0x60F, tones(6))
    got = read(tmp_path / "a.wav", rows=5000)
    (told,) = write(tmp_path / "b.ogg", got.info, got.samples, metadata=got.metadata, rows=5000)
    assert "FL FR FC LFE SL SR will be played as FL FR FC LFE BL BR" in told
    assert heard(played(tmp_path / "b.ogg")[0]) == list(range(6))


@pytest.mark.parametrize("mask", ["0x3", "0x1ff", "nonsense", "0x0"])
def test_a_mask_that_does_not_fit_is_left_out(tmp_path, mask):
    info = SignalInfo("audio", (10,), 6, "i16", rate=RATE)
    tags = Metadata(tags=(("channel_mask", mask),))
    (told,) = write(tmp_path / "a.wav", info, np.zeros((10, 6), np.int16), metadata=tags)
    assert "channel_mask is left out" in told
    assert "channel_mask" not in dict(read(tmp_path / "a.wav").metadata.tags)


def test_ambisonics_are_no_loudspeakers(tmp_path):
    extensible(tmp_path / "a.wav", 0x33, tones(4))
    data = (tmp_path / "a.wav").read_bytes()
    b_format = bytes.fromhex("010000002107d3118644c8c1ca000000")
    (tmp_path / "b.wav").write_bytes(data.replace(PCM, b_format))
    assert read(tmp_path / "b.wav", rows=5000).metadata.tags == ()


@pytest.mark.parametrize(
    ("tag", "names"), [(123, "FL FC FR SL SR LFE"), (122, "FL FR SL SR FC LFE"), (125, "FL FR FC LFE SL SR BC")]
)
@pytest.mark.parametrize("described", [False, True])
def test_apples_layouts(tmp_path, tag, names, described):
    """ffmpeg plays these as they are named; its own writer makes none of them."""
    order = names.split()
    usual = ["FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"]
    wave = sorted(order, key=usual.index)
    samples = tones(len(order))[:, [wave.index(name) for name in order]]
    layout = struct.pack(">III", tag << 16 | len(order), 0, 0)
    if described:
        labels = [struct.pack(">II12x", usual.index(name) + 1, 0) for name in order]
        layout = struct.pack(">III", 0, 0, len(order)) + b"".join(labels)
    width = 2 * len(order)
    description = struct.pack(">d4sIIIII", RATE, b"lpcm", 0, width, 1, len(order), 16)
    data = bytes(4) + np.rint(samples * 32767).astype(">i2").tobytes()
    chunks = ((b"desc", description), (b"chan", layout), (b"data", data))
    body = b"".join(name + struct.pack(">Q", len(payload)) + payload for name, payload in chunks)
    (tmp_path / "a.caf").write_bytes(b"caff\0\1\0\0" + body)
    got = read(tmp_path / "a.caf", rows=5000)
    assert heard(got.samples) == list(range(len(order)))
    assert int(dict(got.metadata.tags)["channel_mask"], 16) == sum(1 << usual.index(name) for name in order)


@pytest.mark.parametrize("channels", range(1, 9))
def test_orders_are_inverse(channels):
    assert inverse(to_xiph(channels, None)) == from_xiph(channels)


@given(st.integers(1, 8), st.data())
def test_every_layout_finds_a_place(channels, data):
    bits = data.draw(st.sets(st.integers(0, 17), min_size=channels, max_size=channels))
    mask = sum(1 << bit for bit in bits)
    assert sorted(to_xiph(channels, mask)) == list(range(channels))
    assert usable_mask(mask, channels) == mask


def test_masks_that_say_too_much_or_too_little():
    assert usable_mask(0x3F, 2) == 0x3 and usable_mask(0x3, 6) is None and usable_mask(0, 1) is None
    assert not says_more(0x3, 2) and says_more(0x3F, 6) and says_more(0x30, 2) and not says_more(None, 6)
    assert customary_mask(9) is None and from_xiph(9) is None and to_xiph(9, None) is None
