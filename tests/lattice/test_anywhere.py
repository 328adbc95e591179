import dataclasses
import functools
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfcodec.coords import sample_positions
from nfcodec.errors import InternalError
from nfcodec.lattice import anywhere
from nfcodec.lattice.anywhere import plan_axis, reached, render_grid, render_points
from nfcodec.lattice.trunk import LatticeSpec, render, table
from nfcodec.parallel import limited

SPECS = {
    1: LatticeSpec(spacing=(16,), bases=5, width=11, w0=4.0, planes=2),
    2: LatticeSpec(spacing=(8, 4), bases=4, width=10, w0=4.0),
    3: LatticeSpec(spacing=(2, 4, 6), bases=3, width=8, w0=4.0, planes=1),
}
CLOSE = 1e-5  # of the largest value


def random_params(spec, seed=0):
    rng = np.random.default_rng(seed)
    return {n: 0.5 * rng.standard_normal(s).astype(np.float32) for n, s in spec.shapes().items()}


def random_weights(spec, cells, seed=1):
    return np.random.default_rng(seed).standard_normal((spec.weights, *cells)).astype(np.float32)


def functions(spec, params, t):
    """The trunk at t (P, d) in float64, written again."""
    p = {n: v.astype(np.float64) for n, v in params.items()}
    hidden = np.sin(spec.w0 * t @ p["trunk.0.weight"].T + p["trunk.0.bias"])
    hidden = np.sin(hidden @ p["trunk.1.weight"].T + p["trunk.1.bias"])
    return hidden * np.prod(1 - t**8, 1, keepdims=True) @ p["trunk.2.weight"].T


def at_point(spec, params, weights, point):
    """The sum over all cells, each with the mirrored copies of the point that it reaches: (planes,)."""
    cells, k, total = weights.shape[1:], spec.bases, np.zeros(spec.planes)
    copies = [(x, -x, 2 * s * n - x) for x, s, n in zip(point, spec.spacing, cells, strict=True)]
    for cell in np.ndindex(*cells):
        for copy in itertools.product(*copies):
            t = np.array([(x - s * (c + 0.5)) / s for x, s, c in zip(copy, spec.spacing, cell, strict=True)])
            if np.abs(t).max() >= 1.0:
                continue
            phi, own = functions(spec, params, t[None])[0], weights[(slice(None), *cell)].astype(np.float64)
            for plane in range(spec.planes):
                start = 0 if plane == 0 else k
                total[plane] += own[plane * k : plane * k + k] @ phi[start : start + k]
    return total


def by_hand(spec, params, weights, positions):
    points = itertools.product(*positions)
    out = np.stack([at_point(spec, params, weights, p) for p in points], 1)
    return out.reshape(spec.planes, *(len(p) for p in positions))


def same(found, wanted):
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= CLOSE * np.abs(wanted).max()


def grid_of(shape, size=None, start=None, stop=None):
    size, start, stop = size or shape, start or (0,) * len(shape), stop or shape
    return [sample_positions(float(a), float(b), n) for a, b, n in zip(start, stop, size, strict=True)]


