"""Headers that lie, and files that are cut or joined: what is there is read, whatever the header says.

The right samples are those that were written; where libsndfile and ffmpeg stop early they are wrong, and where a codec
loses something ffmpeg's own reading is the measure.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile

from nfcodec.errors import MediaReadError
from nfcodec.media.chunks import read_chunks

from .helpers import ffmpeg, read

RATE, COUNT = 16000, 20000
RIFF_LIKE = ("wav", "rifx", "rf64", "bw64", "w64", "aiff", "caf", "au")
LOSSLESS = (*RIFF_LIKE, "flac")
LOSSY = {"ogg": "libvorbis", "opus": "libopus", "mp3": "libmp3lame", "m4a": "aac"}


def samples():
    rng = np.random.default_rng(1)
    tone = np.sin(np.arange(COUNT) * 0.05)[:, None] * 0.6
    return np.rint((tone + rng.uniform(-0.3, 0.3, (COUNT, 2))) * 32767).astype(np.int16)


def make(folder, form):
    """A stereo file of 16 bits in ``form``."""
    path = folder / f"a.{form}"
    kind = {"rifx": "WAV", "bw64": "RF64"}.get(form, form.upper())
    soundfile.write(path, samples(), RATE, "PCM_16", "BIG" if form == "rifx" else None, kind)
    if form == "bw64":
        path.write_bytes(b"BW64" + path.read_bytes()[4:])
    return path


def patched(path, announced):
    """The file with ``announced`` samples in its header: "zero" and "open" stand for what streaming writers leave."""
    data = bytearray(path.read_bytes())
    frames = {"few": 1000, "many": 3 * COUNT}.get(announced, 0)
    ones = announced == "open"
    if path.suffix == ".au":
        struct.pack_into(">I", data, 8, 0xFFFFFFFF if ones else 4 * frames)
    elif path.suffix == ".flac":
        packed = int.from_bytes(data[18:26], "big") >> 36 << 36
        data[18:26] = (packed | frames).to_bytes(8, "big")
    else:
        _patch_chunks(data, path, frames, ones)
    path.write_bytes(data)


def _patch_chunks(data, path, frames, ones):
    (one,) = read_chunks(path)
    order = {b"RIFX": ">", b"FORM": ">", b"caff": ">"}.get(one.magic, "<")
    wide = path.suffix in (".w64", ".caf")
    extra = {".w64": 24, ".aiff": 8, ".caf": 4}.get(path.suffix, 0)
    size = (2**63 - 1 if path.suffix == ".w64" else 2 ** (64 if wide else 32) - 1) if ones else 4 * frames + extra
    ds64 = next((c for c in one.chunks if c.name == b"ds64"), None)
    if ds64:
        struct.pack_into("<QQQ", data, ds64.at, *(0 if ones else 4 * frames + 80, 0 if ones else 4 * frames, frames))
        return
    struct.pack_into(order + ("Q" if wide else "I"), data, one.sound.size_at, size)
    if path.suffix == ".w64":
        struct.pack_into("<Q", data, 16, size if ones else size + 80)
    elif path.suffix != ".caf":
        struct.pack_into(order + "I", data, 4, size if ones else size + 36)
    if path.suffix == ".aiff":
        common = next(c for c in one.chunks if c.name == b"COMM")
        struct.pack_into(">I", data, common.at + 2, frames)


@pytest.mark.parametrize("announced", ["zero", "open", "few", "many"])
@pytest.mark.parametrize("form", LOSSLESS)
def test_a_header_that_lies(tmp_path, form, announced):
    path = make(tmp_path, form)
    patched(path, announced)
    got = read(path, rows=3000)
    np.testing.assert_array_equal(got.samples, samples())
    assert got.info.shape == (COUNT,)
    frames = {"few": 1000, "many": 3 * COUNT}.get(announced)
    told = [f"the header announces {frames} samples, the file has {COUNT}"] if frames else []
    assert got.warnings == told


@pytest.mark.parametrize("form", LOSSLESS)
def test_an_honest_file_has_no_warning(tmp_path, form):
    got = read(make(tmp_path, form), rows=3000)
    np.testing.assert_array_equal(got.samples, samples())
    assert got.warnings == []


@pytest.mark.parametrize("share", [0.3, 0.6, 0.999])
@pytest.mark.parametrize("form", LOSSLESS)
def test_a_cut_file_gives_what_is_there(tmp_path, form, share):
    path = make(tmp_path, form)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    got = read(path, rows=3000)
    there = len(got.samples)
    assert share * COUNT - (5000 if form == "flac" else 1100) < there < COUNT
    np.testing.assert_array_equal(got.samples, samples()[:there])
    assert got.warnings == [f"the header announces {COUNT} samples, the file has {there}"]
    assert got.info.shape == (there,)


@pytest.mark.parametrize("form", LOSSY)
def test_a_cut_compressed_file_gives_what_is_there(tmp_path, form):
    soundfile.write(tmp_path / "a.wav", np.tile(samples(), (8, 1)), 48000)
    faster = ["-movflags", "+faststart"] if form == "m4a" else []
    ffmpeg("-i", str(tmp_path / "a.wav"), "-c:a", LOSSY[form], *faster, str(tmp_path / f"a.{form}"))
    whole = read(tmp_path / f"a.{form}", rows=9000)
    assert whole.warnings == [] and len(whole.samples) == 8 * COUNT
    data = (tmp_path / f"a.{form}").read_bytes()
    (tmp_path / f"a.{form}").write_bytes(data[: len(data) * 6 // 10])
    got = read(tmp_path / f"a.{form}", rows=9000)
    assert 0.25 * 8 * COUNT < len(got.samples) < 0.65 * 8 * COUNT
    (told,) = got.warnings
    assert f"the file has {len(got.samples)}" in told or f"its first {len(got.samples)} samples are there" in told
    # Both ends of the frames of a codec depend on their neighbours.
    kept = len(got.samples) - 4000
    np.testing.assert_allclose(got.samples[:kept], whole.samples[:kept], atol=1)


@pytest.mark.parametrize("form", LOSSLESS)
def test_joined_files_are_read_whole(tmp_path, form):
    path = make(tmp_path, form)
    path.write_bytes(path.read_bytes() * 3)
    got = read(path, rows=3000)
    np.testing.assert_array_equal(got.samples, np.tile(samples(), (3, 1)))
    assert got.warnings == []


@pytest.mark.parametrize("form", ["ogg", "opus"])
def test_chained_ogg(tmp_path, form):
    soundfile.write(tmp_path / "a.wav", samples(), 48000)
    ffmpeg("-i", str(tmp_path / "a.wav"), "-c:a", LOSSY[form], str(tmp_path / f"a.{form}"))
    one = read(tmp_path / f"a.{form}", rows=3000)
    (tmp_path / f"b.{form}").write_bytes((tmp_path / f"a.{form}").read_bytes() * 2)
    two = read(tmp_path / f"b.{form}", rows=3000)
    np.testing.assert_array_equal(two.samples, np.tile(one.samples, (2, 1)))
    assert two.info.shape == (2 * COUNT,) and two.warnings == []


def test_a_chained_part_of_another_kind_is_named(tmp_path):
    soundfile.write(tmp_path / "a.flac", samples(), RATE)
    soundfile.write(tmp_path / "b.flac", samples()[:, :1], RATE)
    (tmp_path / "c.flac").write_bytes((tmp_path / "a.flac").read_bytes() + (tmp_path / "b.flac").read_bytes())
    got = read(tmp_path / "c.flac", rows=3000)
    np.testing.assert_array_equal(got.samples, samples())
    assert got.warnings == ["part 2 of the file is left out: it has another rate, depth or channels"]


def test_joined_mp3(tmp_path):
    soundfile.write(tmp_path / "a.wav", samples(), RATE)
    for tag in ("0", "1"):
        ffmpeg("-i", str(tmp_path / "a.wav"), "-metadata", "title=T", "-write_id3v1", tag, str(tmp_path / f"{tag}.mp3"))
        (tmp_path / "b.mp3").write_bytes((tmp_path / f"{tag}.mp3").read_bytes() * 2)
        got = read(tmp_path / "b.mp3", rows=3000)
        assert 2 * COUNT <= len(got.samples) < 2 * COUNT + 3000  # the second one's delay is not known
        assert got.metadata.tags == (("title", "T"),)


@pytest.mark.parametrize("form", ["wav", "flac", "aiff", "au", "caf", "ogg", "mp3", "w64"])
def test_streams_of_unknown_length(tmp_path, form):
    """As ffmpeg leaves them in a pipe."""
    import subprocess

    from nfcodec.media.ffmpeg import ffmpeg_path

    soundfile.write(tmp_path / "a.wav", samples(), RATE)
    command = [ffmpeg_path(), "-v", "error", "-i", str(tmp_path / "a.wav"), "-f", form]
    command += ["-c:a", "libvorbis"] if form == "ogg" else []
    (tmp_path / f"b.{form}").write_bytes(subprocess.run([*command, "-"], check=True, capture_output=True).stdout)
    got = read(tmp_path / f"b.{form}", rows=3000)
    if form in ("ogg", "mp3"):
        assert COUNT <= len(got.samples) < COUNT + 3000
    else:
        np.testing.assert_array_equal(got.samples, samples())
    assert got.warnings == []


@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), b"junk" + struct.pack("<I", 40) + b"\1" * 40, bytes(3000)])
def test_what_follows_the_sound_is_no_sound(tmp_path, tail):
    path = make(tmp_path, "wav")
    path.write_bytes(path.read_bytes() + tail)
    np.testing.assert_array_equal(read(path, rows=3000).samples, samples())


def test_a_chunk_that_nobody_aligned(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, samples()[:101, 0], 8000, "PCM_U8")
    text = b"INFOINAM" + struct.pack("<I", 48) + b"T" * 48
    path.write_bytes(path.read_bytes()[: 44 + 101] + b"LIST" + struct.pack("<I", len(text)) + text)
    got = read(path, rows=50)
    assert got.info.shape == (101,) and got.warnings == []


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "ULAW", "FLOAT"])
def test_other_codings_with_an_open_size(tmp_path, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, samples()[:, :1] / 32768, 8000, subtype)
    whole = read(path, rows=3000)
    data = bytearray(path.read_bytes())
    (one,) = read_chunks(path)
    struct.pack_into("<I", data, one.sound.size_at, 0xFFFFFFFF)
    path.write_bytes(data)
    got = read(path, rows=3000)
    np.testing.assert_array_equal(got.samples, whole.samples)
    assert not whole.warnings and not got.warnings


def test_id3_in_front_and_behind(tmp_path):
    """mutagen's id3v1v2-combined.mp3 is of this kind; libsndfile opens it and then fails."""
    soundfile.write(tmp_path / "a.wav", samples(), RATE)
    ffmpeg("-i", str(tmp_path / "a.wav"), "-id3v2_version", "0", str(tmp_path / "a.mp3"))
    plain = (tmp_path / "a.mp3").read_bytes()
    tag = b"ID3\3\0\0\0\0\0\x14TIT2\0\0\0\x06\0\0\0Title" + bytes(4)
    (tmp_path / "b.mp3").write_bytes(tag + plain + b"TAG" + b"Other".ljust(125, b"\0"))
    a, b = read(tmp_path / "a.mp3", rows=3000), read(tmp_path / "b.mp3", rows=3000)
    np.testing.assert_array_equal(a.samples, b.samples)
    assert dict(b.metadata.tags)["title"] == "Title"
    flac = make(tmp_path, "flac")
    flac.write_bytes(tag + flac.read_bytes())
    np.testing.assert_array_equal(read(flac, rows=3000).samples, samples())


