"""Meta-training of a lattice, small enough to run to its end in a second."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import sound
from modules.train.training import pictures, same

from nfcodec import zoo
from nfcodec.errors import CorruptError, InputError, OptionError
from nfcodec.lattice.code import RegionSymbols, predict, region_bits
from nfcodec.lattice.enlarge import detail
from nfcodec.lattice.fit.adapt import Plan, adapt_region
from nfcodec.lattice.fit.first_step import analysis, descend
from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.fit.twin import FloatPrior, float_params
from nfcodec.lattice.fit.window import cut_window, mirrored
from nfcodec.lattice.planes import OPPONENT_SET
from nfcodec.lattice.space import Space
from nfcodec.lattice.spec import MID_SIDE, OPPONENT, PLAIN, LatticeSpec
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import last_layers
from nfcodec.lattice.train import model as lm
from nfcodec.lattice.train.config import DetailConfig, Field, LatticeConfig, NetworkConfig, OuterLoop, PruneConfig
from nfcodec.lattice.train.drawings import drawing
from nfcodec.lattice.train.export import export_lattice, params_of, whole_layer
from nfcodec.lattice.train.loop import LatticeTrainer, evaluate
from nfcodec.lattice.train.sparse import PRUNED, TrunkPruning
from nfcodec.lattice.train.start import lapped_basis, start_analysis, start_trunk
from nfcodec.lattice.train.tasks import Crops, Stretches, load_pieces
from nfcodec.lattice.trunk import render, table, unfold
from nfcodec.train.running import NOTHING, schedule, smooth
from nfcodec.train.settings import DataConfig
from nfcodec.train.training import finished, load_config, new_trainer
from nfcodec.zoo import read_init, write_init

SPEC = LatticeSpec(width=24)
SMALL = NetworkConfig(d_width=6, d_blocks=1, e_width=6, e_blocks=1, hidden=4, mean_hidden=4)
CONFIG = LatticeConfig(
    id="tiny", field=Field((SPEC,)), networks=SMALL, seed=3,
    outer=OuterLoop(steps=6, batch=2, crop=16, warmup=2, decay=0.5, double_every=2, fit=20, drawn=0.0),
    prune=PruneConfig(share=0.5, start=0.0, stop=0.5, every=1),
    detail=DetailConfig(width=4, blocks=1, steps=3, batch=2, crop=8, ring=1),
)  # fmt: skip


def crops(size=16):
    return Crops(pictures(height=48, width=40), size)


def state_of(trainer):
    state = {f"params/{n}": p.detach().clone() for n, p in trainer.params.items()}
    state |= {f"average/{n}": p.detach().clone() for n, p in trainer.average.state_dict().items()}
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
    del trainer.average.module.get_submodule("0").log_gain
    trainer.save(checkpoint)
    with pytest.raises(CorruptError, match=r"0\.log_gain"):
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
    trade = float(trainer.model.trade_off(torch.tensor(50.0)))
    assert cost(after, trade) < 0.8 * cost(before, trade)


def cost(row, trade):
    _, bpp, psnr = row
    return bpp + 10 ** (-psnr / 10) / trade


def test_schedule():
    outer = OuterLoop(steps=100, warmup=4, decay=0.5)
    assert [schedule(outer, i) for i in (0, 3, 4, 50)] == [0.25, 1.0, 1.0, 1.0]
    assert schedule(outer, 75) == pytest.approx(0.5)
    assert schedule(outer, 100) == pytest.approx(0.0)


# -- the start -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("spacing", [2, 4, 8, 10, 64])
def test_the_start_is_orthonormal_with_its_own_shifts(spacing):
    basis = lapped_basis(spacing)
    for shift in (0, spacing):
        product = basis[:, shift:] @ basis[:, : 2 * spacing - shift].T
        assert np.allclose(product, np.eye(spacing) if shift == 0 else 0.0, atol=1e-12)


@pytest.mark.parametrize("spacing", [(8, 8), (6, 4), (10,), (2, 4, 4)])
def test_the_start_reproduces_signals(spacing):
    """Analysis, then synthesis with the same functions, loses nothing: the lapped basis inverts itself."""
    planes = {1: MID_SIDE, 2: OPPONENT, 3: PLAIN}[len(spacing)]
    spec = LatticeSpec.of(spacing=spacing, planes=planes)
    gains = len(planes), spec.bases
    params = start_analysis(spec) | {"log_gain": torch.zeros(gains), "log_again": torch.zeros(0, *gains)}
    signal = torch.randn(2, len(planes), *(3 * s for s in spacing), generator=torch.Generator().manual_seed(0))
    functions = torch.cat([params[f"analysis.{i}"] for i in range(spec.tables)])
    patches = unfold(signal.flatten(0, 1), spacing)
    weights = descend(spec, params, patches.reshape(2, len(planes), *patches.shape[1:]), lambda _: patches)
    assert torch.allclose(render(spec, weights.flatten(1, 2), functions, spacing), signal, atol=1e-5)


def test_the_trunk_is_fitted_to_the_start():
    spec = LatticeSpec(width=48)
    errors = []
    for iterations in (5, 400):
        params = start_trunk(spec, torch.Generator().manual_seed(0), iterations)
        got, wanted = table(spec, params, (8, 8)), torch.cat([start_analysis(spec)["analysis.0"]] * 2)
        errors.append(float((got - wanted).square().sum() / wanted.square().sum()))
    assert errors[1] < 0.5 < 0.8 < errors[0]


# -- pruning -------------------------------------------------------------------------------------------------
def test_pruning_grows_to_its_share_and_never_revives():
    pruning = TrunkPruning(PruneConfig(share=0.5, start=0.1, stop=0.6, every=3), 30)
    generator = torch.Generator().manual_seed(0)
    names = [f"0.{n}" for n in PRUNED]
    params = {n: torch.randn(10, 10, generator=generator) for n in names}
    gone = torch.zeros(10, 10, dtype=torch.bool)
    counts = []
    for step in range(30):
        params = {n: p + 0.1 * torch.randn(10, 10, generator=generator) for n, p in params.items()}
        pruning.apply(params, step)
        now = params[names[0]] == 0
        assert (now & gone).sum() == gone.sum()
        gone = now
        counts.append(int(gone.sum()))
    assert counts[3] == 0
    assert counts[-1] == 50
    assert counts[9] > 25  # a cubic is fast at first
    assert all(a == b for a, b in zip(counts[6:], counts[7:], strict=False) if counts.index(b) % 3)


def test_pruning_takes_the_smallest():
    weight = torch.arange(1.0, 101.0).view(10, 10)
    params = {f"0.{n}": weight.clone() for n in PRUNED}
    TrunkPruning(PruneConfig(share=0.3, start=0.0, stop=0.0, every=1), 10).apply(params, 5)
    assert torch.equal(params[f"0.{PRUNED[1]}"] == 0, weight <= 30)


def test_pruned_weights_are_zero_in_the_init():
    trainer = trained(until=6)
    init = export_lattice(trainer.model, trainer.shipped(), name="x")
    for name in PRUNED:
        zeros = init.levels[0].trunk[name] == 0
        np.testing.assert_array_equal(zeros, trainer.params[f"0.{name}"].detach() == 0)
        assert 0.45 < zeros.mean() <= 0.5


# -- data ----------------------------------------------------------------------------------------------------
def test_batches_depend_on_seed_and_step_alone():
    a, b = crops().batch(1, 5, 3, double=False), crops().batch(1, 5, 3, double=False)
    assert torch.equal(a.values, b.values)
    assert torch.equal(a.quality, b.quality)
    assert not torch.equal(a.values, crops().batch(1, 6, 3, double=False).values)
    assert a.values.shape == (3, 3, 16, 16)
    assert a.larger is None
    assert 0 <= float(a.values.min()) < float(a.values.max()) <= 1


def test_halved_crops_belong_to_their_originals():
    batch = crops().batch(1, 0, 2, double=True)
    assert batch.larger.shape == (2, 3, 32, 32)
    means = torch.nn.functional.avg_pool2d(batch.larger, 2)
    assert float((means - batch.values).abs().mean()) < 0.02


def test_pairs():
    pair = crops().pairs(1, 0, 2, lowest=60)
    assert pair.small.shape == (2, 3, 16, 16)
    assert pair.large.shape == (2, 3, 32, 32)
    assert all(60 <= quality <= 100 for quality in pair.qualities)
    means = torch.nn.functional.avg_pool2d(pair.large, 2)
    assert float((means - pair.small).abs().mean()) < 0.03


def test_pictures_must_be_large_enough(tmp_path):
    with pytest.raises(InputError, match="64 × 64"):
        crops(32)
    with pytest.raises(OptionError, match="video"):
        load_pieces(tmp_path, dataclasses.replace(CONFIG, data=DataConfig(modality="video")))


def test_enlarged_crops_are_soft():
    noise = [np.random.default_rng(i).integers(0, 256, (80, 80, 3)).astype(np.uint8) for i in range(3)]

    def roughness(crops):
        values = crops.batch(1, 2, 16, double=False).values
        return float((values[..., 1:] - values[..., :-1]).square().mean())

    plain, soft = Crops(noise, 32), Crops(noise, 32, enlarged=1.0)
    assert roughness(soft) < 0.6 * roughness(plain)
    assert soft.batch(1, 2, 4, double=True).larger.shape == (4, 3, 64, 64)
    np.testing.assert_array_equal(soft.batch(1, 2, 4, double=False).values, soft.batch(1, 2, 4, double=False).values)


def test_a_share_of_the_crops_is_drawn():
    grey = [np.full((64, 64, 3), 100, np.uint8)]
    mixed = Crops(grey, 16, drawn=0.5, drawings=6)
    colours = [float(b.std()) > 1e-3 for i in range(40) for b in mixed.batch(0, i, 1, double=False).values]
    assert 5 < sum(colours) < 30
    assert not any(float(Crops(grey, 16).batch(0, i, 1, double=False).values.std()) > 1e-6 for i in range(5))


def test_drawings_are_functions_of_their_seed():
    for seed in range(12):
        once = drawing(seed)
        assert once.shape == (512, 512, 3) and once.dtype == np.uint8
        assert np.array_equal(once, drawing(seed))
        assert once.std() > 1
    assert not np.array_equal(drawing(0), drawing(6))


# -- export --------------------------------------------------------------------------------------------------
MODEL = lm.LatticeModel.of(CONFIG)


def random_params(seed=0):
    """Networks that do something, on a fitted trunk."""
    generator = torch.Generator().manual_seed(seed)
    params = lm.new_params(MODEL, generator)
    basis = start_trunk(SPEC, generator, 30) | start_analysis(SPEC)
    params |= {f"0.{n}": p for n, p in basis.items()}
    for name, p in params.items():
        if ".out." in name or name.endswith("bias"):
            params[name] = p + 0.1 * torch.randn(p.shape, generator=generator)
    return MODEL, params


def test_the_float_prior_and_the_integer_one_agree():
    model, params = random_params()
    [level] = export_lattice(model, params, name="x").levels
    rng = np.random.default_rng(0)
    symbols = np.rint(rng.laplace(size=(3, 64, 6, 5)) * 2.0 / (1 + np.arange(64))[:, None, None]).astype(np.int32)
    bits = region_bits(predict(level.prior, RegionSymbols(symbols, 40, 3)), symbols).sum()
    q = torch.from_numpy(symbols.astype(np.float32))[None]
    prior, h = FloatPrior(level.prior.order, (6, 5), 1), torch.from_numpy(level.hats(40))[None]
    floats = float(prior.bits(lm.of_level(params, 0), q, h, q))
    assert abs(bits / floats - 1.0) < 0.03
    again = float(prior.bits(float_params(level.prior), q, h, q))
    assert abs(bits / again - 1.0) < 0.03
    assert all(torch.allclose(p, params[f"0.{n}"], atol=0.02) for n, p in float_params(level.prior).items())


def test_the_encoder_codes_what_was_trained_for():
    """Training calls the functions of encoder and decoder; what differs is the rounding of an init."""
    model, params = random_params()
    init = export_lattice(model, params, name="x")
    [level] = init.levels
    rgb = torch.from_numpy(pictures(1, 24, 32)[0].astype(np.float32) / 255.0)
    space, planes = Space.of((24, 32), SPEC), OPPONENT_SET.to_planes(rgb, 0.5)
    window = cut_window(mirrored(planes, space, (8, 8)), (24, 32), space, space.box(0), (8, 8))
    plan = Plan.of(40, 1)
    symbols = adapt_region(level, window, analysis(level, window), plan, planes=3, trade=plan.trade(init)).symbols
    trained = lm.encode_level(model, SPEC, lm.of_level(params, 0), planes[None], [40])
    assert float((torch.from_numpy(symbols) - trained.symbols[0]).abs().mean()) < 1e-3
    found = last_layers(level, trained.symbols.numpy().astype(np.int32), 40) * WEIGHT_UNIT
    # Steps of the init are rounded to 256ths of an octave.
    assert np.abs(found - trained.layers.numpy()).max() < 0.003 * np.abs(found).max()


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
    assert back.trade_off(0) == pytest.approx(CONFIG.outer.trade)
    [ours], [theirs] = init.levels, back.levels
    assert all(np.array_equal(theirs.trunk[n], ours.trunk[n]) for n in ours.trunk)
    plane, hats = torch.rand(1, 3, 12, 12), torch.from_numpy(ours.hats(40))
    shown = [detail(tensors(level.detail), plane, hats) for level in (ours, theirs)]
    assert torch.allclose(*shown, atol=1e-3)
    assert len(theirs.prior.groups) == len(SPEC.passes)


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
    assert config.field.levels == (LatticeSpec(width=24, w0=9.0),)
    trainer = new_trainer(config, tmp_path)
    assert isinstance(trainer, LatticeTrainer)
    assert trainer.total == 3
    assert len(trainer.pieces.pictures) == 2


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ('[field]\nkind = "lattice"\nwdth = 3\n', "field"),
        ('[field]\nkind = "lattice"\nspacing = [7, 8]\n', "field"),
        ('[field]\nkind = "lattice"\nplanes = "cmyk"\n', "cmyk"),
        ('[field]\nkind = "lattice"\nbases = 3\npasses = [[0, 1, 9]]\n', "field"),
        ('[field]\nkind = "lattice"\nlevels = []\n', "levels"),
        ('[field]\nkind = "lattice"\n[[field.levels]]\nwdth = 3\n', "wdth"),
        ('[field]\nkind = "lattice"\n[inner]\nsteps = 3\n', "inner"),
        ('[field]\nkind = "lattice"\n[outer]\nstep = 3\n', "outer.step"),
        ('[field]\nkind = "lattice"\n[prune]\nshare = "half"\n', "prune.share"),
    ],
)
def test_wrong_configs(tmp_path, body, what):
    with pytest.raises(OptionError, match=what):
        load_config(write(tmp_path, body))


def test_a_config_of_two_levels(tmp_path):
    body = '[field]\nkind = "lattice"\n[[field.levels]]\nspacing = [16, 16]\nbases = 9\nregion = [64, 64]\n'
    body += "[[field.levels]]\nspacing = [8, 8]\nwidth = 48\nw0 = 6\n"
    coarse, fine = load_config(write(tmp_path, body)).field.levels
    assert coarse == LatticeSpec.of(spacing=(16, 16), bases=9, region=(64, 64))
    assert fine == LatticeSpec(width=48, w0=6.0)


def test_a_config_of_sound(tmp_path):
    body = '[field]\nkind = "lattice"\nspacing = [64]\nplanes = "mid-side"\n[data]\nmodality = "audio"\n'
    config = load_config(write(tmp_path, body))
    assert config.field.levels == (LatticeSpec.of(spacing=(64,), planes=MID_SIDE),) and config.field.axes == 1
    with pytest.raises(OptionError, match="detail"):
        load_pieces(tmp_path, config)
    with pytest.raises(OptionError, match="spacing"):
        load_pieces(tmp_path, dataclasses.replace(config, outer=OuterLoop(crop=100)))


def test_the_shipped_config_is_the_shipped_geometry():
    config = load_config(Path(__file__).parents[3] / "models" / "photo-lattice.toml")
    assert config.field.levels == tuple(level.spec for level in zoo.load("photo-lattice").levels)


# -- sound ---------------------------------------------------------------------------------------------------
def test_stretches_depend_on_seed_and_step_alone():
    recordings = [sound(500, 2, 1), sound(900, 1, 2)]
    pieces = Stretches(recordings, 64, 2)
    a, b = pieces.batch(1, 5, 6, double=True), pieces.batch(1, 5, 6, double=False)
    assert torch.equal(a.values, b.values) and a.values.shape == (6, 2, 64) and a.larger is None
    assert not torch.equal(a.values, pieces.batch(1, 6, 6, double=False).values)
    alike = [bool(torch.equal(v[0], v[1])) for i in range(9) for v in pieces.batch(1, i, 6, double=False).values]
    assert any(alike) and not all(alike)  # a recording of one channel is two equal ones
    assert Stretches(recordings, 64, 1).batch(1, 0, 2, double=False).values.shape == (2, 1, 64)
    with pytest.raises(InputError, match="1000"):
        Stretches(recordings, 1000, 2)


# -- going on from an init -----------------------------------------------------------------------------------
def test_training_goes_on_from_an_init(tmp_path):
    init = finished(CONFIG, trained())
    begin = params_of(init)
    config = dataclasses.replace(CONFIG, outer=dataclasses.replace(CONFIG.outer, lr=0.0), prune=PruneConfig(share=0.0))
    trainer = LatticeTrainer(config, crops(), begin=begin)
    trainer.run(until=1)
    assert all(torch.equal(trainer.params[n], p) for n, p in begin.items())
    again = export_lattice(trainer.model, trainer.shipped(), name="tiny")
    symbols = np.random.default_rng(0).integers(-3, 4, (3, 64, 5, 6)).astype(np.int32)
    priors = [i.levels[0].prior for i in (init, again)]
    bits = [region_bits(predict(prior, RegionSymbols(symbols, 40, 3)), symbols).sum() for prior in priors]
    assert bits[0] == pytest.approx(bits[1], rel=1e-3)


@pytest.mark.parametrize("change", [{"networks": NetworkConfig(d_width=7)}, {"field": Field((LatticeSpec(),))}])
def test_inits_of_other_sizes_are_not_gone_on_from(change, tmp_path):
    from PIL import Image

    Image.fromarray(pictures(1, 48, 40)[0]).save(tmp_path / "a.png")
    init = finished(CONFIG, trained())

    def first_step():
        new_trainer(dataclasses.replace(CONFIG, **change), tmp_path, begin=init).step()

    with pytest.raises(OptionError, match="geometry|networks"):
        first_step()


# -- running means -------------------------------------------------------------------------------------------
def test_running_means_start_at_their_first_value_and_take_zeros():
    assert smooth(NOTHING, 3.0) == 3.0
    assert smooth(0.0, 1.0) == pytest.approx(0.02) and smooth(1.0, 0.0) == pytest.approx(0.98)
