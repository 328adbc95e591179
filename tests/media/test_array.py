from __future__ import annotations

import numpy as np
import pytest

from nfcodec.errors import LimitError, MediaReadError, OutputError, UnsupportedMediaError
from nfcodec.limits import Limits
from nfcodec.media import open_sink, open_source
from nfcodec.signal import Metadata, SignalInfo

from .helpers import read, write

TYPES = ["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">i2", ">f8"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(23,), (7, 5), (6, 4, 3)])
def test_round_trip(tmp_path, dtype, shape):
    rng = np.random.default_rng(1)
    array = (rng.random(shape) * 100).astype(dtype) if dtype != "bool" else rng.random(shape) > 0.5
    np.save(tmp_path / "a.npy", array)
    got = read(tmp_path / "a.npy")
    assert got.info.modality == "array" and got.info.shape == shape and got.info.channels == 1
    assert got.info.value_range == (float(array.min()), float(array.max()))
    assert write(tmp_path / "b.npy", got.info, got.samples) == []
    back = np.load(tmp_path / "b.npy")
    assert back.shape == shape and back.dtype == array.dtype.newbyteorder("=")
    if array.dtype.kind in "biu":
        np.testing.assert_array_equal(back, array)
    else:
        np.testing.assert_allclose(back, array, atol=100 * 2**-22 if array.dtype.itemsize > 2 else 0.1)


@pytest.mark.parametrize("dtype", ["bool", "i4", "f4"])
def test_constant(tmp_path, dtype):
    array = np.full((4, 4), 7).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    got = read(tmp_path / "a.npy")
    write(tmp_path / "b.npy", got.info, got.samples)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), array)


def test_fortran_order_and_one_pass_blocks(tmp_path):
    array = np.asfortranarray(np.arange(60, dtype=np.int32).reshape(12, 5))
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read(tmp_path / "a.npy").samples[..., 0], array)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_missing(tmp_path, bad):
    np.save(tmp_path / "a.npy", np.array([0.0, bad, 1.0]))
    source = open_source(tmp_path / "a.npy")
    assert source.info.gaps and source.info.value_range == (0.0, 1.0)
    (block,) = source.blocks(3)
    assert block.missing.tolist() == [False, True, False]
    np.testing.assert_array_equal(block.samples, [0.0, bad, 1.0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, -9999.0, -9999.0], ((1.0, 2.0), True)),
        ([1.0, 2.0, 1e20, 1e20], ((1.0, 2.0), True)),
        ([1.0, 2.0, -9999.0], ((-9999.0, 2.0), False)),  # once is a value
        ([0.0, 0.0, 1.0, 1.0], ((0.0, 1.0), False)),
        ([0.0, 0.0, 1.0, 2.0], ((0.0, 2.0), False)),  # not farther off than the others are apart
        ([np.nan, np.nan], ((0.0, 0.0), True)),
    ],
)
def test_numbers_that_stand_for_none(tmp_path, values, expected):
    np.save(tmp_path / "a.npy", np.array(values))
    info = open_source(tmp_path / "a.npy").info
    assert (info.value_range, info.gaps) == expected


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.array(3.0), "0 axes"),
        (np.zeros((1, 1, 1, 1)), "4 axes"),
        (np.zeros(3, complex), "complex"),
        (np.zeros(3, [("a", "i4")]), "records"),
        (np.array(["text"]), "text"),
        (np.array(["2020-01-01"], "datetime64[D]"), "datetime64"),
        (np.array([1, "a", None], object), "objects"),
    ],
)
def test_other_kinds_are_refused_by_name(tmp_path, array, word):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(UnsupportedMediaError, match=word):
        open_source(tmp_path / "a.npy")


def test_empty_and_truncated(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 0)))
    with pytest.raises(MediaReadError, match="no elements"):
        open_source(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros(1000))
    data = (tmp_path / "b.npy").read_bytes()
    for keep in (5, 9, 60, 200, len(data) - 1):
        (tmp_path / "c.npy").write_bytes(data[:keep])
        with pytest.raises(MediaReadError) as caught:
            open_source(tmp_path / "c.npy")
        assert "\n" not in str(caught.value)


def test_header_that_lies(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(8))
    data = (tmp_path / "a.npy").read_bytes().replace(b"(8,), }", b"(99999999999,), }").replace(b"}          ", b"}")
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises((MediaReadError, LimitError)):
        open_source(tmp_path / "a.npy")


def test_limit(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(100))
    with pytest.raises(LimitError, match="max_array"):
        open_source(tmp_path / "a.npy", limits=Limits(max_array=99))


@pytest.mark.parametrize(
    ("info", "shape"),
    [
        (SignalInfo("image", (4, 6), 1, "u8"), (4, 6)),
        (SignalInfo("image", (4, 6), 3, "u16"), (4, 6, 3)),
        (SignalInfo("image", (4, 6), 3, "u8", alpha=True), (4, 6, 4)),
        (SignalInfo("audio", (9,), 2, "i16", rate=8000), (9, 2)),
        (SignalInfo("video", (2, 4, 6), 3, "u8", rate=25), (2, 4, 6, 3)),
    ],
)
def test_other_signals_as_arrays(tmp_path, info, shape):
    rng = np.random.default_rng(0)
    kind = {"u8": np.uint8, "u16": np.uint16, "i16": np.int16}[info.sample_type]
    samples = rng.integers(0, 100, (*info.shape, info.channels)).astype(kind)
    alpha = rng.integers(0, 255, info.shape).astype(np.uint8) if info.alpha else None
    write(tmp_path / "a.npy", info, samples, alpha)
    back = np.load(tmp_path / "a.npy")
    assert back.shape == shape and back.dtype == kind
    whole = samples if alpha is None else np.concatenate([samples, alpha[..., None]], -1)
    np.testing.assert_array_equal(back, whole.reshape(shape))


def test_missing_rows_are_noticed(tmp_path):
    sink = open_sink(
        tmp_path / "a.npy", SignalInfo("array", (4,), 1, "u8", value_range=(0, 1)), Metadata(), format="npy"
    )
    with pytest.raises(OutputError, match="0 of 4"):
        sink.close()
