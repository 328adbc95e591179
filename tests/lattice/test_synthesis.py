"""From symbols to last layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import init as path_of

from nfcodec import zoo
from nfcodec.lattice.synthesis import last_layers, region_layers


@pytest.fixture(scope="module")
def level():
    return zoo.load(path_of("tiny-lattice")).levels[0]


def test_d_adds_to_the_dequantized_symbols(level):
    """Without D's last layer what is left are symbols times steps, and no extra functions."""
    symbols = np.random.default_rng(0).integers(-9, 10, (3, 64, 4, 5)).astype(np.int32)
    silent = {n: np.zeros_like(t) if ".out." in n else t for n, t in level.restore.items()}
    plain = region_layers(replace(level, restore=silent), symbols, 40)
    wanted = symbols * level.steps(40)[:, :, None, None]
    np.testing.assert_allclose(plain[:192], wanted.reshape(192, 4, 5), rtol=1e-6)
    assert not plain[192:].any() and plain.shape == (196, 4, 5)
    moved = region_layers(level, symbols, 40) - plain
    assert moved[:192].abs().max() > 0 and moved[192:].abs().max() > 0


def test_d_counts_in_steps(level):
    """Twice the steps of a plane, twice its last layers; the extra functions go with luma."""
    symbols = np.random.default_rng(2).integers(-9, 10, (3, 64, 2, 3)).astype(np.int32)
    before = region_layers(level, symbols, 40)
    for plane, mine in ((0, [*range(64), *range(192, 196)]), (1, range(64, 128)), (2, range(128, 192))):
        finer = level.log_step.copy()
        finer[:, plane] += 1
        factor = torch.ones(196, 1, 1)
        factor[list(mine)] = 2.0
        found = region_layers(replace(level, log_step=finer), symbols, 40)
        np.testing.assert_allclose(found, before * factor, rtol=1e-4, atol=1e-6)


def test_a_batch_is_its_members(level):
    symbols = torch.randint(-5, 6, (3, 3, 64, 2, 6), generator=torch.Generator().manual_seed(1)).float()
    with torch.no_grad():
        together = last_layers(level, symbols, 70)
        for one, alone in zip(symbols, together, strict=True):
            np.testing.assert_allclose(last_layers(level, one[None], 70)[0], alone, atol=1e-5)


def test_d_sees_its_neighbours_only_nearby(level):
    """One block of 3 × 3: a symbol moves the cells around it (means two away, through their differences)."""
    symbols = torch.zeros(1, 3, 64, 9, 9)
    symbols[0, 0, 0, 4, 4] = 7
    with torch.no_grad():
        moved = last_layers(level, symbols, 50) - last_layers(level, torch.zeros_like(symbols), 50)
    away = moved[0].abs().sum(0) > 1e-6
    assert away[4, 4] and away[3:6, 3:6].all() and not away[:2].any() and not away[:, 7:].any()
