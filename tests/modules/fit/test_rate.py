import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nfcodec.effort import STEPS, refine_steps
from nfcodec.modules.fit.rate import laplace_bits
from nfcodec.modules.init import quality_offset
from nfcodec.modules.trade import LAMBDA, error_unit, trade_off


@pytest.mark.parametrize("log_scale", [-3.5, -2.0, -0.5, 0.0, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("shift", [0.0, 0.3, -0.5])
def test_probabilities_of_the_integers_add_up(log_scale, shift):
    reach = int(40 * math.exp(log_scale)) + 5
    x = torch.arange(-reach, reach + 1, dtype=torch.float64) + shift
    p = torch.exp2(-laplace_bits(x, torch.full_like(x, log_scale)))
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-6)


@given(st.floats(-30, 30), st.floats(-2, 4))
def test_bits_are_the_integral_of_the_density(x, log_scale):
    b = math.exp(log_scale)

    def below(t):
        return 0.5 * math.exp(t / b) if t < 0 else 1 - 0.5 * math.exp(-t / b)

    a = -abs(x)  # the lower tail keeps its digits
    p = below(a + 0.5) - below(a - 0.5)
    got = float(laplace_bits(torch.tensor(x, dtype=torch.float64), torch.tensor(log_scale, dtype=torch.float64)))
    assert got == pytest.approx(-math.log2(p), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_scale", [-5.0, -1.0, 2.0])
@pytest.mark.parametrize("size", [3.0, 1e3, 1e6])
def test_outliers_keep_a_gradient(dtype, log_scale, size):
    x = torch.tensor([size, -size], dtype=dtype, requires_grad=True)
    scale = torch.full((2,), log_scale, dtype=dtype, requires_grad=True)
    bits = laplace_bits(x, scale)
    by_x, by_scale = torch.autograd.grad(bits.sum(), [x, scale])
    slope = 1 / math.exp(max(log_scale, -3.5)) / math.log(2)
    np.testing.assert_allclose(by_x.numpy(), [slope, -slope], rtol=1e-4)
    assert torch.isfinite(bits).all() and torch.isfinite(by_scale).all()


@pytest.mark.parametrize("x", [0.0, 0.5, -0.5, 1e-9])
@pytest.mark.parametrize("log_scale", [-8.0, 0.0, 12.0])
def test_no_gradient_is_nan(x, log_scale):
    leaf = torch.tensor([x], requires_grad=True)
    scale = torch.tensor([log_scale], requires_grad=True)
    grads = torch.autograd.grad(laplace_bits(leaf, scale).sum(), [leaf, scale])
    assert all(torch.isfinite(g).all() for g in grads)


def test_bits_are_continuous_and_rise_with_magnitude():
    x = torch.linspace(0, 4, 4001, dtype=torch.float64)
    bits = laplace_bits(x, torch.zeros_like(x))
    step = bits.diff()
    assert (step >= 0).all() and float(step.max()) < 0.002


def test_quality_makes_units_and_lambda_fall():
    units = [error_unit(0.8, q) for q in range(101)]
    lambdas = [trade_off(0.8, q) for q in range(101)]
    assert units[0] == 0.8
    assert all(b < a for a, b in zip(units, units[1:], strict=False))
    assert all(b < a for a, b in zip(lambdas, lambdas[1:], strict=False))
    assert all(v == pytest.approx(LAMBDA * u * u) for u, v in zip(units, lambdas, strict=True))
    assert error_unit(1.6, 30) == pytest.approx(2 * error_unit(0.8, 30))


def test_units_follow_the_steps():
    """The file's integer steps are the continuous unit, rounded to eighths of an octave."""
    for q in range(101):
        assert -1 < 8 * math.log2(error_unit(1.0, q)) + quality_offset(q) <= 0


def test_more_effort_means_more_steps():
    assert STEPS[0] == 0 and all(a < b for a, b in zip(STEPS, STEPS[1:], strict=False))
    for axes in (1, 2, 3):
        steps = [refine_steps(e, axes) for e in range(1, 10)]
        assert steps == sorted(steps) and set(steps) <= set(STEPS) and steps[0] == 0
    assert [refine_steps(e, 2) for e in range(1, 10)] == list(STEPS)
