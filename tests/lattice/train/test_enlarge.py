"""Training of X alone, for all tunes of an init, which otherwise stays as it is."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import init as init_path
from helpers import painting
from PIL import Image

from lattice.tiny_lattices import path_of
from lattice.train.test_looks import config_of
from nfcodec import zoo
from nfcodec.errors import OptionError
from nfcodec.lattice.enlarge import detail, detail_shapes, detail_size
from nfcodec.lattice.filtered import Filtered
from nfcodec.lattice.order import QUALITY_LEVELS
from nfcodec.lattice.stored_init import contents
from nfcodec.lattice.train.config import DetailConfig, PerceptionConfig
from nfcodec.lattice.train.export import params_of
from nfcodec.lattice.train.halves import Encoded, Tuned
from nfcodec.lattice.train.model import LatticeModel
from nfcodec.train.training import finished, new_trainer
from nfcodec.zoo import read_init, write_init

DETAIL = DetailConfig(width=4, blocks=1, steps=4, batch=2, crop=24, lowest=40, ring=2, shown=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(2):
        Image.fromarray(painting(140, 150, i)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def both():
    """An init of two tunes, the second with larger steps."""
    tiny = zoo.load(path_of("colour"))
    [level] = tiny.levels
    coarser = dataclasses.replace(level, log_step=(level.log_step + 100).astype(np.int16))
    return dataclasses.replace(tiny, perceptual=dataclasses.replace(tiny, levels=(coarser,)))


def trainer_of(init, folder, detail=DETAIL, **parts):
    config = config_of(init)
    outer = dataclasses.replace(config.outer, steps=0)
    config = dataclasses.replace(config, outer=outer, detail=detail, perception=PerceptionConfig(), **parts)
    return config, new_trainer(config, folder, begin=init)


def trained(init, folder, **parts):
    config, trainer = trainer_of(init, folder, **parts)
    trainer.run()
    return finished(config, trainer)


def test_nothing_but_x_changes(both, folder, tmp_path):
    made = trained(both, folder)
    write_init(made, tmp_path / "made.safetensors")
    made = read_init(tmp_path / "made.safetensors")
    before, after = contents(both)[0], contents(made)[0]
    new = {n for n in after if n not in before}
    assert new and all("/detail/" in n for n in new)
    assert all(np.array_equal(after[n], before[n]) for n in before)
    assert detail_size(made.levels[0].detail) == (4, 1, 3, 3)
    # Weights are stored once, biases of the second tune apart from those of the first.
    assert {n for n in new if n.startswith("perceptual")} == {f"perceptual/0/detail/{n}.bias" for n in ("in", "0")}
    assert after["0/detail/out.weight"].any()


def test_one_seed_is_one_result_with_one_tune_too(folder):
    once, again = (trained(zoo.load(path_of("colour")), folder) for _ in range(2))
    assert once.perceptual is None
    assert all(np.array_equal(again.levels[0].detail[n], a) for n, a in once.levels[0].detail.items())


def test_resumed_equals_uninterrupted(both, folder, tmp_path):
    whole = trained(both, folder)
    trainer_of(both, folder)[1].run(checkpoint=tmp_path / "c", until=2)
    config, trainer = trainer_of(both, folder)
    trainer.resume(tmp_path / "c")
    assert trainer.at == 2
    trainer.run()
    again = finished(config, trainer)
    for one, other in ((whole, again), (whole.perceptual, again.perceptual)):
        assert all(np.array_equal(one.levels[0].detail[n], other.levels[0].detail[n]) for n in one.levels[0].detail)


def test_it_learns(folder):
    tiny = zoo.load(path_of("colour"))
    _, trainer = trainer_of(tiny, folder, dataclasses.replace(DETAIL, width=8, steps=60, batch=4, crop=64, lr=5e-3))
    first = float(trainer.detail_trainer().loss(1000).detach())
    trainer.run()
    assert first == pytest.approx(1.0, abs=1e-3)
    assert float(trainer.detail_trainer().loss(1000).detach()) < 0.98


def test_x_is_trained_on_what_y_makes():
    """Pictures as the decoder shows them, at their own size and at twice that, without X."""
    init = zoo.load(init_path("filtered-lattice")).tuned("psnr")
    model, [level] = LatticeModel.of(config_of(init)), init.levels
    plain, own = (Tuned(model, params_of(init), {}, y) for y in (None, level.filter))
    planes = model.to_planes(torch.from_numpy(painting(32, 40, 3).astype(np.float32) / 255)[None].movedim(-1, 1))
    before, after = plain.shown(planes, [50]), own.shown(planes, [50])
    added = [a - b for a, b in zip(after, before, strict=True)]
    whole = before[0][0].double().numpy() * 2.0**32
    expected = (level.filter(np.rint(whole), 50) - whole) * 2.0**-32
    np.testing.assert_allclose(added[0][0], expected, atol=1e-6)
    assert added[0].abs().max() > 1e-3
    coded = lambda index: whole[:, index[0][:, None], index[1]]  # noqa: E731
    filtered = Filtered(level.filter, 50, (32, 40), coded, lambda _: None)
    twice = [np.arange(n) / 2 + 0.25 for n in (64, 80)]
    np.testing.assert_allclose(added[1][0], filtered.window([(0, 32), (0, 40)]).between(twice), atol=1e-5)


def test_a_part_is_the_same_part_of_both():
    native = torch.arange(3 * 20 * 24).reshape(3, 20, 24).float()
    missing = native.repeat_interleave(2, 1).repeat_interleave(2, 2)
    random = np.random.default_rng(0)
    found = [Encoded(native, missing, 1.0, 50, 0).part(random, 8) for _ in range(40)]
    for part, wide in found:
        assert part.shape == (3, 8, 8) and torch.equal(part.repeat_interleave(2, 1).repeat_interleave(2, 2), wide)
    corners = [(p[0, 0, 0].item(), p[0, 0, 1].item(), p[0, 1, 0].item()) for p, _ in found]
    assert len({(a > b, a > c, abs(a - b) == 1) for a, b, c in corners}) == 8  # all turns of a square
    whole, _ = Encoded(native, missing, 1.0, 50, 0).part(random, 64)
    assert sorted(whole.shape) == [3, 20, 24]


def test_not_together_with_a_perceptual_tune(both, folder):
    config = dataclasses.replace(config_of(both), detail=DETAIL)
    with pytest.raises(OptionError, match="one after the other"):
        new_trainer(config, folder, begin=both)


def test_x_grows_from_the_one_there_is(folder):
    """With more layers, of all planes, it shows nearly the same at first, in the planes that it had."""
    tiny = zoo.load(path_of("colour"))
    [level], rng = tiny.levels, np.random.default_rng(0)
    shapes = detail_shapes(4, 1, 1, 1, QUALITY_LEVELS)
    small = {n: (0.3 * rng.standard_normal(s)).astype(np.float32) for n, s in shapes.items()}
    own = dataclasses.replace(tiny, levels=(dataclasses.replace(level, detail=small),))
    _, trainer = trainer_of(own, folder, dataclasses.replace(DETAIL, blocks=3))
    [large] = trainer.detail_trainer().trained()
    assert detail_size(large) == (4, 3, 3, 3)
    planes, hats = rng.standard_normal((1, 3, 20, 24)).astype(np.float32), level.hats(60)
    before = detail(small, planes[:, :1], hats)
    after = detail(large, torch.from_numpy(planes), torch.from_numpy(hats)).numpy()
    assert np.abs(after[:, :1] - before).max() < 0.1 * np.abs(before).max() and not after[:, 1:].any()
    _, trainer = trainer_of(own, folder, dataclasses.replace(DETAIL, blocks=3, shown=1))
    [luma] = trainer.detail_trainer().trained()
    assert detail_size(luma) == (4, 3, 3, 1) and torch.equal(luma["out.weight"], large["out.weight"][:4])
    _, trainer = trainer_of(own, folder, dataclasses.replace(DETAIL, width=7))
    [wide] = trainer.detail_trainer().trained()
    assert detail_size(wide) == (7, 1, 3, 3) and wide["0.weight"][4:].any()
    # In doubles: numbers up to 8 in single precision may differ by more than what is allowed.
    precise = [torch.from_numpy(x).double() for x in (planes, hats)]
    after = detail({n: p.double() for n, p in wide.items()}, *precise)
    alone = {n: torch.from_numpy(p).double() for n, p in small.items()}
    np.testing.assert_allclose(after[:, :1], detail(alone, precise[0][:, :1], precise[1]), rtol=0, atol=1e-6)
    _, trainer = trainer_of(own, folder, dataclasses.replace(DETAIL, width=3))
    assert not trainer.detail_trainer().trained()[0]["out.weight"].any()
