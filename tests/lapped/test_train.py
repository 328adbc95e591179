"""Training: its features, bits and networks are those of the coder; it resumes; what it exports works."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lapped.small import SPEC, small_init
from nfcodec import zoo
from nfcodec.errors import OptionError
from nfcodec.lapped.code import ChunkSymbols, chunk_scales
from nfcodec.lapped.train import model as lm
from nfcodec.lapped.train.config import Field, LappedConfig, OuterLoop
from nfcodec.lapped.train.export import export, params_of, table_of
from nfcodec.lapped.train.loop import LappedTrainer
from nfcodec.lapped.train.tasks import Batch, Pieces
from nfcodec.train.training import load_config

CONFIG = LappedConfig("t", Field(SPEC), outer=OuterLoop(steps=6, batch=2, frames=16, shifts=1, tables=0.0))


def recordings(count=3):
    rng = np.random.default_rng(0)
    t = np.arange(32 * 60)[:, None]
    return [
        (0.3 * np.sin(0.1 * (i + 1) * t + [0, 1]) + 0.05 * rng.normal(size=(len(t), 2))).astype(np.float32)
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def pieces():
    return Pieces(recordings(), CONFIG)


def test_the_networks_of_training_are_those_of_the_coder():
    """Scales of floats and of whole numbers, for the same weights and symbols, are the same but for their rounding."""
    rng = np.random.default_rng(3)
    q = np.rint(rng.laplace(size=(2, 16, 32)) * 2).astype(np.int32)
    splits = rng.integers(0, 3, 16).astype(np.uint8)
    gains = rng.integers(-4, 5, (16, 3)).astype(np.int8)
    whole = chunk_scales(small_init(), 70, ChunkSymbols(q, splits, 1, gains)).astype(np.float64)
    batch = Batch(q[None].astype(np.float32), splits[None], gains[None], (70,), (1,))
    params, ready = params_of(small_init()), lm.prepared(batch, SPEC)
    found = lm.all_scales(params, SPEC, torch.from_numpy(np.abs(q[None]).astype(np.float32)), ready)[0].numpy()
    assert np.abs(found - whole).max() < 1.5 and np.abs(found - whole).mean() < 0.5
    assert whole.std() > 1


def test_bits_are_between_those_of_tables():
    costs = torch.from_numpy(lm.logistic_costs()).repeat(2, 1, 1)
    scale, q = torch.tensor([[[[20.25]]]]), torch.tensor([[[[3.0]]]])
    wanted = 0.75 * costs[0, 20, 3] + 0.25 * costs[0, 21, 3]
    assert torch.isclose(lm.bits_of(costs, torch.tensor([1]), scale, q)[0, 0, 0, 0], wanted)


def test_steps_lower_the_loss_and_resume(pieces, tmp_path):
    config = replace(CONFIG, outer=replace(CONFIG.outer, steps=60))
    whole = LappedTrainer(config, pieces)
    whole.run(until=4)
    whole.save(tmp_path / "c.ckpt")
    again = LappedTrainer(config, pieces)
    again.resume(tmp_path / "c.ckpt")
    first = whole.loss
    for trainer in (whole, again):
        trainer.run(until=8)
    assert all(torch.equal(a, b) for a, b in zip(whole.shipped().values(), again.shipped().values(), strict=True))
    whole.run()
    assert whole.loss < first
    with pytest.raises(OptionError):
        LappedTrainer(CONFIG, pieces).resume(tmp_path / "c.ckpt")


def test_export(pieces, tmp_path):
    trainer = LappedTrainer(CONFIG, pieces)
    trainer.run()
    init = export(CONFIG, trainer.shipped(), trainer.counts, [pieces.batch(0, 99, 2)])
    path = tmp_path / "t.safetensors"
    zoo.write_init(init, path)
    read = zoo.read_init(path)
    assert read.spec == SPEC and np.array_equal(read.prior.counts, init.prior.counts)
    assert np.array_equal(read.corrections, init.corrections)
    again = LappedTrainer(CONFIG, pieces, begin=params_of(read))
    again.step()


def test_tables():
    for seen in (np.zeros(256), np.eye(1, 256, 3)[0] * 1e9, np.full(256, 1e5)):
        counts = table_of(seen, np.full(256, 1 / 256))
        assert counts.sum() == 1 << 20 and counts.min() >= 2 and (counts[1:-1] % 2 == 0).all() and counts[-1] >= 4


def test_shipped_configs_are_read():
    for name in ("speech-lapped", "music-lapped"):
        config = load_config(zoo.models_folder() / f"{name}.toml")
        assert config.id == name and zoo.load(name).spec == config.field.spec
