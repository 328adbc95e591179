from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nfcodec.errors import LimitError, MediaReadError, NfcError
from nfcodec.limits import Limits
from nfcodec.media import open_sink, open_source
from nfcodec.media.ffmpeg import complaint, run
from nfcodec.media.probe import snap
from nfcodec.signal import Block, Metadata, SignalInfo

from .helpers import ffmpeg, picture, read, write


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """One second of test picture with a tone, in several containers."""
    folder = tmp_path_factory.mktemp("clips")
    for name, rate, codecs in (
        ("ntsc.mp4", "30000/1001", ["-c:v", "libx264", "-c:a", "aac"]),
        ("pal.mkv", "25", ["-c:v", "ffv1", "-c:a", "flac"]),
        ("film.mkv", "24000/1001", ["-c:v", "libx264", "-c:a", "libvorbis"]),
        ("web.webm", "24", ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libopus"]),
        ("old.avi", "15", ["-c:v", "mjpeg", "-c:a", "pcm_s16le"]),
    ):
        ffmpeg("-f", "lavfi", "-i", f"testsrc=size=64x48:rate={rate}:duration=1", "-f", "lavfi",
               "-i", "sine=440:duration=1:sample_rate=48000", *codecs, str(folder / name))  # fmt: skip
    return folder


def packets(path: Path) -> list[bytes]:
    """Size and checksum of every sound packet."""
    result = run(["-i", str(path), "-map", "0:a:0", "-c", "copy", "-f", "framecrc", "pipe:1"])
    assert result.code == 0, result.log
    lines = [line for line in result.output.splitlines() if not line.startswith(b"#")]
    return [b",".join(line.split(b",")[4:6]) for line in lines]


@pytest.mark.parametrize(
    ("name", "rate", "count"),
    [("ntsc.mp4", Fraction(30000, 1001), 30), ("pal.mkv", 25, 25), ("film.mkv", Fraction(24000, 1001), 24),
     ("web.webm", 24, 24), ("old.avi", 15, 15)],
)  # fmt: skip
def test_frames_and_rate(clips, name, rate, count):
    got = read(clips / name, rows=7)
    assert got.info.modality == "video" and got.info.shape == (count, 48, 64) and got.info.channels == 3
    assert got.info.rate == rate and got.info.sample_type == "u8" and not got.warnings
    assert got.samples.std() > 20


@pytest.mark.parametrize("name", ["ntsc.mp4", "pal.mkv", "film.mkv", "web.webm", "old.avi"])
def test_sound_is_copied_bit_for_bit(clips, tmp_path, name):
    got = read(clips / name, rows=7)
    (tmp_path / "sound.mka").write_bytes(got.sidecar)
    assert packets(tmp_path / "sound.mka") == packets(clips / name)
    assert read(clips / name, rows=7).sidecar == got.sidecar
    said = write(tmp_path / "b.mkv", got.info, got.samples, sidecar=got.sidecar, metadata=got.metadata)
    assert said == []
    assert packets(tmp_path / "b.mkv") == packets(clips / name)


def test_matroska_is_lossless(clips, tmp_path):
    got = read(clips / "ntsc.mp4")
    write(tmp_path / "b.mkv", got.info, got.samples, sidecar=got.sidecar)
    again = read(tmp_path / "b.mkv")
    np.testing.assert_array_equal(again.samples, got.samples)
    assert again.info == got.info and again.sidecar


@pytest.mark.parametrize(("form", "least"), [("mp4", 38), ("webm", 32)])
def test_players_formats_are_close(clips, tmp_path, form, least):
    got = read(clips / "pal.mkv")
    said = write(tmp_path / f"b.{form}", got.info, got.samples, sidecar=got.sidecar)
    again = read(tmp_path / f"b.{form}")
    assert again.info == got.info and again.sidecar
    # The test picture has sharp colour edges, which 4:2:0 blurs, so the grey picture is compared.
    grey = [s.astype(float) @ (0.2126, 0.7152, 0.0722) for s in (again.samples, got.samples)]
    assert 10 * np.log10(255**2 / ((grey[0] - grey[1]) ** 2).mean()) > least
    expected = ["the sound is converted from flac to libopus: webm cannot hold it"] if form == "webm" else []
    assert said == expected


COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (200, 100, 50), (255, 255, 255), (0, 0, 0))


