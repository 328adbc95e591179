"""Files of arrays as fields: parts, other sizes, points, gaps, chunks."""

import contextlib

import numpy as np
import pytest

import nfcodec
from nfcodec import api
from nfcodec.errors import CorruptError, InputError, OptionError, UnsupportedMediaError
from nfcodec.options import DecodeOptions, EncodeOptions


def field(height=40, width=60, seed=0):
    r = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 20.0
    return (280 + 10 * np.sin(x + r.uniform(0, 6)) * np.cos(y) + y).astype(np.float32)


def encoded(array, tmp_path, **options):
    file = tmp_path / "a.nfc"
    result = api.encode(array, file, options=EncodeOptions(**{"max_error": "0.1%", **options}), force=True)
    return file, result


def test_info_tells_the_shape_as_it_was(tmp_path):
    from nfcodec.cli import text

    file, result = encoded(field(), tmp_path)
    info = api.info(file)
    assert (info.shape, info.field, info.init) == ((40, 60), "dyadic", "array-dyadic")
    assert "array, 40×60" in text.information(info)
    assert result.max_error == pytest.approx(np.abs(api.decode_array(file) - field()).max())
    assert f"error ≤ {result.max_error:.4g}" in text.encoded(result)


def test_a_part_is_the_same_as_in_the_whole(tmp_path):
    file, _ = encoded(field(), tmp_path)
    whole = api.decode_array(file)
    part = api.decode_array(file, options=DecodeOptions(crop=(5, 7, 20, 9)))
    np.testing.assert_array_equal(part, whole[7:16, 5:25])


def test_other_sizes_follow_the_field(tmp_path):
    file, _ = encoded(field(), tmp_path, max_error="0.001%")
    double = api.decode_array(file, options=DecodeOptions(scale=2))
    assert double.shape == (80, 120)
    y, x = (((np.arange(n) + 0.5) / 2 - 0.5) / 20 for n in (80, 120))
    shift = np.random.default_rng(0).uniform(0, 6)
    exact = 280 + 10 * np.sin(x + shift) * np.cos(y[:, None]) + y[:, None]
    assert np.abs(double - exact)[4:-4, 4:-4].max() < 2e-3
    half = api.decode_array(file, options=DecodeOptions(scale=0.5))
    assert half.shape == (20, 30)
    assert np.abs(half - field()[::2, ::2]).max() < 1.0


def test_points(tmp_path):
    array = field()
    file, _ = encoded(array, tmp_path, max_error="0.001%")
    with nfcodec.open(file) as opened:
        low, high = opened.info.value_range
        at = np.array([[10, 20], [0, 0], [39, 59]])
        coords = (2 * at + 1 - np.array([40, 60])) / 60
        np.testing.assert_allclose(low + opened.sample(coords)[:, 0] * (high - low), array[tuple(at.T)], atol=2e-3)
        between = opened.sample(coords[:1] + 1 / 60)[0, 0] * (high - low) + low
        np.testing.assert_allclose(between, array[10:12, 20:22].mean(), atol=2e-2)


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_gaps(tmp_path, gap):
    array = field()
    array[3:30, 4:9] = gap
    file, result = encoded(array, tmp_path)
    back = api.decode_array(file)
    np.testing.assert_array_equal(np.isfinite(back), np.isfinite(array))
    np.testing.assert_array_equal(back[3:30, 4:9], array[3:30, 4:9])
    seen = np.isfinite(array)
    assert np.abs(back[seen] - array[seen]).max() <= 1e-3 * np.ptp(array[seen])
    double = api.decode_array(file, options=DecodeOptions(scale=2))
    np.testing.assert_array_equal(double[20:40, 12:14], np.full((20, 2), gap, np.float32))
    with nfcodec.open(file) as opened:
        assert np.isnan(opened.sample([[(2 * 10 + 1 - 40) / 60, (2 * 6 + 1 - 60) / 60]])).all()
    assert result.bytes < encoded(field(), tmp_path)[1].bytes + 150


@pytest.mark.parametrize("scale", [0.5, 0.4])
def test_gaps_stay_gaps_in_smaller_sizes(tmp_path, scale):
    array = field()
    array[:20] = np.nan
    small = api.decode_array(encoded(array, tmp_path)[0], options=DecodeOptions(scale=scale))
    assert np.isnan(small[:4]).all() and np.isfinite(small[-4:]).all()


@pytest.mark.parametrize(("dtype", "fill"), [("f4", -9999.0), ("f8", 1e20), ("i2", -32768), ("u2", 65535)])
def test_a_number_that_stands_for_none(tmp_path, dtype, fill):
    array = (field() * 10).astype(dtype)
    array[:10, :10] = fill
    file, result = encoded(array, tmp_path)
    back = api.decode_array(file)
    assert (back[:10, :10] == array[0, 0]).all()
    rest = np.ones(array.shape, bool)
    rest[:10, :10] = False
    wanted = array[rest].astype(float)
    assert np.abs(back[rest].astype(float) - wanted).max() <= 1e-3 * np.ptp(wanted)
    assert any("count as missing" in w for w in result.warnings)


