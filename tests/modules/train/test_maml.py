"""Invariants 1 to 7 and 22 of MAML, in float64, against gradients written down again."""

import dataclasses

import pytest
import torch
from tiny import (
    SPEC,
    coords_of,
    flat,
    make_learner,
    module_of,
    own_loss,
    random_params,
    random_targets,
    relative,
    textured,
)

from nfcodec.modules.fit.inner import InnerLoop, adapt, module_loss
from nfcodec.modules.train.maml import Bootstrap, Learner, meta_gradient, outer_loss

COORDS = coords_of(SPEC)


def own_maml(learner, coords, targets, steps):
    """Second-order MAML module by module: its loss after ``steps`` gradient steps, mean over modules."""
    rate = learner.rate
    losses = []
    for target in targets:
        params = dict(learner.start)
        for _ in range(steps):
            loss = own_loss(learner.spec, params, coords[0], target)
            grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
            params = {n: p - rate[n] * g for (n, p), g in zip(params.items(), grads, strict=True)}
        losses.append(own_loss(learner.spec, params, coords[0], target))
    return torch.stack(losses).mean()


def gradient_of(total, learner):
    return dict(zip(learner.theta0, torch.autograd.grad(total, list(learner.theta0.values())), strict=True))


def value_at(learner, theta0, targets, loop):
    """The outer loss at other initial weights, by the path without graphs."""
    params, _ = adapt(learner.spec, theta0, learner.rate, learner.mask, coords_of(learner.spec), targets, loop)
    return float(module_loss(learner.spec, params, coords_of(learner.spec), targets).detach().mean())


def test_01_no_inner_steps_is_the_plain_gradient():
    learner, targets = make_learner(), random_targets(SPEC, 3)
    got, losses = meta_gradient(learner, COORDS, targets, InnerLoop(0))
    plain = torch.stack([own_loss(SPEC, learner.start, COORDS[0], t) for t in targets])
    expected = gradient_of(plain.mean(), learner)
    torch.testing.assert_close(losses, plain.detach(), rtol=1e-12, atol=0)
    assert all(relative(got[n], expected[n]) < 1e-12 for n in got)


@pytest.mark.parametrize(("steps", "gamma"), [(1, 1.0), (3, 1.0), (1, 0.5)])
def test_02_meta_gradient_equals_finite_differences(steps, gamma):
    learner, targets, loop = make_learner(rate=0.1), random_targets(SPEC, 2), InnerLoop(steps, gamma)
    got, _ = meta_gradient(learner, COORDS, targets, loop)
    eps = 1e-5
    for name, t in learner.theta0.items():
        found = torch.zeros_like(t)
        for i in range(t.numel()):
            values = []
            for sign in (1, -1):
                moved = t.detach().clone()
                moved.view(-1)[i] += sign * eps
                values.append(value_at(learner, {**learner.start, name: moved}, targets, loop))
            found.view(-1)[i] = (values[0] - values[1]) / (2 * eps)
        assert relative(got[name], found) < 1e-6, name


def test_02_step_size_gradient_equals_finite_differences():
    learner, targets, loop = make_learner(rate=0.1), random_targets(SPEC, 2), InnerLoop(2)
    total, _ = outer_loss(learner, COORDS, targets, loop, Bootstrap())
    grads = dict(zip(learner.log_rate, torch.autograd.grad(total, list(learner.log_rate.values())), strict=True))
    for name in learner.log_rate:
        values = []
        direction = torch.cos(torch.arange(learner.log_rate[name].numel(), dtype=torch.float64))
        for sign in (1, -1):
            moved = learner.log_rate[name].detach() + sign * 1e-4 * direction.reshape(learner.log_rate[name].shape)
            other = dataclasses.replace(learner, log_rate={**learner.log_rate, name: moved})
            values.append(value_at(other, other.start, targets, loop))
        expected = (values[0] - values[1]) / 2e-4
        assert float(grads[name].reshape(-1) @ direction) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 4])
def test_03_linear_model_has_the_closed_form(steps):
    """Only the last layer moves, so the loss is quadratic: ∇ = (I − HA)^K ∇L(θ_K)."""
    mask = {n: torch.full_like(m, float(n[0] == "2")) for n, m in make_learner().mask.items()}
    learner, targets = make_learner(rate=0.5, mask=mask), random_targets(SPEC, 1)
    got, _ = meta_gradient(learner, COORDS, targets, InnerLoop(steps))
    theta = {n: t.detach() for n, t in learner.theta0.items()}
    h = COORDS[0]
    for layer in range(SPEC.depth):
        h = torch.sin(SPEC.w0 * (h @ theta[f"{layer}.weight"] + theta[f"{layer}.bias"]))
    phi = torch.cat([h, torch.ones(len(h), 1, dtype=h.dtype)], 1)
    scale = 2.0 / (len(h) * SPEC.channels)
    hessian = scale * phi.T @ phi
    for c in range(SPEC.channels):
        w = torch.cat([theta["2.weight"][:, c], theta["2.bias"][c : c + 1]])
        rate = torch.diag(torch.cat([learner.rate["2.weight"][:, c], learner.rate["2.bias"][c : c + 1]]).detach())
        for _ in range(steps):
            w = w - rate @ (scale * phi.T @ (phi @ w - targets[0, :, c]))
        last = scale * phi.T @ (phi @ w - targets[0, :, c])
        identity = torch.eye(len(w), dtype=w.dtype)
        expected = torch.linalg.matrix_power(identity - hessian @ rate, steps) @ last
        found = torch.cat([got["2.weight"][:, c], got["2.bias"][c : c + 1]])
        assert relative(found, expected) < 1e-10
        transposed = torch.linalg.matrix_power(identity - rate @ hessian, steps) @ last
        assert relative(found, transposed) > 1e-4  # the order of H and A is seen