BROKEN = {
    "a.mp3": (b"", b"ID3\4\0\0\0\0\0\x0a" + b"x" * 10, b"\xff\xfb\x90\x64", b"\xff\xfb\x90\x64" + bytes(40)),
    "a.wav": (b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\xff\xff\xff\xffWAVEdata\xff\xff\xff\xff" + b"ab" * 20),
    "a.flac": (b"", b"fLaC", b"fLaC\0\0\0\x22" + b"\x10" * 34),
    "a.ogg": (b"", b"OggS", b"OggS\0\2" + bytes(20) + b"\1\x1e\1vorbis"),
    "a.aiff": (b"", b"FORM\0\0\0\4AIFF", b"FORM\0\0\0\x0cAIFFSSND\0\0\0\0"),
    "a.au": (b"", b".snd", b".snd" + b"\xff" * 20),
    "a.caf": (b"", b"caff\0\1\0\0", b"caff\0\1\0\0data" + b"\xff" * 8),
}


@pytest.mark.parametrize(("name", "number"), [(name, i) for name, kinds in BROKEN.items() for i in range(len(kinds))])
def test_what_cannot_be_read_is_told_in_words(tmp_path, capfd, name, number):
    (tmp_path / name).write_bytes(BROKEN[name][number])
    with pytest.raises(MediaReadError) as caught:
        read(tmp_path / name)
    text = str(caught.value).lower()
    assert name in text and "\n" not in text
    for empty_talk in ("unspecified", "pipe?", "psf", "invalid data found", "nonetype", "buffer", "unpack"):
        assert empty_talk not in text
    if not number:
        assert text.endswith("the file is empty")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", ["mp3", "ogg", "flac", "wav"])
def test_decoders_are_silent(tmp_path, capfd, form):
    """libmpg123 tells the terminal of damage that ffmpeg passes over."""
    soundfile.write(tmp_path / "a.wav", samples(), RATE)
    ffmpeg("-i", str(tmp_path / "a.wav"), str(tmp_path / f"c.{form}"))
    data = bytearray((tmp_path / f"c.{form}").read_bytes())
    rng = np.random.default_rng(3)
    for at in rng.integers(len(data) // 3, len(data), 30):
        data[at] ^= 0xFF
    (tmp_path / f"b.{form}").write_bytes(data + data[: len(data) // 2])
    try:
        read(tmp_path / f"b.{form}", rows=3000)
    except MediaReadError as error:
        assert "\n" not in str(error)  # noqa: PT017
    assert capfd.readouterr() == ("", "")
