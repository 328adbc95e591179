from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from nfcodec.errors import LimitError, NfcError
from nfcodec.limits import Limits
from nfcodec.media import default_suffix, open_source
from nfcodec.media.timing import frame_times
from nfcodec.signal import SignalInfo

from .helpers import picture, read, write


def frames(count, depth, size=(12, 16)):
    few = [picture(*size, depth, seed) // 64 * 64 for seed in range(count)]  # few colours, so that GIF is exact
    return np.stack(few)


def save(path, pixels, **options):
    images = [Image.fromarray(p.squeeze()) for p in pixels]
    images[0].save(path, save_all=True, append_images=images[1:], **options)


def visible(got):
    """Samples, black where nothing is seen: Pillow's animated WebP forgets the colours there."""
    return got.samples if got.alpha is None else got.samples * (got.alpha > 0)[..., None]


@pytest.mark.parametrize("form", ["png", "webp"])
@pytest.mark.parametrize("depth", [3, 4])
def test_exact_round_trip(tmp_path, form, depth):
    pixels = frames(4, depth)
    options = {"lossless": True, "exact": True} if form == "webp" else {}
    save(tmp_path / f"a.{form}", pixels, duration=[40, 80, 120, 40], loop=2, **options)
    got = read(tmp_path / f"a.{form}", rows=3)
    assert got.info.modality == "video" and got.info.shape == (4, 12, 16)
    assert got.info.alpha == (depth == 4) and got.info.rate == Fraction(1000, 60)
    assert dict(got.metadata.tags) == {"source": "animation", "durations": "40,80,120,40", "loop": "2"}
    np.testing.assert_array_equal(visible(got), pixels[..., :3] * (pixels[..., -1:] > 0 if depth == 4 else 1))
    assert default_suffix(got.info, got.metadata) == "png"
    for out in ("png", "webp"):
        write(tmp_path / f"b.{out}", got.info, got.samples, got.alpha, metadata=got.metadata)
        again = read(tmp_path / f"b.{out}")
        assert again.metadata == got.metadata and again.info == got.info
        if depth == 4:
            np.testing.assert_array_equal(again.alpha, got.alpha)
        np.testing.assert_array_equal(visible(again), visible(got))


def test_gif(tmp_path):
    pixels = frames(3, 3)
    save(tmp_path / "a.gif", pixels, duration=100, loop=0)
    got = read(tmp_path / "a.gif")
    assert got.info.rate == 10 and dict(got.metadata.tags)["durations"] == "100"
    np.testing.assert_array_equal(got.samples, pixels)
    said = write(tmp_path / "b.gif", got.info, got.samples, metadata=got.metadata)
    assert said == ["gif holds 256 colours per frame and times in steps of 10 ms"]
    again = read(tmp_path / "b.gif")
    assert again.metadata == got.metadata
    assert np.abs(again.samples.astype(int) - pixels).max() <= 8


def test_gif_transparency(tmp_path):
    pixels = frames(3, 4)
    pixels[..., 3] = np.where(pixels[..., 0] > 100, 255, 0)
    save(tmp_path / "a.gif", pixels, duration=50, disposal=2)
    got = read(tmp_path / "a.gif")
    assert got.info.alpha
    np.testing.assert_array_equal(got.alpha, pixels[..., 3])
    assert dict(got.metadata.tags)["loop"] == "1"
    write(tmp_path / "b.gif", got.info, got.samples, got.alpha, metadata=got.metadata)
    again = read(tmp_path / "b.gif")
    np.testing.assert_array_equal(again.alpha, got.alpha)
    assert again.metadata == got.metadata


def test_grey_animation_has_one_channel(tmp_path):
    pixels = frames(3, 1)
    save(tmp_path / "a.png", pixels, duration=20)
    got = read(tmp_path / "a.png")
    assert got.info.channels == 1
    np.testing.assert_array_equal(got.samples, pixels)


def test_a_single_frame_is_a_picture(tmp_path):
    save(tmp_path / "a.gif", frames(1, 3))
    assert read(tmp_path / "a.gif").info.modality == "image"


def test_default_image_is_dropped_with_a_warning(tmp_path):
    save(tmp_path / "a.png", frames(3, 3), default_image=True, duration=40)
    got = read(tmp_path / "a.png")
    assert got.info.shape[0] == 2 and "dropped the still picture" in got.warnings[0]


@pytest.mark.parametrize("form", ["gif", "png", "webp"])
def test_truncated(tmp_path, form):
    save(tmp_path / f"a.{form}", frames(4, 3), duration=40)
    data = (tmp_path / f"a.{form}").read_bytes()
    for keep in (len(data) // 2, len(data) * 3 // 4):
        (tmp_path / f"b.{form}").write_bytes(data[:keep])
        try:
            got = read(tmp_path / f"b.{form}")
        except NfcError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:  # GIF has no list of its frames: what is whole is a shorter GIF
            assert form == "gif" and got.info.shape[0] < 4


def test_limits(tmp_path):
    save(tmp_path / "a.png", frames(4, 3), duration=40)
    with pytest.raises(LimitError, match="max_frames"):
        open_source(tmp_path / "a.png", limits=Limits(max_frames=3))


def test_frame_times():
    info = SignalInfo("video", (3, 4, 4), 3, "u8", rate=Fraction(30))
    assert frame_times(info, ()) == (33, 34, 33)
    assert frame_times(info, (10.0, 20.0, 30.0)) == (10, 20, 30)
    assert frame_times(info, (10.0, 20.0)) == (33, 34, 33)
