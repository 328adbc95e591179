"""Sound beside pictures: copied, in its time, and cut with them. The reference is ffmpeg's own reading."""

from __future__ import annotations

import numpy as np
import pytest

from nfcodec.media import sound as sound_module
from nfcodec.media.ffmpeg import run
from nfcodec.media.sound import cut_track

from .clips import shown, sound_start
from .helpers import ffmpeg, read, write

RATE = 48000
# The tone begins a second after the sound does.
TONE = f"aevalsrc='if(between(t,1,1.2),sin(2*PI*1000*t),0)':s={RATE}:d=2"


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Pictures that turn white at 1.0 s, and sound of several codecs, each in a file of its own."""
    folder = tmp_path_factory.mktemp("parts")
    pictures = "color=black:s=16x16:r=20:d=2,drawbox=c=white:t=fill:enable='gte(t,0.98)'"
    ffmpeg("-f", "lavfi", "-i", pictures, "-c:v", "ffv1", str(folder / "v.mkv"))
    for codec in ("flac", "aac", "libopus", "libvorbis", "libmp3lame", "pcm_s16le"):
        ffmpeg("-f", "lavfi", "-i", TONE, "-c:a", codec, str(folder / f"{codec}.mka"))
    return folder


def clip(parts, path, late, codec="flac", video="copy"):
    """Pictures and sound, the sound ``late`` seconds after the pictures."""
    delays = [("-itsoffset", f"{max(0, -late)}"), ("-itsoffset", f"{max(0, late)}")]
    ffmpeg(*delays[0], "-i", str(parts / "v.mkv"), *delays[1], "-i", str(parts / f"{codec}.mka"), "-map", "0:v", "-map",
           "1:a", "-c:v", video, "-c:a", "copy", str(path))  # fmt: skip
    return path


def flash(path):
    """When the pictures turn white, in seconds from the start of the container."""
    got = shown(path, "-copyts")
    return got.times[np.flatnonzero(got.levels > 128)[0]]


def tone(path):
    """When the tone begins, in seconds from the start of the container."""
    filled = ["-af", f"aresample=async=1:first_pts=0,aformat=sample_rates={RATE}:channel_layouts=mono"]
    raw = run(["-copyts", "-i", str(path), "-map", "0:a:0", *filled, "-f", "s16le", "-"]).output
    return np.flatnonzero(np.abs(np.frombuffer(raw, np.int16).astype(int)) > 3000)[0] / RATE


@pytest.mark.parametrize("late", [0.5, -0.5, 0.0, -0.03])
@pytest.mark.parametrize("form", ["mkv", "mp4", "webm"])
def test_starts_are_kept(parts, tmp_path, form, late):
    source = clip(parts, tmp_path / "a.mkv", late)
    got = read(source)
    assert dict(got.metadata.tags) == ({"sound_start": f"{late * 1000:g}"} if late else {})
    write(tmp_path / f"b.{form}", got.info, got.samples, metadata=got.metadata, sidecar=got.sidecar)
    assert abs(flash(tmp_path / f"b.{form}") - (1 + max(0, -late))) < 1e-3
    assert abs(tone(tmp_path / f"b.{form}") - (1 + max(0, late))) < 4e-3
    assert abs(shown(tmp_path / f"b.{form}").times[-1] - 1.95 - max(0, -late)) < 1e-3


@pytest.mark.parametrize(
    ("form", "codec", "video"),
    [("mp4", "aac", "libx264"), ("mp4", "libmp3lame", "libx264"), ("mkv", "aac", "copy"), ("mkv", "libopus", "copy"),
     ("webm", "libvorbis", "libvpx-vp9"), ("ts", "aac", "libx264"), ("mov", "pcm_s16le", "libx264")],
)  # fmt: skip
@pytest.mark.parametrize("late", [0.5, -0.5])
def test_starts_of_all_codecs(parts, tmp_path, form, codec, video, late):
    """Codecs begin with samples that nobody hears; those do not count."""
    source = clip(parts, tmp_path / f"a.{form}", late, codec, video)
    got = read(source)
    assert abs(float(dict(got.metadata.tags)["sound_start"]) / 1000 - sound_start(source)) < 1e-3
    for out in ("mkv", "mp4"):
        target = tmp_path / f"b.{out}"
        write(target, got.info, got.samples, metadata=got.metadata, sidecar=got.sidecar)
        assert abs((tone(target) - flash(target)) - (tone(source) - flash(source))) < 2e-3


def packets(path):
    listed = run(["-i", str(path), "-map", "0:a:0", "-c", "copy", "-f", "data", "-"])
    assert listed.code == 0
    return listed.output


def test_aac_of_a_transport_stream_is_copied(parts, tmp_path):
    """Its frames lose the ADTS header, which says what Matroska keeps once; the rest is bit for bit the same."""
    source = clip(parts, tmp_path / "a.ts", 0, "aac", "libx264")
    got = read(source)
    assert not got.warnings
    (tmp_path / "b.mka").write_bytes(got.sidecar)
    assert packets(tmp_path / "b.mka") == packets(parts / "aac.mka")
    assert read(source).sidecar == got.sidecar
    write(tmp_path / "b.mp4", got.info, got.samples, metadata=got.metadata, sidecar=got.sidecar)
    assert packets(tmp_path / "b.mp4") == packets(parts / "aac.mka")


@pytest.mark.parametrize("codec", ["flac", "pcm_s16le", "aac", "libopus", "libvorbis", "libmp3lame"])
@pytest.mark.parametrize("span", [(0.5, 1.5), (0.0, 1.1), (0.9, 2.0)])
def test_sound_is_cut(parts, tmp_path, codec, span):
    """Lossless sound sample by sample, other sound between its packets, of which none is made anew."""
    track = (parts / f"{codec}.mka").read_bytes()
    cut = cut_track(track, 0.0, *span)
    (tmp_path / "b.mka").write_bytes(cut.track)
    log = run(["-i", str(tmp_path / "b.mka"), "-f", "null", "-"], level="info").log
    assert codec.replace("lib", "").split("mp3lame")[0] in log.lower()
    raw = run(["-i", str(tmp_path / "b.mka"), "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]).output
    samples = np.abs(np.frombuffer(raw, np.int16).astype(int))
    exact = codec in ("flac", "pcm_s16le")
    packet = 0 if exact else 0.05
    assert 0 <= cut.start <= packet * 1000
    assert abs(len(samples) / RATE + cut.start / 1000 - (span[1] - span[0])) <= packet
    assert abs(np.flatnonzero(samples > 3000)[0] / RATE + cut.start / 1000 - (1 - span[0])) <= (1e-3 if exact else 1e-2)
    if exact:
        assert len(samples) == round((span[1] - span[0]) * RATE) and cut.start == 0


def test_sound_that_begins_later_is_cut(parts):
    track = (parts / "flac.mka").read_bytes()
    late = cut_track(track, 500.0, 0.2, 0.9)
    assert late.start == pytest.approx(300)
    assert cut_track(track, 500.0, 0.1, 0.4).track == b""
    assert cut_track(b"no sound", 0.0, 0.1, 0.4) is None


def test_what_cannot_be_copied_is_converted(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(sound_module, "_copy_through_file", lambda *args: None)
    got = read(clip(parts, tmp_path / "a.ts", 0, "aac", "libx264"))
    assert got.warnings == ["the sound (aac) cannot be copied, it is converted to FLAC"]
