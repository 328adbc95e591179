"""Which head of Y blocks of a region are given."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import init as init_path
from helpers import painting, with_region

from nfcodec import zoo
from nfcodec.lattice import filtering
from nfcodec.lattice.fit import rounds
from nfcodec.lattice.fit.adapt import Adapted, Plan, adapt_region
from nfcodec.lattice.fit.coded import CodedRegion, chunk_heads
from nfcodec.lattice.fit.first_step import analysis
from nfcodec.lattice.fit.heads import Place, cheapest, choose
from nfcodec.lattice.fit.rounds import Problem, refine
from nfcodec.lattice.fit.window import cut_window, mirrored
from nfcodec.lattice.heads import encode_heads
from nfcodec.lattice.native import PLANE_UNIT
from nfcodec.lattice.planes import OPPONENT_SET
from nfcodec.lattice.space import Space
from nfcodec.lattice.train.export import with_wider

KIND = "filtered-lattice"


@pytest.fixture(scope="module")
def own():
    return zoo.load(with_region(KIND, 8, 8)).tuned("psnr")


@pytest.fixture(scope="module")
def found(own):
    return replace(own.levels[0].filter, views=1)


def planes_of(height, width, seed=0):
    return OPPONENT_SET.to_planes(torch.from_numpy(painting(height, width, seed).astype(np.float32) / 255), 0.5)


# -- by costs --------------------------------------------------------------------------------------------
def cost_of(costs, heads):
    return float(np.take_along_axis(costs, heads[None].astype(np.int64), 0).sum())


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_worse_than_all_0(seed):
    """By as much as the bytes of the section cost, near enough."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 24, 2))
    costs = rng.gamma(1.0, rng.choice([1.0, 5.0, 30.0]), (rng.integers(1, 9), *shape)) + rng.choice([0.0, 100.0])
    costs[0] -= rng.choice([0.0, 2.0, 20.0])
    heads = cheapest(costs)
    assert heads.dtype == np.uint8 and heads.shape == shape and heads.max() < len(costs)
    if heads.any():
        # 80 bits frame the section, of which 64 are counted.
        whole = cost_of(costs, heads) + 8 * len(encode_heads(heads)) + 64
        assert whole < costs[0].sum() + 0.1 * 8 * len(encode_heads(heads))
    else:
        np.testing.assert_array_equal(heads, np.zeros(shape))


def test_blocks_with_one_clear_best_head_get_it():
    wanted = np.random.default_rng(0).integers(0, 8, (9, 14)).astype(np.uint8)
    costs = np.where(np.arange(8)[:, None, None] == wanted, 0.0, 50.0)
    np.testing.assert_array_equal(cheapest(costs), wanted)
    lone = np.zeros((9, 14), np.uint8)
    lone[4, 5] = 3
    costs = np.where(np.arange(8)[:, None, None] == lone, 0.0, 300.0)
    np.testing.assert_array_equal(cheapest(costs), lone)


def test_little_is_not_worth_a_section_and_does_not_part_neighbours():
    costs = np.full((3, 6, 6), 10.0)
    costs[1, 2, 2] = 0.0
    assert not cheapest(costs).any()
    costs[2] = 0.0
    costs[1, 2, 2] = -1.0
    np.testing.assert_array_equal(cheapest(costs), np.full((6, 6), 2))


def test_one_head_is_no_choice():
    assert not cheapest(np.ones((1, 4, 4))).any()