def test_04_first_order_is_the_gradient_at_the_end():
    learner, targets, loop = make_learner(rate=0.1), random_targets(SPEC, 3), InnerLoop(3)
    first, losses = meta_gradient(learner, COORDS, targets, loop, first_order=True)
    second, same = meta_gradient(learner, COORDS, targets, loop)
    torch.testing.assert_close(losses, same, rtol=1e-12, atol=0)
    adapted, _ = adapt(SPEC, learner.start, learner.rate, learner.mask, COORDS, targets, loop)
    expected = {n: torch.zeros_like(t) for n, t in learner.theta0.items()}
    for m in range(3):
        leaves = {n: p.detach().clone().requires_grad_() for n, p in module_of(adapted, m).items()}
        grads = torch.autograd.grad(own_loss(SPEC, leaves, COORDS[0], targets[m]), list(leaves.values()))
        expected = {n: expected[n] + g / 3 for n, g in zip(leaves, grads, strict=True)}
    for n in first:
        assert relative(first[n], expected[n]) < 1e-10
        assert relative(first[n], second[n]) > 1e-3


@pytest.mark.parametrize("loop", [InnerLoop(3), InnerLoop(3, 0.3)])
def test_06_every_tensor_has_a_meta_gradient(loop):
    learner, targets = make_learner(), random_targets(SPEC, 2)
    got, _ = meta_gradient(learner, COORDS, targets, loop)
    first, _ = meta_gradient(learner, COORDS, targets, loop, first_order=True)
    for n, g in got.items():
        assert g.abs().min() > 0
        assert not torch.allclose(g, first[n], rtol=1e-4, atol=0)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("boot", [Bootstrap(), Bootstrap(2, 5.0, 10.0)], ids=["MAML", "GradNCP"])
def test_07_accumulated_equals_joint(chunk, boot):
    learner, targets, loop = make_learner(), random_targets(SPEC, 5), InnerLoop(2, 0.5)
    joint, losses = meta_gradient(learner, COORDS, targets, loop, boot)
    split, again = meta_gradient(learner, COORDS, targets, loop, boot, chunk=chunk)
    torch.testing.assert_close(again, losses, rtol=1e-12, atol=0)
    for n in joint:
        assert relative(split[n], joint[n]) < 1e-12


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("boot", [None, Bootstrap(3, 5.0, 0.0), Bootstrap(0, 5.0, 100.0)])
def test_22_full_context_without_bootstrap_is_maml(steps, boot):
    learner, targets = make_learner(), textured(SPEC, 3)
    got, _ = meta_gradient(learner, COORDS, targets, InnerLoop(steps, 1.0), boot)
    expected = gradient_of(own_maml(learner, COORDS, targets, steps), learner)
    for n in got:
        assert relative(got[n], expected[n]) < 1e-11


def test_22_selecting_everything_is_maml():
    """γN = N through the selecting path: γ just below 1 on a context whose last sample weighs nothing."""
    learner = make_learner()
    targets = textured(SPEC, 2)
    got, _ = meta_gradient(learner, COORDS, targets, InnerLoop(2, 1.0))
    near, _ = meta_gradient(learner, COORDS, targets, InnerLoop(2, 35.5 / 36))
    far, _ = meta_gradient(learner, COORDS, targets, InnerLoop(2, 9 / 36))
    for n in got:
        assert relative(near[n], got[n]) < 0.2 < relative(far[n], got[n]) + 0.2
    assert relative(flat(near), flat(got)) < 0.1 * relative(flat(far), flat(got))


def test_pruned_context_matches_its_own_finite_difference_direction():
    """γ < 1, K = 2: the selection is a constant, everything else is differentiated."""
    learner, targets, loop = make_learner(rate=0.1), textured(SPEC, 2), InnerLoop(2, 0.25)
    got, _ = meta_gradient(learner, COORDS, targets, loop)
    direction = random_params(SPEC, 9)
    eps = 1e-6
    up = value_at(learner, {n: t.detach() + eps * direction[n] for n, t in learner.start.items()}, targets, loop)
    down = value_at(learner, {n: t.detach() - eps * direction[n] for n, t in learner.start.items()}, targets, loop)
    assert float(flat(got) @ flat(direction)) == pytest.approx((up - down) / (2 * eps), rel=1e-6)


def test_learner_is_plain_data():
    learner = make_learner()
    assert isinstance(learner, Learner)
    assert all(torch.equal(learner.rate[n], learner.log_rate[n].exp()) for n in learner.rate)
