import dataclasses
import logging

import pytest
import torch
from tiny import (
    PICTURE,
    SPEC,
    coords_of,
    flat,
    make_init,
    make_learner,
    module_of,
    own_forward,
    own_loss,
    random_params,
    random_targets,
    stacked,
    textured,
)

from nfcodec.modules.fit.adapt import Adapter
from nfcodec.modules.fit.context import gather
from nfcodec.modules.fit.inner import (
    InnerLoop,
    adapt,
    as_tensors,
    global_norm,
    gradients,
    gradients_and_loss,
    module_loss,
    rescale_factor,
    select_context,
    step_gradient,
)

BIG = dataclasses.replace(SPEC, tile=(12, 12))


def adapted(learner, targets, loop, coords=None):
    coords = coords_of(learner.spec) if coords is None else coords
    params, factors = adapt(learner.spec, learner.start, learner.rate, learner.mask, coords, targets, loop)
    return {n: p.detach() for n, p in params.items()}, factors


def test_loss_is_the_mean_squared_error_of_each_module():
    params, targets = stacked(random_params(SPEC), 3), random_targets(SPEC, 3)
    losses = module_loss(SPEC, params, coords_of(SPEC), targets)
    expected = [own_loss(SPEC, module_of(params, i), coords_of(SPEC)[0], targets[i]) for i in range(3)]
    torch.testing.assert_close(losses, torch.stack(expected), rtol=1e-12, atol=0)


def test_grey_modules_share_the_normalisation_of_colour():
    """The gradient of the luma output is the same whether or not chroma is there."""
    leaves = {n: p.requires_grad_() for n, p in stacked(random_params(PICTURE), 1).items()}
    coords, targets = coords_of(PICTURE), random_targets(PICTURE, 1)
    grey = gradients(PICTURE, leaves, coords, targets[..., :1])
    colour = gradients(PICTURE, leaves, coords, targets)
    torch.testing.assert_close(grey["2.weight"][..., 0], colour["2.weight"][..., 0], rtol=1e-12, atol=0)
    assert not grey["2.weight"][..., 1:].any() and not grey["2.bias"][..., 1:].any()
    out = own_forward(PICTURE, module_of(leaves, 0), coords[0])[..., :1]
    loss = module_loss(PICTURE, leaves, coords, targets[..., :1])
    torch.testing.assert_close(loss[0], (out - targets[0, :, :1]).square().mean() / 3, rtol=1e-12, atol=0)