@pytest.mark.parametrize("shape", [(50, 40), (1500,), (30, 8, 9)])
def test_long_arrays_come_in_chunks(tmp_path, monkeypatch, shape):
    monkeypatch.setattr("nfcodec.dyadic.fit.encode.LARGEST_CHUNK", 600)
    array = np.resize(field(50, 60), shape)
    file, result = encoded(array, tmp_path)
    assert len(api.info(file).sections) > 1
    back = api.decode_array(file)
    assert back.shape == shape and np.abs(back - array).max() <= 1e-3 * np.ptp(array)
    middle = DecodeOptions(crop=(2, 10, 5, 30)) if len(shape) == 2 else None
    if middle:
        np.testing.assert_array_equal(api.decode_array(file, options=middle), back[10:40, 2:7])
    assert api.decode_array(file, options=DecodeOptions(scale=2)).shape == tuple(2 * n for n in shape)


def test_truncated_files(tmp_path, monkeypatch):
    monkeypatch.setattr("nfcodec.dyadic.fit.encode.LARGEST_CHUNK", 600)
    file, _ = encoded(field(), tmp_path)
    whole = api.decode_array(file)
    file.write_bytes(file.read_bytes()[:-60])
    back = api.decode_array(file, options=DecodeOptions(partial=True))
    np.testing.assert_array_equal(back[:10], whole[:10])
    assert np.isnan(back[-1]).all()


def test_quality_and_targets(tmp_path):
    array = field()
    coarse, fine = (encoded(array, tmp_path, max_error=None, quality=q)[1] for q in (40, 90))
    assert coarse.bytes < fine.bytes
    assert coarse.max_error <= 10 ** (-40 / 25) * np.ptp(array)
    small = encoded(array, tmp_path, max_error=None, target_size=400)[1]
    assert small.bytes <= 400
    assert encoded(array, tmp_path, max_error=None, target_psnr=60)[1].psnr >= 60


def test_what_cannot_be_asked(tmp_path):
    array = field()
    picture = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(OptionError, match="exclude"):
        EncodeOptions(max_error=1, bpp=1.0)
    for wrong in ("-1", "x", "nan", "inf%"):
        with pytest.raises(OptionError, match="max_error"):
            EncodeOptions(max_error=wrong)
    with pytest.raises(OptionError, match="axis 2"):
        encoded(array, tmp_path, wrap=(2,))
    with pytest.raises(OptionError, match="chain"):
        encoded(array.reshape(10, 4, 60), tmp_path, wrap=(0,))
    with pytest.raises(OptionError, match="for arrays"):
        encoded(array, tmp_path, field="siren")
    holes = array.copy()
    holes[0, 0] = np.nan
    with pytest.raises(UnsupportedMediaError, match="missing"):
        encoded(holes, tmp_path, field="siren", max_error=None)
    assert api.decode_array(encoded(picture, tmp_path)[0]).shape == (20, 20, 3)


def test_improve_and_transcode(tmp_path):
    file, _ = encoded(field(), tmp_path)
    np.save(tmp_path / "a.npy", field())
    with pytest.raises(InputError, match="within a bound"):
        nfcodec.improve(file, tmp_path / "a.npy")
    again = nfcodec.transcode(file, tmp_path / "b.nfc", options=EncodeOptions(max_error="1%"))
    assert again.max_error <= 1e-2 * np.ptp(field())


# -- damage ------------------------------------------------------------------------------------------------
def test_flipped_bits_are_noticed_or_harmless(tmp_path):
    """Behind a checksum that was made to fit."""
    from nfcodec.container.layout import crc_bytes
    from nfcodec.errors import NfcError

    array = field(20, 20)
    array[0, :5] = np.nan
    file, result = encoded(array, tmp_path)
    data = file.read_bytes()
    start = data.index(bytes([6]), 40)
    r = np.random.default_rng(0)
    for _ in range(150):
        wrong = bytearray(data)
        wrong[int(r.integers(start + 3, len(data) - 4))] ^= 1 << int(r.integers(8))
        wrong[-4:] = crc_bytes(bytes(wrong[start:-4]))
        file.write_bytes(bytes(wrong))
        with contextlib.suppress(NfcError):
            assert api.decode_array(file).shape == array.shape


def test_chunks_that_are_too_large_are_refused(tmp_path, monkeypatch):
    file, _ = encoded(field(), tmp_path)
    monkeypatch.setattr("nfcodec.dyadic.stored.LARGEST_CHUNK", 100)
    with pytest.raises(CorruptError, match="rows"):
        api.decode_array(file)
