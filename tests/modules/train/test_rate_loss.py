"""Sensitivity, running statistics and the rate-aware outer loss."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from tiny import (
    SPEC,
    coords_of,
    generator,
    make_learner,
    module_of,
    outputs,
    own_forward,
    random_params,
    random_targets,
    stacked,
    textured,
)

from nfcodec.metrics import psnr_of
from nfcodec.modules.fit.inner import InnerLoop, adapt, module_loss
from nfcodec.modules.fit.rate import laplace_bits
from nfcodec.modules.init import QUALITY_ANCHORS
from nfcodec.modules.trade import error_unit, trade_off
from nfcodec.modules.train.rate_loss import (
    CLASS_BITS,
    CLASS_SHIFTS,
    RateState,
    class_shifts,
    first_state,
    flatten,
    floor_fisher,
    rate_loss,
    sensitivity,
    unflatten,
    update_scales,
)

COORDS = coords_of(SPEC)
SIZES = [t.numel() for t in random_params(SPEC).values()]


def different(modules):
    parts = [random_params(SPEC, s) for s in range(modules)]
    return {n: torch.stack([p[n] for p in parts]) for n in parts[0]}


def exact_fisher(params, modules):
    """Σ over samples and outputs of (∂f/∂θ)², one backward pass for every single output."""
    total = torch.zeros(sum(SIZES), dtype=torch.float64)
    for m in range(modules):
        leaves = {n: p.clone().requires_grad_() for n, p in module_of(params, m).items()}
        for value in own_forward(SPEC, leaves, COORDS[0]).reshape(-1):
            grads = torch.autograd.grad(value, list(leaves.values()), retain_graph=True)
            total += torch.cat([g.reshape(-1) for g in grads]).square() / modules
    return total


def test_sensitivity_is_the_diagonal_fisher():
    params = different(4)
    probes = 1500
    got = sensitivity(SPEC, params, COORDS, generator(), probes)
    exact = exact_fisher(params, 4)
    ratio = got / exact
    sigma = math.sqrt(2 / (4 * probes))  # of the square of a sum of many random signs
    assert float((ratio - 1).abs().max()) < 6 * 2 * sigma  # modules weigh unequally: at most double
    assert abs(float(ratio.mean()) - 1) < sigma


def test_sensitivity_depends_on_the_generator_only():
    params = different(2)
    a, b, c = (sensitivity(SPEC, params, COORDS, generator(s), 2) for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("tensor", range(6))
def test_48_noise_of_a_step_costs_what_the_fisher_says(tensor):
    """ΔMSE of uniform noise of step δ in one tensor against Σ F δ²/12: within a factor of two."""
    params = stacked(random_params(SPEC), 1)
    fisher = sensitivity(SPEC, params, COORDS, generator(), 300)
    name = list(params)[tensor]
    start = sum(SIZES[:tensor])
    part = fisher[start : start + SIZES[tensor]]
    samples = 36 * SPEC.channels
    draws, targets = 4000, outputs(SPEC, params, COORDS)
    for unit in (0.02, 0.2):
        step = (unit / part.sqrt()).reshape(params[name].shape[1:])
        noise = torch.rand((draws, *step.shape), generator=generator(3), dtype=torch.float64) - 0.5
        moved = {n: p.expand(draws, *p.shape[1:]) for n, p in params.items()}
        moved[name] = moved[name] + noise * step
        measured = float(module_loss(SPEC, moved, COORDS, targets.expand(draws, -1, -1)).mean())
        predicted = float((part * step.reshape(-1).square()).sum()) / 12 / samples
        assert predicted == pytest.approx(SIZES[tensor] * unit**2 / 12 / samples)  # every weight costs Δ²/12
        assert 0.5 < measured / predicted < 2.0
        if unit == 0.02:
            assert measured == pytest.approx(predicted, rel=0.1)


def test_flatten_and_back():
    params = different(3)
    flat = flatten(params)
    assert flat.shape == (3, sum(SIZES))
    like = random_params(SPEC)
    again = unflatten(flat, like)
    assert all(torch.equal(again[n], params[n]) for n in params)
    assert torch.equal(flatten(like), flatten({n: p[:1] for n, p in params.items()}))


def test_floor_keeps_dead_weights_finite():
    fisher = torch.tensor([100.0, 0.0, 1e-3, 0.0, 0.0])
    got = floor_fisher(fisher, [3, 2])
    mean = float(fisher[:3].mean())
    np.testing.assert_allclose(got.numpy(), [100.0, mean / 100, mean / 100, 1e-8, 1e-8], rtol=1e-6)


def test_state_interpolates_between_anchors():
    state = RateState(torch.full((4,), 16.0), torch.arange(20.0).reshape(5, 4))
    for i, q in enumerate(QUALITY_ANCHORS):
        torch.testing.assert_close(state.scales(float(q)), state.log_scale[i])
        torch.testing.assert_close(state.steps(0.8, q), torch.full((4,), error_unit(0.8, q) / 4))
    torch.testing.assert_close(state.scales(60.0), 0.6 * state.log_scale[2] + 0.4 * state.log_scale[3])


def test_first_state_measures_deltas_in_steps():
    deltas = torch.tensor([[0.5, -2.0, 0.0], [1.5, 2.0, 0.0]], dtype=torch.float64)
    fisher = torch.tensor([4.0, 1.0, 1.0], dtype=torch.float64)
    state = first_state(fisher, deltas, 0.8)
    for i, q in enumerate(QUALITY_ANCHORS):
        steps = state.steps(0.8, q)
        expected = (deltas.abs().mean(0) / steps).clamp(0.03, 500)
        torch.testing.assert_close(state.log_scale[i].exp(), expected, rtol=1e-9, atol=0)


def test_scales_move_towards_magnitudes_of_their_anchor():
    state = RateState(torch.ones(2), torch.zeros(5, 2))
    q = torch.tensor([[4.0, -2.0], [0.0, 6.0], [9.0, 9.0]])
    shift = torch.tensor([[0.0], [CLASS_SHIFTS[3]], [CLASS_SHIFTS[0]]])  # the last module is silent
    new = update_scales(state, q, shift, 3, 0.75)
    e = math.exp(-CLASS_SHIFTS[3])
    mean = torch.tensor([(4 + 0 * e) / 2, (2 + 6 * e) / 2])
    torch.testing.assert_close(new.log_scale[3].exp(), 0.75 + 0.25 * mean)
    untouched = [0, 1, 2, 4]
    assert torch.equal(new.log_scale[untouched], state.log_scale[untouched])
    assert torch.equal(state.log_scale, torch.zeros(5, 2))


def test_class_shift_is_the_cheapest_on_the_mask():
    x = torch.randn((12, 20), generator=generator(), dtype=torch.float64) * torch.logspace(-2, 1, 12)[:, None].double()
    scale = torch.linspace(-1, 1, 20, dtype=torch.float64)
    mask = (torch.arange(20) % 3 > 0).double().unsqueeze(0)
    got = class_shifts(x, scale, mask)
    assert got.shape == (12, 1)
    for m in range(12):
        costs = [float((mask[0] * laplace_bits(x[m], scale + s)).sum()) for s in CLASS_SHIFTS]
        assert float(got[m]) == pytest.approx(CLASS_SHIFTS[int(np.argmin(costs))])
    assert len(set(got.reshape(-1).tolist())) > 2


@pytest.fixture
def setting():
    learner = make_learner(rate=0.2)
    targets = textured(SPEC, 3)
    params, _ = adapt(SPEC, learner.start, learner.rate, learner.mask, COORDS, targets, InnerLoop(2))
    params = {n: p.detach() for n, p in params.items()}
    fisher = floor_fisher(sensitivity(SPEC, params, COORDS, generator(), 50), SIZES)
    deltas = flatten(params) - flatten({n: t.detach() for n, t in learner.start.items()})
    return learner, targets, params, first_state(fisher, deltas, 0.05)


@pytest.mark.parametrize("anchor", range(5))
def test_rate_loss_is_distortion_of_rounded_deltas_plus_rate(setting, anchor):
    learner, targets, params, state = setting
    noise = torch.rand((3, sum(SIZES)), generator=generator(7), dtype=torch.float64) - 0.5
    got = rate_loss(learner, COORDS, targets, InnerLoop(2), state, 0.05, anchor, noise)
    quality = QUALITY_ANCHORS[anchor]
    start = flatten({n: t.detach() for n, t in learner.start.items()})
    step = state.steps(0.05, quality)
    x = (flatten(params) - start) / step
    assert float(x.abs().max()) > 1  # something is coded
    rounded = unflatten(start + x.round() * step, {n: t.detach() for n, t in learner.theta0.items()})
    error = (outputs(SPEC, rounded, COORDS) - targets).square().sum((1, 2))
    torch.testing.assert_close(got.error, error, rtol=1e-9, atol=1e-12)
    scale = state.scales(quality)
    shift = class_shifts(x, scale, torch.ones_like(start))
    bits = laplace_bits(x + noise, scale + shift).sum(1) + CLASS_BITS
    torch.testing.assert_close(got.bits, bits, rtol=1e-9, atol=1e-9)
    # Up to the balance between qualities, which is a choice: D + λR.
    whole = float((error + trade_off(0.05, quality) * bits).mean())
    power = math.log(float(got.total.detach()) / whole * 36 * 3) / math.log(error_unit(0.05, quality))
    assert -2 < power < 0
    assert torch.equal(got.state.fisher, state.fisher)


def test_rounding_is_straight_through(setting):
    """The gradient of D at the rounded weights arrives at θ_K unchanged, beside that of the noisy rate."""
    learner, targets, params, state = setting
    noise = torch.rand((3, sum(SIZES)), generator=generator(8), dtype=torch.float64) - 0.5
    got = rate_loss(learner, COORDS, targets, InnerLoop(2), state, 0.05, 3, noise)
    start, step, scale = flatten(random_params(SPEC)), state.steps(0.05, 75.0), state.scales(75.0)
    x = ((flatten(params) - start) / step).requires_grad_()
    weights = (start + x.detach().round() * step).requires_grad_()
    error = (outputs(SPEC, unflatten(weights, random_params(SPEC)), COORDS) - targets).square().sum((1, 2))
    bits = laplace_bits(x + noise, scale + class_shifts(x.detach(), scale, torch.ones_like(start))).sum(1) + CLASS_BITS
    (by_error,) = torch.autograd.grad(error.sum(), weights)
    (by_rate,) = torch.autograd.grad(trade_off(0.05, 75.0) * bits.sum(), x)
    share = float(got.total.detach()) / float((error + trade_off(0.05, 75.0) * bits).detach().sum())
    moved, _ = adapt(
        SPEC, learner.start, learner.rate, learner.mask, COORDS, targets, InnerLoop(2), create_graph=True
    )  # fmt: skip
    leaves = list(learner.log_rate.values())
    expected = torch.autograd.grad(flatten(moved), leaves, share * (by_error + by_rate / step))
    for g, e in zip(torch.autograd.grad(got.total, leaves), expected, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-8, atol=1e-14)


def test_rate_loss_reaches_theta0_and_step_sizes(setting):
    learner, targets, _, state = setting
    noise = torch.zeros((3, sum(SIZES)), dtype=torch.float64)
    got = rate_loss(learner, COORDS, targets, InnerLoop(2), state, 0.05, 2, noise)
    grads = torch.autograd.grad(got.total, [*learner.theta0.values(), *learner.log_rate.values()])
    assert all(torch.isfinite(g).all() and g.count_nonzero() > 0.9 * g.numel() for g in grads)


def test_masked_weights_cost_no_bits(setting):
    learner, targets, _, state = setting
    mask = {n: torch.zeros_like(m) for n, m in learner.mask.items()}
    silent = dataclasses.replace(learner, mask=mask)
    noise = torch.zeros((3, sum(SIZES)), dtype=torch.float64)
    got = rate_loss(silent, COORDS, targets, InnerLoop(2), state, 0.05, 2, noise)
    assert torch.equal(got.bits, torch.full((3,), CLASS_BITS, dtype=torch.float64))


def test_psnr_of():
    assert psnr_of(0.01) == pytest.approx(20.0) and psnr_of(0.0) == pytest.approx(120.0)
    assert random_targets(SPEC, 1).shape == (1, 36, 3)
