"""Fits of one signal, and the per-signal baselines of Meta-SparseINR."""

import pytest
import torch
from tiny import SPEC, coords_of, random_params, random_targets

from nfcodec.modules.siren import forward, tensors
from nfcodec.modules.train.per_signal import Fit, fit_signals, iterative, one_shot
from nfcodec.modules.train.sparse import dense_weights, full_mask, kept_weights, magnitude, prune, survivors

THETA = random_params(SPEC)
COORDS, TARGETS = coords_of(SPEC), random_targets(SPEC, 3)
FULL = full_mask(THETA)
HALF = prune(FULL, magnitude(THETA), tensors(SPEC), 0.5)


def fitted(fit, mask=FULL, targets=TARGETS):
    return fit_signals(SPEC, THETA, mask, COORDS, targets, fit)


def test_two_steps_of_sgd_are_gradient_descent():
    params = {n: t.clone().unsqueeze(0).requires_grad_() for n, t in THETA.items()}
    for _ in range(2):
        loss = (forward(SPEC, params, COORDS) - TARGETS[:1]).square().mean()
        grads = torch.autograd.grad(loss, list(params.values()))
        params = {n: (p - 0.05 * g).detach().requires_grad_() for (n, p), g in zip(params.items(), grads, strict=True)}
    found = fitted(Fit(2, 0.05, "sgd"), targets=TARGETS[:1])
    for name, p in params.items():
        torch.testing.assert_close(found.params[name], p.detach(), atol=1e-12, rtol=0)
    expected = -10 * torch.log10((forward(SPEC, params, COORDS) - TARGETS[:1]).square().mean())
    assert float(found.psnr[-1, 0]) == pytest.approx(expected.item(), abs=1e-9)


def test_adam_is_torchs_adam_of_one_signal():
    leaves = {n: t.clone().unsqueeze(0).requires_grad_() for n, t in THETA.items()}
    optimizer = torch.optim.Adam(leaves.values(), lr=1e-3)
    for _ in range(5):
        optimizer.zero_grad()
        (forward(SPEC, leaves, COORDS) - TARGETS[1:2]).square().mean().backward()
        optimizer.step()
    together = fitted(Fit(5, 1e-3))
    for name, leaf in leaves.items():
        torch.testing.assert_close(together.params[name][1], leaf.detach()[0], atol=1e-9, rtol=0)


def test_14_masked_weights_stay_zero_and_biases_move():
    found = fitted(Fit(5, 1e-3), HALF)
    for t in tensors(SPEC):
        assert (found.params[t.name][:, HALF[t.name] == 0] == 0).all()
        if t.role == "bias":
            assert (found.params[t.name] != THETA[t.name]).any()


def test_psnr_rises_and_is_told_before_and_after_every_step():
    found = fitted(Fit(20, 1e-2))
    assert found.psnr.shape == (21, 3) and (found.psnr[-1] > found.psnr[0]).all()


def test_one_shot_prunes_once_in_the_middle():
    weights = dense_weights(SPEC)
    assert one_shot(100, weights, 10) == {50: 10} and one_shot(100, weights, weights) == {}
    found = fitted(Fit(6, 1e-2, "adam", one_shot(6, weights, 20)))
    for m in range(3):
        assert kept_weights({n: v[m] for n, v in found.mask.items()}, tensors(SPEC)) == 20
    assert any((found.mask[n][0] != found.mask[n][1]).any() for n in found.mask)  # each signal has its own


def test_cuts_keep_the_largest_weights_of_each_signal_and_they_stay_cut():
    before = fitted(Fit(3, 1e-2)).params
    found = fitted(Fit(7, 1e-2, "adam", {3: 30}))
    for m in range(3):
        size = torch.cat([before[t.name][m].abs().flatten() for t in tensors(SPEC) if t.role == "weight"])
        kept = torch.cat([found.mask[t.name][m].flatten() for t in tensors(SPEC) if t.role == "weight"]) > 0
        assert float(size[kept].min()) >= float(size[~kept].max())
    for name, mask in found.mask.items():
        assert (found.params[name][mask == 0] == 0).all()


def test_iterative_prunes_as_often_as_the_rounds_and_ends_where_they_end():
    cuts = iterative(100, 197_888, 14)
    assert list(cuts) == [100 * (i + 1) // 15 for i in range(14)] and list(cuts.values()) == survivors(197_888, 14)
    assert cuts[93] == 8_704 and iterative(100, 197_888, 0) == {}


def test_iterative_never_brings_a_weight_back():
    found = fitted(Fit(12, 1e-2, "adam", iterative(12, dense_weights(SPEC), 5)))
    again = fitted(Fit(12, 1e-2, "adam", {2: dense_weights(SPEC) - int(0.2 * dense_weights(SPEC))}))
    for name in found.mask:
        assert (found.mask[name] <= again.mask[name]).all()
    left = survivors(dense_weights(SPEC), 5)[-1]
    assert kept_weights({n: v[0] for n, v in found.mask.items()}, tensors(SPEC)) == left
