"""Invariants 33 to 35: Fisher sample weights, and what the Fisher matrix says of a small step."""

import numpy as np
import pytest
import torch
from tiny import (
    SPEC,
    coords_of,
    generator,
    make_learner,
    module_of,
    own_forward,
    random_params,
    random_targets,
    stacked,
)

from nfcodec.modules.fit.context import scores
from nfcodec.modules.fit.fisher import information, sample_weights
from nfcodec.modules.fit.inner import InnerLoop, adapt, gradients, module_loss
from nfcodec.modules.siren import features, forward, head
from nfcodec.modules.train.rate_loss import sensitivity


def trace_by_autograd(params, coords, targets, names):
    """‖∇½‖e_i‖²‖² of every sample by the named tensors, one backward pass each."""
    out = []
    for i in range(coords.shape[0]):
        leaves = {n: p.detach().clone().requires_grad_() for n, p in params.items()}
        error = own_forward(SPEC, leaves, coords[i : i + 1]) - targets[i]
        grads = torch.autograd.grad(0.5 * error.square().sum(), [leaves[n] for n in names])
        out.append(sum(g.square().sum() for g in grads))
    return torch.stack(out)


def case(modules=1):
    params = stacked(random_params(SPEC), modules)
    coords, targets = coords_of(SPEC), random_targets(SPEC, modules)
    phi = features(SPEC, params, coords)
    return params, coords, targets, head(SPEC, params, phi) - targets, phi


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_33_mean_weight_is_one(rho):
    *_, error, phi = case(3)
    weights = sample_weights(information(error, phi), rho)
    torch.testing.assert_close(weights.mean(1), torch.ones(3, dtype=weights.dtype), rtol=1e-12, atol=0)
    assert (weights >= 1.0 - rho - 1e-12).all()


def test_33_rho_zero_is_the_squared_error_exactly():
    params, coords, targets, error, phi = case(2)
    assert torch.equal(sample_weights(information(error, phi), 0.0), torch.ones_like(error[..., 0]))
    assert torch.equal(
        module_loss(SPEC, params, coords, targets, rho=0.0), module_loss(SPEC, params, coords, targets)
    )  # fmt: skip
    learner = make_learner()
    for loop in (InnerLoop(3), InnerLoop(3, 0.5)):
        plain, _ = adapt(SPEC, learner.start, learner.rate, learner.mask, coords, targets, loop)
        zero, _ = adapt(
            SPEC, learner.start, learner.rate, learner.mask, coords, targets, InnerLoop(3, loop.gamma, rho=0.0)
        )
        assert all(torch.equal(plain[n], zero[n]) for n in plain)


def test_33_weighted_loss_is_the_weighted_mean():
    params, coords, targets, error, phi = case(2)
    weights = sample_weights(information(error, phi), 0.6)
    expected = (weights * error.square().sum(-1)).mean(1) / SPEC.channels
    torch.testing.assert_close(module_loss(SPEC, params, coords, targets, rho=0.6), expected, rtol=1e-12, atol=0)
    assert (expected > module_loss(SPEC, params, coords, targets)).all(), "large errors count for more"


def test_33_weights_have_no_gradient():
    """The gradient is that of fixed weights, not of a loss of the fourth power."""
    params, coords, targets, error, phi = case(2)
    leaves = {n: p.requires_grad_() for n, p in params.items()}
    found = gradients(SPEC, leaves, coords, targets, rho=0.6)
    weights = sample_weights(information(error, phi), 0.6).detach()
    out = head(SPEC, leaves, features(SPEC, leaves, coords))
    loss = ((weights * (out - targets).square().sum(-1)).mean(1) / SPEC.channels).sum()
    for n, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
        torch.testing.assert_close(found[n], g, rtol=1e-10, atol=1e-14)


def test_33_no_error_weighs_nothing():
    weights = sample_weights(torch.zeros(2, 5), 1.0)
    assert torch.equal(weights, torch.ones(2, 5))


def test_34_trace_is_the_squared_gradient_norm():
    params, coords, targets, error, phi = case()
    own = module_of(params, 0)
    last = [f"{SPEC.depth}.weight", f"{SPEC.depth}.bias"]
    found = information(error, phi)[0]
    torch.testing.assert_close(found, trace_by_autograd(own, coords[0], targets[0], last), rtol=1e-8, atol=0)
    torch.testing.assert_close(found, scores(error, phi)[0].square(), rtol=1e-12, atol=0)
    everything = trace_by_autograd(own, coords[0], targets[0], list(own))
    assert (everything > found).all()
    ranks = [np.argsort(np.argsort(t.detach().numpy())) for t in (found, everything)]
    # How well the last layer knows the whole is measured in docs/seeds.md; here it must only not mislead.
    assert np.corrcoef(*ranks)[0, 1] > 0.5


@pytest.mark.parametrize("size", [1e-2, 1e-3])
def test_35_fisher_predicts_the_divergence(size):
    """½ΔᵀFΔ against the exact KL of two Gaussian models of unit variance, for steps along single weights: F_jj is the
    sensitivity that sets the quantizer's steps. Their relative difference is O(‖Δ‖), beside that of random signs."""
    params, coords = stacked(random_params(SPEC), 1), coords_of(SPEC)
    fisher = sensitivity(SPEC, params, coords, generator(3), 1200)
    before = forward(SPEC, params, coords)
    start = 0
    for n, p in params.items():
        j = p.numel() // 2
        moved = {**params, n: p.clone()}
        moved[n].view(-1)[j] += size
        exact = 0.5 * float((forward(SPEC, moved, coords) - before).square().sum())
        assert 0.5 * float(fisher[start + j]) * size**2 == pytest.approx(exact, rel=0.15 + 10 * size)
        start += p.numel()


def test_35_the_difference_falls_with_the_step():
    """With the whole matrix, and so without random signs."""
    own, coords = module_of(stacked(random_params(SPEC), 1), 0), coords_of(SPEC)[0]
    names = list(own)

    def outputs(*values):
        return forward(SPEC, dict(zip(names, (v[None] for v in values), strict=True)), coords[None]).reshape(-1)

    jacobian = torch.autograd.functional.jacobian(outputs, tuple(own.values()))
    flat = torch.cat([j.reshape(j.shape[0], -1) for j in jacobian], 1)
    step = torch.randn(flat.shape[1], generator=generator(3), dtype=flat.dtype)
    step /= step.norm()
    parts = torch.split(step, [p.numel() for p in own.values()])
    gaps = []
    for size in (1e-2, 1e-3, 1e-4):
        moved = [p + size * d.reshape(p.shape) for p, d in zip(own.values(), parts, strict=True)]
        exact = 0.5 * (outputs(*moved) - outputs(*own.values())).square().sum()
        gaps.append(abs(float(0.5 * size**2 * step @ (flat.T @ flat) @ step / exact) - 1.0))
    assert gaps[1] < 0.3 * gaps[0] and gaps[2] < 0.3 * gaps[1] and gaps[2] < 1e-2
