import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfcodec.resample import Thinner, density, interpolate, kernel, taps, thin

FACTORS = st.integers(1, 9)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def signal(n, *rest):
    return np.random.default_rng(11).standard_normal((n, *rest)).astype(np.float32)


@pytest.mark.parametrize("k", range(2, 12))
def test_kernel_is_symmetric_and_sums_to_one(k):
    weights = kernel(k)
    assert len(weights) == taps(k) and len(weights) % 2 == k % 2
    np.testing.assert_allclose(weights, weights[::-1], atol=1e-7)
    assert weights.astype(np.float64).sum() == pytest.approx(1.0, abs=1e-6)


@given(FACTORS, st.integers(1, 30))
def test_constant_stays(k, n):
    values = np.full((n * k, 2), 0.7, np.float32)
    out = thin(values, 0, k)
    assert out.shape == (n, 2)
    np.testing.assert_allclose(out, 0.7, atol=1e-6)


@given(FACTORS, st.integers(1, 30))
def test_mirrored_signal_gives_the_mirrored_result(k, n):
    """Holds only when the filter is centred on the k samples of an output sample."""
    values = signal(n * k)
    np.testing.assert_allclose(thin(values[::-1].copy(), 0, k), thin(values, 0, k)[::-1], atol=1e-5)


@given(st.integers(2, 9))
def test_ramp_stays_in_place(k):
    """Away from the border a ramp comes back at the centres of the output samples."""
    n = 20
    ramp = ((np.arange(n * k) + 0.5) / k).astype(np.float32)
    np.testing.assert_allclose(thin(ramp, 0, k)[4:-4], np.arange(n)[4:-4] + 0.5, atol=1e-4)


@settings(max_examples=60)
@given(FACTORS, st.integers(1, 25), st.data())
def test_streaming_equals_one_shot(k, n, data):
    values = signal(n * k, 2)
    thinner, parts, at = Thinner(k), [], 0
    while at < len(values):
        step = data.draw(st.integers(1, 40))
        parts.append(thinner.push(values[at : at + step]))
        at += step
    parts.append(thinner.finish())
    out = np.concatenate([p for p in parts if len(p)])
    assert out.shape == (n, 2)
    np.testing.assert_array_equal(out, thin(values, 0, k))


def test_axes():
    values = signal(12, 8, 3)
    once = thin(thin(values, 0, 3), 1, 2)
    assert once.shape == (4, 4, 3)
    np.testing.assert_allclose(once, thin(thin(values, 1, 2), 0, 3), atol=1e-6)
    assert thin(values, 1, 1) is values


@pytest.mark.parametrize("k", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("frequency", [0.9, 1.0])
def test_what_would_alias_is_gone(k, frequency):
    """``frequency`` in cycles per output sample: folded to 0.1 and 0, if it came through."""
    if frequency * 2 > k:
        pytest.skip("above the input's own Nyquist")
    n = 400
    t = (np.arange(n * k) + 0.5) / k
    wave = np.sin(2 * np.pi * frequency * t + 0.3).astype(np.float32)
    out = thin(wave, 0, k)[8:-8]
    assert 20 * np.log10(rms(wave) / max(rms(out), 1e-9)) > 30


@pytest.mark.parametrize("k", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("frequency", [0.02, 0.1, 0.2])
def test_what_fits_passes(k, frequency):
    n = 400
    t = (np.arange(n * k) + 0.5) / k
    wave = np.sin(2 * np.pi * frequency * t + 0.3)
    out = thin(wave.astype(np.float32), 0, k)[8:-8]
    expected = np.sin(2 * np.pi * frequency * (np.arange(n) + 0.5) + 0.3)[8:-8]
    assert abs(20 * np.log10(rms(out) / rms(expected))) < 0.2
    assert rms(out - expected) < 0.02  # and in phase


def test_density():
    assert [density(s) for s in (4.0, 1.0, 0.999, 0.5, 0.4, 1 / 3, 0.25, 0.01)] == [1, 1, 2, 2, 4, 3, 4, 100]


def test_interpolation_is_exact_at_the_samples():
    x = signal(9, 5)
    for axis, n in enumerate(x.shape):
        np.testing.assert_allclose(interpolate(x, axis, np.arange(n) + 0.5), x, atol=1e-6)


def test_interpolation_follows_what_the_samples_can_hold():
    """A slow wave between its samples, away from the border; a constant everywhere."""
    at = np.linspace(8, 56, 301)
    wave = np.sin(2 * np.pi * (np.arange(64) + 0.5) / 7).astype(np.float32)
    np.testing.assert_allclose(interpolate(wave, 0, at), np.sin(2 * np.pi * at / 7), atol=0.02)
    np.testing.assert_allclose(interpolate(np.full(5, 3.0, np.float32), 0, np.linspace(-1, 6, 30)), 3.0, rtol=1e-6)
