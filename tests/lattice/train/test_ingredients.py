"""The method's ingredients in training: W0, pruned contexts, the bootstrapped target, Meta-SparseINR's rounds."""

import dataclasses

import numpy as np
import pytest
import torch
from modules.train.training import pictures, same
from PIL import Image

from lattice.train.test_loop import CONFIG, SPEC, crops, state_of, trained
from nfcodec.errors import OptionError
from nfcodec.lattice.context import Context
from nfcodec.lattice.train import model as lm
from nfcodec.lattice.train.bootstrap import Teacher
from nfcodec.lattice.train.config import BootstrapConfig, DetailConfig, OffsetConfig, PruneConfig, SparseConfig
from nfcodec.lattice.train.export import params_of
from nfcodec.lattice.train.loop import LatticeTrainer
from nfcodec.lattice.train.sparse import PRUNED
from nfcodec.lattice.train.tasks import Crops
from nfcodec.train.training import finished, new_trainer


@pytest.fixture(scope="module")
def shipped():
    torch.set_num_threads(1)
    return finished(CONFIG, trained())


def gone_on(shipped, tmp_path, until=3, **parts):
    """A trainer that went on from an init, with other tables."""
    folder = tmp_path / "pictures"
    if not folder.exists():
        folder.mkdir()
        for i, picture in enumerate(pictures(2, 48, 40)):
            Image.fromarray(picture).save(folder / f"{i}.png")
    outer = dataclasses.replace(CONFIG.outer, steps=4, double_every=0)
    base = dataclasses.replace(CONFIG, outer=outer, prune=PruneConfig(share=0.0), detail=DetailConfig(steps=0))
    config = dataclasses.replace(base, **parts)
    trainer = new_trainer(config, folder, begin=shipped)
    trainer.run(until=until)
    return config, trainer


def test_ingredients_are_off_by_default(shipped, tmp_path):
    """What is off leaves no trace in the init; X and the mask of the one before stay."""
    config, trainer = gone_on(shipped, tmp_path, until=4)
    init = finished(config, trainer)
    [before], [after] = shipped.levels, init.levels
    assert after.offset is None and after.context.full and not trainer.sparse.zeros()
    assert all(np.allclose(after.detail[n], before.detail[n]) for n in before.detail)
    for name in PRUNED:
        np.testing.assert_array_equal(after.trunk[name] == 0, before.trunk[name] == 0)


def test_w0_is_learned_and_kept(shipped, tmp_path):
    config, trainer = gone_on(shipped, tmp_path, until=4, offset=OffsetConfig(rate=10.0))
    init = finished(config, trainer)
    [level] = init.levels
    assert level.offset.dtype == np.int32 and level.offset.any()
    learned = trainer.average.module.get_submodule("0").offset
    np.testing.assert_array_equal(level.offset, np.rint(learned.detach().numpy() * 65536))
    config, trainer = gone_on(init, tmp_path, until=4)
    np.testing.assert_array_equal(finished(config, trainer).levels[0].offset, level.offset)


def test_w0_learns_what_all_pictures_share():
    """Pictures of one colour far from grey: with W0 the loss of the first steps falls further."""
    bright = [np.full((48, 48, 3), (230, 200, 90), np.uint8)]
    base = dataclasses.replace(CONFIG, outer=dataclasses.replace(CONFIG.outer, steps=40, double_every=0, fit=200))
    losses = []
    for rate in (0.0, 300.0):
        trainer = LatticeTrainer(dataclasses.replace(base, offset=OffsetConfig(rate=rate)), Crops(bright, 16))
        trainer.run(until=40)
        losses.append(trainer.loss)
    assert losses[1] < losses[0]
    assert float(trainer.params["0.offset"][0, 0].detach()) > 0.1


