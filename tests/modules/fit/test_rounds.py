import dataclasses

import numpy as np
import pytest
import torch
from tiny import PICTURE, coords_of, make_init, textured

from nfcodec.entropy.quantizer import dequantize, quantize, step_size
from nfcodec.entropy.tables import LMAX, magnitude_bits
from nfcodec.modules.classes import SHIFTS
from nfcodec.modules.deltas import class_costs, rows_for
from nfcodec.modules.fit import adapt
from nfcodec.modules.fit import rounds as refine_module
from nfcodec.modules.fit.adapt import Adapter
from nfcodec.modules.fit.inner import module_loss
from nfcodec.modules.fit.rounds import Best, Coding, class_of, decide, refine, step_scale
from nfcodec.modules.trade import LAMBDA, trade_off

COORDS = coords_of(PICTURE, torch.float32)


def setting(quality=50, modules=6, **change):
    init = make_init(**change)
    adapter = Adapter(init, quality, 5, 3)
    targets = textured(PICTURE, modules, dtype=torch.float32)
    return init, adapter, targets, adapter.float_deltas(adapter.coding, COORDS, targets)


def cost_of(init, coding, targets, q):
    """D + λR of integers, written down again."""
    error = module_loss(init.spec, init.params(torch.from_numpy(q) * coding.step, coding.kept), COORDS, targets)
    bits = class_costs(q, coding.scale, coding.tensor_of, np.zeros(len(init.tensors), np.int64)).min(1)
    return error.double().numpy() * targets.shape[1] * init.spec.channels + coding.trade_off * bits


@pytest.mark.parametrize("quality", [0, 50, 100])
def test_cost_never_rises_with_steps(quality):
    init, adapter, targets, delta = setting(quality)
    costs = [refine(init, adapter.coding, COORDS, targets, delta, n).cost for n in (0, 1, 2, 4, 8, 16)]
    for fewer, more in zip(costs, costs[1:], strict=False):
        assert (more <= fewer).all()
    assert (costs[-1] < costs[0]).any()  # and the steps are worth something


def test_cost_is_the_cost_of_the_integers():
    init, adapter, targets, delta = setting()
    best = refine(init, adapter.coding, COORDS, targets, delta, 4)
    assert best.q.any()
    np.testing.assert_allclose(best.cost, cost_of(init, adapter.coding, targets, best.q), rtol=1e-5)


def test_more_steps_continue_the_same_walk(monkeypatch):
    init, adapter, targets, delta = setting()
    seen = []

    class Recorder(Best):
        def take(self, q, cost):
            seen[-1].append(q.copy())
            super().take(q, cost)

    monkeypatch.setattr(refine_module, "Best", Recorder)
    for n in (3, 9):
        seen.append([])
        refine(init, adapter.coding, COORDS, targets, delta, n)
    short, long = seen
    assert len(short) == 5 and len(long) == 11  # zero, then steps + 1 candidates
    assert all(np.array_equal(a, b) for a, b in zip(short, long, strict=False))
    assert any(not np.array_equal(a, b) for a, b in zip(long[1:], long[2:], strict=False))


def test_zero_is_always_a_candidate():
    init, adapter, targets, delta = setting()
    zero = cost_of(init, adapter.coding, targets, np.zeros(delta.shape, np.int32))
    for start in (delta, 100.0 * torch.randn(delta.shape, generator=torch.Generator().manual_seed(0))):
        best = refine(init, adapter.coding, COORDS, targets, start, 2)
        assert (best.cost <= zero * (1 + 1e-6)).all()
    dear = dataclasses.replace(adapter.coding, trade_off=1e9)
    assert not refine(init, dear, COORDS, targets, delta, 4).q.any()


def test_modules_are_refined_apart():
    init, adapter, targets, delta = setting()
    together = refine(init, adapter.coding, COORDS, targets, delta, 6)
    for m in range(len(targets)):
        alone = refine(init, adapter.coding, COORDS, targets[m : m + 1], delta[m : m + 1], 6)
        assert np.mean(alone.q[0] == together.q[m]) > 0.98  # float32 products of other sizes may differ in a bit
        assert alone.cost[0] == pytest.approx(together.cost[m], rel=1e-3)


def test_42_zero_is_on_every_grid():
    exponents = np.arange(-512, 513)
    assert not quantize(np.zeros(1025), exponents).any()
    assert not dequantize(np.zeros(1025, np.int32), exponents).any()
    coding = make_coding()
    for c in range(16):
        assert not decide(torch.zeros((1, len(coding.kept))), np.array([c]), coding).any()


