"""Step sizes and weights in whole numbers."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from nfcodec.lattice import order
from nfcodec.lattice.steps import LARGEST_WEIGHT, exponents, mantissa, step_sizes, weights


def test_mantissas_are_powers_of_two_to_the_nearest():
    for i in range(256):
        assert mantissa(i) == round(2.0 ** (16 + i / 256))  # float64 has digits to spare here
    assert mantissa(0) == 1 << 16 and mantissa(128) == 92682


def test_exponents_are_linear_between_the_anchors():
    log_step = np.arange(8, dtype=np.int16)[:, None, None] * -100 - 37
    assert [int(exponents(log_step, q)[0, 0]) for q in (0, 100)] == [-37, -737]
    for quality in range(101):
        pairs = zip(order.quality_features(quality), log_step.ravel(), strict=True)
        exact = sum(Fraction(int(h), 16) * int(s) for h, s in pairs)
        assert abs(exponents(log_step, quality)[0, 0] - exact) <= Fraction(1, 2)


def test_step_sizes():
    log_step = np.full((8, 1, 2), [-256 * 3, 100], np.int16)
    sizes = step_sizes(log_step, 50)
    assert sizes[0, 0] == 0.125 and sizes[0, 1] == mantissa(100) / 65536


def by_hand(q, r, e):
    """The recipe of the format in Python's whole numbers."""
    shift = 8 - (e >> 8)
    w = (mantissa(e & 255) * (256 * q + r) + (1 << (shift - 1))) >> shift
    return min(max(w, -(1 << 23)), 1 << 23)


@pytest.mark.parametrize("e", [-24 * 256, -2000, -777, -1, 0, 300, 8 * 256 - 1])
def test_weights_by_hand(e):
    rng = np.random.default_rng(0)
    q = np.concatenate([rng.integers(-(1 << 20), (1 << 20) + 1, 200), rng.integers(-3, 4, 200), [-(1 << 20), 1 << 20]])
    r = rng.integers(-2047, 2048, len(q))
    sizes = step_sizes(np.full((8, 1, 1), e, np.int16), 30)[0]
    found = weights(q.astype(np.int32), r.astype(np.float32), sizes)
    assert found.dtype == np.float64 and np.abs(found).max() <= LARGEST_WEIGHT
    assert found.tolist() == [by_hand(int(a), int(b), e) for a, b in zip(q, r, strict=True)]


def test_tensors_come_within_one():
    rng = np.random.default_rng(1)
    q, r = rng.integers(-100, 101, 500), rng.integers(-300, 301, 500)
    sizes = step_sizes(np.full((8, 1, 1), -900, np.int16), 30)[0]
    exact = weights(q.astype(np.int32), r.astype(np.float32), sizes)
    close = weights(*(torch.from_numpy(x.astype(np.float32)) for x in (q, r, sizes)))
    assert np.abs(close.numpy() - exact).max() <= 1