def test_gradients_are_each_modules_own():
    leaves = {n: p.requires_grad_() for n, p in stacked(random_params(SPEC), 2).items()}
    coords, targets = coords_of(SPEC), random_targets(SPEC, 2)
    grads, losses = gradients_and_loss(SPEC, leaves, coords, targets)
    assert not losses.requires_grad
    for i in range(2):
        own = {n: p.detach().clone().requires_grad_() for n, p in module_of(leaves, i).items()}
        expected = torch.autograd.grad(own_loss(SPEC, own, coords[0], targets[i]), list(own.values()))
        for n, g in zip(own, expected, strict=True):
            torch.testing.assert_close(grads[n][i], g, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("loop", [InnerLoop(3), InnerLoop(3, 0.4), InnerLoop(3, 0.4, rescale=True)])
def test_05_modules_do_not_see_each_other(loop):
    learner, targets = make_learner(), random_targets(SPEC, 3)
    together, _ = adapted(learner, targets, loop)
    other = targets.clone()
    other[1:] = 3.0 * random_targets(SPEC, 2, seed=77)
    exchanged, _ = adapted(learner, other, loop)
    alone, _ = adapted(learner, targets[:1], loop)
    for n in together:
        assert torch.equal(together[n][0], exchanged[n][0])
        torch.testing.assert_close(together[n][:1], alone[n], rtol=0, atol=1e-14)
        assert not torch.equal(together[n][1], exchanged[n][1])


@pytest.mark.parametrize("create_graph", [False, True])
def test_start_is_left_alone(create_graph):
    learner, targets = make_learner(), random_targets(SPEC, 2)
    before = {n: t.detach().clone() for n, t in learner.theta0.items()}
    coords = coords_of(SPEC)
    moved, _ = adapt(
        SPEC, learner.start, learner.rate, learner.mask, coords, targets, InnerLoop(2), create_graph=create_graph
    )
    assert all(torch.equal(before[n], learner.theta0[n]) for n in before)
    assert all(not torch.equal(moved[n][0], before[n]) for n in before)


@pytest.mark.parametrize("loop", [InnerLoop(3), InnerLoop(3, 0.4), InnerLoop(3, 0.4, rescale=True)])
def test_graph_does_not_change_the_values(loop):
    learner, targets, coords = make_learner(), random_targets(SPEC, 2), coords_of(SPEC)
    plain, _ = adapted(learner, targets, loop)
    graph, _ = adapt(SPEC, learner.start, learner.rate, learner.mask, coords, targets, loop, create_graph=True)
    for n in plain:
        torch.testing.assert_close(graph[n], plain[n], rtol=0, atol=1e-14)


RESCALED = InnerLoop(1, 0.25, rescale=True)


def pair(loop=RESCALED, modules=3):
    coords, targets = coords_of(BIG), textured(BIG, modules)
    params = {n: p.requires_grad_() for n, p in stacked(random_params(BIG), modules).items()}
    index = select_context(BIG, params, coords, targets, loop.gamma)
    high = gradients(BIG, params, gather(coords, index), gather(targets, index))
    full = gradients(BIG, params, coords, targets)
    got, factor = step_gradient(BIG, params, coords, targets, loop)
    return high, full, got, factor


def test_29_rescaled_gradient():
    """The length of the pruned gradient, the direction of the full one, for each module."""
    high, full, got, factor = pair()
    torch.testing.assert_close(global_norm(got), global_norm(high), rtol=1e-10, atol=0)
    assert not torch.allclose(global_norm(high), global_norm(full), rtol=0.01)
    for m in range(3):
        g, f = flat(module_of(got, m)), flat(module_of(full, m))
        assert float(g @ f / g.norm() / f.norm()) == pytest.approx(1.0, abs=1e-12)
    expected = [flat(module_of(high, m)).norm() / flat(module_of(full, m)).norm() for m in range(3)]
    torch.testing.assert_close(factor, torch.stack(expected), rtol=1e-10, atol=0)
    assert not factor.requires_grad


def test_29_without_rescaling_the_pruned_gradient_is_taken():
    high, _, got, factor = pair(InnerLoop(1, 0.25))
    assert all(torch.equal(got[n], high[n]) for n in got)
    assert torch.equal(factor, torch.ones(3, dtype=torch.float64))


def test_29_zero_gradient_stays_finite():
    zero = {n: torch.zeros_like(p) for n, p in stacked(random_params(SPEC), 2).items()}
    assert torch.equal(rescale_factor(zero, zero), torch.zeros(2, dtype=torch.float64))


def test_30_full_context_is_plain_gradient_descent():
    learner, targets, coords = make_learner(), random_targets(SPEC, 2), coords_of(SPEC)
    got, factors = adapted(learner, targets, InnerLoop(5, 1.0, rescale=True))
    assert len(factors) == 5 and all(torch.equal(f, torch.ones(2, dtype=torch.float64)) for f in factors)
    for i in range(2):
        params = {n: p.detach().clone() for n, p in learner.start.items()}
        for _ in range(5):
            leaves = {n: p.requires_grad_() for n, p in params.items()}
            grads = torch.autograd.grad(own_loss(SPEC, leaves, coords[0], targets[i]), list(leaves.values()))
            rate = learner.rate
            params = {n: (p - rate[n] * g).detach() for (n, p), g in zip(leaves.items(), grads, strict=True)}
        for n in params:
            torch.testing.assert_close(got[n][i], params[n], rtol=0, atol=1e-12)


def test_31_rescaling_is_at_least_one_on_natural_pictures():
    learner = make_learner(BIG)
    _, factors = adapted(learner, textured(BIG, 16), InnerLoop(3, 0.25, rescale=True))
    assert all(float(f.min()) >= 1.0 for f in factors)


def test_31_rescaling_is_logged(caplog):
    init = make_init(steps=3, gamma=0.5)
    adapter = Adapter(init, 50, 1, 3)
    targets = textured(PICTURE, 4, dtype=torch.float32)
    coords = coords_of(PICTURE, torch.float32)
    rate = {n: r.exp() for n, r in as_tensors(init.log_rate).items()}
    loop = InnerLoop(3, 0.5, rescale=True)
    _, factors = adapt(PICTURE, as_tensors(init.theta0), rate, as_tensors(init.mask), coords, targets, loop)
    with caplog.at_level(logging.DEBUG, logger="nfcodec.modules.fit.adapt"):
        adapter.float_deltas(adapter.coding, coords, targets)
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 3
    for i, (line, factor) in enumerate(zip(lines, factors, strict=True)):
        assert line == f"inner step {i}: gradient re-scaled by {factor.mean():.3f} (mean of 4 modules)"


def test_32_scale_factors_are_per_signal():
    learner, loop = make_learner(BIG), InnerLoop(4, 0.25, rescale=True)
    targets = textured(BIG, 2)
    targets[1] *= 0.2
    both, factors = adapted(learner, targets, loop)
    for i in range(2):
        one, alone = adapted(learner, targets[i : i + 1], loop)
        for n in both:
            torch.testing.assert_close(both[n][i], one[n][0], rtol=0, atol=1e-13)
        for f, a in zip(factors, alone, strict=True):
            assert float(f[i]) == pytest.approx(float(a[0]), rel=1e-10)
    assert not torch.allclose(factors[0][0], factors[0][1], rtol=1e-3)


def test_adaptation_lowers_the_loss():
    learner, targets, coords = make_learner(rate=0.05), random_targets(SPEC, 4), coords_of(SPEC)
    before = module_loss(SPEC, stacked(learner.start, 4), coords, targets)
    after = module_loss(SPEC, adapted(learner, targets, InnerLoop(20))[0], coords, targets)
    assert (after < before).all()


def test_14_masked_weights_do_not_move():
    mask = {n: (m.cumsum(0) % 2) for n, m in make_learner().mask.items()}
    learner = make_learner(mask=mask)
    moved, _ = adapted(learner, random_targets(SPEC, 2), InnerLoop(3, 0.5, rescale=True))
    for n, m in mask.items():
        change = moved[n] - learner.start[n]
        assert not change[:, m == 0].any() and change[:, m == 1].all()


def test_29_the_factor_is_a_constant_of_the_meta_gradient():
    """∇ through one re-scaled step equals ∇ with the factor put in as a number."""
    learner, coords, targets = make_learner(BIG), coords_of(BIG), textured(BIG, 1)
    params = {n: t.unsqueeze(0) for n, t in learner.start.items()}
    got, factor = step_gradient(BIG, params, coords, targets, RESCALED, create_graph=True)
    assert not factor.requires_grad
    full = gradients(BIG, params, coords, targets, create_graph=True)
    leaves = list(learner.theta0.values())
    through = torch.autograd.grad(sum(g.square().sum() for g in got.values()), leaves)
    expected = torch.autograd.grad(sum((float(factor[0]) * g).square().sum() for g in full.values()), leaves)
    for a, b in zip(through, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-15)
