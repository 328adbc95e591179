"""A fused network gives what D's does, layer after layer."""

import numpy as np
import pytest

from nfcodec.entropy.networks import Layer
from nfcodec.lattice import squares
from nfcodec.lattice.restore import LARGEST_STREAM, Restore, activation, repeated_border


def layer(rng, rows, inputs, shift):
    weight = rng.integers(-60, 61, (rows, inputs)).astype(np.float32)
    return Layer(weight, rng.integers(-900, 901, rows).astype(np.float32), np.full(rows, shift, np.int32))


def entered(enter, inputs):
    """The first stream, cell by cell."""
    h, w = inputs.shape[1:]
    wide = repeated_border(inputs, 2)
    cells = [wide[:, y : y + 3, x : x + 3].transpose(1, 2, 0).ravel() for y in range(h) for x in range(w)]
    return np.clip(enter(np.stack(cells, 1)), -LARGEST_STREAM, LARGEST_STREAM).reshape(-1, h, w)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (13, 10)])
@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_the_same_numbers(size, blocks, monkeypatch):
    monkeypatch.setattr(squares, "_CELLS", 20)
    rng = np.random.default_rng(blocks)
    enter = layer(rng, 6, 9 * 4, 4)
    network = Restore(enter, tuple(layer(rng, 6, 54, 6) for _ in range(blocks)), layer(rng, 5, 6, 3))
    inputs = rng.integers(-1023, 1024, (4, *size)).astype(np.float32)
    stream = network.through(entered(enter, inputs), 2)
    expected = network.leaving(activation(stream).reshape(6, -1)).reshape(5, *size)
    np.testing.assert_array_equal(squares.outputs(network, enter, inputs), expected)
    assert np.abs(stream).max() == LARGEST_STREAM or blocks < 3


@pytest.mark.parametrize("spans", [((3, 10), (3, 5)), ((0, 4), (3, 12)), ((6, 17), (0, 12)), ((3, 4), (3, 4))])
def test_a_part_sees_no_more_than_its_surroundings(spans, monkeypatch):
    """What lies farther off may be anything; where a part reaches the border, that is repeated."""
    monkeypatch.setattr(squares, "_CELLS", 30)
    rng, rooms = np.random.default_rng(7), squares.Rooms()
    enter = layer(rng, 6, 9 * 4, 4)
    network = Restore(enter, tuple(layer(rng, 6, 54, 6) for _ in range(2)), layer(rng, 5, 6, 3))
    inputs = rng.integers(-1023, 1024, (4, 17, 12)).astype(np.float32)
    whole = squares.outputs(network, enter, inputs, rooms=rooms)
    around = [slice(max(0, a - 3), b + 3) for a, b in spans]
    inner = tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(spans, around, strict=True))
    found = squares.outputs(network, enter, inputs[(slice(None), *around)], inner, rooms)
    np.testing.assert_array_equal(found, whole[(slice(None), *(slice(*span) for span in spans))])
