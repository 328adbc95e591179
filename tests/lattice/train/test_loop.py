"""Meta-training of a lattice, small enough to run to its end in a second."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from modules.train.training import pictures, same

from nfcodec.errors import CorruptError, InputError, OptionError
from nfcodec.lattice import order
from nfcodec.lattice.code import RegionSymbols, predict, region_bits
from nfcodec.lattice.enlarge import detail
from nfcodec.lattice.fit.adapt import Plan, adapt_region
from nfcodec.lattice.fit.first_step import analysis
from nfcodec.lattice.fit.twin import FloatPrior, float_params
from nfcodec.lattice.fit.window import cut_window, mirrored
from nfcodec.lattice.regions import Layout
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import last_layers, to_planes
from nfcodec.lattice.tensors import tensors
from nfcodec.lattice.train import model as lm
from nfcodec.lattice.train.config import DetailConfig, LatticeConfig, NetworkConfig, OuterConfig, PruneConfig
from nfcodec.lattice.train.drawings import drawing
from nfcodec.lattice.train.export import export_lattice, whole_layer
from nfcodec.lattice.train.loop import LatticeTrainer, evaluate, schedule
from nfcodec.lattice.train.sparse import PRUNED, TrunkPruning
from nfcodec.lattice.train.start import lapped_basis, start_analysis, start_trunk
from nfcodec.lattice.train.tasks import Crops, load_crops
from nfcodec.lattice.trunk import LatticeSpec, table
from nfcodec.train.tables import DataConfig
from nfcodec.train.training import finished, load_config, new_trainer
from nfcodec.zoo import read_init, write_init

SPEC = LatticeSpec(width=24)
SMALL = NetworkConfig(d_width=6, d_blocks=1, e_width=6, e_blocks=1, hidden=4, mean_hidden=4)
CONFIG = LatticeConfig(
    id="tiny", field=SPEC, networks=SMALL, seed=3,
    outer=OuterConfig(steps=6, batch=2, crop=16, warmup=2, decay=0.5, double_every=2, fit=20, drawn=0.0),
    prune=PruneConfig(share=0.5, start=0.0, stop=0.5, every=1), detail=DetailConfig(width=4, steps=3, batch=2),
)  # fmt: skip


def crops(size=16):
    return Crops(pictures(height=48, width=40), size)


def state_of(trainer):
    state = {f"params/{n}": p.detach().clone() for n, p in trainer.params.items()}
    state |= {f"average/{n}": p.detach().clone() for n, p in trainer.average.items()}
    if trainer.detail is not None:
        state |= {n: p.detach().clone() for n, p in trainer.detail.state().items()}
    state["numbers"] = torch.tensor([trainer.at, trainer.loss, trainer.error, trainer.bits], dtype=torch.float64)
    return state


def trained(config=CONFIG, until=None):
    trainer = LatticeTrainer(config, crops(config.outer.crop))
    trainer.run(until=until)
    return trainer


@pytest.fixture(scope="module")
def whole():
    torch.set_num_threads(1)
    return state_of(trained())


def test_one_seed_is_one_result(whole):
    assert same(state_of(trained()), whole)
    assert not same(state_of(trained(dataclasses.replace(CONFIG, seed=4))), whole)


@pytest.mark.parametrize("at", range(1, 9))
def test_resumed_equals_uninterrupted(whole, tmp_path, at):
    """Interrupted after any step, of the outer loop and of X."""
    checkpoint = tmp_path / "state.ckpt"
    first = LatticeTrainer(CONFIG, crops())
    first.run(checkpoint=checkpoint, until=at)
    second = LatticeTrainer(CONFIG, crops())
    second.resume(checkpoint)
    assert second.at == at
    assert same(state_of(second), state_of(first))
    second.run(checkpoint=checkpoint, every=0.0)
    assert same(state_of(second), whole)


def test_a_checkpoint_of_something_else(tmp_path):
    checkpoint = tmp_path / "state.ckpt"
    trainer = LatticeTrainer(CONFIG, crops())
    trainer.run(checkpoint=checkpoint, until=1)
    other = dataclasses.replace(CONFIG, outer=dataclasses.replace(CONFIG.outer, lr=0.5))
    with pytest.raises(OptionError, match="another config"):
        LatticeTrainer(other, crops()).resume(checkpoint)
    del trainer.average["log_gain"]
    trainer.save(checkpoint)
    with pytest.raises(CorruptError, match="average/log_gain"):
        LatticeTrainer(CONFIG, crops()).resume(checkpoint)
    checkpoint.write_bytes(b"nothing of the kind")
    with pytest.raises(CorruptError, match=r"state\.ckpt"):
        LatticeTrainer(CONFIG, crops()).resume(checkpoint)


def test_training_learns():
    outer = dataclasses.replace(CONFIG.outer, steps=60, lr=1e-2, double_every=0)
    trainer = LatticeTrainer(dataclasses.replace(CONFIG, outer=outer), crops())
    images = pictures(2, 48, 48)
    trainer.run(until=1)
    before = evaluate(trainer.model, trainer.params, images, (50,))[0]
    trainer.run(until=60)
    after = evaluate(trainer.model, trainer.params, images, (50,))[0]
    trade = float(lm.trade_off(torch.tensor(50.0)))
    assert cost(after, trade) < 0.8 * cost(before, trade)


def cost(row, trade):
    _, bpp, psnr = row
    return bpp + 10 ** (-psnr / 10) / trade


def test_schedule():
    outer = OuterConfig(steps=100, warmup=4, decay=0.5)
    assert [schedule(outer, i) for i in (0, 3, 4, 50)] == [0.25, 1.0, 1.0, 1.0]
    assert schedule(outer, 75) == pytest.approx(0.5)
    assert schedule(outer, 100) == pytest.approx(0.0)


# -- the start -----------------------------------------------------------------------------------------------
def test_the_start_is_orthonormal_with_its_own_shifts():
    basis = lapped_basis()
    for shift in (0, 8):
        product = basis[:, shift:] @ basis[:, : 16 - shift].T
        assert np.allclose(product, np.eye(8) if shift == 0 else 0.0, atol=1e-12)


def test_the_start_reproduces_pictures():
    """Analysis, then synthesis with the same functions, loses nothing: the lapped basis inverts itself."""
    params = start_analysis() | {"log_gain": torch.zeros(3, 64), "log_again": torch.zeros(0, 3, 64)}
    planes = torch.randn(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    functions = torch.cat([params["analysis.luma"], params["analysis.chroma"]])
    weights = lm.analyse(SPEC, params, planes, functions).flatten(1, 2)
    assert torch.allclose(lm.render(SPEC, weights, functions, (8, 8)), planes, atol=1e-5)


def test_the_trunk_is_fitted_to_the_start():
    spec = LatticeSpec(width=48)
    errors = []
    for iterations in (5, 400):
        params = start_trunk(spec, torch.Generator().manual_seed(0), iterations)
        got, wanted = table(spec, params, (8, 8)), torch.cat([start_analysis()["analysis.luma"]] * 2)
        errors.append(float((got - wanted).square().sum() / wanted.square().sum()))
    assert errors[1] < 0.5 < 0.8 < errors[0]


# -- pruning -------------------------------------------------------------------------------------------------
def test_pruning_grows_to_its_share_and_never_revives():
    pruning = TrunkPruning(PruneConfig(share=0.5, start=0.1, stop=0.6, every=3), 30)
    generator = torch.Generator().manual_seed(0)
    params = {n: torch.randn(10, 10, generator=generator) for n in PRUNED}
    gone = torch.zeros(10, 10, dtype=torch.bool)
    counts = []
    for step in range(30):
        params = {n: p + 0.1 * torch.randn(10, 10, generator=generator) for n, p in params.items()}
        pruning.apply(params, step)
        now = params[PRUNED[0]] == 0
        assert (now & gone).sum() == gone.sum()
        gone = now
        counts.append(int(gone.sum()))
    assert counts[3] == 0
    assert counts[-1] == 50
    assert counts[9] > 25  # a cubic is fast at first
    assert all(a == b for a, b in zip(counts[6:], counts[7:], strict=False) if counts.index(b) % 3)


def test_pruning_takes_the_smallest():
    weight = torch.arange(1.0, 101.0).view(10, 10)
    params = {n: weight.clone() for n in PRUNED}
    TrunkPruning(PruneConfig(share=0.3, start=0.0, stop=0.0, every=1), 10).apply(params, 5)
    assert torch.equal(params[PRUNED[1]] == 0, weight <= 30)


def test_pruned_weights_are_zero_in_the_init():
    trainer = trained(until=6)
    init = export_lattice(trainer.model, trainer.shipped(), name="x")
    for name in PRUNED:
        zeros = init.levels[0].trunk[name] == 0
        np.testing.assert_array_equal(zeros, trainer.params[name].detach() == 0)
        assert 0.45 < zeros.mean() <= 0.5


# -- data ----------------------------------------------------------------------------------------------------
def test_batches_depend_on_seed_and_step_alone():
    a, b = crops().batch(1, 5, 3, double=False), crops().batch(1, 5, 3, double=False)
    assert torch.equal(a.rgb, b.rgb)
    assert torch.equal(a.quality, b.quality)
    assert not torch.equal(a.rgb, crops().batch(1, 6, 3, double=False).rgb)
    assert a.rgb.shape == (3, 3, 16, 16)
    assert a.larger is None
    assert 0 <= float(a.rgb.min()) < float(a.rgb.max()) <= 1


def test_halved_crops_belong_to_their_originals():
    batch = crops().batch(1, 0, 2, double=True)
    assert batch.larger.shape == (2, 3, 32, 32)
    means = torch.nn.functional.avg_pool2d(batch.larger, 2)
    assert float((means - batch.rgb).abs().mean()) < 0.02


def test_pairs():
    pair = crops().pairs(1, 0, 2, lowest=60)
    assert pair.small.shape == (2, 3, 16, 16)
    assert pair.large.shape == (2, 1, 32, 32)
    assert 60 <= pair.quality <= 100
    means = torch.nn.functional.avg_pool2d(pair.large, 2)
    assert float((means - pair.small[:, :1]).abs().mean()) < 0.03


def test_pictures_must_be_large_enough(tmp_path):
    with pytest.raises(InputError, match="64 × 64"):
        crops(32)
    with pytest.raises(OptionError, match="video"):
        load_crops(tmp_path, DataConfig(modality="video"), OuterConfig(crop=16))


def test_a_share_of_the_crops_is_drawn():
    grey = [np.full((64, 64, 3), 100, np.uint8)]
    mixed = Crops(grey, 16, drawn=0.5, drawings=6)
    colours = [float(b.std()) > 1e-3 for i in range(40) for b in mixed.batch(0, i, 1, double=False).rgb]
    assert 5 < sum(colours) < 30
    assert not any(float(Crops(grey, 16).batch(0, i, 1, double=False).rgb.std()) > 1e-6 for i in range(5))


def test_drawings_are_functions_of_their_seed():
    for seed in range(12):
        once = drawing(seed)
        assert once.shape == (512, 512, 3) and once.dtype == np.uint8
        assert np.array_equal(once, drawing(seed))
        assert once.std() > 1
    assert not np.array_equal(drawing(0), drawing(6))


# -- export --------------------------------------------------------------------------------------------------
def random_params(seed=0):
    """Networks that do something, on a fitted trunk."""
    model = lm.LatticeModel(SPEC, SMALL)
    generator = torch.Generator().manual_seed(seed)
    params = lm.new_params(model, generator) | start_trunk(SPEC, generator, 30) | start_analysis()
    for name, p in params.items():
        if ".out." in name or name.endswith("bias"):
            params[name] = p + 0.1 * torch.randn(p.shape, generator=generator)
    return model, params


def test_the_float_prior_and_the_integer_one_agree():
    model, params = random_params()
    [level] = export_lattice(model, params, name="x").levels
    rng = np.random.default_rng(0)
    symbols = np.rint(rng.laplace(size=(3, 64, 6, 5)) * 2.0 / (1 + np.arange(64))[:, None, None]).astype(np.int32)
    bits = region_bits(predict(level.prior, RegionSymbols(symbols, 40, 3)), symbols).sum()
    q = torch.from_numpy(symbols.astype(np.float32))[None]
    prior = FloatPrior((6, 5), 1)
    floats = float(prior.bits(params, q, lm.hats(torch.tensor([40.0])), q))
    assert abs(bits / floats - 1.0) < 0.03
    again = float(prior.bits(float_params(level.prior), q, lm.hats(torch.tensor([40.0])), q))
    assert abs(bits / again - 1.0) < 0.03
    assert all(torch.allclose(p, params[n], atol=0.02) for n, p in float_params(level.prior).items())


def test_the_encoder_takes_the_first_step_that_was_trained():
    model, params = random_params()
    init = export_lattice(model, params, name="x")
    rgb = torch.from_numpy(pictures(1, 24, 32)[0].astype(np.float32) / 255.0)
    layout = Layout.of((24, 32), (8, 8))
    wide = mirrored(to_planes(rgb), layout, (8, 8))
    window = cut_window(wide, (24, 32), layout, layout.region(0), (8, 8))
    symbols = adapt_region(init, window, analysis(init.levels[0], window), Plan.of(40, 1), planes=3)
    h = lm.hats(torch.tensor([40.0]))
    weights = lm.analyse(SPEC, params, to_planes(rgb)[None], table(SPEC, params, (8, 8)))
    y = weights / lm.steps(params, h)[..., None, None]
    expected = torch.round(lm.correct(params, 1, y, h))[0]
    assert float((torch.from_numpy(symbols) - expected).abs().mean()) < 1e-3
    shown = lm.synthesis(params, expected[None], h)
    level = init.levels[0]
    found = last_layers(level, expected.numpy().astype(np.int32), 40) * WEIGHT_UNIT
    # Steps of the init are rounded to 256ths of an octave.
    assert np.abs(found - shown[0].numpy()).max() < 0.002 * np.abs(found).max()


def test_whole_layers_are_exact_and_close():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(7, 20)), rng.normal(size=7)
    layer = whole_layer(weight, bias, 127, 8)
    assert np.abs(layer.weight).max() <= 127
    x = rng.integers(-127, 128, (20, 50)).astype(np.float32)
    assert np.abs(layer(x) - (weight @ x + bias[:, None])).mean() < 0.01 * 127 * math.sqrt(20)


def test_from_training_to_a_file_and_back(tmp_path):
    trainer = trained()
    init = finished(trainer.config, trainer)
    write_init(init, tmp_path / "i.safetensors")
    back = read_init(tmp_path / "i.safetensors")
    assert back.kind == "lattice"
    assert back.trade_off(0) == pytest.approx(lm.LAMBDA_0)
    [ours], [theirs] = init.levels, back.levels
    assert all(np.array_equal(theirs.trunk[n], ours.trunk[n]) for n in ours.trunk)
    plane, hats = torch.rand(1, 1, 12, 12), torch.from_numpy(ours.hats(40))
    shown = [detail(tensors(level.detail), plane, hats) for level in (ours, theirs)]
    assert torch.allclose(*shown, atol=1e-3)
    assert len(theirs.prior.groups) == len(order.PASSES)


def test_no_detail_where_none_is_trained():
    config = dataclasses.replace(CONFIG, detail=DetailConfig(steps=0))
    assert not finished(config, trained(config)).levels[0].detail


# -- configs -------------------------------------------------------------------------------------------------
def write(tmp_path, body):
    path = tmp_path / "c.toml"
    path.write_text('id = "x"\n' + body)
    return path


def test_a_config_file_makes_a_trainer(tmp_path):
    from PIL import Image

    for i, picture in enumerate(pictures(2, 48, 40)):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    body = '[field]\nkind = "lattice"\nwidth = 24\nw0 = 9\n[outer]\ncrop = 16\nsteps = 3\n[detail]\nsteps = 0\n'
    config = load_config(write(tmp_path, body))
    assert config.field == LatticeSpec(width=24, w0=9.0)
    trainer = new_trainer(config, tmp_path)
    assert isinstance(trainer, LatticeTrainer)
    assert trainer.total == 3
    assert len(trainer.crops.pictures) == 2


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ('[field]\nkind = "lattice"\nwdth = 3\n', "field"),
        ('[field]\nkind = "lattice"\nspacing = [7, 8]\n', "field"),
        ('[field]\nkind = "lattice"\n[inner]\nsteps = 3\n', "inner"),
        ('[field]\nkind = "lattice"\n[outer]\nstep = 3\n', "outer.step"),
        ('[field]\nkind = "lattice"\n[prune]\nshare = "half"\n', "prune.share"),
    ],
)
def test_wrong_configs(tmp_path, body, what):
    with pytest.raises(OptionError, match=what):
        load_config(write(tmp_path, body))