def cells_of(spec, shape):
    return tuple(-(-n // s) for n, s in zip(shape, spec.spacing, strict=True))


def field(shape, spec=None):
    spec = spec or SPECS[len(shape)]
    cells = cells_of(spec, shape)
    return spec, random_params(spec), random_weights(spec, cells), (0,) * len(shape), cells


@functools.cache
def grid_by_hand(shape, size):
    spec, params, weights, _, _ = field(shape)
    return by_hand(spec, params, weights, grid_of(shape, size))


@pytest.fixture(autouse=True)
def _no_leftovers(monkeypatch):
    """What nobody writes is NaN, not what an earlier test left in memory."""

    class Empty:
        def __getattr__(self, name):
            return getattr(np, name)

        def empty(self, shape, dtype=float):
            return np.full(shape, np.nan, dtype)

    monkeypatch.setattr(anywhere, "np", Empty())


PATHS = ["table", "short runs", "pieces", "small pieces"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Every way that a grid can be cut must give the same values."""
    small = {
        "table": {},
        "short runs": {"BATCH_VALUES": 1, "_LONGEST": {1: 3, 2: 3, 3: 3}},
        "pieces": {"TABLE_VALUES": 0},
        "small pieces": {"TABLE_VALUES": 0, "PIECE_VALUES": 1, "_LONGEST": {1: 3, 2: 3, 3: 3}},
    }[request.param]
    for name, value in small.items():
        monkeypatch.setattr(anywhere, name, value)


GRIDS = [  # shape, output size (None: native)
    ((1,), None), ((16,), None), ((40,), None), ((41,), (83,)), ((5,), (40,)), ((37,), (1,)),
    ((1, 1), None), ((1, 1), (5, 3)), ((8, 4), None), ((9, 5), None), ((17, 13), None), ((16, 12), (32, 24)),
    ((16, 12), (64, 48)), ((16, 12), (8, 6)), ((16, 24), (18, 27)), ((17, 13), (19, 11)), ((3, 22), (7, 9)),
    ((1, 1, 1), None), ((3, 5, 7), None), ((4, 4, 6), (2, 9, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "size"), GRIDS)
def test_grids_are_the_sum_over_all_cells(path, shape, size):
    spec, params, weights, origin, cells = field(shape)
    found = render_grid(spec, params, weights, origin, cells, grid_of(shape, size))
    same(found, grid_by_hand(shape, size))


@pytest.mark.parametrize("shape", [(40,), (16, 12), (9, 5), (3, 5, 7), (1, 1)])
def test_positions_without_any_order(path, shape):
    """Random positions, the border of the domain and the centres of cells among them."""
    spec, params, weights, origin, cells = field(shape)
    rng = np.random.default_rng(3)
    positions = []
    for s, n in zip(spec.spacing, cells, strict=True):
        special = [0.0, s / 2, s * n - s / 2, s * n]
        positions.append(np.sort(np.concatenate([special, rng.uniform(0, s * n, 5)])))
    found = render_grid(spec, params, weights, origin, cells, positions)
    same(found, by_hand(spec, params, weights, positions))


# Positions in cells of 4 samples: the same offsets return, but after irregular numbers of cells or of positions.
IRREGULAR = [
    [3.0, 7.0, 15.0, 19.0, 27.0],
    [3.0, 7.2, 11.0, 15.2, 16.1, 19.0, 23.2, 27.0],
    [3.0, 7.0, 8.2, 11.0, 12.1, 13.4, 15.0, 19.0],
    [3.0, 7.0, 10.5, 11.0, 15.0, 19.0, 27.0],
    [2.5, 3.0, 3.5, 7.0, 10.5, 11.0, 11.5, 15.0],
]


@pytest.mark.parametrize("x", IRREGULAR)
def test_repeats_that_are_not_regular(path, x):
    spec, params, weights, origin, cells = field((24, 32))
    positions = [np.sort(np.append(2.0 * np.array(x[:5])[:4], 0.5)), np.array(x)]
    found = render_grid(spec, params, weights, origin, cells, positions)
    same(found, by_hand(spec, params, weights, positions))


def test_a_piece_of_stretches_that_do_not_follow_each_other(monkeypatch):
    """Six positions that return, and one single position behind each of them: the singles make one piece."""
    many = [2.2, 2.6, 3.0, 3.4, 3.8, 4.2]
    x = np.array([*many, 7.0, *(m + 8 for m in many), 15.7])
    spec, params, weights, origin, cells = field((8, 32))
    monkeypatch.setattr(anywhere, "TABLE_VALUES", 0)
    monkeypatch.setattr(anywhere, "PIECE_VALUES", spec.functions * 2 * 12)
    positions = [np.array([2.0]), x]
    same(render_grid(spec, params, weights, origin, cells, positions), by_hand(spec, params, weights, positions))


def test_positions_far_outside(path):
    """Stretches that return to the cells of earlier ones, forwards and backwards."""
    spec, params, weights, origin, cells = field((16, 8))
    positions = [np.arange(-41.0, 60.0, 4.0), np.arange(-21.0, 30.0, 4.0)]
    out = render_grid(spec, params, weights, origin, cells, positions)
    inside = [np.abs((p + n) % (2 * n) - n) for p, n in zip(positions, (16, 8), strict=True)]
    unique = [np.unique(p, return_inverse=True) for p in inside]
    wanted = render_grid(spec, params, weights, origin, cells, [u for u, _ in unique])
    same(out, wanted[:, unique[0][1]][:, :, unique[1][1]])


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 20), st.integers(1, 50), st.integers(1, 50), st.data())
def test_any_crop_at_any_scale(h, w, rows, columns, data):
    spec, params, weights, origin, cells = field((h, w))
    start = [data.draw(st.floats(0, n - 0.5)) for n in (h, w)]
    stop = [data.draw(st.floats(a + 0.25, n)) for a, n in zip(start, (h, w), strict=True)]
    positions = grid_of((h, w), (rows, columns), start, stop)
    found = render_grid(spec, params, weights, origin, cells, positions)
    assert found.shape == (3, rows, columns)
    for y, x in {(0, 0), (rows - 1, columns - 1), (rows // 2, columns // 3)}:
        wanted = at_point(spec, params, weights, (positions[0][y], positions[1][x]))
        np.testing.assert_allclose(found[:, y, x], wanted, rtol=0, atol=3e-5)


@pytest.mark.parametrize("per_cell", [(8, 4), (16, 8), (4, 2), (2, 6)])
def test_regular_grids_are_the_folded_table(per_cell):
    cells = (3, 5)
    shape = tuple(n * s for n, s in zip(cells, SPECS[2].spacing, strict=True))
    spec, params, weights, origin, _ = field(shape)
    size = tuple(n * p for n, p in zip(cells, per_cell, strict=True))
    found = render_grid(spec, params, weights, origin, cells, grid_of(shape, size))
    same(found, render(spec, weights[None], table(spec, params, per_cell), per_cell)[0])


@pytest.mark.parametrize(
    ("shape", "scale"), [((45, 29), 1), ((45, 29), 2), ((24, 16), 4), ((100,), 3), ((6, 9, 13), 1)]
)
def test_crop_is_the_crop_of_the_whole(path, shape, scale):
    """And needs no more cells than :func:`reached` tells."""
    spec, params, weights, origin, cells = field(shape)
    whole = render_grid(spec, params, weights, origin, cells, grid_of(shape, tuple(scale * n for n in shape)))
    inside = tuple(slice(scale * n // 3, max(scale * n // 3 + 1, 3 * scale * n // 4)) for n in shape)
    positions = [p[s] for p, s in zip(grid_of(shape, tuple(scale * n for n in shape)), inside, strict=True)]
    spans = [reached(p, s, n) for p, s, n in zip(positions, spec.spacing, cells, strict=True)]
    window = weights[(slice(None), *(slice(a, b) for a, b in spans))]
    found = render_grid(spec, params, window, tuple(a for a, _ in spans), cells, positions)
    same(found, whole[(slice(None), *inside)])


def test_reached_is_exact():
    """Nothing changes outside, and every cell inside counts."""
    spec, params, weights, origin, cells = field((64, 4))
    for start, stop in [(0, 1), (0, 4), (3, 5), (12, 21), (20, 36), (57, 64), (63, 64), (0, 64)]:
        positions = [np.arange(start, stop) + 0.5, np.array([1.5])]
        out = render_grid(spec, params, weights, origin, cells, positions)
        needed = []
        for cell in range(cells[0]):
            changed = weights.copy()
            changed[:, cell] += 1.0
            if not np.array_equal(render_grid(spec, params, changed, origin, cells, positions), out):
                needed.append(cell)
        assert needed == list(range(*reached(positions[0], 8, cells[0])))


def test_missing_cells_are_an_error():
    spec, params, weights, _, cells = field((40, 20))
    positions = grid_of((40, 20))
    for window, origin in [(weights[:, 1:], (1, 0)), (weights[:, :-1], (0, 0)), (weights[..., 1:], (0, 1))]:
        with pytest.raises(InternalError, match="needed"):
            render_grid(spec, params, window, origin, cells, positions)


def test_zero_weights_give_zeros(path):
    spec, params, weights, origin, cells = field((17, 13))
    out = render_grid(spec, params, np.zeros_like(weights), origin, cells, grid_of((17, 13), (19, 30)))
    assert not out.any()


def test_the_field_is_linear_in_the_weights(path):
    spec, params, weights, origin, cells = field((17, 13))
    other, positions = random_weights(spec, cells, seed=9), grid_of((17, 13), (19, 30))
    a, b, both = (
        render_grid(spec, params, w, origin, cells, positions) for w in (weights, other, 2.0 * weights - 3.0 * other)
    )
    same(both, 2.0 * a - 3.0 * b)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_field_has_no_steps(axis):
    """Left and right limits agree at the borders and at the centres of cells, where the cells change."""
    spec, params, weights, origin, cells = field((32, 16))
    s, n = spec.spacing[axis], cells[axis]
    places = np.arange(1, 2 * n) * s / 2
    positions = grid_of((32, 16))
    positions[axis] = np.stack([places - 1e-6, places + 1e-6], 1).ravel()
    out = np.moveaxis(render_grid(spec, params, weights, origin, cells, positions), axis + 1, 0)
    assert np.abs(out[0::2] - out[1::2]).max() < CLOSE * np.abs(out).max()
    assert np.abs(np.diff(out[0::2], axis=0)).max() > 0.1  # the field itself is not flat


def test_the_field_is_mirrored_at_its_border():
    """Its values outside are those inside, near and far away; it has no step at the border."""
    spec, params, weights, origin, cells = field((16, 8))
    x = np.array([0.01, 1.3, 7.9])
    out = render_grid(spec, params, weights, origin, cells, [x, x])
    for copy, turned in [(-x, True), (32 - x, True), (x + 32, False), (x - 32, False), (-32 - x, True)]:
        found = render_grid(spec, params, weights, origin, cells, [np.sort(copy), x])
        same(np.flip(found, 1) if turned else found, out)
    both = render_grid(spec, params, weights, origin, cells, [np.array([-1e-6, 1e-6, 16 - 1e-6, 16 + 1e-6]), x])
    np.testing.assert_allclose(both[:, 0::2], both[:, 1::2], rtol=0, atol=1e-5)


def test_axes_are_not_exchanged():
    """Weights of one cell only: the field lives around that cell."""
    spec, params, weights, origin, cells = field((64, 32))
    alone = np.zeros_like(weights)
    alone[:, 6, 2] = weights[:, 6, 2]
    out = np.abs(render_grid(spec, params, alone, origin, cells, grid_of((64, 32)))).max(0)
    seen = out > 0
    assert seen[44:60, 6:14].mean() > 0.9
    seen[44:60, 6:14] = False
    assert not seen.any()


def test_nothing_to_render():
    spec, params, weights, origin, cells = field((16, 8))
    assert render_grid(spec, params, weights, origin, cells, [np.zeros(0), np.zeros(3)]).shape == (3, 0, 3)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads, monkeypatch):
    monkeypatch.setattr(anywhere, "BATCH_VALUES", 512)
    spec, params, weights, origin, cells = field((80, 40))
    one = render_grid(spec, params, weights, origin, cells, grid_of((80, 40)))
    with limited(threads):
        assert np.array_equal(render_grid(spec, params, weights, origin, cells, grid_of((80, 40))), one)


def evaluate_by_hand(spec, params, *offsets):
    return functions(spec, params, np.stack([g.ravel() for g in np.meshgrid(*offsets, indexing="ij")], 1)).T


def test_evaluate_is_the_trunk_on_the_product(monkeypatch):
    monkeypatch.setattr(anywhere, "BATCH_POINTS", 7)
    spec, params, _, _, _ = field((16, 8))
    a, b = np.linspace(-0.9, 0.9, 5), np.linspace(-0.5, 0.7, 4)
    found = anywhere.evaluate(spec, params, (a, b))
    np.testing.assert_allclose(found.reshape(spec.functions, -1), evaluate_by_hand(spec, params, a, b), atol=1e-5)
    assert anywhere.evaluate(spec, params, (a, b, np.zeros(1))).shape == (spec.functions, 5, 4, 1)


# -- how positions are grouped ---------------------------------------------------------------------------


def evaluated(axis):
    return len(axis.offsets)


@pytest.mark.parametrize(
    ("n", "size", "offsets", "patterns"), [(800, 800, 16, 3), (800, 1600, 32, 3), (800, 400, 8, 3)]
)
def test_regular_grids_need_one_table(n, size, offsets, patterns):
    """The inside of the lattice is one pattern, however large; each border is another."""
    axis = plan_axis(sample_positions(0.0, float(n), size), 8, 100, 0, 100, 64)
    assert evaluated(axis) == offsets and len(axis.patterns) == patterns
    assert all(len(p.runs) == 1 for p in axis.patterns)
    assert max(p.runs[0].count for p in axis.patterns) == 99


def test_rounding_of_positions_makes_no_new_offsets():
    """A grid of 125/12 positions per cell, far from zero: 125 phases, although float64 never repeats exactly."""
    n = 8 * 12 * 700
    positions = sample_positions(0.0, float(n), 125 * 700)
    assert evaluated(plan_axis(positions, 8, n // 8, 0, n // 8, 64)) <= 2 * 125
    assert len(np.unique(positions / 8 % 1)) > 4 * 125


@given(st.integers(1, 40), st.integers(1, 90), st.integers(1, 9), st.data())
def test_every_position_is_in_one_stretch(cells, count, longest, data):
    start = data.draw(st.floats(0, 8 * cells - 0.5))
    positions = sample_positions(start, data.draw(st.floats(start + 0.25, 8 * cells)), count)
    axis = plan_axis(positions, 8, cells, 0, cells, longest)
    seen = np.zeros(count, int)
    for pattern in axis.patterns:
        assert pattern.size <= longest
        for run in pattern.runs:
            for i in range(run.count):
                (part,) = run.part(i, 1).cut(1)
                at = slice(part.start, part.start + pattern.size)
                seen[at] += 1
                for side in (0, 1):
                    # Where the cell says that it is seen, or its mirrored copy.
                    x = 8 * (part.cells[side] + 0.5 + axis.offsets[pattern.sides[side]])
                    near = [np.abs(positions[at] - m) for m in (x, -x, 16 * cells - x)]
                    assert np.min(near, 0).max() < 1e-5
    assert (seen == 1).all()


# -- scattered points ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40,), (17, 13), (3, 5, 7), (1, 1)])
def test_points_are_the_grid(shape, monkeypatch):
    monkeypatch.setattr(anywhere, "BATCH_POINTS", 10)
    spec, params, weights, origin, cells = field(shape)
    positions = grid_of(shape, tuple(n + 1 for n in shape))
    asked = []

    def weights_at(index):
        assert index.dtype == np.int64 and index.shape[1] == len(shape) and len(index) <= 10
        asked.append(len(index))
        return weights[(slice(None), *index.T)].T

    points = np.array(list(itertools.product(*positions)))
    found = render_points(spec, params, weights_at, cells, points)
    assert sum(asked) == len(points) * 2 ** len(shape)
    wanted = render_grid(spec, params, weights, origin, cells, positions).reshape(spec.planes, -1).T
    same(found, wanted)


def test_no_points():
    spec, params, _, _, cells = field((16, 8))
    assert render_points(spec, params, lambda index: index, cells, np.zeros((0, 2))).shape == (0, 3)


# -- memory ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(300, 2), (2, 300), (2000, 1)])
def test_tables_of_pieces_are_bounded(size, monkeypatch):
    """However far the field is enlarged."""
    monkeypatch.setattr(anywhere, "TABLE_VALUES", 1000)
    monkeypatch.setattr(anywhere, "PIECE_VALUES", 5000)
    monkeypatch.setattr(anywhere, "_LONGEST", {2: 8})
    spec, params, weights, origin, cells = field((9, 5))
    sizes, evaluate = [], anywhere.evaluate

    def measured(*args):
        sizes.append(evaluate(*args).size)
        return evaluate(*args)

    monkeypatch.setattr(anywhere, "evaluate", measured)
    out = render_grid(spec, params, weights, origin, cells, grid_of((9, 5), size))
    assert sizes and max(sizes) <= max(5000, spec.functions * 16 * 16)
    monkeypatch.undo()
    same(out, render_grid(spec, params, weights, origin, cells, grid_of((9, 5), size)))


@pytest.mark.parametrize(("shape", "stretch"), [((80, 40), 32), ((3200,), 16), ((12, 24, 36), 48)])
def test_products_are_bounded(shape, stretch, monkeypatch):
    """However many stretches of ``stretch`` positions repeat."""
    spec, params, weights, origin, cells = field(shape)
    monkeypatch.setattr(anywhere, "BATCH_VALUES", 16 * stretch)
    counts, layers = [], anywhere._layers

    def measured(*args):
        counts.append(layers(*args).shape[1])
        return layers(*args)

    monkeypatch.setattr(anywhere, "_layers", measured)
    render_grid(spec, params, weights, origin, cells, grid_of(shape))
    assert 4 < max(counts) <= 16


def test_planning_takes_memory_of_the_axis_only():
    tracemalloc.start()
    plan_axis(sample_positions(0.0, 80_000.0, 80_000), 8, 10_000, 0, 10_000, 64)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6


def test_one_plane_needs_no_second_table():
    spec = dataclasses.replace(SPECS[2], planes=1)
    _, params, weights, origin, cells = field((9, 5), spec)
    assert params["trunk.2.weight"].shape[0] == 4
    same(
        render_grid(spec, params, weights, origin, cells, grid_of((9, 5))),
        by_hand(spec, params, weights, grid_of((9, 5))),
    )
