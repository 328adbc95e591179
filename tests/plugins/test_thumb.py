"""``nfc thumb``: small PNG files."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from helpers import decode_array, encode, init, memory, moving, pack, painting, psnr_of, save_picture, sound
from PIL import Image

from nfcodec.cli.run import run
from nfcodec.cli.session import Session
from nfcodec.errors import OptionError, OutputExistsError, TruncatedError, UnsupportedMediaError
from nfcodec.plugins.thumb import thumbnail

KINDS = ("image", "tiny-lattice")


def coded(folder, kind, samples, **options):
    path = folder / "x.nfc"
    path.write_bytes(
        pack(memory(kind if kind in ("video", "audio") else "image", samples), kind, effort=1, **options)[0]
    )
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "expected"), [(32, (32, 22)), (10, (10, 7)), (1, (1, 1)), (90, (90, 61)), (500, (90, 61))]
)
def test_thumbnails_fit_and_keep_the_shape(tmp_path, kind, size, expected):
    source = coded(tmp_path, kind, painting(61, 90), quality=70)
    done = thumbnail(source, tmp_path / "t.png", size=size, init=init(kind))
    with Image.open(tmp_path / "t.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", expected)
        found = np.asarray(image)
    exact = Image.fromarray(decode_array(source, kind)).resize(expected, Image.Resampling.LANCZOS)
    assert done.shape == expected[::-1] and done.bytes == (tmp_path / "t.png").stat().st_size
    assert psnr_of(found, np.asarray(exact), 255) > 32


def test_alpha_grey_and_sixteen_bits(tmp_path):
    grey = painting(40, 40, channels=1)
    for samples, alpha, mode in (
        (grey, grey[..., 0], "LA"),
        (grey.astype(np.uint16) * 257, None, "L"),
        (grey > 99, None, "L"),
    ):
        source = save_picture(tmp_path / "p.png", samples, alpha)
        encode(source, "tiny-lattice", effort=1)
        thumbnail(tmp_path / "p.nfc", tmp_path / "t.png", size=20, force=True, init=init("tiny-lattice"))
        with Image.open(tmp_path / "t.png") as image:
            assert (image.mode, image.size) == (mode, (20, 20))


def test_a_video_shows_its_first_frame(tmp_path):
    source = coded(tmp_path, "video", moving(6, 30, 40), quality=80)
    thumbnail(source, tmp_path / "t.png", size=20, init=init("video"))
    exact = Image.fromarray(decode_array(source, "video")[0]).resize((20, 15), Image.Resampling.LANCZOS)
    with Image.open(tmp_path / "t.png") as image:
        assert psnr_of(np.asarray(image), np.asarray(exact), 255) > 45


def test_the_command(tmp_path, capsys):
    source = coded(tmp_path, "image", painting(61, 90))
    args = ["thumb", str(source), "-o", str(tmp_path / "t.png"), "--size", "32", "--init", init("image")]
    assert run(args, Session()) == 0
    assert "32×22" in capsys.readouterr().err
    assert run(args, Session()) == 1 and "exists already" in capsys.readouterr().err
    assert run([*args, "-f", "--json"], Session()) == 0 and '"shape": [22, 32]' in capsys.readouterr().out


def test_a_pipe(tmp_path):
    source = coded(tmp_path, "image", painting(61, 90))
    command = [sys.executable, "-m", "nfcodec", "thumb", "-", "-o", "-", "--size", "16", "--init", init("image")]
    ran = subprocess.run(command, input=source.read_bytes(), capture_output=True, check=True)
    assert Image.open(io.BytesIO(ran.stdout)).size == (16, 11)


# -- wrong uses ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, -1, 70_000])
def test_impossible_sizes(tmp_path, size):
    with pytest.raises(OptionError, match="size"):
        thumbnail(coded(tmp_path, "image", painting(20, 20)), tmp_path / "t.png", size=size, init=init("image"))


def test_refusals_leave_nothing(tmp_path):
    source = coded(tmp_path, "audio", sound(600, 1))
    with pytest.raises(UnsupportedMediaError, match="audio"):
        thumbnail(source, tmp_path / "t.png", init=init("audio"))
    source = coded(tmp_path, "image", painting(20, 20))
    source.write_bytes(source.read_bytes()[:-3])
    with pytest.raises(TruncatedError):
        thumbnail(source, tmp_path / "t.png", init=init("image"))
    assert [p.name for p in tmp_path.iterdir()] == ["x.nfc"]
    (tmp_path / "t.png").write_text("mine")
    with pytest.raises(OutputExistsError):
        thumbnail(source, tmp_path / "t.png", init=init("image"))
    assert (tmp_path / "t.png").read_text() == "mine"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [("thumb x.nfc", 2, "-o"), ("thumb x.nfc -o t.png --size 0", 2, "--size"),
     ("thumb nowhere.nfc -o t.png", 1, "nowhere"),
     ("thumb notes.txt -o t.png", 4, "no nfc signature"), ("thumb x.nfc -o x.nfc", 2, "its own output"),
     ("thumb x.nfc -o nowhere/t.png", 1, "does not exist")],
)  # fmt: skip
def test_refusals_of_the_command(tmp_path, monkeypatch, capsys, args, code, words):
    coded(tmp_path, "image", painting(20, 20))
    (tmp_path / "notes.txt").write_text("some words")
    monkeypatch.chdir(tmp_path)
    assert run([*args.split(), *(["--init", init("image")] if code != 2 else [])], Session()) == code
    assert words in capsys.readouterr().err
