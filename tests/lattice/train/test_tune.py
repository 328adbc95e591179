"""D tuned alone, in the whole numbers that decode."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import init as path_of
from helpers import painting

from nfcodec import zoo
from nfcodec.errors import CorruptError
from nfcodec.lattice.fit.window import Canvas
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import region_layers
from nfcodec.lattice.train.tasks import Crops
from nfcodec.lattice.train.tune import RestoreTuner, TuneConfig, encoded, shown_errors
from nfcodec.lattice.train.whole import LARGEST, numpy_restore, restore_params, whole_layer, whole_restore

CONFIG = TuneConfig(steps=12, batch=2, crop=32, lr=0.05, rounds_every=3, rounds=1, drawn=0.0, average=0.5)


@pytest.fixture(scope="module")
def init():
    return zoo.load(path_of("tiny-lattice"))


@pytest.fixture(scope="module")
def crops():
    return Crops([painting(80, 80, s) for s in range(4)], CONFIG.crop)


def spoiled(init):
    """D's parameters with noise: something to learn."""
    generator = torch.Generator().manual_seed(0)
    params = restore_params(init.levels[0].restore)
    return {n: p + 0.3 * p.abs().mean() * torch.randn(p.shape, generator=generator) for n, p in params.items()}


def test_parameters_of_whole_numbers_round_to_these(init):
    ours = init.levels[0].restore
    again = numpy_restore(restore_params(ours))
    for a, b in zip(ours.layers.values(), again.layers.values(), strict=True):
        np.testing.assert_array_equal(np.ldexp(a.weight, -a.shift[:, None]), np.ldexp(b.weight, -b.shift[:, None]))
        np.testing.assert_array_equal(np.ldexp(a.bias, -a.shift), np.ldexp(b.bias, -b.shift))


def test_whole_layers_are_sound_whatever_is_learned():
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(40, 300, generator=generator) * torch.logspace(-4, 3, 40)[:, None]
    layer = whole_layer(weight, 1000 * torch.randn(40, generator=generator), 255)
    assert layer.weight.abs().max() <= LARGEST and (layer.weight == layer.weight.round()).all()
    sums = layer.weight.abs().sum(1) * 255
    assert (sums < 2**24).all()
    assert (sums[torch.from_numpy(layer.shift) > 1] < 2**23).all()
    assert layer.shift.min() == 1 and layer.shift.max() == 14


def test_errors_are_those_of_what_decodes(init):
    [level] = init.levels
    planes = torch.rand(3, 32, 24, generator=torch.Generator().manual_seed(2)) - 0.5
    example = encoded(init, planes, 60, 0)
    found = shown_errors(level, restore_params(level.restore), [example, example])
    layers = torch.from_numpy(region_layers(level, example.symbols, 60)) * WEIGHT_UNIT
    wanted = (Canvas(level, ((True, True),) * 2)(layers)[:, 4:-4, 4:-4] - planes).square().mean()
    torch.testing.assert_close(found, wanted.expand(2), rtol=1e-4, atol=0)


def test_tuning_brings_the_error_down_and_leaves_the_rest(init, crops):
    tuner = RestoreTuner(init, spoiled(init), crops, CONFIG)
    examples = [e for step in range(4) for e in tuner.examples(1000 + step)]
    before = shown_errors(tuner.level, tuner.average, examples).mean()
    tuner.run()
    assert shown_errors(tuner.level, tuner.average, examples).mean() < before
    made = tuner.with_restore(tuner.average)
    assert made.levels[0].trunk is init.levels[0].trunk and made.levels[0].prior is init.levels[0].prior
    made.validate()


def test_resumed_tuning_is_the_same(init, crops, tmp_path):
    whole = RestoreTuner(init, spoiled(init), crops, CONFIG)
    whole.run(until=6)
    first = RestoreTuner(init, spoiled(init), crops, CONFIG)
    first.run(until=3, checkpoint=tmp_path / "c")
    second = RestoreTuner(init, restore_params(init.levels[0].restore), crops, CONFIG)
    second.resume(tmp_path / "c")
    second.run(until=6)
    assert second.at == 6 and second.loss == whole.loss
    assert all(torch.equal(second.average[n], whole.average[n]) for n in whole.average)


def test_a_checkpoint_of_another_network_is_refused(init, crops, tmp_path):
    tuner = RestoreTuner(init, spoiled(init), crops, CONFIG)
    tuner.save(tmp_path / "c")
    [level] = init.levels
    fewer = replace(level, restore=replace(level.restore, blocks=()))
    other = replace(init, levels=(fewer,))
    with pytest.raises(CorruptError, match="another D"):
        RestoreTuner(other, restore_params(fewer.restore), crops, CONFIG).resume(tmp_path / "c")


def test_gradients_pass_the_rounding(init):
    params = {n: p.requires_grad_() for n, p in restore_params(init.levels[0].restore).items()}
    whole_restore(params).leave.weight.sum().backward()
    assert params["d.out.weight"].grad.abs().min() > 0
