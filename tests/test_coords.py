import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfcodec.coords import module_coords, modules_per_axis, plan_axis, sample_positions

LENGTHS = st.integers(1, 70)
TILES = st.integers(1, 17)


def places(plan, tile):
    """Native positions (n,) that a plan evaluates, found back from (module, local coordinate)."""
    columns = plan.local.shape[1]
    row = plan.index // columns
    local = plan.local.reshape(-1)[plan.index].astype(np.float64)
    return (plan.first + row) * tile + (local + 1.0) / 2.0 * tile, plan.first + row


@given(LENGTHS, TILES)
def test_38_native_grid_is_covered_exactly_once(n, tile):
    (modules,) = modules_per_axis((n,), (tile,))
    plan = plan_axis(sample_positions(0.0, float(n), n), tile, modules)
    position, owner = places(plan, tile)
    assert len(set(plan.index.tolist())) == n == len(plan.index)
    np.testing.assert_allclose(position, np.arange(n) + 0.5, atol=1e-4)
    assert (owner == np.arange(n) // tile).all()
    assert plan.first == 0 and len(plan.local) == modules
    assert np.abs(plan.local).max() < 1.0


@given(LENGTHS, TILES, st.integers(1, 90), st.data())
def test_any_grid_finds_its_modules(n, tile, count, data):
    start = data.draw(st.floats(0, n - 0.5))
    stop = data.draw(st.floats(start + 0.25, n))
    (modules,) = modules_per_axis((n,), (tile,))
    positions = sample_positions(start, stop, count)
    plan = plan_axis(positions, tile, modules)
    position, owner = places(plan, tile)
    np.testing.assert_allclose(position, positions, atol=1e-4)
    assert (owner >= 0).all() and (owner < modules).all()
    assert np.abs(plan.local).max() <= 1.0
    assert (np.diff(plan.index) > 0).all()


@given(TILES, st.integers(1, 5))
def test_native_plan_is_what_modules_are_fitted_on(tile, modules):
    """Bit for bit: the encoder's coordinates are the decoder's."""
    n = tile * modules
    plan = plan_axis(sample_positions(0.0, float(n), n), tile, modules)
    fitted = module_coords((tile,))[:, 0]
    assert (plan.local == fitted).all()


@pytest.mark.parametrize(("n", "tile"), [(1, 1), (1, 16), (16, 16), (17, 16), (31, 16)])
def test_edge_lengths(n, tile):
    (modules,) = modules_per_axis((n,), (tile,))
    assert (modules - 1) * tile < n <= modules * tile
    plan = plan_axis(sample_positions(0.0, float(n), n), tile, modules)
    assert plan.local.shape == (modules, min(n, tile))


@pytest.mark.parametrize("tile", [(1, 1), (2, 5), (5, 2), (3, 4, 7), (9,)])
def test_10_corner_samples(tile):
    coords = module_coords(tile)
    assert coords.shape == (int(np.prod(tile)), len(tile))
    expected = [1.0 - 1.0 / t for t in tile]
    np.testing.assert_allclose(coords[-1], expected, rtol=0, atol=1e-7)
    np.testing.assert_allclose(coords[0], -coords[-1], rtol=0, atol=1e-7)
    grid = coords.reshape(*tile, len(tile))
    for axis, t in enumerate(tile):  # row-major, and axes in the order of the shape: H and W are not exchanged
        along = np.moveaxis(grid, axis, 0)[(slice(None), *[0] * (len(tile) - 1), axis)]
        np.testing.assert_allclose(along, (2.0 * np.arange(t) + 1.0) / t - 1.0, atol=1e-7)


@settings(max_examples=30)
@given(st.integers(1, 40), st.sampled_from([3, 5, 7]))
def test_10_resolutions_share_their_centres(n, k):
    coarse, fine = sample_positions(0.0, float(n), n), sample_positions(0.0, float(n), n * k)
    np.testing.assert_allclose(fine[k // 2 :: k], coarse, atol=1e-9)
    np.testing.assert_allclose(fine.reshape(n, k).mean(1), coarse, atol=1e-9)


@given(st.floats(-5, 5), st.floats(0.1, 50), st.integers(1, 60))
def test_positions_are_centres_of_equal_cells(start, length, n):
    positions = sample_positions(start, start + length, n)
    assert positions.dtype == np.float64 and positions.shape == (n,)
    np.testing.assert_allclose(positions, [start + length * (i + 0.5) / n for i in range(n)], atol=1e-9)


def test_positions_outside_go_to_the_nearest_module():
    plan = plan_axis(np.array([-1.5, 0.5, 7.9, 8.0, 11.0]), 4, 2)
    position, owner = places(plan, 4)
    assert owner.tolist() == [0, 0, 1, 1, 1]
    np.testing.assert_allclose(position, [-1.5, 0.5, 7.9, 8.0, 11.0], atol=1e-5)
