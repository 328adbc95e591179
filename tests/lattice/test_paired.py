"""Products of pairs of cells give what those of 3^d cells around each give."""

import itertools

import numpy as np
import pytest

from nfcodec.entropy.networks import Layer
from nfcodec.lattice import paired
from nfcodec.lattice.restore import repeated_border


def around(layer, active):
    """The outputs cell by cell."""
    wide = repeated_border(active, active.ndim - 1)
    cells = active.shape[1:]
    seen = [
        wide[(slice(None), *(slice(o, o + n) for o, n in zip(offset, cells, strict=True)))].reshape(len(active), -1)
        for offset in itertools.product(range(3), repeat=len(cells))
    ]
    return layer(np.concatenate(seen)).reshape(-1, *cells)


@pytest.mark.parametrize("strip", [1, 9, 768])
@pytest.mark.parametrize("cells", [(1,), (7,), (40,), (1, 1), (5, 6), (4, 33), (3, 1), (2, 3, 4), (3, 2, 35)])
def test_the_same_numbers(cells, strip, monkeypatch):
    monkeypatch.setattr(paired, "_CELLS", strip)
    rng = np.random.default_rng(len(cells))
    weight = rng.integers(-60, 61, (6, 5 * 3 ** len(cells))).astype(np.float32)
    layer = Layer(weight, rng.integers(-900, 901, 6).astype(np.float32), rng.integers(2, 6, 6).astype(np.int32))
    active = rng.integers(-255, 256, (5, *cells)).astype(np.float32)
    np.testing.assert_array_equal(paired.outputs(layer, active), around(layer, active))


def test_the_largest_sums_are_exact():
    rng = np.random.default_rng(1)
    most = paired.LARGEST_SUM // (255 * 9 * 8) - 1
    weight = (rng.choice([-1.0, 1.0], (4, 72)) * rng.integers(most - 1, most + 1, (4, 72))).astype(np.float32)
    layer = Layer(weight, np.ones(4, np.float32), np.full(4, 1, np.int32))
    active = rng.choice([-255.0, 254.0, 255.0], (8, 30, 20)).astype(np.float32)
    active[:, 5:8, 5:8] = 255 * np.sign(weight[0]).reshape(3, 3, 8).transpose(2, 0, 1)
    whole = weight.astype(np.float64) @ np.stack([
        np.pad(active, ((0, 0), (1, 1), (1, 1)), "edge")[:, y : y + 30, x : x + 20] for y in range(3) for x in range(3)
    ]).reshape(72, -1).astype(np.float64)  # fmt: skip
    expected = np.floor((whole + 2) / 2).reshape(4, 30, 20)
    assert np.abs(expected).max() > 0.95 * paired.LARGEST_SUM / 2
    np.testing.assert_array_equal(paired.outputs(layer, active), expected)
