"""The training of the networks for arrays: what is drawn, what is learnt, what comes out."""

import numpy as np
import pytest
import torch

from nfcodec import api, zoo
from nfcodec.dyadic.features import inputs
from nfcodec.dyadic.order import PHASES
from nfcodec.dyadic.train import fields
from nfcodec.dyadic.train.config import DyadicConfig, Field, OuterLoop
from nfcodec.dyadic.train.loop import DyadicTrainer, draw_task
from nfcodec.dyadic.train.model import PhaseNetwork, cost, loss_of, new_networks, whole_init, whole_network
from nfcodec.entropy import logistic
from nfcodec.errors import OptionError
from nfcodec.train.training import load_config

SMALL = OuterLoop(steps=2, fields=2, side=40, keep=2, updates=3, batch=64)


@pytest.mark.parametrize("draw", [f for f, _ in fields._KINDS])
def test_fields_are_drawn_from_their_seed(draw):
    first, again, other = (draw(np.random.default_rng(s), 19, 33) for s in (1, 1, 2))
    assert first.shape == (19, 33) and np.isfinite(first).all() and np.ptp(first) > 0
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_what_moves_is_expected():
    now, before = fields.moving(np.random.default_rng(3), 30, 40)
    assert now.shape == before.shape == (30, 40)
    assert np.corrcoef(now.ravel(), before.ravel())[0, 1] > 0.5


def test_tasks():
    for seed in range(60):
        task = draw_task(np.random.default_rng(seed), 60)
        seen = task.planes[task.coded]
        assert task.coded.shape == task.planes.shape
        assert not seen.size or (seen.min() >= 0 and seen.max() <= task.scheme.top)
        assert not task.scheme.whole or (task.planes % 256 == 0).all()


def test_cost_is_that_of_the_tables():
    """Of symbols that the tables hold, at every fourth scale."""
    scale = np.arange(2, 46, 4)
    for symbol in (0, 1, -2):
        charged = logistic.bits(np.full(len(scale), symbol), scale, np.zeros(len(scale), int))
        found = cost(torch.full((len(scale),), float(symbol)), torch.from_numpy((scale - 18) / 4.0)).numpy()
        np.testing.assert_allclose(found[charged < 12], charged[charged < 12], rtol=0.05, atol=0.05)


def test_whole_networks_follow_those_in_floats():
    torch.manual_seed(0)
    network = PhaseNetwork(inputs(0), 32, 16)
    with torch.no_grad():
        network.layers[-1].weight.mul_(10.0)
    features = np.random.default_rng(0).integers(-60, 60, (inputs(0), 500)).astype(np.int8)
    shift, change = whole_network(network)(features)
    with torch.no_grad():
        wanted = network(torch.from_numpy(features.T.copy()).float()).numpy()
    assert np.abs(shift / 128 - wanted[:, 0]).max() < 0.1
    assert np.abs(change / 8 - wanted[:, 1]).max() < 0.2
    assert np.abs(wanted).max() > 0.5


def test_learning_lowers_the_loss():
    torch.manual_seed(0)
    (network, *_) = new_networks(16, 8)
    r = np.random.default_rng(0)
    features = torch.from_numpy(r.integers(-50, 50, (512, inputs(0))).astype(np.int8))
    distance = features[:, 0].float() / 8
    batch = [features, distance, torch.ones(512), torch.zeros(512), torch.ones(512)]
    adam = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss, bits = loss_of(network, batch)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(float(bits))
    assert losses[-1] < 0.7 * losses[0]


def test_training_goes_on_and_ends_in_an_init(tmp_path):
    config = DyadicConfig("tiny", Field(8, 8), SMALL)
    trainer = DyadicTrainer(config)
    trainer.run(checkpoint=tmp_path / "a.ckpt", until=1)
    other = DyadicTrainer(config)
    other.resume(tmp_path / "a.ckpt")
    assert other.at == 1
    for a, b in zip(trainer._leaves, other._leaves, strict=True):
        assert torch.equal(a, b)
    other.run()
    init = whole_init("tiny", other.networks)
    zoo.write_init(init, tmp_path / "tiny.safetensors")
    back = zoo.read_init(tmp_path / "tiny.safetensors")
    for ours, theirs in zip(init.networks, back.networks, strict=True):
        for a, b in zip(ours.layers, theirs.layers, strict=True):
            np.testing.assert_array_equal(a.weight, b.weight)
    assert len(back.networks) == len(PHASES) and back.kind == "dyadic"


def test_train_by_config(tmp_path):
    text = 'id = "mine"\n[field]\nkind = "dyadic"\nfirst = 8\nsecond = 8\n'
    (tmp_path / "c.toml").write_text(text + "[outer]\nsteps = 1\nfields = 1\nside = 20\nupdates = 1\nbatch = 8\n")
    made = api.train(tmp_path, tmp_path / "mine.safetensors", config=tmp_path / "c.toml")
    assert (made.id, made.field, made.modality) == ("mine", "dyadic", "array")
    (tmp_path / "c.toml").write_text(text.replace("8", "0", 1))
    with pytest.raises(OptionError, match="networks"):
        load_config(tmp_path / "c.toml")


def test_the_shipped_config_is_that_of_the_shipped_init():
    config = load_config(zoo.models_folder() / "array-dyadic.toml")
    init = zoo.load("array-dyadic")
    assert [len(layer.weight) for layer in init.networks[0].layers] == [config.field.first, config.field.second, 2]
