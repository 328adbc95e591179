"""Invariants 25 to 28: the bootstrapped target of GradNCP, and what the pruned context saves."""

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
    stacked,
)

from nfcodec.modules.fit.inner import InnerLoop, adapt, module_loss
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.maml import Bootstrap, bootstrap_target, distance, meta_gradient, outer_loss

COORDS = coords_of(SPEC)
LOOP = InnerLoop(2, 0.5)


def grads_of(total, learner):
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(total, list(learner.theta0.values()))])


def adapted(learner, targets):
    return adapt(
        SPEC, learner.start, learner.rate, learner.mask, COORDS, targets, LOOP, create_graph=True
    )[0]  # fmt: skip


def test_25_target_is_further_gradient_descent_on_the_full_context():
    learner, targets, boot = make_learner(), random_targets(SPEC, 2), Bootstrap(3, 4.0, 1.0)
    params = adapted(learner, targets)
    target = bootstrap_target(learner, params, COORDS, targets, boot)
    assert not any(t.requires_grad for t in target.values())
    for m in range(2):
        own = {n: p.detach().clone() for n, p in module_of(params, m).items()}
        for _ in range(3):
            leaves = {n: p.requires_grad_() for n, p in own.items()}
            grads = torch.autograd.grad(own_loss(SPEC, leaves, COORDS[0], targets[m]), list(leaves.values()))
            own = {n: (p - 4.0 * learner.rate[n] * g).detach() for (n, p), g in zip(leaves.items(), grads, strict=True)}
        for n in own:
            torch.testing.assert_close(target[n][m], own[n], rtol=0, atol=1e-13)


@pytest.mark.parametrize("rate", [2.0, 8.0])
def test_25_the_target_is_a_constant(rate):
    """∇ = Jᵀ(∇L + λ·(θ_K − θ_boot)/‖θ_K − θ_boot‖): the steps to θ_boot enter by their value alone."""
    learner, targets, boot = make_learner(), random_targets(SPEC, 2), Bootstrap(3, rate, 7.0)
    total, _ = outer_loss(learner, COORDS, targets, LOOP, boot)
    got = grads_of(total, learner)
    params = adapted(learner, targets)
    names = list(params)
    target = bootstrap_target(learner, params, COORDS, targets, boot)
    loss = torch.autograd.grad(module_loss(SPEC, params, COORDS, targets).mean(), [params[n] for n in names])
    # autograd.grad above frees the graph of the loss only; the path from θ0 to θ_K is built again.
    params = adapted(learner, targets)
    apart = torch.cat([(params[n] - target[n]).detach().flatten(1) for n in names], 1)
    unit = apart / apart.norm(dim=1, keepdim=True) / 2
    units = torch.split(unit, [params[n][0].numel() for n in names], 1)
    cotangents = [g + 7.0 * u.reshape(g.shape) for g, u in zip(loss, units, strict=True)]
    expected = torch.autograd.grad([params[n] for n in names], list(learner.theta0.values()), cotangents)
    assert relative(got, torch.cat([g.reshape(-1) for g in expected])) < 1e-10


def test_25_target_has_no_path_to_the_step_sizes():
    learner, targets = make_learner(), random_targets(SPEC, 2)
    fixed = {n: p.detach().requires_grad_() for n, p in adapted(learner, targets).items()}
    target = bootstrap_target(learner, fixed, COORDS, targets, Bootstrap(2, 5.0, 1.0))
    total = distance(fixed, target).sum()
    unused = torch.autograd.grad(total, list(learner.log_rate.values()), allow_unused=True)
    assert unused == (None,) * len(learner.log_rate)


@pytest.mark.parametrize("boot", [Bootstrap(0, 5.0, 100.0), Bootstrap(4, 0.0, 100.0)], ids=["L=0", "rate=0"])
def test_26_no_bootstrap_step_means_no_distance_and_no_nan(boot):
    learner, targets = make_learner(), random_targets(SPEC, 2)
    total, losses = outer_loss(learner, COORDS, targets, LOOP, boot)
    assert float(total.detach()) == pytest.approx(float(losses.mean()), rel=1e-14)
    got, plain = grads_of(total, learner), grads_of(outer_loss(learner, COORDS, targets, LOOP, Bootstrap())[0], learner)
    assert torch.isfinite(got).all() and relative(got, plain) < 1e-13


