"""Training on residuals: what it changes, what stays, and that it goes on where it was stopped."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import INITS, save_frames

from moving.small import panning, small_init
from nfcodec import zoo
from nfcodec.errors import OptionError
from nfcodec.moving.given import told
from nfcodec.moving.stored_init import build, contents
from nfcodec.moving.train.clips import missed
from nfcodec.moving.train.config import ClipConfig, MovingConfig, MovingFieldConfig, PriorLoop, ResidualLoop
from nfcodec.moving.train.prior import PriorTrainer, untold
from nfcodec.train.training import finished, load_config, new_trainer

CONFIG = MovingConfig(
    id="test", field=MovingFieldConfig(str(INITS / "tiny-lattice.safetensors"), 8),
    clips=ClipConfig(width=64, height=48, share=0.1), outer=ResidualLoop(steps=3, batch=2, crop=32, lr=1e-2),
)  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for seed in range(2):
        clip = panning(5, 56, 70, seed=seed).astype(int) + rng.integers(-30, 31, (5, 56, 70, 1))
        save_frames(folder / f"{seed}.mkv", clip.clip(0, 255).astype(np.uint8))
    return folder


def test_residuals_are_what_the_prediction_misses():
    clip = panning(4, 48, 64, seed=3)
    found = list(missed(small_init(), clip, 70))
    assert len(found) == 3 and {f.planes.shape for f in found} == {(3, 48, 64)}
    assert max(np.abs(f.planes).mean() for f in found) < 2**13 * 0.05


def test_training_changes_residuals_alone(clips, tmp_path):
    trainer = new_trainer(CONFIG, clips)
    trainer.run()
    init = finished(CONFIG, trainer)
    start = zoo.read_init(INITS / "tiny-lattice.safetensors")
    path = tmp_path / "test.safetensors"
    zoo.write_init(init, path)
    read = zoo.read_init(path)
    for level in (init.residuals, read.residuals):
        np.testing.assert_array_equal(level.table, start.levels[0].table)
        assert level.offset is None and not read.shared
        assert (level.first_step["e.out.bias"] != start.levels[0].first_step["e.out.bias"]).any()
    np.testing.assert_array_equal(read.pictures.levels[0].log_step, start.levels[0].log_step)
    names = [n for n in contents(init)[0] if n.startswith("residuals/")]
    assert names and not any("trunk" in n or "table" in n for n in names)


def test_it_goes_on_where_it_was_stopped(clips, tmp_path):
    whole, first = new_trainer(CONFIG, clips), new_trainer(CONFIG, clips)
    whole.run()
    first.step()
    first.save(tmp_path / "state")
    again = new_trainer(CONFIG, clips)
    again.resume(tmp_path / "state")
    again.run()
    for name, value in whole.params.items():
        np.testing.assert_array_equal(value.detach().numpy(), again.params[name].detach().numpy())


TOLD = replace(CONFIG, outer=replace(CONFIG.outer, steps=0), prior=PriorLoop(steps=6, batch=2, encodings=2, lr=1e-2))


def test_the_prior_learns_what_it_is_told_and_nothing_else_changes(clips):
    trainer = new_trainer(TOLD, clips)
    trainer.run()
    init, start = finished(TOLD, trainer), zoo.read_init(INITS / "tiny-lattice.safetensors").levels[0]
    found = init.residuals
    assert found.prior.told == told(found.spec)
    np.testing.assert_array_equal(found.log_step, start.log_step)
    np.testing.assert_array_equal(found.restore.enter.weight, start.restore.enter.weight)
    untouched = [n.layers[0].weight.shape[1] for n in untold(found.prior).groups]
    assert untouched == [inputs for inputs, _ in found.prior.order.groups]
    stage, every = trainer.detail_trainer(), range(0, len(trainer.detail.pictures) - 1, 2)
    assert isinstance(stage, PriorTrainer) and len(every)
    before = PriorTrainer(trainer.learned().residuals, stage.pictures, TOLD.prior, seed=0)

    def bits(one):
        with torch.no_grad():
            return sum(float(stage.bits(one.params, stage.pictures[i : i + 2]).sum()) for i in every)

    assert bits(stage) < 0.99 * bits(before)


def test_a_prior_goes_on_where_it_was_stopped_and_from_what_it_knew(clips, tmp_path):
    whole, first = new_trainer(TOLD, clips), new_trainer(TOLD, clips)
    whole.run()
    first.run(until=2)
    first.save(tmp_path / "state")
    again = new_trainer(TOLD, clips)
    again.resume(tmp_path / "state")
    again.run()
    for name, value in whole.detail.params.items():
        np.testing.assert_array_equal(value.detach().numpy(), again.detail.params[name].detach().numpy())
    init = finished(TOLD, whole)
    more = PriorTrainer(init.residuals, whole.detail.pictures, TOLD.prior, seed=0).trained()
    for one, other in zip(more.groups, init.residuals.prior.groups, strict=True):
        for layer, same in zip(one.layers, other.layers, strict=True):
            np.testing.assert_array_equal(np.ldexp(layer.weight, -layer.shift[:, None]),
                                          np.ldexp(same.weight, -same.shift[:, None]))  # fmt: skip
    assert new_trainer(replace(CONFIG, prior=PriorLoop(steps=1)), clips, begin=init).total == 4


def test_the_shipped_config_can_be_read(tmp_path):
    config = load_config(INITS.parents[1] / "models" / "video-moving.toml")
    assert config.field == MovingFieldConfig() and config.outer.steps == 1500
    bad = tmp_path / "bad.toml"
    bad.write_text('id = "x"\n[field]\nkind = "moving"\nframes = 0\n')
    with pytest.raises(OptionError):
        load_config(bad)


def test_inits_there_and_back():
    init = small_init()
    arrays, meta = contents(init)
    read = build(meta, arrays, b"1")
    assert read.shared and read.frames == 8 and read.id == "small"
