"""All cells at once and tile by tile: the same predictions as the coder's, and slopes that a float twin confirms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nfcodec import zoo
from nfcodec.lattice.code import RegionSymbols, predict
from nfcodec.lattice.fit.outlook import Outlook
from nfcodec.lattice.fit.tiles import tiles_around
from nfcodec.lattice.fit.twin import FloatPrior, float_params


@pytest.fixture(scope="module")
def level():
    [found] = zoo.load("photo-lattice").levels
    return found


def symbols_of(shape, seed=0, planes=3):
    """Symbols that get rarer with frequency."""
    rng = np.random.default_rng(seed)
    found = np.round(rng.laplace(size=(3, 64, *shape)) * 6.0 / (1.0 + np.arange(64))[:, None, None]).astype(np.int32)
    found[planes:] = 0
    return found


@pytest.mark.parametrize(("shape", "planes"), [((7, 10), 3), ((1, 5), 3), ((12, 9), 1), ((1, 1), 3)])
def test_predictions_are_those_of_the_coder(level, shape, planes):
    region = RegionSymbols(symbols_of(shape, planes=planes), 63, planes)
    wanted, found = predict(level.prior, region), Outlook(level.prior, shape, planes).look(region).prediction
    np.testing.assert_array_equal(found.mean, wanted.mean)
    np.testing.assert_array_equal(found.scale, wanted.scale)


@pytest.mark.parametrize("seed", range(3))
def test_tiles_predict_what_has_changed(level, seed):
    shape, rng = (40, 51), np.random.default_rng(seed)
    symbols = symbols_of(shape, seed)
    changed, blocks = symbols.copy(), rng.random((5, 7)) < 0.15
    cells = np.kron(blocks, np.ones((8, 8), bool))[: shape[0], : shape[1]]
    changed[..., cells] += rng.integers(-1, 2, changed[..., cells].shape, dtype=np.int32)
    outlook = Outlook(level.prior, shape, 3)
    before = outlook.look(RegionSymbols(symbols, 40, 3))
    tiles = tiles_around(blocks, shape, 8, 2)
    assert 1 < len(tiles.corners) == blocks.sum()
    region = RegionSymbols(changed, 40, 3)
    after, anew = outlook.look(region, before, tiles), outlook.look(region)
    np.testing.assert_array_equal(after.prediction.mean, anew.prediction.mean)
    np.testing.assert_array_equal(after.prediction.scale, anew.prediction.scale)
    part, whole = outlook.slope(after, tiles), outlook.slope(anew)
    np.testing.assert_allclose(part[..., cells], whole[..., cells], atol=1e-3)
    far = np.kron(blocks, np.ones((8, 8), bool))
    assert np.abs(part - whole)[..., ~far[: shape[0], : shape[1]]].max() > 0.01


def test_slopes_are_those_of_the_float_twin(level):
    """The twin predicts without rounding, which narrow scales feel: alike on the whole."""
    shape = (16, 16)
    symbols = symbols_of(shape)
    outlook = Outlook(level.prior, shape, 3)
    found = outlook.slope(outlook.look(RegionSymbols(symbols, 50, 3)))
    twin, params = FloatPrior(level.prior.order, shape, 1), float_params(level.prior)
    q = torch.from_numpy(symbols[None].astype(np.float32)).requires_grad_(True)
    hats = torch.from_numpy(level.hats(50))[None]
    (wanted,) = torch.autograd.grad(torch.stack(list(twin._group_parts(params, q, hats, q.detach()))).sum(), q)
    for bases in (slice(0, 1), slice(1, 64)):
        both = found[:, bases].ravel(), wanted[0].numpy()[:, bases].ravel()
        assert np.corrcoef(*both)[0, 1] > 0.9


def test_tiles_lie_within_their_region():
    blocks = np.zeros((3, 4), bool)
    blocks[0, 0] = blocks[2, 3] = True
    tiles = tiles_around(blocks, (20, 30), 8, 1)
    assert tiles.size == (10, 10) and tiles.corners.tolist() == [[0, 0], [10, 20]]
    assert tiles.cells.min() == 0 and tiles.cells.max() == 599 and tiles.once.all()
    assert len(tiles_around(np.ones((3, 4), bool), (20, 30), 8, 1).corners) == 1
    crowded = tiles_around(np.array([[True, True, False, False, False]]), (8, 40), 8, 1)
    assert crowded.once.sum() == len(set(crowded.cells.tolist())) < len(crowded.cells)
