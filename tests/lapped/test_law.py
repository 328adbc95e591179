"""From symbols to weights, and what cannot be a law."""

from dataclasses import replace

import numpy as np
import pytest

from nfcodec.errors import CorruptError
from nfcodec.lapped.law import Law, noise_signs
from nfcodec.lapped.synthesis import LARGEST_WEIGHT

HALFWAY = Law(3 * 256, 16 * 256, 4, 0.1)
PLAIN, COMPANDED = Law(2 * 256, 12 * 256, 6, 0.1), Law(3 * 256, 16 * 256, 3, 0.1)


def at(exponent):
    """The exponents of steps that are all alike."""
    return np.full((1, 1), exponent)


def test_steps():
    assert PLAIN.step(0) == 2.0**-2 and PLAIN.step(100) == 2.0**-12 and PLAIN.step(50) == 2.0**-7


def test_weights():
    q = np.array([[[0, 1, -2, 20]]], np.int32)
    r = np.array([[[0, 64, -64, 0]]], np.int8)
    assert PLAIN.weights(q, r, at(-512)).tolist() == [[[0, 1.25 * 2**18, -1.75 * 2**18, 20 * 2**18]]]
    found = COMPANDED.weights(q, r, at(-768))
    wanted = np.array([0, 1.25**2, -(1.75**2), 20**2]) * 2**17
    assert np.abs(found[0, 0] - wanted).max() <= 2**17 / 256
    assert (found == np.rint(found)).all()
    halfway = HALFWAY.weights(q, r, at(-768))
    wanted = np.array([0, 1.25**1.5, -(1.75**1.5), 20**1.5]) * 2**17
    assert np.abs(halfway[0, 0] - wanted).max() <= 2**17 / 256 and (halfway == np.rint(halfway)).all()


def test_weights_saturate():
    q = np.array([[[1 << 20, -(1 << 20)]]], np.int32)
    assert PLAIN.weights(q, np.zeros(q.shape, np.int8), at(0)).tolist() == [[[LARGEST_WEIGHT, -LARGEST_WEIGHT]]]


def test_noise():
    q, r = np.zeros((1, 40, 50), np.int32), np.full((1, 40, 50), 64, np.int8)
    found = COMPANDED.weights(q, r, at(-768))
    assert set(np.abs(found).ravel()) == {16 * 2.0**17 / 256}
    signs = noise_signs((2, 64, 64))
    assert abs(signs.mean()) < 0.03 and set(signs.ravel()) == {-1, 1}
    for axis in range(3):  # neighbours do not know of each other
        a, b = np.moveaxis(signs, axis, 0)[:-1], np.moveaxis(signs, axis, 0)[1:]
        assert abs((a * b).mean()) < 0.04
    # By hand, with integers of any size: the place 2^32 + 3 · 2^16 + 5.
    x, mask = ((1 << 32) + 3 * (1 << 16) + 6) * 0x9E3779B97F4A7C15 % 2**64, 2**64 - 1
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    assert signs[1, 3, 5] == (-1 if (x ^ (x >> 31)) >> 63 else 1)


def test_what_is_rounded():
    quarter = at(-512)
    assert PLAIN.compressed(np.float32(-0.5), quarter) == 2.0
    assert COMPANDED.compressed(np.float32(-1.0), quarter) == 2.0
    assert np.isclose(HALFWAY.compressed(np.float32(2.0), quarter), 4.0)
    assert COMPANDED.largest < PLAIN.largest


@pytest.mark.parametrize(
    "change",
    [
        {"coarsest": -1}, {"finest": 0}, {"finest": 6000}, {"power": 5}, {"follow": -0.1}, {"tilt": 1}, {"trade": 0.0},
        {"coarsest": 1.5},
    ],
)  # fmt: skip
def test_impossible_laws(change):
    with pytest.raises(CorruptError):
        replace(PLAIN, **change).validate()
