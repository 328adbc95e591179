"""Signals and their description."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from nfcodec.errors import OptionError
from nfcodec.media.samples import dequantize, dtype_of, quantize
from nfcodec.signal import MODALITIES, SAMPLE_TYPES, Metadata, SignalInfo


def test_sample_types_keep_their_codes():
    expected = ["u1", "u8", "u16", "i16", "i24", "i32", "f32", "f64", "i8", "u32", "i64", "u64", "f16"]
    assert list(SAMPLE_TYPES) == expected and MODALITIES == ("image", "audio", "video", "array")


def test_what_no_signal_is():
    with pytest.raises(OptionError, match="modality 'smell'"):
        SignalInfo("smell", (1,), 1, "u8")  # type: ignore[arg-type]
    for shape in ((), (0,), (3, 0), (-1, 2)):
        with pytest.raises(OptionError, match="at least one sample"):
            SignalInfo("image", shape, 3, "u8")


def test_samples_do_not_overflow():
    assert SignalInfo("image", (3, 5), 3, "u8").samples == 15
    assert SignalInfo("array", (2**31, 2**30), 1, "u8").samples == 2**61


@pytest.mark.parametrize(
    ("modality", "kind", "value_range", "peak"),
    [
        ("image", "u1", None, 1), ("image", "u8", None, 255), ("image", "u16", None, 65535), ("image", "f32", None, 1),
        ("audio", "i16", None, 65535), ("audio", "i24", None, 2**24 - 1), ("audio", "f32", None, 2),
        ("audio", "f64", (-3.0, 3.0), 6), ("array", "f32", (-1.0, 4.0), 5), ("array", "i64", (7.0, 7.0), 1),
    ],
)  # fmt: skip
def test_peak(modality, kind, value_range, peak):
    assert SignalInfo(modality, (4,), 1, kind, value_range=value_range).peak == peak


@pytest.mark.parametrize("kind", ["u8", "i8", "i16", "i24", "i32", "f32", "f64"])
def test_zero_and_full_of_sound(kind):
    """Silence and full scale, in the samples that quantizing writes."""
    info = SignalInfo("audio", (3,), 1, kind)
    silence, loudest = quantize(np.float32([[0.0], [-1.0]]), info)[:, 0].astype(float)
    assert silence == info.zero and loudest == info.zero - info.full


@pytest.mark.parametrize("kind", ["u1", "u8", "u16", "f32"])
def test_full_of_pictures(kind):
    info = SignalInfo("image", (1, 2), 1, kind)
    black, white = quantize(np.float32([[[0.0], [1.0]]]), info)[0, :, 0].astype(float)
    assert (black, white) == (info.zero, info.full)


@pytest.mark.parametrize(("low", "high"), [(-1.7e308, 1.7e308), (0.0, 5e-324), (-1e200, 0.0), (-2.0, 3.0), (0.0, 0.0)])
def test_measured_samples_have_finite_squares(low, high):
    info = SignalInfo("array", (2,), 1, "f64", value_range=(low, high))
    measured = info.measured(np.array([low, high]))
    assert np.isfinite(measured**2).all() and np.abs(measured).max() <= 3
    assert info.measured_peak == (pytest.approx(measured[1] - measured[0]) if low < high else 1.0)
    ordinary = SignalInfo("image", (1, 1), 3, "u8")
    samples = np.zeros((1, 1, 3), np.uint8)
    assert ordinary.measured(samples) is samples and ordinary.measured_peak == 255


def test_metadata_is_false_when_empty():
    assert not Metadata()
    for given in ({"icc": b"x"}, {"exif": b"x"}, {"xmp": b"x"}, {"tags": (("a", "b"),)}):
        assert Metadata(**given)


def test_info_is_a_value():
    a = SignalInfo("video", (1, 2, 3), 3, "u8", rate=Fraction(25))
    assert a == SignalInfo("video", (1, 2, 3), 3, "u8", rate=Fraction(50, 2)) and len({a, a}) == 1
    with pytest.raises(AttributeError):
        a.channels = 4  # type: ignore[misc]


@pytest.mark.parametrize("kind", SAMPLE_TYPES)
def test_every_type_has_a_dtype_and_returns(kind):
    info = SignalInfo("array", (5,), 1, kind, value_range=(0.0, 1.0))
    samples = np.array([0, 1, 1, 0, 1]).astype(dtype_of(kind))
    np.testing.assert_array_equal(quantize(dequantize(samples, kind, (0.0, 1.0)), info), samples)
