"""Comparing files: media and .nfc in any combination."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import decode, encode, error_of, init, moving, painting, save_frames, save_picture, save_sound, sound

from nfcodec import api
from nfcodec.errors import InputError, LimitError, MediaReadError, ModelNotFoundError
from nfcodec.limits import Limits
from nfcodec.metrics import ms_ssim


@pytest.fixture
def picture(tmp_path):
    return save_picture(tmp_path / "a.png", painting(40, 56))


def test_identical_files(tmp_path, picture):
    made = {
        "image": picture, "audio": save_sound(tmp_path / "a.wav", sound(300, 2)),
        "video": save_frames(tmp_path / "a.mkv", moving(3, 16, 24)),
    }  # fmt: skip
    for kind, path in made.items():
        result = api.compare(path, path)
        assert result.psnr == math.inf and result.max_error == 0
        assert result.snr == (math.inf if kind == "audio" else None)
    encode(picture, "image")
    same = api.compare(tmp_path / "a.nfc", tmp_path / "a.nfc", init=init("image"))
    assert same.psnr == math.inf and same.ms_ssim is None  # too small for five scales


@pytest.mark.parametrize("kind", ["image", "audio", "video"])
def test_nfc_against_its_source_gives_the_reported_psnr(tmp_path, picture, kind):
    sources = {
        "image": lambda: picture, "audio": lambda: save_sound(tmp_path / "b.wav", sound(900, 2)),
        "video": lambda: save_frames(tmp_path / "b.mkv", moving(5, 16, 24)),
    }  # fmt: skip
    source = sources[kind]()
    result = encode(source, kind, tmp_path / "x.nfc")
    direct = api.compare(source, tmp_path / "x.nfc", init=init(kind))
    assert direct.psnr == pytest.approx(result.psnr, abs=1e-6) and direct.max_error > 0
    if kind == "audio":
        assert direct.snr == pytest.approx(result.snr, abs=1e-6)
    written = tmp_path / f"y{source.suffix}"
    decode(tmp_path / "x.nfc", kind, written)
    through = api.compare(source, written)
    assert (through.psnr, through.max_error) == (pytest.approx(direct.psnr), direct.max_error)
    assert api.compare(written, tmp_path / "x.nfc", init=init(kind)).psnr == math.inf


def test_large_pictures_have_ms_ssim(tmp_path):
    a, b = painting(180, 200), painting(180, 200)
    b[20:60, 30:90] += 9
    result = api.compare(save_picture(tmp_path / "a.png", a), save_picture(tmp_path / "b.png", b))
    assert result.ms_ssim == pytest.approx(ms_ssim(a, b, 255)) and 0.9 < result.ms_ssim < 1
    assert result.psnr == error_of(a, b).psnr(255)


def test_different_sizes_and_kinds(tmp_path, picture):
    others = {
        "taller": save_picture(tmp_path / "b.png", painting(41, 56)),
        "grey": save_picture(tmp_path / "c.png", painting(40, 56, channels=1)),
        "sound": save_sound(tmp_path / "d.wav", sound(40, 1)),
    }
    for path in others.values():
        with pytest.raises(InputError, match="cannot compare"):
            api.compare(picture, path)
    longer = save_sound(tmp_path / "e.wav", sound(41, 1))
    for pair in ((others["sound"], longer), (longer, others["sound"])):
        with pytest.raises(InputError, match="different lengths"):
            api.compare(*pair)
    clips = [save_frames(tmp_path / f"{n}.mkv", moving(n, 16, 24)) for n in (3, 4)]
    with pytest.raises(InputError, match="different lengths"):
        api.compare(*clips)


def test_missing_and_unknown(tmp_path, picture):
    with pytest.raises(MediaReadError, match="none"):
        api.compare(picture, tmp_path / "none.png")
    encode(picture, "image")
    with pytest.raises(ModelNotFoundError):
        api.compare(picture, tmp_path / "a.nfc")
    with pytest.raises(LimitError, match="max_dimension"):
        api.compare(picture, tmp_path / "a.nfc", init=init("image"), limits=Limits(max_dimension=50))


@pytest.mark.parametrize("left", ["u8", "i16", "i24", "f32"])
@pytest.mark.parametrize("right", ["u8", "i16", "i24", "f32"])
def test_sound_of_different_depth(tmp_path, left, right):
    """The same recording at two depths differs by rounding alone, whatever offset and scale its samples have."""
    values = np.clip(sound(800, 1), -0.9, 0.9)
    a = save_sound(tmp_path / "a.wav", values, kind=left)
    b = save_sound(tmp_path / "b.wav", values, kind=right)
    result = api.compare(a, b)
    if left == right:
        assert result.psnr == math.inf
        return
    floor = 50 if "u8" in (left, right) else 98
    assert floor < result.psnr < 160
    energy = 10 * math.log10(4 * 800 / float((values.astype(float) ** 2).sum()))
    assert result.snr == pytest.approx(result.psnr - energy, abs=0.2)


def test_silence_of_unsigned_sound_is_not_energy(tmp_path):
    quiet = sound(800, 1) * 0.2
    result = encode(save_sound(tmp_path / "a.wav", quiet, kind="u8"), "audio", tmp_path / "a.nfc")
    decode(tmp_path / "a.nfc", "audio", tmp_path / "b.wav")
    import soundfile

    x, y = (soundfile.read(tmp_path / name, always_2d=True)[0] for name in ("a.wav", "b.wav"))
    assert result.snr == pytest.approx(error_of(x, y).snr(), abs=1e-6)
    assert result.snr < 40


def test_pictures_of_different_depth(tmp_path, picture):
    deep = save_picture(tmp_path / "b.png", painting(40, 56).astype(np.uint16) * 257)
    assert api.compare(picture, deep).psnr == math.inf
    assert api.compare(deep, picture).psnr == math.inf


def test_arrays_are_compared_as_they_are(tmp_path):
    """Values are absolute: another range or type of the second array is no scale."""
    a = np.linspace(0, 10, 50)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", a.astype(np.float32) + 1)
    np.save(tmp_path / "c.npy", a * 0.5)
    assert api.compare(tmp_path / "a.npy", tmp_path / "b.npy").max_error == pytest.approx(1, abs=1e-5)
    assert api.compare(tmp_path / "a.npy", tmp_path / "c.npy").psnr == pytest.approx(error_of(a, a / 2).psnr(10))


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e-5, 1.0, 1e150, 1.7e308])
def test_ranges_of_any_size(tmp_path, size):
    """The squares of such values are no numbers any more, their PSNR is one."""
    a = np.array([-1.0, -0.3, 0.2, 1.0] * 20) * size
    b = np.array([-1.0, -0.3, 0.25, 1.0] * 20) * size
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    result = api.compare(tmp_path / "a.npy", tmp_path / "b.npy")
    assert result.psnr == pytest.approx(10 * math.log10(4 / (0.05**2 / 4)), abs=1e-3)
    assert result.max_error == pytest.approx(0.05 * size, rel=1e-3)
    encoded = encode(tmp_path / "a.npy", "audio", tmp_path / "a.nfc")
    assert 5 < encoded.psnr < 60


def test_what_is_missing_in_both_is_no_error(tmp_path):
    a = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    b = a + np.float32(0.25)
    a[1, 2] = b[1, 2] = np.nan
    a[2, 0] = b[2, 0] = -np.inf
    for name, values in (("a", a), ("b", b)):
        np.save(tmp_path / f"{name}.npy", values)
    found = api.compare(tmp_path / "a.npy", tmp_path / "b.npy")
    assert found.max_error == pytest.approx(0.25) and found.psnr < 15
    b[0, 0] = np.nan
    np.save(tmp_path / "b.npy", b)
    assert api.compare(tmp_path / "a.npy", tmp_path / "b.npy").max_error == np.inf
