import numpy as np
import pytest

from nfcodec.entropy.quantizer import MAX_EXPONENT, dequantize, quantize, step_size
from nfcodec.errors import InternalError


def test_steps_are_exact_powers():
    assert step_size(np.array([0, 8, -8, 80, -80])).tolist() == [1.0, 2.0, 0.5, 1024.0, 2.0**-10]


def test_step_bits_never_change():
    found = [float(s).hex() for s in step_size(np.array([1, 4, -1, -37]))]
    assert found == ["0x1.172b83c7d517bp+0", "0x1.6a09e667f3bcdp+0", "0x1.d5818dcfba487p-1", "0x1.4bfdad5362a27p-5"]


def test_eight_steps_make_an_octave():
    e = np.arange(-64, 64)
    assert np.array_equal(step_size(e + 8), 2 * step_size(e))
    assert np.allclose(step_size(e), 2.0 ** (e / 8), rtol=1e-15)


def test_zero_stays_zero_and_ties_go_to_even():
    e = np.array(0)
    assert quantize(np.array([0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 0.49, 0.51]), e).tolist() == [0, 0, 2, 2, 0, -2, 0, 1]


def test_round_trip_of_integers_at_every_exponent():
    q = np.arange(-1000, 1000, 7, dtype=np.int32)
    for e in range(-80, 80):
        values = dequantize(q, np.array(e))
        assert values.dtype == np.float32
        assert np.array_equal(quantize(values, np.array(e)), q)


def test_exponents_broadcast_over_modules():
    q = np.ones((3, 2), np.int32)
    assert dequantize(q, np.array([0, 8])).tolist() == [[1, 2]] * 3


@pytest.mark.parametrize("delta", [np.nan, np.inf, 2.0**31])
def test_deltas_that_cannot_be_coded(delta):
    with pytest.raises(InternalError):
        quantize(np.array([delta]), np.array([0]))


@pytest.mark.parametrize("e", [np.array([0.5]), np.array([MAX_EXPONENT + 1]), np.array([-MAX_EXPONENT - 1])])
def test_exponents_that_do_not_exist(e):
    with pytest.raises(InternalError):
        step_size(e)
