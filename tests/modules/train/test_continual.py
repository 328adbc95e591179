"""MCL-NF: segments, the inner loop through a sequence, OML; and that ``nfc train`` knows them."""

import dataclasses

import pytest
import torch
from tiny import SPEC, coords_of, make_learner, random_targets

from modules.train.training import CONFIG, changed, tasks
from nfcodec.errors import OptionError
from nfcodec.modules.fit.inner import InnerLoop, adapt, module_loss
from nfcodec.modules.train.config import read_config
from nfcodec.modules.train.continual import adapt_sequence, head_only, segments_of, sequence_loss
from nfcodec.modules.train.export import provisional
from nfcodec.modules.train.loop import Trainer


@pytest.mark.parametrize(("tile", "count"), [((6, 6), 4), ((8, 12), 4), ((20,), 4), ((8, 3, 5), 4), ((6, 6), 1)])
def test_38_segments_cover_the_tile_exactly_once(tile, count):
    index = segments_of(tile, count)
    assert index.shape[0] == count
    assert torch.equal(index.flatten().sort().values, torch.arange(index.numel()))


def test_patches_are_patches_and_stretches_are_of_time():
    rows = segments_of((4, 6), 4)[1]
    assert rows.tolist() == [3, 4, 5, 9, 10, 11]
    assert segments_of((8,), 4)[2].tolist() == [4, 5]
    assert segments_of((4, 2, 1), 4)[3].tolist() == [6, 7]


@pytest.mark.parametrize(("tile", "count"), [((6, 6), 3), ((5, 6), 4), ((7,), 2), ((6, 6), 2)])
def test_segments_that_cannot_be(tile, count):
    with pytest.raises(OptionError, match="segments"):
        segments_of(tile, count)


def test_a_sequence_of_one_is_maml():
    learner, coords, targets = make_learner(), coords_of(SPEC), random_targets(SPEC, 2)
    loop, whole = InnerLoop(3), torch.arange(coords.shape[1])
    found = adapt_sequence(learner, coords, targets, loop, [whole])
    expected, _ = adapt(SPEC, learner.start, learner.rate, learner.mask, coords, targets, loop)
    assert all(torch.equal(found[n], expected[n]) for n in found)


def test_a_segment_sees_nothing_of_the_others():
    """Until its turn comes a segment's values change nothing; from then on they do."""
    learner, coords, targets = make_learner(), coords_of(SPEC), random_targets(SPEC, 1)
    segments, other = segments_of(SPEC.tile, 4), targets.clone()
    other[:, segments[2]] += 0.5
    both = [
        adapt_sequence(learner, coords, t, InnerLoop(2), list(segments[:n])) for n in (2, 3) for t in (targets, other)
    ]
    assert all(torch.equal(both[0][n], both[1][n]) for n in both[0])
    assert any(not torch.equal(both[2][n], both[3][n]) for n in both[0])


def test_one_network_forgets():
    """What modules are for: later segments spoil what was learned of the first."""
    learner, coords = make_learner(rate=0.05), coords_of(SPEC)
    targets, segments = random_targets(SPEC, 4), list(segments_of(SPEC.tile, 4))
    first = segments[0]
    losses = []
    for count in (1, 4):
        params = adapt_sequence(learner, coords, targets, InnerLoop(80), segments[:count])
        losses.append(float(module_loss(SPEC, params, coords[:, first], targets[:, first]).mean().detach()))
    assert losses[1] > 1.2 * losses[0]


def test_sequence_gradient_equals_finite_differences():
    learner, coords, targets = make_learner(), coords_of(SPEC), random_targets(SPEC, 2)
    loop, segments = InnerLoop(2, 0.5), list(segments_of(SPEC.tile, 4))
    name, at, h = "1.weight", (2, 3), 1e-6
    loss, losses = sequence_loss(learner, coords, targets, loop, segments)
    torch.testing.assert_close(loss.detach(), losses.mean(), rtol=1e-12, atol=0)
    (grad,) = torch.autograd.grad(loss, [learner.theta0[name]])
    ends = []
    for sign in (1, -1):
        theta = {n: t.detach().clone().requires_grad_() for n, t in learner.theta0.items()}
        with torch.no_grad():
            theta[name][at] += sign * h
        moved = dataclasses.replace(learner, theta0=theta)
        ends.append(float(sequence_loss(moved, coords, targets, loop, segments)[0].detach()))
    assert float(grad[at]) == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5)


def test_oml_moves_the_last_layer_alone():
    learner, coords, targets = head_only(make_learner()), coords_of(SPEC), random_targets(SPEC, 2)
    params = adapt_sequence(learner, coords, targets, InnerLoop(3), list(segments_of(SPEC.tile, 4)))
    for n, p in params.items():
        moved = not torch.equal(p.detach(), learner.theta0[n].detach().expand_as(p))
        assert moved == n.startswith(f"{SPEC.depth}.")
    loss, _ = sequence_loss(learner, coords, targets, InnerLoop(2), list(segments_of(SPEC.tile, 4)))
    grads = torch.autograd.grad(loss, list(learner.theta0.values()))
    assert all(g.abs().max() > 0 for g in grads), "the outer loop moves all of them"


@pytest.mark.parametrize("adapts", ["all", "head"])
def test_trainer_runs_through_sequences(adapts):
    config = changed(continual={"segments": 4, "adapts": adapts}, outer={"bootstrap_steps": 0, "bootstrap_weight": 0.0})
    trainer = Trainer(config, tasks())
    before = {n: t.detach().clone() for n, t in trainer.theta0.items()}
    trainer.run()
    assert all(not torch.equal(before[n], t) for n, t in trainer.theta0.items())
    assert provisional(trainer).inner_steps == config.inner.steps


def test_rho_is_trained_for_and_kept_in_the_init(tmp_path):
    from nfcodec.zoo import read_init, write_init

    trainer = Trainer(changed(inner={"rho": 0.5}), tasks())
    assert trainer.loop.rho == 0.5
    trainer.run()
    write_init(provisional(trainer), tmp_path / "a.safetensors")
    assert read_init(tmp_path / "a.safetensors").rho == 0.5


@pytest.mark.parametrize(
    "parts",
    [
        {"inner": {"rho": 1.5}},
        {"continual": {"segments": 3}},
        {"continual": {"segments": 4}},  # with the bootstrap of the config
    ],
)
def test_configs_that_cannot_be(parts):
    config = changed(**parts)
    tables = {n: getattr(config, n) for n in ("id", "data", "inner", "outer", "sparse", "rate", "continual", "seed")}
    with pytest.raises(OptionError):
        read_config({"field": CONFIG.field.to_dict()}, tables)
