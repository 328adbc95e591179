"""Zarr stores chunks with the codec."""

import warnings

import numpy as np
import pytest

numcodecs = pytest.importorskip("numcodecs")
zarr = pytest.importorskip("zarr")


def field():
    y, x = np.mgrid[:48, :64] / 10.0
    return np.stack([np.sin(x + t) * np.cos(y) for t in (0.0, 0.3)]).astype(np.float32)


def within(back, array, share):
    return all(np.abs(b - a).max() <= share * np.ptp(a) for b, a in zip(back, array, strict=True))


def test_numcodecs_finds_it():
    from nfcodec.numcodecs import Nfc

    codec = numcodecs.get_codec(Nfc(max_error="1%", wrap=(-1,)).get_config())
    assert codec.get_config() == {"id": "nfc", "max_error": "1%", "wrap": [-1], "effort": 5}
    array = field()
    back = codec.decode(codec.encode(array))
    assert back.shape == array.shape and np.abs(back - array).max() <= 0.01 * np.ptp(array)
    out = np.empty_like(array)
    codec.decode(codec.encode(array), out)
    np.testing.assert_array_equal(out, back)


@pytest.mark.parametrize("array", [np.arange(7) % 2 == 0, np.zeros((2, 3, 4, 5), "i2"), np.array(3.5)])
def test_other_arrays(array):
    from nfcodec.numcodecs import Nfc

    codec = Nfc(max_error=0)
    back = codec.decode(codec.encode(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back.reshape(array.shape), array)


def test_zarr_2(tmp_path):
    from nfcodec.numcodecs import Nfc

    array = field()
    zarr.create_array(tmp_path / "a", data=array, chunks=(1, 48, 64), zarr_format=2, compressors=Nfc(max_error="0.1%"))
    assert within(zarr.open_array(tmp_path / "a")[:], array, 1e-3)


def test_zarr_3(tmp_path):
    from nfcodec.numcodecs import zarr_serializer

    array = field()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # codecs of numcodecs are no part of the specification
        codec = zarr_serializer(max_error="0.1%", wrap=(-1,))
        zarr.create_array(tmp_path / "a", data=array, chunks=(1, 48, 64), serializer=codec, compressors=None)
        assert within(zarr.open_array(tmp_path / "a")[:], array, 1e-3)