def make_coding(quality=50):
    init = make_init()
    init.scale[:] = np.random.default_rng(1).integers(0, 48, init.scale.shape)
    return Coding.of(init, quality, 3, trade_off(init.coarsest, quality))


def test_coding_is_the_inits_on_the_kept_weights():
    init = make_init()
    coding = Coding.of(init, 30, 1, 0.5)
    assert np.array_equal(coding.kept, init.kept(1)) and coding.trade_off == 0.5
    assert np.array_equal(coding.scale, init.scales_at(30)[coding.kept])
    assert np.array_equal(coding.tensor_of, init.tensor_of[coding.kept])
    np.testing.assert_allclose(coding.step.numpy(), step_size(init.steps_at(30)[coding.kept]), rtol=1e-6)


def test_decisions_are_the_best_of_their_candidates():
    coding = make_coding()
    x = torch.randn((5, len(coding.kept)), generator=torch.Generator().manual_seed(2)) * 3
    x[0, 0], x[1, 0] = 5000.0, -0.4
    classes = np.array([0, 1, 5, 8, 15])
    q = decide(x, classes, coding)
    rows = rows_for(coding.scale, coding.tensor_of, np.zeros(6, np.int64), np.array(SHIFTS)[np.maximum(classes, 1)])
    bits = magnitude_bits()
    for m in range(5):
        for j, value in enumerate(x[m].tolist()):
            top = min(int(abs(value) + 0.5), LMAX)
            candidates = {0, max(top - 1, 0), top}
            cost = {k: (abs(value) - k) ** 2 + LAMBDA * bits[rows[m, j], k] for k in candidates}
            assert abs(q[m, j]) in candidates
            assert cost[abs(q[m, j])] <= min(cost.values()) + 1e-4 * max(1.0, abs(value))
            assert q[m, j] * value >= 0


def test_class_is_the_cheapest():
    coding = make_coding()
    q = np.random.default_rng(4).integers(-3, 4, (7, len(coding.kept))).astype(np.int32)
    q[2] = 0
    classes, bits = class_of(q, coding)
    assert classes[2] == 0 and bits[2] == 0
    for m in (0, 1, 3, 4, 5, 6):
        costs = []
        for c in range(1, 16):
            rows = np.clip(coding.scale + SHIFTS[c], 0, 47)
            costs.append(magnitude_bits()[rows, np.abs(q[m])].sum())
        assert classes[m] == 1 + int(np.argmin(costs))
        assert bits[m] == pytest.approx(min(costs), rel=1e-5)


def test_step_scale_falls():
    values = [step_scale(i) for i in range(50)]
    assert values[0] == 1.0 and all(0 < b < a for a, b in zip(values, values[1:], strict=False))


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "dense"])
def test_43_pruned_weights_never_change(masked):
    init = make_init(masked=masked)
    adapter = Adapter(init, 90, 4, 3)
    q = adapter.deltas(textured(PICTURE, 5, dtype=torch.float32))
    assert q.any()
    coding = adapter.coding
    for n, p in init.params(dequantize(q, coding.exponent), coding.kept).items():
        off = init.mask[n] == 0
        assert (p[:, off] == init.theta0[n][off]).all()
        if masked:
            assert not p[:, off].any()


def test_groups_are_stitched_in_order(monkeypatch):
    init = make_init()
    adapter = Adapter(init, 60, 2, 3)
    targets = textured(PICTURE, 7, dtype=torch.float32)
    whole = adapter.deltas(targets)
    heard = []
    monkeypatch.setattr(adapt, "batch_size", lambda samples: 3)
    grouped = adapter.deltas(targets, heard.append)
    assert heard == [3, 3, 1]
    assert whole.shape == grouped.shape == (7, len(init.kept(3))) and whole.dtype == np.int32
    assert np.mean(whole == grouped) > 0.98


def test_grey_signals_leave_chroma_alone():
    init = make_init()
    adapter = Adapter(init, 70, 3, 1)
    q = adapter.deltas(textured(PICTURE, 3, dtype=torch.float32)[..., :1])
    params = init.params(dequantize(q, adapter.coding.exponent), adapter.coding.kept)
    assert q.any()
    assert (params["2.weight"][:, :, 1:] == init.theta0["2.weight"][:, 1:]).all()


def test_higher_quality_is_closer():
    init = make_init()
    targets = textured(PICTURE, 8, dtype=torch.float32)
    errors = []
    for quality in (0, 50, 100):
        adapter = Adapter(init, quality, 5, 3)
        q = adapter.deltas(targets)
        params = init.params(torch.from_numpy(q) * adapter.coding.step, adapter.coding.kept)
        errors.append(float(module_loss(PICTURE, params, COORDS, targets).mean()))
    assert errors[0] > errors[1] > errors[2]
