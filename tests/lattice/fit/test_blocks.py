"""Blocks of cells and how they are chosen."""

from __future__ import annotations

import numpy as np

from nfcodec.lattice.fit.blocks import best_holding, pooled, spread


def test_blocks_are_sums_and_spread_back():
    scores = np.arange(30.0).reshape(5, 6)
    blocks = pooled(scores, 4)
    assert blocks.tolist() == [
        [scores[:4, :4].sum(), scores[:4, 4:].sum()], [scores[4:, :4].sum(), scores[4:, 4:].sum()]
    ]  # fmt: skip
    cells = spread(np.array([[False, True], [False, False]]), 4, (5, 6))
    assert cells.shape == (5, 6) and cells[:4, 4:].all() and cells.sum() == 8


def test_the_fewest_blocks_hold_the_share():
    scores = np.array([[5.0, 1.0], [3.0, 1.0]])
    assert best_holding(scores, 0.6).tolist() == [[True, False], [True, False]]
    assert best_holding(scores, 0.45).tolist() == [[True, False], [False, False]]
    assert best_holding(scores, 0.85).tolist() == [[True, True], [True, False]]
    assert best_holding(scores, 1.0) is None
    assert best_holding(np.ones(1), 0.3) is None
