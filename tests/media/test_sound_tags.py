"""What lies beside the sound: kept where the output has a place for it, and named where not."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile

from nfcodec.media.ffmpeg import run
from nfcodec.media.sound_tags import read_ffmetadata, sort_tags, told_losses
from nfcodec.signal import Metadata, SignalInfo
from nfcodec.tags import LONGEST_TEXT, MORE_TEXTS, SOUND_TEXTS

from .helpers import ffmpeg, picture, read, write

INFO = SignalInfo("audio", (4000,), 1, "i16", rate=8000)
EVERY = tuple((name, f"Wört = {name}; \\ 1") for name in (*SOUND_TEXTS, *MORE_TEXTS))
NO_PLACE = "left out, for nfc has no place for it: "


def quiet():
    return np.zeros((4000, 1), np.int16)


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def wave(path, *chunks):
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
    body = b"WAVE" + form + b"".join(chunks)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def cover(tmp_path):
    from PIL import Image

    Image.fromarray(picture(32, 32, 3)).save(tmp_path / "cover.jpg")
    return str(tmp_path / "cover.jpg")


# -- texts -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_every_text_is_kept(tmp_path, form):
    assert write(tmp_path / f"a.{form}", INFO, quiet(), metadata=Metadata(tags=EVERY), rows=999) == []
    got = read(tmp_path / f"a.{form}", rows=999)
    assert dict(got.metadata.tags) == dict(EVERY) and got.warnings == []
    if form != "ogg":
        np.testing.assert_array_equal(got.samples, quiet())
    assert soundfile.info(tmp_path / f"a.{form}").frames == 4000


@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_ffmpeg_reads_them_too(tmp_path, form):
    write(tmp_path / f"a.{form}", INFO, quiet(), metadata=Metadata(tags=EVERY), rows=999)
    where = ["-map_metadata", "0:s:a"] if form == "ogg" else []
    result = run(["-i", f"file:{tmp_path}/a.{form}", *where, "-f", "ffmetadata", "-"])
    found, unknown = sort_tags(read_ffmetadata(result.output.decode()))
    assert result.log == "" and unknown == ()
    # In a Vorbis comment ffmpeg takes a description for a comment, and there is one already.
    lacking = {"description"} if form != "wav" else set()
    assert dict(found) == {key: value for key, value in EVERY if key not in lacking}


@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_hostile_texts_stay_texts(tmp_path, form):
    """Long ones, counted wrong by nobody, and names that look like options."""
    tags = (("composer", "x" * LONGEST_TEXT), ("lyrics", "-y /etc/passwd\n[0:v]"), ("isrc", "%s\U0001f3b5=;"))
    assert write(tmp_path / f"a.{form}", INFO, quiet(), metadata=Metadata(tags=tags), rows=999) == []
    assert dict(read(tmp_path / f"a.{form}", rows=999).metadata.tags) == dict(tags)


def test_an_ogg_header_without_room_says_so(tmp_path):
    tags = tuple((name, "x" * LONGEST_TEXT) for name in MORE_TEXTS)
    (told,) = write(tmp_path / "a.ogg", INFO, quiet(), metadata=Metadata(tags=tags), rows=999)
    assert "are left out: there is no room" in told
    assert len(read(tmp_path / "a.ogg", rows=999).samples) == 4000


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp3", "libmp3lame"), ("a.flac", "flac"), ("a.ogg", "libvorbis"), ("a.opus", "libopus"), ("a.m4a", "aac"),
     ("a.mka", "libopus")],
)  # fmt: skip
def test_one_set_of_names(tmp_path, name, codec):
    texts = {"title": "T", "composer": "C", "disc": "1/2", "track": "3", "album_artist": "AA", "genre": "G"}
    options = [part for key, value in texts.items() for part in ("-metadata", f"{key}={value}")]
    sine = ["-f", "lavfi", "-i", "sine=440:duration=0.3:sample_rate=48000"]
    ffmpeg(*sine, "-c:a", codec, *options, str(tmp_path / name))
    tags = {"title": "T", "composer": "C", "discnumber": "1/2", "tracknumber": "3", "albumartist": "AA"}
    got = read(tmp_path / name, rows=5000)
    assert dict(got.metadata.tags) == tags | {"genre": "G"} and got.warnings == []


# -- losses ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", "libmp3lame"), ("a.flac", "flac"), ("a.m4a", "aac"), ("a.mka", "flac")]
)
def test_a_cover_is_named(tmp_path, name, codec):
    attach = ["-map", "0:a", "-map", "1:v", "-c:v", "mjpeg", "-disposition:v", "attached_pic"]
    if name.endswith("mka"):
        attach = ["-map", "0:a", "-attach", cover(tmp_path), "-metadata:s:t", "mimetype=image/jpeg"]
    source = ["-f", "lavfi", "-i", "sine=440:duration=0.3:sample_rate=48000", "-i", cover(tmp_path)]
    ffmpeg(*source, *attach, "-c:a", codec, str(tmp_path / name))
    assert read(tmp_path / name, rows=5000).warnings == [NO_PLACE + "the cover picture"]


def test_a_cover_in_a_comment_is_named(tmp_path):
    soundfile.write(tmp_path / "a.flac", quiet(), 8000)
    data = (tmp_path / "a.flac").read_bytes()
    at, head = 4, b""
    while not data[at] & 0x80:
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    comment = struct.pack("<I", 0) + struct.pack("<I", 2)
    for text in (b"METADATA_BLOCK_PICTURE=AAAA", b"MYOWN=x"):
        comment += struct.pack("<I", len(text)) + text
    head = b"\4" + len(comment).to_bytes(3, "big") + comment
    (tmp_path / "b.flac").write_bytes(data[:42] + head + data[42:])
    (told,) = read(tmp_path / "b.flac", rows=999).warnings
    assert told.startswith(NO_PLACE) and "MYOWN" in told


def test_chunks_of_broadcast_and_sampling(tmp_path):
    bext = b"Field recording".ljust(602, b"\0")
    cue = struct.pack("<III4sIII", 1, 1, 480, b"data", 0, 0, 480)
    adtl = b"adtl" + chunk(b"labl", struct.pack("<I", 1) + b"here\0")
    texts = b"INFO" + chunk(b"INAM", b"Title\0") + chunk(b"IMUS", b"Composer\0") + chunk(b"IKEY", b"key\0")
    wave(
        tmp_path / "a.wav", chunk(b"JUNK", bytes(28)), chunk(b"bext", bext), chunk(b"data", quiet().tobytes()),
        chunk(b"cue ", cue), chunk(b"smpl", bytes(36)), chunk(b"LIST", adtl), chunk(b"iXML", b"<x/>"),
        chunk(b"LIST", texts),
    )  # fmt: skip
    got = read(tmp_path / "a.wav", rows=999)
    assert got.warnings == [
        NO_PLACE + "broadcast data (bext), cue points (cue), loop points (smpl), production data (iXML), "
        "labels of cue points (adtl), the tag IKEY"
    ]
    assert dict(got.metadata.tags) == {"title": "Title", "composer": "Composer"}


def test_markers_of_an_aiff(tmp_path):
    soundfile.write(tmp_path / "a.aiff", quiet(), 8000)
    data = bytearray((tmp_path / "a.aiff").read_bytes())
    data += b"MARK" + struct.pack(">IHHIB", 10, 1, 1, 480, 1) + b"x" + b"INST" + struct.pack(">I", 20) + bytes(20)
    struct.pack_into(">I", data, 4, len(data) - 8)
    (tmp_path / "a.aiff").write_bytes(data)
    (told,) = read(tmp_path / "a.aiff", rows=999).warnings
    assert "markers (MARK)" in told and "instrument data and loops (INST)" in told


def test_more_tracks_and_chapters(tmp_path):
    (tmp_path / "m.txt").write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=100\ntitle=a\n")
    sine = ["-f", "lavfi", "-i", "sine=440:duration=0.3:sample_rate=48000"]
    ffmpeg(*sine, *sine, "-i", str(tmp_path / "m.txt"), "-map", "0", "-map", "1", "-map_metadata", "2", "-c:a", "aac",
           str(tmp_path / "a.m4a"))  # fmt: skip
    (told,) = read(tmp_path / "a.m4a", rows=9000).warnings
    assert "1 more sound track" in told and "chapters" in told


def test_sorting():
    pairs = [("ARTIST", "A"), ("artist", "B"), ("Year", "2020"), ("encoder", "x"), ("X", "1"), ("title", " ")]
    assert sort_tags(pairs) == ((("artist", "A; B"), ("date", "2020")), ("X",))
    assert told_losses([], []) == []
    many = told_losses(["the cover picture"], [f"K{i}" for i in range(10)])
    assert many == [NO_PLACE + "the cover picture, the tags K0, K1, K2, K3, K4, K5, K6, K7 and 2 more"]
    assert "\\x1b" in told_losses([], ["\x1b[31m"])[0]


def test_ffmetadata():
    text = ";FFMETADATA1\ntitle=a\\=b\\;c\\#d\\\\\ncomment=one\\\ntwo\n[CHAPTER]\ntitle=no\n"
    assert read_ffmetadata(text) == (("title", "a=b;c#d\\"), ("comment", "one\ntwo"))
