import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import (
    SPEC,
    coords_of,
    generator,
    make_learner,
    module_of,
    own_loss,
    random_params,
    random_targets,
    stacked,
    textured,
)

from nfcodec.modules.fit import inner
from nfcodec.modules.fit.context import context_size, gather, scores, top_context, top_frames
from nfcodec.modules.fit.inner import (
    InnerLoop,
    adapt,
    context_scores,
    descend,
    gradients,
    module_loss,
    select_context,
    step_gradient,
)
from nfcodec.modules.siren import features
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.maml import meta_gradient
from nfcodec.modules.train.start import init_params

BIG = dataclasses.replace(SPEC, tile=(12, 12))


def score_of(spec, params, coords, targets):
    phi = features(spec, params, coords)
    out = phi @ params[f"{spec.depth}.weight"] + params[f"{spec.depth}.bias"].unsqueeze(1)
    return scores(out - targets, phi), phi, out - targets


def test_19_score_is_the_last_layers_gradient_norm():
    """R = ½·C·‖∇ of one sample's channel-mean MSE by the last weight and bias‖."""
    params = stacked(random_params(SPEC), 1)
    coords, targets = coords_of(SPEC), random_targets(SPEC, 1)
    r, phi, error = score_of(SPEC, params, coords, targets)
    for i in range(36):
        leaves = {n: p.clone().requires_grad_() for n, p in module_of(params, 0).items()}
        loss = own_loss(SPEC, leaves, coords[0, i : i + 1], targets[0, i : i + 1])
        grads = torch.autograd.grad(loss, [leaves["2.weight"], leaves["2.bias"]])
        norm = torch.sqrt(sum(g.square().sum() for g in grads))
        assert float(r[0, i]) == pytest.approx(0.5 * SPEC.channels * float(norm), rel=1e-9)
        direct = error[0, i].norm() * torch.sqrt(1 + phi[0, i].square().sum())
        assert float(r[0, i]) == pytest.approx(float(direct), rel=1e-12)


@given(st.integers(1, 4), st.integers(1, 60), st.floats(0.001, 1.0), st.integers(0, 2**31))
def test_20_context_is_the_top(modules, samples, gamma, seed):
    score = torch.rand((modules, samples), generator=generator(seed), dtype=torch.float64)
    index = top_context(score, gamma)
    size = max(1, int(gamma * samples))
    assert index.shape == (modules, size) and context_size(gamma, samples) == size
    for row, chosen in zip(score, index, strict=True):
        assert len(set(chosen.tolist())) == size
        rest = sorted(set(range(samples)) - set(chosen.tolist()))
        assert not rest or row[chosen].min() >= row[rest].max()


def test_20_seeds_own_count():
    assert context_size(0.25, 178 * 178) == 7_921


def test_20_gather():
    x = torch.arange(24.0).reshape(2, 4, 3)
    index = torch.tensor([[3, 0], [1, 1]])
    assert torch.equal(gather(x, index), torch.stack([x[0, [3, 0]], x[1, [1, 1]]]))
    shared = x[:1]
    assert torch.equal(gather(shared, index), torch.stack([shared[0, [3, 0]], shared[0, [1, 1]]]))


@settings(max_examples=20)
@given(st.permutations(range(36)))
def test_21_permuted_coordinates_permute_the_selection(order):
    params, targets = stacked(random_params(SPEC), 2), random_targets(SPEC, 2)
    coords = coords_of(SPEC)
    order = torch.tensor(order)
    plain = select_context(SPEC, params, coords, targets, 0.3)
    moved = select_context(SPEC, params, coords[:, order], targets[:, order], 0.3)
    assert torch.equal(order[moved], plain)


def steps(learner, coords, targets, count, choose):
    """Inner steps written down again; ``choose`` gives the context of step k."""
    rate = {n: r.detach() for n, r in learner.rate.items()}
    params = stacked(learner.start, len(targets))
    contexts = []
    for k in range(count):
        params = {n: p.detach().requires_grad_() for n, p in params.items()}
        index = choose(k, params)
        contexts.append(index)
        grads = gradients(learner.spec, params, gather(coords, index), gather(targets, index))
        params = descend(params, grads, rate, learner.mask)
    return {n: p.detach() for n, p in params.items()}, contexts