@pytest.mark.parametrize(("form", "most"), [("mp4", 3), ("webm", 5), ("mkv", 0)])
@pytest.mark.parametrize("side", [31, 32])
def test_colours_are_right(tmp_path, form, most, side):
    """Plain colours come back: the matrix that turned them into YUV is the one the file names."""
    samples = np.array(COLOURS, np.uint8)[:, None, None].repeat(side, 1).repeat(side, 2)
    info = SignalInfo("video", samples.shape[:3], 3, "u8", rate=Fraction(25))
    write(tmp_path / f"a.{form}", info, samples)
    assert np.abs(read(tmp_path / f"a.{form}").samples.astype(int) - samples).max() <= most


@pytest.mark.parametrize("form", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize("size", [(31, 45), (1, 1), (2, 3)])
def test_odd_sizes(tmp_path, form, size):
    info = SignalInfo("video", (2, *size), 3, "u8", rate=Fraction(25))
    samples = np.stack([picture(*size, 3, seed) for seed in range(2)])
    write(tmp_path / f"a.{form}", info, samples)
    assert read(tmp_path / f"a.{form}").info == info


def test_alpha(tmp_path):
    info = SignalInfo("video", (2, 8, 8), 3, "u8", rate=Fraction(25), alpha=True)
    samples, alpha = np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 8, 8), 9, np.uint8)
    assert "alpha dropped" in write(tmp_path / "a.mp4", info, samples, alpha)[0]
    assert write(tmp_path / "a.mkv", info, samples, alpha) == []
    np.testing.assert_array_equal(read(tmp_path / "a.mkv").alpha, alpha)


def test_rotation_and_pixel_aspect(clips, tmp_path):
    ffmpeg("-display_rotation", "90", "-i", str(clips / "ntsc.mp4"), "-c", "copy", str(tmp_path / "a.mp4"))
    got = read(tmp_path / "a.mp4")
    assert got.info.shape == (30, 64, 48)
    upright = read(clips / "ntsc.mp4").samples
    np.testing.assert_array_equal(got.samples, np.rot90(upright, 1, (1, 2)))
    ffmpeg("-i", str(clips / "ntsc.mp4"), "-vf", "setsar=4/3", str(tmp_path / "b.mp4"))
    wide = read(tmp_path / "b.mp4")
    assert wide.metadata.tags == (("sar", "4:3"),)
    for form in ("mp4", "mkv"):
        write(tmp_path / f"c.{form}", wide.info, wide.samples, metadata=wide.metadata)
        assert read(tmp_path / f"c.{form}").metadata.tags == (("sar", "4:3"),)


def test_other_streams_are_told(clips, tmp_path):
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    ffmpeg("-i", str(clips / "pal.mkv"), "-i", str(clips / "ntsc.mp4"), "-i", str(tmp_path / "s.srt"), "-map", "0",
           "-map", "1", "-map", "2", "-c", "copy", str(tmp_path / "a.mkv"))  # fmt: skip
    got = read(tmp_path / "a.mkv")
    assert got.warnings == ["dropped 1 audio stream", "dropped 1 subtitle stream", "dropped 1 video stream"]
    assert got.info.shape[0] == 25


