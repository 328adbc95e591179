"""Some cells alone: the numbers of all of them, to the last one."""

import numpy as np
import pytest
from helpers import INITS

from nfcodec import zoo
from nfcodec.lattice.native import render_box
from nfcodec.lattice.sparse import cell_layers, render_cells, widened
from nfcodec.lattice.synthesis import last_layers

CELLS = (9, 11)


@pytest.fixture(scope="module")
def level():
    return zoo.read_init(INITS / "tiny-lattice.safetensors").levels[0]


def symbols(seed):
    return np.random.default_rng(seed).integers(-4, 5, (3, 64, *CELLS)).astype(np.int32)


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_layers_are_those_of_the_whole_lattice(level, share):
    wanted = np.random.default_rng(1).random(CELLS) < share
    wanted[0, 0] = wanted[-1, 3] = True
    whole = last_layers(level, symbols(0), 70)
    np.testing.assert_array_equal(cell_layers(level, symbols(0), 70, wanted), whole[:, wanted])


def test_cells_reach_those_that_touch_them():
    cells = np.zeros((5, 6), bool)
    cells[1, 4] = True
    wide = np.zeros((5, 6), bool)
    wide[:3, 3:] = True
    np.testing.assert_array_equal(widened(cells), wide)


def test_all_cells_are_rendered_as_ever(level):
    spec, table = level.spec, level.table.astype(np.float64)
    layers = last_layers(level, symbols(2), 40)
    shape = [n * s for n, s in zip(CELLS, spec.spacing, strict=True)]
    wanted = render_box(spec, table, layers, (0, 0), CELLS, [(0, n) for n in shape])
    found = render_cells(spec, table, layers.reshape(len(layers), -1), np.ones(CELLS, bool), ((True, True),) * 2)
    np.testing.assert_array_equal(found, wanted)


def test_a_part_without_ends_reaches_half_a_spacing_further(level):
    """Cells 2 … 4 and 3 … 6 of the lattice, all others zero."""
    spec, table = level.spec, level.table.astype(np.float64)
    layers = last_layers(level, symbols(3), 40)
    layers[:, :2], layers[:, 5:], layers[:, :, :3], layers[:, :, 7:] = 0, 0, 0, 0
    (high, wide), shape = spec.spacing, [n * s for n, s in zip(CELLS, spec.spacing, strict=True)]
    whole = render_box(spec, table, layers, (0, 0), CELLS, [(0, n) for n in shape])
    part = layers[:, 2:5, 3:7].reshape(len(layers), -1)
    found = render_cells(spec, table, part, np.ones((3, 4), bool), ((False, False),) * 2)
    top, left = 2 * high - high // 2, 3 * wide - wide // 2
    np.testing.assert_array_equal(found, whole[:, top : top + 4 * high, left : left + 5 * wide])