def test_23_context_is_chosen_anew_in_every_step():
    learner = make_learner(BIG, rate=0.05)
    coords, targets = coords_of(BIG), textured(BIG, 2)
    got, _ = adapt(BIG, learner.start, learner.rate, learner.mask, coords, targets, InnerLoop(4, 0.25))
    again, contexts = steps(
        learner, coords, targets, 4, lambda k, p: select_context(BIG, p, coords, targets, 0.25)
    )  # fmt: skip
    for k in range(3):
        for m in range(2):
            assert set(contexts[k][m].tolist()) != set(contexts[k + 1][m].tolist())
    frozen, _ = steps(learner, coords, targets, 4, lambda k, p: contexts[0])
    assert all(torch.allclose(got[n], again[n], rtol=0, atol=1e-14) for n in got)
    assert not all(torch.allclose(got[n], frozen[n], rtol=0, atol=1e-6) for n in got)


def test_24_scorer_has_no_graph():
    learner = make_learner()
    params = {n: t.expand(2, *t.shape) for n, t in learner.start.items()}
    index = select_context(SPEC, params, coords_of(SPEC), random_targets(SPEC, 2), 0.5)
    assert index.dtype == torch.int64 and not index.requires_grad
    score = torch.rand((2, 9), generator=generator()).requires_grad_()
    assert not top_context(score, 0.5).requires_grad


@pytest.mark.parametrize("change", [lambda r: r**3, lambda r: torch.log(r), lambda r: 5 * r - 2, torch.exp])
def test_24_monotone_scores_give_the_same_meta_gradient(monkeypatch, change):
    learner, coords, targets = make_learner(BIG), coords_of(BIG), textured(BIG, 2)
    plain, _ = meta_gradient(learner, coords, targets, InnerLoop(3, 0.3))
    monkeypatch.setattr(inner, "scores", lambda error, phi: change(scores(error, phi)))
    changed, _ = meta_gradient(learner, coords, targets, InnerLoop(3, 0.3))
    assert all(torch.equal(plain[n], changed[n]) for n in plain)


def test_24_nothing_flows_through_the_scorer(monkeypatch):
    """A factor inside the score is not reached by the meta-gradient."""
    learner, coords, targets = make_learner(), coords_of(SPEC), random_targets(SPEC, 2)
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    used = []

    def scaled(error, phi):
        used.append(error.requires_grad)
        return scores(error, phi) * factor

    monkeypatch.setattr(inner, "scores", scaled)
    params, _ = adapt(
        SPEC, learner.start, learner.rate, learner.mask, coords, targets, InnerLoop(2, 0.3), create_graph=True
    )  # fmt: skip
    total = module_loss(SPEC, params, coords, targets).sum()
    assert used == [False, False]
    assert torch.autograd.grad(total, factor, allow_unused=True) == (None,)


# -- whole frames ----------------------------------------------------------------------------------------
FRAMES = FieldSpec("nerv", 3, 3, 32, 2, 3, 1, True, False, (6, 16, 16))


def test_20_frames_are_chosen_whole_and_are_the_best():
    error = torch.randn((2, 12, 3), generator=generator(), dtype=torch.float64)
    phi = torch.randn((2, 12, 5), generator=generator(1), dtype=torch.float64)
    index = top_frames(error, phi, 0.5, 3)
    parts = [slice(3 * t, 3 * t + 3) for t in range(4)]
    bound = [[float(error[m, p].norm() * (phi[m, p].square().sum() + 3).sqrt()) for p in parts] for m in range(2)]
    for m in range(2):
        best = sorted(range(4), key=lambda t: -bound[m][t])[:2]
        assert sorted(index[m].tolist()) == sorted(3 * t + i for t in best for i in range(3))
        for t, part in enumerate(parts):  # it is a bound of the frame's own last-layer gradient
            ones = torch.cat([phi[m, part], torch.ones((3, 1), dtype=phi.dtype)], 1)
            assert float((error[m, part].T @ ones).norm()) <= bound[m][t] * (1 + 1e-12)


def test_contexts_of_nerv_are_frames():
    params = {n: t.expand(2, *t.shape) for n, t in init_params(FRAMES, generator(), torch.float64).items()}
    coords, targets = coords_of(FRAMES), random_targets(FRAMES, 2)
    index = select_context(FRAMES, params, coords, targets, 0.34)
    assert index.shape == (2, 2 * 256)
    assert all(len(set((row // 256).tolist())) == 2 for row in index)
    leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
    grads = step_gradient(FRAMES, leaves, coords, targets, InnerLoop(1, 0.34, rescale=True))[0]
    assert all(torch.isfinite(g).all() for g in grads.values())


def test_scores_in_stretches_are_the_scores(monkeypatch):
    params = {n: t.expand(2, *t.shape) for n, t in make_learner().start.items()}
    coords, targets = coords_of(SPEC), random_targets(SPEC, 2)
    whole = context_scores(SPEC, params, coords, targets)
    monkeypatch.setattr(inner, "_SCORED", 10)
    torch.testing.assert_close(context_scores(SPEC, params, coords, targets), whole, rtol=1e-12, atol=0)
