"""Between the samples: no alias above −80 dB, and the samples themselves untouched."""

import numpy as np
import pytest

from nfcodec.lapped.interpolation import HALF, interpolated, touched

N = 4096


def tone(at, frequency):
    return np.sin(2 * np.pi * frequency * (at - 0.5) + 0.3)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("ratio", [44.1 / 16, 1.5, 2.0])
def test_a_sweep_has_no_images(share, ratio):
    """``share`` of half the sample rate, at ``ratio`` times the samples."""
    frequency = share / 2
    samples = tone(np.arange(N) + 0.5, frequency).astype(np.float32)[:, None]
    at = (np.arange(int(N * ratio)) + 0.5) / ratio
    at = at[(at > 2 * HALF) & (at < N - 2 * HALF)]
    error = interpolated(samples, 0, at)[:, 0] - tone(at, frequency)
    assert 10 * np.log10((error**2).mean() / 0.5) < -80


def test_samples_are_kept():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(300, 2)).astype(np.float32)
    found = interpolated(samples, 10, np.arange(20, 250) + 0.5)
    assert np.array_equal(found, samples[10:240])


def test_what_is_touched_is_enough():
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(1000, 1)).astype(np.float32)
    at = rng.uniform(400, 500, 50)
    a, b = touched(at)
    assert np.array_equal(interpolated(samples[a:b], a, at), interpolated(samples, 0, at))