def test_pruned_contexts_begin_where_full_ones_ended(shipped, tmp_path):
    """Gains are lowered by γ, so that the cells that are left move as they did (without the correction, which sees
    their neighbours)."""
    config, trainer = gone_on(shipped, tmp_path, until=0, context=Context(0.25))
    trainer.start()
    again = torch.from_numpy(shipped.levels[0].first_step["log_again"])
    assert torch.allclose(trainer.params["0.log_again"].detach(), again - 2.0)
    planes = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 0.5
    y = []
    for model, params in ((trainer.model, trainer.params), (lm.LatticeModel.of(CONFIG), params_of(shipped))):
        silent = {n: torch.zeros_like(p) if n.startswith("e.out") else p for n, p in lm.of_level(params, 0).items()}
        y.append(lm.encode_level(model, SPEC, silent, planes, [50, 60]).y.detach())
    alike = (y[0] - y[1]).abs().amax((1, 2)) < 1e-4
    assert alike.flatten(1).sum(1).tolist() == [1, 1]
    trainer.run(until=4)
    assert finished(config, trainer).levels[0].context == Context(0.25)


def test_a_context_of_all_cells_is_none(shipped, tmp_path):
    whole = [gone_on(shipped, tmp_path, context=Context(1.0, score))[1] for score in ("samples", "blocks")]
    assert same(state_of(whole[0]), state_of(whole[1]))


def test_the_target_teaches_beside_the_rate(shipped, tmp_path):
    """It changes what is learned where rounds find something to change; at weight 0 it does nothing."""
    lesson = BootstrapConfig(rounds=2, weight=0.0)
    plain, idle, taught = (
        gone_on(shipped, tmp_path, bootstrap=b)[1]
        for b in (BootstrapConfig(), lesson, dataclasses.replace(lesson, weight=50.0))
    )
    assert all(torch.allclose(plain.params[n], idle.params[n], atol=1e-5) for n in plain.params)
    moved = [(plain.params[n] - taught.params[n]).abs().max() for n in plain.params if n.startswith("0.e.")]
    assert max(moved) > 1e-4


def test_a_target_needs_a_teacher():
    config = dataclasses.replace(CONFIG, bootstrap=BootstrapConfig(rounds=1))
    with pytest.raises(OptionError, match="init to go on from"):
        LatticeTrainer(config, crops())


def test_what_rounds_prune_is_zero_in_the_init(shipped, tmp_path):
    config, trainer = gone_on(shipped, tmp_path, until=4, sparse=SparseConfig(rounds=2, share=0.4, scope="all"))
    [level] = finished(config, trainer).levels
    zeros = trainer.sparse.zeros()
    for name in ("e.0.weight", "analysis.0", "e.in.weight"):
        assert (level.first_step[name][zeros[f"0.{name}"].numpy()] == 0).all()
    assert (level.restore.blocks[0].weight[zeros["0.d.0.weight"].numpy()] == 0).all()
    gone, total = (sum(int(z.sum()) for z in zeros.values()), sum(z.numel() for z in zeros.values()))
    assert gone > 0.6 * total


@pytest.mark.parametrize("at", [1, 3])
def test_ingredients_resume(shipped, tmp_path, at):
    parts = {
        "offset": OffsetConfig(rate=10.0), "context": Context(0.5), "sparse": SparseConfig(rounds=2),
        "bootstrap": BootstrapConfig(rounds=1),
    }  # fmt: skip
    _, whole = gone_on(shipped, tmp_path, until=4, **parts)
    _, first = gone_on(shipped, tmp_path, until=at, **parts)
    first.save(tmp_path / "state.ckpt")
    _, second = gone_on(shipped, tmp_path, until=0, **parts)
    second.resume(tmp_path / "state.ckpt")
    second.run(until=4)
    assert same(state_of(second), state_of(whole))


def test_a_ring_of_batches_goes_round(shipped, tmp_path, monkeypatch):
    """Every second step has a target, from two batches in turn; each is taught once, and the others are always new."""
    seen, taught = [], []
    batch, changes = Crops.batch, Teacher._changes

    def counted(self, seed, step, *args, **named):
        seen.append(step)
        return batch(self, seed, step, *args, **named)

    monkeypatch.setattr(Crops, "batch", counted)
    monkeypatch.setattr(Teacher, "_changes", lambda self, *a: taught.append(1) or changes(self, *a))
    outer = dataclasses.replace(CONFIG.outer, steps=8, double_every=0)
    gone_on(shipped, tmp_path, until=8, outer=outer, bootstrap=BootstrapConfig(rounds=1, every=2, ring=2))
    assert seen == [0, 1, 2, 3, 0, 5, 2, 7]
    assert len(taught) == 2 * CONFIG.outer.batch
