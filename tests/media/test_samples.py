from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfcodec.media import samples as module
from nfcodec.media.samples import convert_alpha, dequantize, dtype_of, quantize, quantize_block
from nfcodec.signal import SignalInfo

UNSIGNED = [("u1", 1), ("u8", 255), ("u16", 65535)]
SOUND = [("u8", 0, 255), ("i8", -128, 127), ("i16", -32768, 32767), ("i24", -(2**23), 2**23 - 1)]


@pytest.mark.parametrize(("kind", "top"), UNSIGNED)
def test_every_unsigned_sample_survives(kind, top):
    samples = np.arange(top + 1).astype(dtype_of(kind))
    np.testing.assert_array_equal(quantize_block(dequantize(samples, kind), kind), samples)


@pytest.mark.parametrize(("kind", "low", "high"), SOUND)
def test_every_sound_sample_survives(kind, low, high):
    samples = np.unique(np.linspace(low, high, 70_001).round().astype(np.int64)).astype(dtype_of(kind))
    values = dequantize(samples, kind, signed=True)
    assert values.min() == -1.0 and values.max() < 1.0
    np.testing.assert_array_equal(quantize_block(values, kind, signed=True), samples)


def test_32_bit_sound_is_near_and_never_wraps():
    samples = np.array([-(2**31), 2**31 - 1, 12345, 0], np.int32)
    back = quantize_block(dequantize(samples, "i32", signed=True), "i32", signed=True)
    assert abs(back.astype(np.int64) - samples).max() <= 128
    assert back[1] == 2**31 - 1


@pytest.mark.parametrize("kind", ["u8", "u16", "i16", "i24"])
def test_out_of_range_is_clipped_and_nan_is_lowest(kind):
    signed = kind.startswith("i")
    low, high = (quantize_block(np.array([v], np.float32), kind, signed=signed)[0] for v in (-1.0 if signed else 0, 1))
    values = np.array([-9, 9, np.nan, -np.inf, np.inf], np.float32)
    assert quantize_block(values, kind, signed=signed).tolist() == [low, high, low, low, high]


def test_rounding_is_to_nearest():
    values = np.array([0.4999 / 255, 0.5001 / 255, 254.6 / 255], np.float32)
    assert quantize_block(values, "u8").tolist() == [0, 1, 255]


@pytest.mark.parametrize("kind", ["i64", "u64", "i32", "u32"])
def test_extreme_integers_keep_their_ends(kind):
    ends = np.array([np.iinfo(dtype_of(kind)).min, np.iinfo(dtype_of(kind)).max], dtype_of(kind))
    span = (float(ends[0]), float(ends[1]))
    assert quantize_block(dequantize(ends, kind, span), kind, span).tolist() == ends.tolist()


@pytest.mark.parametrize("span", [(-1.7e308, 1.7e308), (0.0, 5e-324), (3.0, 3.0), (-1e-30, 1e30)])
def test_extreme_doubles_keep_their_ends(span):
    ends = np.array(span)
    values = dequantize(ends, "f64", span)
    assert np.isfinite(values).all()
    assert quantize_block(values, "f64", span).tolist() == list(span)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(0, 1))
def test_range_maps_back_within_float32(low, width, place):
    span = (low, low + width)
    x = np.array([low + place * (span[1] - low)])
    back = quantize_block(dequantize(x, "f64", span), "f64", span)
    assert span[0] <= back[0] <= span[1]
    assert abs(back[0] - x[0]) <= 2**-23 * (span[1] - span[0]) + 1e-9


def test_float_sound_uses_its_peak():
    samples = np.array([-2.5, 0.0, 2.5], np.float32)
    values = dequantize(samples, "f32", (-2.5, 2.5), signed=True)
    assert values.tolist() == [-1, 0, 1]
    assert quantize_block(values, "f32", (-2.5, 2.5), signed=True).tolist() == samples.tolist()


def test_alpha_between_depths():
    alpha = np.array([0, 1, 128, 255], np.uint8)
    wide = convert_alpha(alpha, "u16")
    assert wide.tolist() == [0, 257, 32896, 65535]
    assert convert_alpha(wide, "u8").tolist() == alpha.tolist()
    assert convert_alpha(np.array([128, 129, 65534], np.uint16), "u8").tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("modality", "kind", "value_range"),
    [("image", "u8", None), ("image", "u16", (100.0, 60000.0)), ("audio", "i24", None), ("array", "f32", (-2.0, 5.0))],
)
def test_pieces_do_not_show(modality, kind, value_range, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 7)
    values = np.random.default_rng(0).uniform(-1.1, 1.1, (5, 9, 3)).astype(np.float32)
    info = SignalInfo(modality, (5, 9), 3, kind, value_range=value_range)
    found = quantize(values[:, ::2], info)
    wanted = quantize_block(values[:, ::2], kind, value_range, signed=modality == "audio")
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)
    assert quantize(values[:0], info).shape == (0, 9, 3)
