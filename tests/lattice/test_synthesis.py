"""From symbols to last layers, and between planes and values."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import init as path_of

from nfcodec import zoo
from nfcodec.lattice.restore import Restore
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import last_layers, region_layers, to_planes, to_values
from nfcodec.lattice.tensors import on_torch


@pytest.fixture(scope="module")
def level():
    return zoo.load(path_of("tiny-lattice")).levels[0]


def silent(level):
    """The level with a D that puts out zeros."""
    last = level.restore.leave
    zeros = replace(last, weight=0 * last.weight, bias=0 * last.bias)
    return replace(level, restore=Restore(level.restore.enter, level.restore.blocks, zeros))


def symbols_of(*cells, seed=0, most=9):
    return np.random.default_rng(seed).integers(-most, most + 1, (3, 64, *cells)).astype(np.int32)


@pytest.mark.parametrize("channels", [1, 3])
def test_planes_and_back(channels):
    values = torch.rand(5, 7, channels, generator=torch.Generator().manual_seed(0))
    planes = to_planes(values)
    assert planes.shape == (3, 5, 7)
    np.testing.assert_allclose(to_values(planes, channels), values, atol=1e-6)
    wanted = (values - 0.5).expand(5, 7, 3).square().sum(-1)  # orthonormal: errors are the same in both
    np.testing.assert_allclose(planes.square().sum(0), wanted, atol=1e-5)


def test_grey_is_the_first_plane():
    grey = torch.full((2, 2, 1), 0.9)
    planes = to_planes(grey)
    assert not planes[1:].any()
    np.testing.assert_allclose(planes[0], 0.4 * 3**0.5, atol=1e-6)
    np.testing.assert_allclose(to_planes(grey.expand(2, 2, 3)), planes, atol=1e-6)


def test_d_adds_to_the_dequantized_symbols(level):
    """Without D's last layer what is left are symbols times steps; with it no more than eight steps more."""
    symbols = symbols_of(4, 5)
    plain = region_layers(silent(level), symbols, 40) * WEIGHT_UNIT
    wanted = (symbols * level.steps(40)[:, :, None, None]).reshape(192, 4, 5)
    np.testing.assert_allclose(plain, wanted, atol=WEIGHT_UNIT / 2)
    moved = region_layers(level, symbols, 40) * WEIGHT_UNIT - plain
    assert np.abs(moved).max() > 0
    assert (np.abs(moved) <= 8 * level.steps(40).reshape(192, 1, 1) + WEIGHT_UNIT).all()


def test_d_counts_in_steps(level):
    """An octave more in the steps of a plane, twice its last layers; the others stay."""
    symbols = symbols_of(2, 3, seed=2)
    before = region_layers(level, symbols, 40)
    for plane in range(3):
        coarser = level.log_step.copy()
        coarser[:, plane] += 256
        factor = np.ones((192, 1, 1))
        factor[64 * plane : 64 * plane + 64] = 2
        found = region_layers(replace(level, log_step=coarser), symbols, 40)
        np.testing.assert_allclose(found, before * factor, atol=1)


def test_tensors_come_within_one(level):
    symbols = symbols_of(3, 5, seed=4)
    exact = last_layers(level, symbols, 70)
    close = last_layers(on_torch(level), torch.from_numpy(symbols.astype(np.float32)), 70)
    assert exact.dtype == np.float64 and np.abs(exact - close.numpy()).max() <= 1


def test_a_batch_is_its_members(level):
    symbols = torch.from_numpy(np.stack([symbols_of(2, 6, seed=s) for s in range(3)]).astype(np.float32))
    together = last_layers(on_torch(level), symbols, 70)
    for one, alone in zip(symbols, together, strict=True):
        assert torch.equal(last_layers(on_torch(level), one, 70), alone)


def test_no_symbol_leaves_the_bound(level):
    """Weights saturate before every product, whatever a file holds."""
    symbols = np.full((3, 64, 2, 2), 1 << 20, np.int32)
    symbols[:, ::2] *= -1
    found = region_layers(replace(level, log_step=np.full_like(level.log_step, 2047)), symbols, 0)
    assert found.dtype == np.float32 and np.unique(np.abs(found)).tolist() == [1 << 23]


def test_d_sees_its_neighbours_only_nearby(level):
    """One block of 3 × 3: a symbol moves the cells around it (means two away, through their differences)."""
    symbols = np.zeros((3, 64, 9, 9), np.int32)
    symbols[0, 0, 4, 4] = 7
    moved = last_layers(level, symbols, 50) - last_layers(level, np.zeros_like(symbols), 50)
    away = moved.any(0)
    assert away[4, 4] and away[3:6, 3:6].all() and not away[:2].any() and not away[:, 7:].any()
