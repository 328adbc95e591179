from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from nfcodec.errors import MediaReadError, UnsupportedMediaError
from nfcodec.media import check_output, default_suffix, open_source
from nfcodec.media.formats import normal_format
from nfcodec.signal import Metadata, SignalInfo

IMAGE = SignalInfo("image", (4, 4), 3, "u8")
FLOATS = SignalInfo("image", (4, 4), 1, "f32", value_range=(0, 9))
SOUND = SignalInfo("audio", (9,), 2, "i16", rate=Fraction(8000))
VIDEO = SignalInfo("video", (2, 4, 4), 3, "u8", rate=Fraction(25))
ARRAY = SignalInfo("array", (4,), 1, "f64", value_range=(0, 1))
MOVING = Metadata(tags=(("source", "animation"),))


@pytest.mark.parametrize(
    ("info", "metadata", "suffix"),
    [(IMAGE, Metadata(), "png"), (FLOATS, Metadata(), "tif"), (SOUND, Metadata(), "wav"), (VIDEO, Metadata(), "mp4"),
     (VIDEO, MOVING, "png"), (ARRAY, Metadata(), "npy")],
)  # fmt: skip
def test_default_suffix(info, metadata, suffix):
    assert default_suffix(info, metadata) == suffix
    check_output(suffix, info)


@pytest.mark.parametrize(
    ("form", "info", "word"),
    [
        ("mp3", SOUND, "unknown format 'mp3'"),
        ("png", SOUND, "other signals"),
        ("png", FLOATS, "floating-point"),
        ("wav", IMAGE, "other signals"),
        ("tif", ARRAY, "other signals"),
        ("webp", SignalInfo("image", (4, 20_000), 3, "u8"), "20000 pixels"),
        ("flac", SignalInfo("audio", (9,), 1, "i16", rate=Fraction(10**6)), "1e\\+06 Hz"),
    ],
)
def test_refusals_name_what_works(form, info, word):
    with pytest.raises(UnsupportedMediaError, match=word) as caught:
        check_output(form, info)
    assert "npy" in (caught.value.hint or "") and "\n" not in str(caught.value)


def test_spellings():
    assert [normal_format(f) for f in (".JPEG", "tiff", "PNG", "apng")] == ["jpg", "tif", "png", "png"]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"%!PS-Adobe-3.0 EPSF", "PostScript"),
        (b"\xd7\xcd\xc6\x9a" + b"\0" * 40, "WMF"),
        (b"PK\x03\x04" + b"\0" * 40, "zip"),
        (b"<svg xmlns='x'/>", "SVG"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "HEIC"),
        (b"#EXTM3U\nfile:///etc/passwd", "playlist"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_known_and_refused(tmp_path, data, word):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UnsupportedMediaError, match=word):
        open_source(tmp_path / "a.png")


def test_unknown_content(tmp_path):
    (tmp_path / "a.png").write_bytes(b"hello, this is text")
    with pytest.raises(MediaReadError, match="no known image"):
        open_source(tmp_path / "a.png")


def test_content_beats_the_suffix(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5.0))
    (tmp_path / "a.npy").rename(tmp_path / "a.jpg")
    source = open_source(tmp_path / "a.jpg")
    assert source.info.modality == "array"
    source.close()


def test_missing_empty_and_special_files(tmp_path):
    with pytest.raises(MediaReadError, match="No such file"):
        open_source(tmp_path / "none.png")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(MediaReadError, match="empty"):
        open_source(tmp_path / "empty.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(MediaReadError, match="not a regular file"):
        open_source(tmp_path / "pipe.png")


def test_names_with_line_breaks_stay_on_one_line(tmp_path):
    (tmp_path / "a\nb.png").write_bytes(b"text")
    with pytest.raises(MediaReadError) as caught:
        open_source(tmp_path / "a\nb.png")
    assert "\n" not in str(caught.value)


def test_import_is_cheap():
    heavy = "{'PIL', 'soundfile', 'torch', 'imageio_ffmpeg'}"
    code = f"import sys, nfcodec.media; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
