"""Steps that grow with what goes on around a cell, and inits with a perceptual tune."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import STAND_INS, decode_array, memory, opened, pack, painting
from helpers import init as path_of
from safetensors.numpy import load_file

from lattice.test_reference_samples import by_the_document
from nfcodec import zoo
from nfcodec.decoder import Decoder
from nfcodec.errors import CorruptError
from nfcodec.lattice.code import RegionSymbols, predict, region_bits
from nfcodec.lattice.fit.adapt import Plan, adapt_region
from nfcodec.lattice.fit.first_step import analysis, corrected, rounded
from nfcodec.lattice.fit.rounds import Problem, proposals
from nfcodec.lattice.fit.tensors import on_torch
from nfcodec.lattice.fit.window import whole_window
from nfcodec.lattice.masking import LARGEST_SUM, activities, activity, cell_sizes
from nfcodec.lattice.restore import Restore
from nfcodec.lattice.steps import HIGHEST, LOWEST, step_sizes
from nfcodec.lattice.synthesis import last_layers


def gains_of(size=200, seed=0):
    gains = np.random.default_rng(seed).integers(-size, size + 1, (8, 3, 64)).astype(np.int16)
    gains[:, :, 0] = 0
    return gains


@pytest.fixture(scope="module")
def plain():
    return zoo.load(path_of("tiny-lattice"))


@pytest.fixture(scope="module")
def masked(plain):
    """A level whose steps grow with activity."""
    return replace(plain.levels[0], masking=gains_of())


@pytest.fixture
def both(plain, masked, tmp_path, monkeypatch):
    """An init with two tunes; where tests ask for the tiny init they get this one."""
    coarser = replace(masked, log_step=(masked.log_step + 100).astype(np.int16))
    path = tmp_path / "both.safetensors"
    zoo.write_init(replace(plain, perceptual=replace(plain, levels=(coarser,), trade=(0.1, 1e-3))), path)
    monkeypatch.setitem(STAND_INS, "tiny-lattice", str(path))
    return zoo.load(str(path))


def symbols_of(seed=0, size=9):
    return np.random.default_rng(seed).integers(-size, size + 1, (3, 64, 4, 5)).astype(np.int32)


def test_activities_are_logarithms():
    exact = 256.0 * np.log2(8.0 + np.arange(LARGEST_SUM + 1)) - 1638.0
    assert (np.abs(activities() - (exact - 0.5)) <= 0.5 + 1e-9).all()


def test_activity_is_of_the_neighbours():
    means = np.zeros((5, 6))
    means[2, 3] = 100 * 1024.0
    found = activity(means, 2)
    quiet, near, own = (activities()[n] for n in (0, 100, 800))
    assert found[0, 0] == quiet and found[1, 2] == near and found[2, 3] == own
    assert (found == near).sum() == 8
    assert (activity(np.full((4, 4), 7e5), 2) == quiet).all()


def test_activity_of_tensors_is_the_same():
    means = np.random.default_rng(0).integers(-(1 << 20), 1 << 20, (2, 4, 5)).astype(np.float64)
    np.testing.assert_array_equal(activity(torch.from_numpy(means), 2).numpy(), activity(means, 2))


def test_steps_grow_by_gain_times_activity(masked):
    log_step, means = masked.log_step, symbols_of(2)[0, 0]
    gains = np.full_like(masked.masking, 128)
    gains[:, :, 0] = 0
    found, usual = cell_sizes(log_step, gains, 40, means), step_sizes(log_step, 40)[..., None, None]
    octaves = np.log2(found / usual)
    assert (octaves[:, 0] == 0).all()
    size = step_sizes(log_step[:, :1, :1], 40)[0, 0]
    active = activity(np.floor(means * size * 65536 + 0.5), 2)
    np.testing.assert_allclose(octaves[:, 1:], np.broadcast_to(active / 512, (3, 63, 4, 5)), atol=0.01)


def test_steps_stay_within_what_is_exact(masked):
    extreme = np.where(gains_of(1) > 0, 512, -512).astype(np.int16)
    for e in (LOWEST * 256, HIGHEST * 256 - 1):
        log_step = np.full_like(masked.log_step, e)
        found = cell_sizes(log_step, extreme, 100, (1 << 20) * np.eye(4, dtype=np.int32))
        assert found.min() >= 2.0**LOWEST * (1 - 1e-4) and found.max() < 2.0**HIGHEST


def test_tensors_come_within_one(masked):
    symbols = symbols_of(1)
    exact = last_layers(masked, symbols, 70)
    close = last_layers(on_torch(masked), torch.from_numpy(symbols.astype(np.float32)), 70)
    np.testing.assert_allclose(close.numpy(), exact, atol=1, rtol=1e-6)


def test_the_encoder_quantizes_with_the_steps_that_decode(masked, plain):
    """Without a correction every weight comes back within half a step of its cell."""
    quiet = {n: np.zeros_like(a) if n.startswith("e.out") else a for n, a in masked.first_step.items()}
    quiet["e.out.bias"] = np.repeat([0.0, -40.0], 192).astype(np.float32)  # no shift, and no dead zone
    level = replace(masked, first_step=quiet)
    planes = plain.planes.to_planes(torch.from_numpy(painting(40, 48).astype(np.float32) / 255), 0.5)
    weights = analysis(level, whole_window(planes, level.spec))
    symbols = rounded(corrected(level, weights, 60), 0.0)
    sizes = level.sizes(symbols, 60)
    assert (np.abs(weights.numpy() / sizes - symbols) <= 0.5001).all()


def test_rounds_leave_the_means_that_steps_depend_on(plain):
    masked = replace(plain.levels[0], masking=np.abs(gains_of(60)))
    planes = plain.planes.to_planes(torch.from_numpy(painting(64, 64, 3).astype(np.float32) / 255), 0.5)
    window = whole_window(planes, masked.spec)
    weights, plan = analysis(masked, window).detach(), Plan(50, 0)
    start = adapt_region(masked, window, weights, plan, planes=3, trade=1e-3).symbols
    problem = Problem(masked, window, weights, quality=50, planes=3, trade=1e-3)
    state = problem.state(start)
    _, gain = proposals(problem, state)
    assert not gain[0, 0].any() and gain.any()
    refined = adapt_region(masked, window, weights, replace(plan, rounds=2), planes=3, trade=1e-3).symbols
    assert problem.state(refined).cost(1e-3) < state.cost(1e-3)


def test_what_a_change_is_expected_to_cost(masked, plain):
    """Of a single symbol of any frequency, with D silent: the gradient and half the curvature tell all."""
    layers = {n: replace(la, weight=0 * la.weight, bias=0 * la.bias) for n, la in masked.restore.layers.items()}
    level = replace(masked, restore=Restore.of(layers), masking=np.zeros_like(masked.masking))
    planes = plain.planes.to_planes(torch.from_numpy(painting(64, 64, 3).astype(np.float32) / 255), 0.5)
    window = whole_window(planes, level.spec)
    weights = analysis(level, window).detach()
    symbols = adapt_region(level, window, weights, Plan(50, 0), planes=3, trade=1e-3).symbols
    problem = Problem(level, window, weights, quality=50, planes=3, trade=1e-3)
    state = problem.state(symbols)
    slope = problem.slope(state) / problem.trade
    curvature = np.broadcast_to(problem.curvature, slope.shape) / problem.trade
    for at in ((0, 2, 3, 4), (1, 40, 4, 3), (2, 63, 3, 3), (0, 63, 4, 4)):
        changed = symbols.copy()
        changed[at] += 1
        found = (problem.state(changed).error - state.error) / problem.trade
        assert found == pytest.approx(slope[at] + curvature[at], rel=0.02, abs=0.05)


def test_thrift_makes_errors_cheaper(plain):
    masked = replace(plain.levels[0], masking=np.abs(gains_of(60)))
    planes = plain.planes.to_planes(torch.from_numpy(painting(64, 64, 3).astype(np.float32) / 255), 0.5)
    window = whole_window(planes, masked.spec)
    weights, bits = analysis(masked, window).detach(), []
    for rounding in (0.0, 0.15):
        plan = Plan(50, 2, rounding)
        symbols = adapt_region(masked, window, weights, plan, planes=3, trade=1e-3 * plan.thrift).symbols
        bits.append(region_bits(predict(masked.prior, RegionSymbols(symbols, 50, 3)), symbols).sum())
    assert bits[1] < 0.97 * bits[0]


# -- inits with two tunes --------------------------------------------------------------------------------
def test_written_once_where_both_are_alike(both, plain, tmp_path):
    tensors = load_file(path_of("tiny-lattice"))
    assert sorted(n for n in tensors if n.startswith("perceptual/")) == [
        "perceptual/0/log_step", "perceptual/0/masking",
    ]  # fmt: skip
    assert both.tuned("psnr") is both and both.tuned("perceptual").trade == (0.1, 1e-3)
    np.testing.assert_array_equal(both.perceptual.levels[0].masking, gains_of())
    assert plain.tuned("perceptual") is plain
    again = tmp_path / "again.safetensors"
    zoo.write_init(both, again)
    assert again.read_bytes() == Path(path_of("tiny-lattice")).read_bytes()


@pytest.mark.parametrize("tune", ["psnr", "perceptual"])
def test_files_by_the_document(both, tune, tmp_path):
    data, _ = pack(memory("image", painting(37, 51, 2)), "tiny-lattice", quality=60, effort=2, tune=tune)
    decoder = opened(data, "tiny-lattice")
    assert decoder.field.tune == tune and decoder.header.perceptual == (tune == "perceptual")
    tensors = {n: a.tolist() for n, a in load_file(path_of("tiny-lattice")).items() if a.dtype.kind in "iu"}
    if tune == "perceptual":
        tensors |= {n.removeprefix("perceptual/"): a for n, a in tensors.items() if n.startswith("perceptual/")}
    (tmp_path / "a.nfc").write_bytes(data)
    np.testing.assert_array_equal(by_the_document(data, tensors), decode_array(tmp_path / "a.nfc", "tiny-lattice"))


def test_a_target_in_decibels_is_tuned_to_it(both):
    data, _ = pack(memory("image", painting(30, 30)), "tiny-lattice", effort=1, target_psnr=30.0)
    assert opened(data, "tiny-lattice").field.tune == "psnr"


def test_without_a_second_tune_the_header_says_so():
    data, _ = pack(memory("image", painting(30, 30)), "tiny-lattice", effort=1, tune="perceptual")
    assert not opened(data, "tiny-lattice").header.perceptual


def test_a_tune_that_the_init_does_not_have_is_refused(both, tmp_path, monkeypatch):
    data, _ = pack(memory("image", painting(30, 30)), "tiny-lattice", effort=1)
    alone = tmp_path / "alone.safetensors"
    zoo.write_init(replace(both, perceptual=None), alone)
    init = replace(zoo.load(str(alone)), sha256=both.sha256)
    monkeypatch.setattr(zoo, "load_prefix", lambda *_: init)
    with pytest.raises(CorruptError, match="perceptual"):
        Decoder(io.BytesIO(data))


@pytest.mark.parametrize("change", ["means", "range", "type", "shape"])
def test_lies_about_masking(plain, change):
    gains = gains_of()
    if change == "means":
        gains[0, 1, 0] = 1
    elif change == "range":
        gains[0, 1, 5] = 513
    gains = gains.astype(np.int32) if change == "type" else gains[:, :, 1:] if change == "shape" else gains
    with pytest.raises(CorruptError, match="masking"):
        replace(plain, levels=(replace(plain.levels[0], masking=gains),)).validate()


def test_two_tunes_are_of_one_field(plain):
    moved = replace(plain.levels[0], table=(plain.levels[0].table + 1).astype(np.int16))
    with pytest.raises(CorruptError, match="another field"):
        replace(plain, perceptual=replace(plain, levels=(moved,))).validate()