def test_deep_and_grey_videos(clips, tmp_path):
    for name, form in (("deep.mkv", "yuv420p10le"), ("grey.mkv", "gray")):
        ffmpeg("-i", str(clips / "pal.mkv"), "-an", "-pix_fmt", form, "-c:v", "ffv1", str(tmp_path / name))
    assert "reduced to 8" in read(tmp_path / "deep.mkv").warnings[0]
    grey = read(tmp_path / "grey.mkv")
    assert grey.info.channels == 1 and not grey.warnings
    write(tmp_path / "b.mkv", grey.info, grey.samples)
    np.testing.assert_array_equal(read(tmp_path / "b.mkv").samples, grey.samples)


@pytest.mark.parametrize("name", ["-dash.mp4", "a%03d.mp4", "a b'c\n.mp4", "http:x.mp4", "🐾.mp4"])
def test_names(clips, tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes((clips / "ntsc.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    got = read(Path(name))
    write(Path("x" + name), got.info, got.samples, format="mkv")
    assert read(Path("x" + name)).info == got.info


@pytest.mark.parametrize("name", ["ntsc.mp4", "pal.mkv", "web.webm", "old.avi"])
def test_damage_never_escapes(clips, tmp_path, name):
    data = (clips / name).read_bytes()
    for keep in (9, 50, 500, len(data) // 2):
        path = tmp_path / f"b{name}"
        path.write_bytes(data[:keep])
        try:
            got = read(path)
        except NfcError as error:
            assert "\n" not in str(error) and path.name in str(error)  # noqa: PT017
        else:
            assert got.info.shape[0] == len(got.samples)


def test_limits(clips):
    for limits, word in ((Limits(max_frames=24), "max_frames"), (Limits(max_pixels=3071), "max_pixels")):
        with pytest.raises(LimitError, match=word):
            open_source(clips / "pal.mkv", limits=limits)
    source = open_source(clips / "pal.mkv", limits=Limits(max_section=100))
    with pytest.raises(LimitError, match="max_section"):
        source.sidecar()
    source.close()


def children() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                found.add(entry.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_no_process_survives(clips, tmp_path):
    before = children()
    source = open_source(clips / "ntsc.mp4")
    blocks = source.blocks(1)
    next(blocks)
    assert children() - before
    source.close()
    assert not list(blocks)
    info = SignalInfo("video", (100, 64, 64), 3, "u8", rate=Fraction(25))
    sink = open_sink(tmp_path / "a.mp4", info, Metadata(), format="mp4")
    sink.write(Block(np.zeros((3, 64, 64, 3), np.float32)))
    sink.abort()
    sink.abort()
    assert children() == before


def test_frame_folder(tmp_path):
    pixels = [picture(6, 8, 3, seed) for seed in range(12)]
    for number, frame in enumerate(pixels):
        Image.fromarray(frame).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("x")
    got = read(tmp_path, rows=5)
    assert got.info.shape == (12, 6, 8) and got.info.rate == 25
    assert got.warnings == ["the folder is taken for a video of 12 frames, 25 a second"]
    np.testing.assert_array_equal(got.samples, np.stack(pixels))
    Image.fromarray(picture(6, 9, 3)).save(tmp_path / "frame12.png")
    with pytest.raises(MediaReadError, match="9×6"):
        read(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaReadError, match="the folder is empty"):
        open_source(tmp_path / "empty")


def test_rates_snap_to_what_is_customary():
    assert snap(Fraction("29.97"), Fraction(6, 1000)) == Fraction(30000, 1001)
    assert snap(Fraction("23.98"), Fraction(6, 1000)) == Fraction(24000, 1001)
    assert snap(Fraction("25"), Fraction(6, 1000)) == 25
    assert snap(Fraction("12.5"), Fraction(6, 1000)) == Fraction(25, 2)


def test_complaint_is_the_telling_line():
    log = "[mov @ 0x55] moov atom not found\n[in#0 @ 0x1] Error opening input: Invalid data\n"
    assert complaint(log + "Error opening input file x.\n") == "Error opening input: Invalid data"
    assert complaint("Conversion failed!\n") == ""
