"""Folders: frames where that is plain, and nfc batch for all others."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nfcodec.errors import UnsupportedMediaError
from nfcodec.media import open_source

from .helpers import picture, read


def fill(folder, names, **options):
    for number, name in enumerate(names):
        Image.fromarray(picture(6, 8, 3, number)).save(folder / name, **options)


@pytest.mark.parametrize("names", [["a1.png", "a2.png"], ["f-0009.jpg", "f-0010.jpg"], ["7.tif", "8.tif", "9.tif"]])
def test_sequences_are_videos(tmp_path, names):
    fill(tmp_path, names)
    (tmp_path / ".hidden.png").write_bytes(b"x")
    assert read(tmp_path).info.shape == (len(names), 6, 8)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a1.png", "a3.png"], "number 2 is missing"), (["a1.png", "b2.png"], "several names"),
        (["a1.png", "a2.jpg"], "several names"), (["a1.png"], "it has 1 picture"), (["a.png", "b.png"], "no numbered"),
        (["a1.png", "a2.png", "a3.gif"], "a3.gif is no numbered picture"),
    ],
)  # fmt: skip
def test_other_folders_are_for_batches(tmp_path, names, why):
    fill(tmp_path, names)
    with pytest.raises(UnsupportedMediaError, match=why) as caught:
        open_source(tmp_path)
    assert f"nfc batch {tmp_path} -d OUT" in caught.value.hint


def test_photographs_are_no_sequence(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    fill(tmp_path, ["IMG_1.jpg", "IMG_2.jpg"], exif=exif)
    with pytest.raises(UnsupportedMediaError, match="photographs of a camera"):
        open_source(tmp_path)


def test_frames_of_16_bits_keep_their_brightness(tmp_path):
    """Each uses a small part of its range; together they must not flicker."""
    for number, level in enumerate((1000, 3000)):
        Image.fromarray(np.full((4, 4), level, np.uint16)).save(tmp_path / f"f{number}.png")
    got = read(tmp_path)
    assert got.samples[:, 0, 0, 0].tolist() == [round(1000 / 257), round(3000 / 257)]
