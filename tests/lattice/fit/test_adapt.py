"""What a region of a lattice is fitted to, and its first step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import init as init_path
from helpers import painting, with_region

from nfcodec import zoo
from nfcodec.lattice.code import LARGEST_SYMBOL, RegionSymbols, predict, region_bits
from nfcodec.lattice.fit.adapt import ROUNDS, Plan, adapt_region, region_weights
from nfcodec.lattice.fit.first_step import analysis, corrected
from nfcodec.lattice.fit.rounds import Problem, proposals, refine, shares
from nfcodec.lattice.fit.window import Canvas, Mirrored, cut_window, mirrored
from nfcodec.lattice.native import PLANE_UNIT
from nfcodec.lattice.planes import OPPONENT_SET
from nfcodec.lattice.renderer import LevelRenderer
from nfcodec.lattice.space import Space
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.trunk import render, unfold

SPACING = (8, 8)
SPEC = LatticeSpec(region=(4, 4))


@pytest.fixture(scope="module")
def init():
    return zoo.load(with_region("tiny-lattice", 4, 4))


@pytest.fixture(scope="module")
def level(init):
    return init.levels[0]


def planes_of(height, width, seed=0):
    return OPPONENT_SET.to_planes(torch.from_numpy(painting(height, width, seed).astype(np.float32) / 255), 0.5)


def windows(planes):
    """Space, and region with its window."""
    shape = planes.shape[1:]
    space = Space.of(shape, SPEC)
    wide = mirrored(planes, space, SPACING)
    found = [space.box(i) for i in range(space.count)]
    return space, [(r, cut_window(wide, shape, space, r, SPACING)) for r in found]


# -- windows ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(1, 1), (8, 16), (13, 70), (33, 31)])
def test_the_last_samples_fill_the_last_cells(shape):
    planes = planes_of(*shape)
    space = Space.of(shape, SPEC)
    missing = [(0, 8 * n - m) for n, m in zip(space.cells, shape, strict=True)]
    wanted = np.pad(np.pad(planes, [(0, 0), *missing], "edge"), [(0, 0), (4, 4), (4, 4)], "symmetric")
    np.testing.assert_array_equal(mirrored(planes, space, SPACING), wanted)


def test_windows_show_the_picture_around_a_region():
    planes = planes_of(45, 70)
    space, found = windows(planes)
    assert (space.rows, space.row_size) == (2, 3)
    wide, covered = mirrored(planes, space, SPACING), 0.0
    for r, window in found:
        h, w = r.shape
        assert window.samples.shape == (3, 8 * h + 8, 8 * w + 8) and window.inside.shape == (8 * h, 8 * w)
        inner = window.samples[:, 4:-4, 4:-4]
        (top, left), (bottom, right) = r.start, r.stop
        part = planes[:, 8 * top : 8 * bottom, 8 * left : 8 * right]
        np.testing.assert_array_equal(inner[:, : part.shape[1], : part.shape[2]], part)
        np.testing.assert_array_equal(window.samples[:, 0, 0], wide[:, 8 * top, 8 * left])
        rows, columns = part.shape[1:]
        assert window.inside[:rows, :columns].all() and window.inside.sum() == rows * columns
        covered += float(window.inside.sum())
        y, x = divmod(r.index, 3)
        assert window.outer == ((y == 0, y == 1), (x == 0, x == 2))
    assert covered == 45 * 70


def test_canvases_of_all_regions_add_up_to_the_picture(level):
    """What regions show, each on its own, is what the field shows: mirrored at the border, nothing outside."""
    generator = torch.Generator().manual_seed(0)
    layers = torch.randn(level.spec.coded, 6, 9, generator=generator)
    space, total = Space((6, 9), (4, 4)), torch.zeros(3, 56, 80)
    for index in range(space.count):
        r = space.box(index)
        (top, left), (bottom, right) = r.start, r.stop
        outer = (top == 0, bottom == 6), (left == 0, right == 9)
        canvas = Canvas(level, outer)(layers[r.cells])
        total[:, 8 * top : 8 * bottom + 8, 8 * left : 8 * right + 8] += canvas
    wanted = render(level.spec, layers[None], torch.from_numpy(level.table * np.float32(2.0**-16)), SPACING)[0]
    np.testing.assert_allclose(total[:, 4:-4, 4:-4], wanted, atol=1e-4)
    total[:, 4:-4, 4:-4] = 0
    assert not total.any()


# -- the first step --------------------------------------------------------------------------------------
def test_analysis_of_regions_is_that_of_the_picture(level):
    """The transform is linear and local: cutting the picture into regions changes nothing."""
    planes = planes_of(48, 72)
    together = unfold(planes, SPACING)
    gain = np.exp2(level.first_step["log_gain"])[:, :, None, None]
    tables = [level.first_step[f"analysis.{i}"] for i in (0, 1, 1)]
    wanted = np.moveaxis(np.stack([p @ t.T for p, t in zip(together.numpy(), tables, strict=True)]), -1, 1) * gain
    for r, window in windows(planes)[1]:
        part = wanted[r.cells]
        np.testing.assert_allclose(analysis(level, window), part, atol=1e-5)


def with_steps(level, count):
    """The level with more inner steps, at slightly uneven rates."""
    gains = 0.1 * torch.randn(count - 1, 3, 64, generator=torch.Generator().manual_seed(2)).numpy()
    return replace(level, first_step={**level.first_step, "log_again": gains})


@pytest.mark.parametrize("count", [1, 2, 3])
def test_inner_steps_of_regions_are_those_of_the_picture(level, count):
    """Cells near the cut see as many rows of their neighbours as there are further steps."""
    level = with_steps(level, count)
    assert level.inner_steps == count
    planes = planes_of(75, 102)
    space, found = windows(planes)
    wide = mirrored(planes, space, SPACING)
    whole = space.around(space.box(0), 100)
    assert whole.shape == space.cells
    wanted = analysis(level, cut_window(wide, (75, 102), space, whole, SPACING))
    for r, _ in found:
        got = region_weights(level, wide, (75, 102), space, r)
        np.testing.assert_allclose(got, wanted[r.cells], atol=1e-5)


def test_every_inner_step_comes_nearer(level):
    planes = planes_of(64, 64)
    space = Space.of((64, 64), SPEC)
    whole = space.around(space.box(0), 100)
    window = cut_window(mirrored(planes, space, SPACING), (64, 64), space, whole, SPACING)
    errors = []
    for count in (1, 2, 4):
        weights = analysis(with_steps(level, count), window).flatten(0, 1)
        shown = Canvas(level, window.outer)(weights)
        errors.append(float((shown[:, 4:-4, 4:-4] - planes).square().sum()))
    assert errors[2] < 0.8 * errors[1] < 0.6 * errors[0]


def test_the_correction_draws_towards_zero_and_shifts(level):
    weights = torch.randn(3, 64, 4, 3, generator=torch.Generator().manual_seed(1))
    y = weights / torch.from_numpy(level.steps(60))[:, :, None, None]
    silent = {n: np.zeros_like(t) if n.startswith("e.out") else t for n, t in level.first_step.items()}
    plain = corrected(replace(level, first_step=silent), weights, 60)
    np.testing.assert_allclose(plain, y - 0.5 / (1 + np.exp(1.4)) * torch.tanh(3 * y), atol=1e-4)
    shifted = {**silent, "e.out.bias": np.repeat(np.float32([0.25, 90.0]), 192)}
    moved = corrected(replace(level, first_step=shifted), weights, 60)
    np.testing.assert_allclose(moved, y + 0.25 - 0.5 * torch.tanh(3 * y), atol=1e-4)


# -- plans -----------------------------------------------------------------------------------------------
def adapted(init, plan, planes=3):
    (_, window), *_ = windows(planes_of(32, 32, 3))[1]
    [level] = init.levels
    return adapt_region(level, window, analysis(level, window), plan, planes=planes, trade=plan.trade(init)).symbols


def test_efforts_are_rounds():
    plans = [Plan.of(40, effort) for effort in range(1, 10)]
    assert [p.rounds for p in plans] == list(ROUNDS) and ROUNDS[0] == 0
    assert all((a.rounds, a.held) < (b.rounds, b.held) for a, b in zip(plans, plans[1:], strict=False))
    assert Plan.of(40, 9, deadline=3.0).deadline == 3.0
    more = [Plan.of(40, effort, for_errors=True).rounds for effort in range(1, 10)]
    assert all(a < b for a, b in zip(more, more[1:], strict=False)) and more[0] == 0 and more[-1] == ROUNDS[-1]
    assert all(a <= b for a, b in zip(ROUNDS, more, strict=True)) and more[4] > ROUNDS[4]


@pytest.mark.parametrize("effort", [1, 3])
def test_planes_that_are_not_used_stay_zero(init, effort):
    symbols = adapted(init, Plan.of(90, effort), planes=1)
    assert symbols[0].any() and not symbols[1:].any() and symbols.dtype == np.int32


def test_no_round_begins_after_the_deadline(init):
    late = adapted(init, Plan.of(60, 7, deadline=0.0))
    np.testing.assert_array_equal(late, adapted(init, Plan.of(60, 1)))
    assert (adapted(init, Plan.of(60, 3)) != late).any()


def test_rounding_draws_towards_zero(init):
    """A finer control of the rate than the quality: magnitudes fall by one, or stay."""
    last = adapted(init, Plan(80, 0))
    for rounding in (0.05, 0.2, 0.4):
        now = adapted(init, Plan(80, 0, rounding))
        fall = np.abs(last) - np.abs(now)
        assert fall.min() == 0 and fall.max() == 1 and (last * now >= 0).all()
        last = now
    assert (adapted(init, Plan(80, 0, -0.1)) != adapted(init, Plan(80, 0))).any()


# -- rounds ----------------------------------------------------------------------------------------------
def problem_of(init, quality, cells=4):
    planes, [level] = planes_of(8 * cells, 8 * cells, 3), init.levels
    space = Space.of(planes.shape[1:], SPEC)
    whole = space.around(space.box(0), cells)
    window = cut_window(mirrored(planes, space, SPACING), planes.shape[1:], space, whole, SPACING)
    trade = 3 * init.trade_off(quality)
    return Problem(level, window, analysis(level, window), quality=quality, planes=3, trade=trade)


def test_the_slope_of_later_bits_is_that_of_the_integer_prior(init):
    """On the whole: the prior rounds what it predicts, and one symbol is a large change. (Means move the base of their
    neighbours, too, which has no slope.)"""
    symbols, problem = adapted(init, Plan.of(70, 1)), problem_of(init, 70)
    expected = problem.later_bits(problem.state(symbols))

    def others(index, change):
        changed = symbols.copy()
        changed[index] += change
        bits = region_bits(predict(init.levels[0].prior, RegionSymbols(changed, 70, 3)), changed)
        return bits.sum() - bits[index]

    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        index = 0, int(rng.integers(2, 20)), int(rng.integers(4)), int(rng.integers(4))
        found.append((expected[index], (others(index, 1) - others(index, -1)) / 2))
    told, true = np.array(found).T
    assert np.corrcoef(told, true)[0, 1] > 0.6


@pytest.mark.parametrize("rounds", [1, 2, 6])
def test_rounds_end_better_than_they_began(init, rounds):
    problem = problem_of(init, 50)
    first = adapted(init, Plan.of(50, 1))
    assert refine(problem, first, rounds).cost(problem.trade) < problem.state(first).cost(problem.trade)


def test_later_rounds_mind_what_the_filter_adds():
    own = zoo.load(init_path("filtered-lattice")).tuned("psnr")
    [level], planes, first = own.levels, planes_of(32, 32, 3), adapted(own, Plan.of(50, 1))
    problem = problem_of(own, 50)
    plain = problem.state(first)
    minded = problem.minding(plain)
    coded = LevelRenderer(level, Space.of((32, 32), level.spec), 50, lambda _: first).whole([np.arange(32)] * 2)
    assert level.filter.views > 1  # one of them is minded
    own_heads = np.full((16, 16), minded.heads.item())
    left = replace(level.filter, views=1)(coded, 50, own_heads) * PLANE_UNIT - planes.numpy()
    assert minded.error == pytest.approx(np.square(left).sum(), rel=1e-4)
    assert abs(minded.error - plain.error) > 0.01 * plain.error and minded.bits == plain.bits
    np.testing.assert_allclose(problem.minding(minded).left, minded.left, atol=1e-5)
    found = refine(problem_of(own, 50), first, 3)
    assert found.cost(problem.trade) < minded.cost(problem.trade)


def test_rounds_make_all_changes_but_the_last():
    assert shares(1) == [0.75]
    assert shares(2) == [1.0, 0.6] and shares(4) == [1.0, 1.0, 1.0, 0.6] and shares(12) == [1.0] * 11 + [0.6]


def test_what_is_measured_after_a_change_is_measured_as_if_anew(init):
    problem = problem_of(init, 60, cells=32)
    begun = problem.state(np.zeros((3, 64, 32, 32), np.int32))
    for index in ((0, 5, 3, 4), (0, 0, 20, 21), (2, 40, 31, 31)):
        changed = begun.symbols.copy()
        changed[index] += 2
        after, anew = problem.state(changed, begun), problem.state(changed)
        np.testing.assert_array_equal(after.each, anew.each)
        assert after.bits == anew.bits and after.error == anew.error


def test_a_round_in_a_context_changes_nothing_else(init):
    problem = problem_of(init, 60, cells=32)
    state = problem.state(np.zeros((3, 64, 32, 32), np.int32))
    context = np.zeros((4, 4), bool)
    context[1, 2] = context[3, 0] = True
    move, gain = proposals(problem, state, context)
    inside = np.kron(context, np.ones((8, 8), bool))
    assert gain[..., inside].any() and not gain[..., ~inside].any() and not move[..., ~inside].any()
    whole_move, whole_gain = proposals(problem, problem.state(state.symbols))
    # Slopes of means reach one cell further than tiles do.
    np.testing.assert_allclose(gain[:, 1:][..., inside], whole_gain[:, 1:][..., inside], atol=2e-3)


@pytest.mark.parametrize("effort", [1, 3])
def test_fine_steps_are_clamped_to_what_the_format_holds(init, effort):
    [level] = init.levels
    fine = replace(level, log_step=np.full_like(level.log_step, -39 * 256))
    planes = planes_of(16, 16)
    space, [(box, window)] = windows(planes)
    weights = region_weights(fine, mirrored(planes, space, SPACING), planes.shape[1:], space, box)
    plan = Plan.of(75, effort)
    symbols = adapt_region(fine, window, weights, plan, planes=3, trade=1.0).symbols
    assert np.abs(symbols).max() == LARGEST_SYMBOL
    RegionSymbols(symbols, 75, 3)


def test_mirrored_part_by_part():
    """The same samples as those of the whole mirrored picture, whatever part is asked for."""
    planes = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 75, 102)).astype(np.float32))
    space = Space.of((75, 102), LatticeSpec.of(spacing=SPACING, region=(4, 5)))
    whole, lazy = mirrored(planes, space, SPACING), Mirrored(planes, space, SPACING)
    assert torch.equal(lazy.part([(0, n) for n in whole.shape[1:]]), whole)
    for region in (space.box(i) for i in range(space.count)):
        own, wanted = (cut_window(w, (75, 102), space, region, SPACING) for w in (lazy, whole))
        assert torch.equal(own.samples, wanted.samples) and torch.equal(own.inside, wanted.inside)
        assert own.outer == wanted.outer