def test_26_gradient_at_distance_zero_is_zero():
    leaves = {n: p.requires_grad_() for n, p in stacked(random_params(SPEC), 2).items()}
    other = {n: p.detach().clone() for n, p in leaves.items()}
    other["1.bias"][1] += 0.25  # the second module is apart, the first is not
    mu = distance(leaves, other)
    assert float(mu[0].detach()) == 0.0 and float(mu[1].detach()) == pytest.approx(0.25 * 8**0.5)
    grads = dict(zip(leaves, torch.autograd.grad(mu.sum(), list(leaves.values())), strict=True))
    assert not any(g[0].any() for g in grads.values())
    assert float(flat(module_of(grads, 1)).norm()) == pytest.approx(1.0)


@pytest.mark.parametrize("weight", [1.0, 100.0])
def test_27_distance_is_the_unsquared_norm_over_all_tensors(weight):
    learner, targets, boot = make_learner(), random_targets(SPEC, 4), Bootstrap(2, 5.0, weight)
    total, losses = outer_loss(learner, COORDS, targets, LOOP, boot)
    params = adapted(learner, targets)
    target = bootstrap_target(learner, params, COORDS, targets, boot)
    norms = [(flat(module_of(params, m)) - flat(module_of(target, m))).norm() for m in range(4)]
    assert float(total.detach()) == pytest.approx(
        float(losses.mean() + weight * torch.stack(norms).detach().mean()), rel=1e-12
    )
    assert float(distance(params, target)[2].detach()) == pytest.approx(float(norms[2].detach()), rel=1e-12)


def test_27_cotangent_has_the_length_of_lambda():
    """Whatever the distance, the term pulls with λ/M per module."""
    learner, targets = make_learner(), random_targets(SPEC, 1)
    for rate in (0.01, 5.0):
        params = {n: p.detach().requires_grad_() for n, p in adapted(learner, targets).items()}
        target = bootstrap_target(learner, params, COORDS, targets, Bootstrap(1, rate, 1.0))
        pull = torch.autograd.grad(100.0 * distance(params, target).mean(), list(params.values()))
        assert float(torch.cat([p.reshape(-1) for p in pull]).norm()) == pytest.approx(100.0, rel=1e-9)


class SavedBytes(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes that the graph holds on to, every storage once."""

    def __init__(self):
        self.storages = {}
        super().__init__(self._pack, lambda saved: saved)

    def _pack(self, tensor):
        storage = tensor.untyped_storage()
        self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    @property
    def total(self):
        return sum(self.storages.values())


def graph_bytes(side, gamma):
    spec = FieldSpec("siren", 2, 3, 4, 2, 6, 1, True, False, (side, side))
    learner = make_learner(spec)
    learner = dataclasses.replace(
        learner,
        theta0={n: t.detach().float().requires_grad_() for n, t in learner.theta0.items()},
        log_rate={n: t.detach().float() for n, t in learner.log_rate.items()},
        mask={n: t.float() for n, t in learner.mask.items()},
    )
    coords, targets = coords_of(spec, torch.float32), random_targets(spec, 1, dtype=torch.float32)
    counter = SavedBytes()
    with counter:
        total, _ = outer_loss(learner, coords, targets, InnerLoop(3, gamma), Bootstrap())
    held = counter.total
    del total
    return held


@pytest.mark.parametrize("side", [256, 512])
def test_28_graph_memory_is_linear_in_gamma(side):
    """a + b·γ at fixed K: a is the outer full-context term, b the inner steps."""
    shares = (0.125, 0.25, 0.5, 0.75)
    held = [graph_bytes(side, g) for g in shares]
    slope = (held[3] - held[1]) / 0.5
    start = held[1] - 0.25 * slope
    assert slope > 0 and start > 0
    for g, b in zip(shares, held, strict=True):
        assert b == pytest.approx(start + slope * g, rel=0.03)
    assert held[1] < 0.5 * graph_bytes(side, 1.0)
    assert start < slope / 3  # one forward pass against K steps with second derivatives


def test_28_memory_follows_the_samples():
    assert graph_bytes(128, 0.25) == pytest.approx(graph_bytes(256, 0.25) / 4, rel=0.1)


def test_bootstrap_changes_the_meta_gradient():
    learner, targets = make_learner(), random_targets(SPEC, 2)
    plain, _ = meta_gradient(learner, COORDS, targets, LOOP)
    pulled, _ = meta_gradient(learner, COORDS, targets, LOOP, Bootstrap(2, 5.0, 1.0))
    assert all(relative(pulled[n], plain[n]) > 1e-3 for n in plain)
