"""Training to look well: the score, where it starts, what it makes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import init as path_of
from helpers import painting
from PIL import Image

from nfcodec import zoo
from nfcodec.errors import OptionError
from nfcodec.lattice.order import order_of
from nfcodec.lattice.train.config import (
    BootstrapConfig,
    DetailConfig,
    LatticeConfig,
    NetworkConfig,
    OuterLoop,
    PerceptionConfig,
)
from nfcodec.lattice.train.config import Field as LatticeField
from nfcodec.lattice.train.export import with_wider
from nfcodec.lattice.train.looks import points_lost, started
from nfcodec.lattice.train.perception import score
from nfcodec.train.training import finished, new_trainer


def values(seed=0, size=96):
    return torch.from_numpy(painting(size, size, seed).astype(np.float32) / 255).permute(2, 0, 1)[None]


def noisy(picture, size, seed=0):
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))
    return (picture + size * noise).clamp(0, 1)


def test_score_of_the_same_picture_is_100():
    picture = values()
    assert score(picture, picture).item() == pytest.approx(100.0, abs=0.5)


def test_score_falls_with_noise_and_blur():
    picture = values(1)
    noise = [score(picture, noisy(picture, s)).item() for s in (0.01, 0.03, 0.1)]
    blur = [score(picture, F.avg_pool2d(picture, k, 1, k // 2, count_include_pad=False)).item() for k in (3, 5)]
    assert 100 > noise[0] > noise[1] > noise[2] and 100 > blur[0] > blur[1]


def test_score_is_of_each_picture_alone():
    a, b = values(1), values(2)
    both = score(torch.cat([a, b]), torch.cat([noisy(a, 0.02), noisy(b, 0.05)]))
    assert both[1].item() == pytest.approx(score(b, noisy(torch.cat([a, b]), 0.05)[1:]).item(), abs=8)
    assert both.shape == (2,)


def test_gradient_leads_to_a_better_score():
    picture = values(3)
    shown = noisy(picture, 0.05).requires_grad_()
    before = score(picture, shown).sum()
    before.backward()
    assert torch.isfinite(shown.grad).all()
    with torch.no_grad():
        after = score(picture, shown + 1e-3 * shown.grad / shown.grad.abs().mean())
    assert after.item() > before.item()


def test_clipped_and_equal_samples_have_finite_slopes():
    picture = torch.zeros(1, 3, 64, 64)
    shown = torch.full((1, 3, 64, 64), -0.2, requires_grad=True)
    score(picture, shown).sum().backward()
    assert torch.isfinite(shown.grad).all()


def test_score_goes_with_that_of_the_tool(tmp_path):
    tool = pytest.importorskip("ssimulacra2")
    picture, found = painting(128, 128, 4), []
    Image.fromarray(picture).save(tmp_path / "a.png")
    for quality in (10, 30, 60, 90):
        Image.fromarray(picture).save(tmp_path / "b.jpg", quality=quality)
        coded = Image.open(tmp_path / "b.jpg").convert("RGB")
        coded.save(tmp_path / "b.png")
        a, b = (torch.from_numpy(np.asarray(x, np.float32) / 255).permute(2, 0, 1)[None] for x in (picture, coded))
        theirs = tool.compute_ssimulacra2(str(tmp_path / "a.png"), str(tmp_path / "b.png"))
        found.append((theirs, score(a, b).item()))
    theirs, ours = np.array(found).T
    assert (np.diff(theirs) > 0).all() and (np.diff(ours) > 0).all()
    assert np.abs(theirs - ours)[1:].max() < 10  # at the lowest quality the borders of so small a picture tell


def test_a_point_is_worth_more_rate_where_quality_is_high():
    config, picture = PerceptionConfig(share=1.0), values(5)
    shown = noisy(picture, 0.03)
    low, high = (points_lost(config, shown, picture, torch.tensor([q])).item() for q in (10.0, 90.0))
    assert high > 2 * low > 0


@pytest.fixture(scope="module")
def tiny():
    """With a second inner step, as shipped inits have it."""
    found = zoo.load(path_of("tiny-lattice"))
    [level] = found.levels
    again = {"log_again": np.full((1, 3, 64), -1.0, np.float32)}
    return replace(found, levels=(replace(level, first_step=level.first_step | again),))


def test_where_it_starts(tiny):
    [level] = tiny.levels
    config = PerceptionConfig(share=1.0, finer_low=0.0, finer_high=0.0, highest=3.0, chroma=0.5, masking=0.25)
    found = started(config, level)
    grown = found["log_step"].numpy() - level.log_step / 256
    sums = np.array(order_of(level.spec).frequencies).sum(1)
    np.testing.assert_allclose(grown[:, 0], np.broadcast_to(np.log2(1 + 2 * sums / 14), (8, 64)), atol=1e-5)
    np.testing.assert_allclose(grown[:, 1:], np.repeat(grown[:, :1] - 1, 2, 1), atol=1e-5)
    assert (found["masking"][:, :, 0] == 0).all() and (found["masking"][:, :, 1:] == 0.25).all()


def test_finer_steps_are_those_of_higher_qualities(tiny):
    [level] = tiny.levels
    config = PerceptionConfig(share=1.0, finer_low=100 / 7, finer_high=100 / 7, highest=1.0, chroma=1.0)
    found = started(config, level)["log_step"].numpy() * 256
    np.testing.assert_allclose(found[:-1], level.log_step[1:], atol=1e-2)
    beyond = 2 * level.log_step[-1].astype(int) - level.log_step[-2]
    np.testing.assert_allclose(found[-1], beyond, atol=1e-2)


def config_of(tiny):
    [level] = tiny.levels
    first = level.first_step
    networks = NetworkConfig(
        inner_steps=level.inner_steps, d_width=len(level.restore.enter.bias), d_blocks=len(level.restore.blocks),
        e_width=len(first["e.in.bias"]), e_blocks=level.correction_blocks,
        hidden=len(level.prior.groups[0].layers[0].bias), mean_hidden=len(level.prior.means[0].layers[0].bias),
    )  # fmt: skip
    outer = OuterLoop(steps=2, batch=2, crop=64, warmup=1, double_every=0, drawn=0.0, lr=1e-3)
    return LatticeConfig(
        "test-lattice", LatticeField((level.spec,)), networks=networks, outer=outer, context=level.context,
        detail=DetailConfig(steps=0), perception=PerceptionConfig(share=0.75),
    )  # fmt: skip


def test_training_makes_the_perceptual_tune_alone(tiny, tmp_path):
    for i, kind in enumerate(("jpg", "png")):
        (tmp_path / kind).mkdir()
        Image.fromarray(painting(140, 150, i)).save(tmp_path / kind / f"a.{kind}")
    config = config_of(tiny)
    trainer = new_trainer(config, [tmp_path / "jpg", tmp_path / "png"], begin=tiny)
    assert len(trainer.pieces.pictures) == 2
    trainer.run()
    made = finished(config, trainer)
    [old], [plain], [own] = tiny.levels, made.levels, made.perceptual.levels
    assert plain is old and made.trade == tiny.trade
    np.testing.assert_array_equal(own.table, old.table)
    np.testing.assert_array_equal(own.first_step["analysis.0"], old.first_step["analysis.0"])
    assert (own.log_step != old.log_step).any() and (own.masking != 77)[:, :, 1:].any()
    made.validate()
    again = new_trainer(config, tmp_path, begin=made)
    again.start()
    np.testing.assert_allclose(again.params["0.masking"].detach() * 256, own.masking, atol=1e-4)


def test_the_other_tune_is_trained_alone(tiny, tmp_path):
    """What both have in common stays as it is, and so do the spacings that it may have."""
    Image.fromarray(painting(140, 150)).save(tmp_path / "a.png")
    [level] = tiny.levels
    both = with_wider(replace(tiny, perceptual=replace(tiny, levels=(replace(level, detail={}),))), (12,))
    config = replace(config_of(tiny), perception=PerceptionConfig())
    trainer = new_trainer(config, tmp_path, begin=both)
    trainer.run()
    made = finished(config, trainer)
    [new], [own] = made.levels, made.perceptual.levels
    np.testing.assert_array_equal(new.table, level.table)
    np.testing.assert_array_equal(new.trunk["trunk.1.weight"], level.trunk["trunk.1.weight"])
    np.testing.assert_array_equal(new.first_step["analysis.1"], level.first_step["analysis.1"])
    assert (new.log_step != level.log_step).any() or (new.prior.groups[0].layers[0].weight != 0).any()
    np.testing.assert_array_equal(own.log_step, level.log_step)
    assert made.spacings == made.perceptual.spacings == (12,)
    moved = [not np.array_equal(a.weight, b.weight) for a, b in zip(
        new.restore.layers.values(), level.restore.layers.values(), strict=True)]  # fmt: skip
    assert any(moved)


def test_it_needs_an_init_to_go_on_from(tiny, tmp_path):
    with pytest.raises(OptionError, match="--from"):
        new_trainer(config_of(tiny), tmp_path)


def test_it_takes_no_bootstrapped_target(tiny, tmp_path):
    config = replace(config_of(tiny), bootstrap=BootstrapConfig(rounds=1))
    with pytest.raises(OptionError, match="squared errors"):
        new_trainer(config, tmp_path, begin=tiny)


def test_minutes_end_a_run(tiny, tmp_path):
    Image.fromarray(painting(140, 150)).save(tmp_path / "a.png")
    config = config_of(tiny)
    config = replace(config, outer=replace(config.outer, steps=1000))
    trainer = new_trainer(config, tmp_path, begin=tiny)
    trainer.run(minutes=1e-4)
    assert trainer.at == 1 and trainer.hurry >= 1.0
    finished(config, trainer).validate()