# -- by errors -------------------------------------------------------------------------------------------
def blocks_of(place, size):
    """The block of every sample (H, W) of those at a place, from the numbers of its cells."""
    at = [(f + np.arange(n)) // s // 4 for f, n, s in zip(place.first, size, place.spacing, strict=True)]
    return at[0][:, None], at[1]


@pytest.mark.parametrize("tile", [(128, 400), (5, 7), (40, 30)])
@pytest.mark.parametrize(("place", "size"), [
    (Place((0, 0), (8, 8), (8, 8)), (64, 64)), (Place((4, 4), (8, 8), (8, 8)), (56, 56)),
    (Place((4, 0), (5, 9), (8, 8)), (36, 72)), (Place((0, 4), (8, 1), (8, 8)), (60, 4)),
    (Place((6, 6), (9, 5), (12, 12)), (96, 54)), (Place((0, 8), (4, 6), (16, 16)), (64, 80)),
])  # fmt: skip
def test_blocks_choose_what_leaves_the_least_error(found, place, size, tile, monkeypatch):
    """Which of the heads that were shown to the blocks; borders of blocks lie where those of the file do."""
    monkeypatch.setattr(filtering, "_TILE", tile)
    rng = np.random.default_rng(size[0])
    found = replace(found, spacing=int(place.spacing[0] == 12))
    planes = np.rint(rng.normal(size=(3, *size)) * 2.0**28)
    shape = tuple(-(-n // 4) for n in place.cells)
    wanted = rng.integers(0, 3, shape).astype(np.uint8)
    of_sample = wanted[blocks_of(place, size)]
    shown = (found(planes, 40, of_sample[::2, ::2]) - planes) * PLANE_UNIT
    weight = (rng.random(size) + 0.1).astype(np.float32)
    # A little of noise, far below what parts the heads.
    missing = (shown + rng.normal(size=shown.shape) * 1e-4).astype(np.float32)
    chosen = choose(found, planes, missing, weight, place, quality=40, trade=1e-9)
    np.testing.assert_array_equal(chosen.heads, wanted)
    np.testing.assert_allclose(chosen.added, shown, atol=2.0**-19)


def test_errors_count_by_weight(found):
    """Two heads in one block: the one that is right where samples count is chosen."""
    planes = np.rint(np.random.default_rng(0).normal(size=(3, 32, 32)) * 2.0**28)
    squares = np.repeat([[1] * 16, [2] * 16], 8, 0).astype(np.uint8)
    missing = ((found(planes, 40, squares) - planes) * PLANE_UNIT).astype(np.float32)
    place, weight = Place((0, 0), (4, 4), (8, 8)), np.zeros((32, 32), np.float32)
    for rows, head in ((slice(0, 16), 1), (slice(16, 32), 2)):
        weight[...] = 0
        weight[rows] = 1
        assert choose(found, planes, missing, weight, place, quality=40, trade=1e-9).heads.tolist() == [[head]]


@pytest.mark.parametrize(("trade", "any_head"), [(1e-9, True), (1e9, False)])
def test_what_errors_are_worth_decides(found, trade, any_head):
    planes = np.rint(np.random.default_rng(0).normal(size=(3, 64, 64)) * 2.0**28)
    missing = ((found(planes, 40, np.full((32, 32), 2, np.uint8)) - planes) * PLANE_UNIT).astype(np.float32)
    chosen = choose(
        found, planes, missing, np.ones((64, 64), np.float32), Place((0, 0), (8, 8), (8, 8)), quality=40, trade=trade
    )
    assert chosen.heads.any() == any_head
    heads = np.full((32, 32), 2 * any_head, np.uint8)
    np.testing.assert_allclose(chosen.added, (found(planes, 40, heads) - planes) * PLANE_UNIT, atol=2.0**-19)


# -- regions ---------------------------------------------------------------------------------------------
def problems(level, shape, quality=85):
    """Region and window of every region of a picture, and the problem that it is."""
    planes, space = planes_of(*shape, 12), Space.of(shape, level.spec)
    wide = mirrored(planes, space, level.spec.spacing)
    for i in range(space.count):
        window = cut_window(wide, shape, space, space.box(i), level.spec.spacing)
        plain = analysis(level, window)
        problem = Problem(level, window, plain, quality=quality + level.finer, planes=3, trade=2e-4)
        yield space.box(i), window, problem, problem.state(start(level, window, quality))


def start(level, window, quality):
    plan = Plan(quality + level.finer, 0)
    return adapt_region(level, window, analysis(level, window), plan, planes=3, trade=2e-4).symbols


def at(own, spacing):
    """The level at a spacing, 10 among them, which the init has not."""
    if spacing == 10:
        both = with_wider(replace(own, perceptual=None), (10,))
        return replace(both, levels=(replace(both.levels[0], filter=own.levels[0].filter),)).at(10).levels[0]
    return own.at(spacing).levels[0]


@pytest.mark.parametrize(("spacing", "shape"), [(None, (150, 170)), (10, (170, 190)), (12, (220, 250))])
def test_states_are_measured_with_the_heads_that_they_say(own, spacing, shape):
    """In every region of three by three, whose own samples begin within a block; those that are no whole squares of the
    picture are not filtered."""
    several, level = set(), at(own, spacing)
    step = level.spec.spacing[0]
    for region, window, problem, before in problems(level, shape):
        inner = window.samples.shape[1:], window.outer
        spans = [
            (s // 2 if a else s, n - (s // 2 if b else s)) for n, (a, b), s in zip(*inner, (step, step), strict=True)
        ]
        spans = [(a + (a - step // 2) % 2, b - (b - step // 2) % 2) for a, b in spans]
        part = (slice(None), *(slice(a, b) for a, b in spans))
        shown = problem._shown(before)[part].numpy().astype(np.float64) / PLANE_UNIT
        minded = problem.minding(before)
        assert minded.heads.shape == tuple(-(-n // 4) for n in region.shape)
        several |= set(minded.heads.ravel().tolist())
        place = Place(tuple(a - step // 2 for a, _ in spans), region.shape, level.spec.spacing)
        squares = minded.heads[blocks_of(place, shown.shape[1:])][::2, ::2]
        filtered = replace(level.filter, views=1)(shown, 85, squares) * PLANE_UNIT
        left = before.left.numpy().copy()
        left[part] = filtered - window.samples[part].numpy()
        np.testing.assert_allclose(minded.left, left, atol=1e-5)
        assert minded.error == pytest.approx((left**2 * problem.weight.numpy()).sum(), rel=1e-4)
        assert minded.bits == before.bits
    assert len(several) > 1


def test_rounds_keep_the_heads_that_were_minded(own, monkeypatch):
    """The last ones, with the symbols that come after."""
    level = own.levels[0]
    _, window, problem, before = next(problems(level, (64, 64)))
    real, seen = rounds.choose, []
    monkeypatch.setattr(rounds, "choose", lambda *a, **k: seen.append(real(*a, **k)) or seen[-1])
    found = refine(problem, before.symbols, 4)
    assert len(seen) == 3 and seen[-1].heads.any()
    np.testing.assert_array_equal(found.heads, seen[-1].heads)
    plain = analysis(level, window)
    adapted = adapt_region(level, window, plain, Plan(85, 4), planes=3, trade=2e-4)
    np.testing.assert_array_equal(adapted.heads, found.heads)
    assert adapt_region(level, window, plain, Plan(85, 0), planes=3, trade=2e-4).heads is None


def test_rows_of_regions_are_put_together():
    space = Space((21, 13), (8, 8))

    def region(index, heads):
        return CodedRegion.of(0, Adapted(np.zeros((3, 64, *space.box(index).shape), np.int32), heads), ())

    some = [None, np.full((2, 2), 2, np.uint8), None, None, np.zeros((2, 2), np.uint8), np.full((2, 2), 1, np.uint8)]
    found = chunk_heads([region(i, h) for i, h in enumerate(some)], space)
    assert found[0].tolist() == [[0, 0, 2, 2]] * 2 and found[1] is None and found[2].tolist() == [[0, 0, 1, 1]] * 2


def test_without_y_there_are_no_heads():
    """As in the perceptual tune of this init."""
    level = zoo.load(init_path(KIND)).tuned("perceptual").levels[0]
    assert level.filter is None
    _, _, problem, before = next(problems(level, (64, 64)))
    assert problem.minding(before) is before and refine(problem, before.symbols, 3).heads is None
