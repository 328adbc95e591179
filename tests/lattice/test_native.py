"""Rendering at the samples themselves: whole numbers, whatever part is asked for."""

import itertools

import numpy as np
import pytest
import torch

from nfcodec.errors import CorruptError
from nfcodec.lattice import native
from nfcodec.lattice.native import check_table, native_index, reached_cells, render_box, render_points
from nfcodec.lattice.synthesis import whole_to_values
from nfcodec.lattice.trunk import LatticeSpec, render
from nfcodec.rotations import opponent_matrix

SPECS = {
    1: LatticeSpec(spacing=(16,), bases=5, width=11, planes=2),
    2: LatticeSpec(spacing=(8, 4), bases=4, width=10),
    3: LatticeSpec(spacing=(2, 4, 6), bases=3, width=8, planes=1),
}
CELLS = {1: (7,), 2: (6, 5), 3: (4, 2, 3)}


def field(axes, cells=None, seed=0):
    """A spec, a table, last layers of whole numbers up to the bounds, and the number of cells."""
    spec, cells = SPECS[axes], cells or CELLS[axes]
    rng = np.random.default_rng(seed)
    places = int(np.prod([2 * s for s in spec.spacing]))
    table = rng.integers(-30000, 30001, (spec.functions, places)).astype(np.float64)
    layers = rng.integers(-(1 << 23), (1 << 23) + 1, (spec.weights, *cells)).astype(np.float32)
    return spec, table, layers, cells


def whole(axes, cells=None):
    """All samples by the fold of training, in float64."""
    spec, table, layers, cells = field(axes, cells)
    return render(spec, layers.astype(np.float64)[None], table, spec.spacing)[0]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("band", [1, 1 << 10, 1 << 18])
def test_the_whole_is_the_fold(axes, band, monkeypatch):
    monkeypatch.setattr(native, "_BAND_VALUES", band)
    spec, table, layers, cells = field(axes)
    box = [(0, n * s) for n, s in zip(cells, spec.spacing, strict=True)]
    found = render_box(spec, table, layers, (0,) * axes, cells, box)
    np.testing.assert_array_equal(found, whole(axes))
    assert (found == np.rint(found)).all() and np.abs(found).max() > 2**30


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_parts_are_parts_of_the_whole_bit_for_bit(axes, seed):
    """From no more cells than they hear."""
    spec, table, layers, cells = field(axes)
    rng = np.random.default_rng(seed)
    sizes = [n * s for n, s in zip(cells, spec.spacing, strict=True)]
    starts = [int(rng.integers(n)) for n in sizes]
    box = [(a, int(rng.integers(a + 1, n + 1))) for a, n in zip(starts, sizes, strict=True)]
    spans = [reached_cells(b, s, n) for b, s, n in zip(box, spec.spacing, cells, strict=True)]
    window = layers[(slice(None), *(slice(*s) for s in spans))]
    found = render_box(spec, table, window, [s[0] for s in spans], cells, box)
    np.testing.assert_array_equal(found, whole(axes)[(slice(None), *(slice(*b) for b in box))])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_points_are_those_of_the_whole_bit_for_bit(axes, monkeypatch):
    monkeypatch.setattr(native, "_POINTS", 37)
    spec, table, layers, cells = field(axes)
    sizes = [n * s for n, s in zip(cells, spec.spacing, strict=True)]
    index = np.array(list(itertools.product(*(range(n) for n in sizes))))[::3]
    found = render_points(spec, table, lambda at: layers[(slice(None), *at.T)].T, cells, index)
    np.testing.assert_array_equal(found, whole(axes)[(slice(None), *index.T)])
    assert render_points(spec, table, lambda at: layers[(slice(None), *at.T)].T, cells, index[:0]).shape[1] == 0


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_one_cell_alone(axes):
    spec, table, layers, cells = field(axes, (1,) * axes)
    box = [(0, s) for s in spec.spacing]
    np.testing.assert_array_equal(render_box(spec, table, layers, (0,) * axes, cells, box), whole(axes, cells))


def test_native_positions():
    assert native_index(np.array([0.5, 1.5, 7.5]), 8).tolist() == [0, 1, 7]
    for positions in ([0.5, 1.4], [-0.5, 0.5], [7.5, 8.5], [0.25], [np.nextafter(3.5, 4)]):
        assert native_index(np.array(positions), 8) is None
    assert native_index(np.zeros(0), 8).tolist() == []


def test_tables_that_could_be_inexact():
    spec, table, _, _ = field(2)
    good = table.astype(np.int16)
    check_table("x", spec, good)
    for bad in (good[:-1], good[:, :-1], good.astype(np.float32), good.astype(np.int32) << 8 << 3):
        with pytest.raises(CorruptError):
            check_table("x", spec, bad)


# -- values ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("channels", [1, 3])
def test_values_are_the_rotation(channels):
    planes = np.random.default_rng(0).integers(-(1 << 32), 1 << 32, (3, 5, 7)).astype(np.float64)
    found = whole_to_values(planes, channels)
    assert found.dtype == np.float32 and found.shape == (5, 7, channels)
    wanted = np.einsum("ij,i...->...j", opponent_matrix(torch.float64).numpy(), planes * 2.0**-32) + 0.5
    if channels == 1:
        wanted = planes[0][..., None] * 2.0**-32 / np.sqrt(3) + 0.5
    np.testing.assert_allclose(found, wanted, atol=3e-5)


def test_values_by_hand():
    """In Python's whole numbers, at the bounds."""
    rng = np.random.default_rng(1)
    most = (1 << 47) - 1
    planes = np.concatenate([rng.integers(-most, most + 1, (3, 50)), np.full((3, 1), most), np.full((3, 1), -most)], 1)
    found = whole_to_values(planes.astype(np.float64), 3)
    rows = [[37837, 46341, 26755], [37837, 0, -53510], [37837, -46341, 26755]]
    for column, values in zip(planes.T, found, strict=True):
        p = [(int(n) + 2**11) >> 12 for n in column]
        for row, value in zip(rows, values, strict=True):
            total = sum(a * b for a, b in zip(row, p, strict=True)) + 2**35
            assert abs(total) < 2**53
            assert value == np.float32(total * 2.0**-36)
