"""L0 gates on deltas, and the other ways to say which of them there are."""

import math

import pytest
import torch

from nfcodec.errors import OptionError
from nfcodec.modules.siren import tensors
from nfcodec.modules.train.config import SparseConfig
from nfcodec.modules.train.gates import drawn, first_gates, gated, open_share, probability, settled
from nfcodec.modules.train.loop import Trainer
from nfcodec.modules.train.sparse import full_mask, kept_weights, survivors

from .training import CONFIG, changed, same, state_of, tasks

GATED = changed(sparse={"rounds": 0}, gates={"steps": 6, "weight": 1.0, "lr": 1.0})


def test_gates_are_zero_as_often_as_their_probability_says():
    uniform = torch.rand(200_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for log_alpha in (-2.0, 0.0, 1.5):
        z = drawn(torch.full_like(uniform, log_alpha), uniform)
        expected = float(probability(torch.tensor(log_alpha, dtype=torch.float64)))
        assert float((z > 0).double().mean()) == pytest.approx(expected, abs=5e-3)
        assert float(z.min()) >= 0 and float(z.max()) <= 1
    exact = 1 / (1 + math.exp(-(0.5 - 2 / 3 * math.log(0.1 / 1.1))))
    assert float(probability(torch.tensor(0.5))) == pytest.approx(exact, rel=1e-6)


def test_settled_gates_are_exactly_shut_and_open_at_the_ends():
    assert settled(torch.tensor([-6.0, 6.0])).tolist() == [0.0, 1.0]
    assert 0.4 < float(settled(torch.tensor(0.0))) < 0.6


def test_the_penalty_has_a_gradient_in_every_gate_and_biases_have_none():
    theta = Trainer(CONFIG, tasks()).theta0
    gates = {n: t.requires_grad_() for n, t in first_gates(theta, tensors(CONFIG.field)).items()}
    assert set(gates) == {"0.weight", "1.weight", "2.weight"} and open_share(gates).item() > 0.9
    open_share(gates).backward()
    assert all((g.grad > 0).all() for g in gates.values())
    mask = gated(full_mask(theta), gates, torch.Generator().manual_seed(0))
    assert (mask["0.bias"] == 1).all() and mask["1.weight"].requires_grad


def test_training_closes_gates_and_their_weights_stay_shut():
    trainer = Trainer(GATED, tasks())
    trainer.run(until=GATED.outer.steps)
    everything = kept_weights(trainer.mask, trainer.specs)
    trainer.run(until=GATED.outer.steps + GATED.gates.steps)
    kept = kept_weights(trainer.mask, trainer.specs)
    assert kept < everything and all(((m == 0) | (m == 1)).all() for m in trainer.mask.values())
    assert all(torch.isfinite(r).all() for r in trainer.log_rate.values())
    trainer.run()
    assert kept_weights(trainer.mask, trainer.specs) == kept


def test_a_light_penalty_leaves_gates_open():
    trainer = Trainer(changed(GATED, gates={"weight": 0.0}), tasks())
    trainer.run(until=GATED.outer.steps + GATED.gates.steps)
    everything = sum(t.numel() for n, t in trainer.mask.items() if n.endswith("weight"))
    assert kept_weights(trainer.mask, trainer.specs) > 0.95 * everything


def test_gates_resume_where_they_were(tmp_path):
    whole, first, second = (Trainer(GATED, tasks()) for _ in range(3))
    whole.run()
    first.run(checkpoint=tmp_path / "c", until=GATED.outer.steps + 3)
    second.resume(tmp_path / "c")
    second.run()
    assert same(state_of(whole), state_of(second))


def test_shift_modulations_move_hidden_biases_alone():
    trainer = Trainer(changed(sparse={"rounds": 0, "moves": "shifts"}), tasks())
    assert [n for n, m in trainer.mask.items() if m.any()] == ["0.bias", "1.bias"]
    trainer.run()
    assert [n for n, m in trainer.mask.items() if m.any()] == ["0.bias", "1.bias"]
    with pytest.raises(OptionError, match="shifts"):
        SparseConfig(base="masked", moves="shifts")


def test_winning_tickets_go_back_to_the_first_weights():
    config = changed(sparse={"rounds": 2, "score": "theta", "base": "masked", "rewind": True})
    trainer = Trainer(config, tasks())
    first = {n: t.detach().clone() for n, t in trainer.theta0.items()}
    trainer.run(until=config.outer.steps)
    assert any((trainer.theta0[n] != t).any() for n, t in first.items())
    trainer._prune()
    assert all(torch.equal(trainer.theta0[n], t) for n, t in first.items())
    total = sum(t.numel() for n, t in first.items() if n.endswith("weight"))
    assert kept_weights(trainer.mask, trainer.specs) == survivors(total, 1, config.sparse.fraction)[0]
    assert not trainer.optimizer.state  # Adam starts anew


def test_pruning_begins_with_a_new_adam_and_keeps_it():
    config = changed(sparse={"rounds": 2, "score": "theta", "base": "masked"})
    trainer = Trainer(config, tasks())
    trainer.run(until=config.outer.steps + 1)
    count = lambda: int(trainer.optimizer.state[trainer.theta0["0.weight"]]["step"])  # noqa: E731
    assert count() == 1
    trainer.run(until=config.outer.steps + config.sparse.steps + 1)
    assert count() == config.sparse.steps + 1


def test_a_training_may_begin_where_a_dense_one_ended():
    masked = {"rounds": 1, "score": "theta", "base": "masked"}
    config = changed(sparse=masked, rate={"steps": 0}, outer={"lr_rate": 0.0})
    dense = Trainer(changed(config, sparse={"rounds": 0}), tasks())
    dense.run()
    short, whole = Trainer(config, tasks()), Trainer(config, tasks())
    short.begin(dense)
    short.run()
    whole.run()
    assert all(torch.equal(short.theta0[n], whole.theta0[n]) for n in short.theta0)
    assert all(torch.equal(short.mask[n], whole.mask[n]) for n in short.mask)


def test_rates_that_are_not_learned_stay_and_no_clip_is_no_clip():
    config = changed(outer={"lr_rate": 0.0, "clip": 0.0}, sparse={"rounds": 0}, rate={"steps": 0})
    trainer = Trainer(config, tasks())
    before = trainer.log_rate["1.weight"].clone()
    trainer.run()
    assert torch.equal(trainer.log_rate["1.weight"], before)
    moved = Trainer(config, tasks()).theta0["1.weight"] - trainer.theta0["1.weight"]
    assert float(moved.detach().abs().max()) > 0.5 * config.outer.lr


def test_a_step_may_draw_some_samples():
    trainer = Trainer(changed(outer={"samples": 9}), tasks())
    targets = trainer._batch(0)
    coords, some = trainer._drawn(targets)
    assert coords.shape == (8, 9, 2) and some.shape == (8, 9, 3)
    for m in range(8):
        rows = [int((trainer.coords[0] == c).all(1).nonzero()) for c in coords[m]]
        assert len(set(rows)) == 9 and torch.equal(some[m], targets[m, rows])
    assert not torch.equal(coords[0], coords[1])
    trainer.run()


