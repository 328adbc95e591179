"""A fused network gives what D's does, layer after layer."""

import numpy as np
import pytest

from nfcodec.entropy.networks import Layer
from nfcodec.lattice import squares
from nfcodec.lattice.paired import LARGEST_SUM
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


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (13, 10), (3, 32), (2, 35)])
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


def test_activations_of_all_numbers():
    stream = np.arange(-LARGEST_STREAM, LARGEST_STREAM + 1, dtype=np.float32)
    found = np.empty_like(stream)
    squares.activate(stream, np.full_like(stream, 255), out=found)
    np.testing.assert_array_equal(found, activation(stream))


def test_the_largest_sums_are_exact():
    """Weights whose sums come as near to the bound as they may, for numbers as large as they may be."""
    rng = np.random.default_rng(3)
    most = LARGEST_SUM // (1023 * 9 * 4) - 1
    weight = (rng.choice([-1.0, 1.0], (6, 36)) * rng.integers(most - 1, most + 1, (6, 36))).astype(np.float32)
    enter = Layer(weight, np.ones(6, np.float32), np.full(6, 9, np.int32))
    network = Restore(enter, (), layer(rng, 5, 6, 3))
    network.validate(36, 5, 2, largest=1023)
    inputs = rng.choice([-1023.0, 1022.0, 1023.0], (4, 40, 20)).astype(np.float32)
    inputs[:, 5:8, 5:8] = 1023 * np.sign(weight[0]).reshape(3, 3, 4).transpose(2, 0, 1)
    expected = network.leaving(activation(entered(enter, inputs)).reshape(6, -1)).reshape(5, 40, 20)
    np.testing.assert_array_equal(squares.outputs(network, enter, inputs), expected)


@pytest.mark.parametrize("width", [32, 40, 48])
def test_products_of_the_widest_rows_are_small(width):
    cells = squares.widest(width)
    assert cells % 32 == 0 and cells // 2 * 3 * width**2 <= 10**6 < (cells // 2 + 16) * 3 * width**2


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


def with_heads(rng, heads=3):
    """A network of two layers and its first one, for inputs of 4 numbers, with heads of 5."""
    enter = layer(rng, 6, 9 * 4, 4)
    return Restore(enter, tuple(layer(rng, 6, 54, 6) for _ in range(2)), layer(rng, heads * 5, 6, 3)), enter


def picked(every, chosen):
    """Of outputs of all heads (heads · 5, h, w) those that cells have chosen."""
    return np.take_along_axis(every.reshape(-1, 5, *chosen.shape), chosen[None, None], 0)[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (13, 10), (3, 32), (2, 35)])
@pytest.mark.parametrize("kind", ["cells", "blocks", "one"])
def test_cells_have_their_own_heads(size, kind, monkeypatch):
    monkeypatch.setattr(squares, "_CELLS", 20)
    rng = np.random.default_rng(1)
    network, enter = with_heads(rng)
    inputs = rng.integers(-1023, 1024, (4, *size)).astype(np.float32)
    y, x = np.indices(size)
    chosen = {"cells": rng.integers(0, 3, size), "blocks": (y // 4 + x // 5) % 3, "one": np.full(size, 2)}[kind]
    leave = squares.Chosen(network.leave, 3, chosen.astype(np.uint8))
    found = squares.outputs(network, enter, inputs, leave=leave)
    np.testing.assert_array_equal(found, picked(squares.outputs(network, enter, inputs), chosen))


def test_a_part_has_the_heads_of_its_cells(monkeypatch):
    """In strips that begin anywhere, on columns of both kinds."""
    monkeypatch.setattr(squares, "_CELLS", 30)
    rng, rooms = np.random.default_rng(7), squares.Rooms()
    network, enter = with_heads(rng)
    inputs, chosen = rng.integers(-1023, 1024, (4, 17, 13)).astype(np.float32), rng.integers(0, 3, (17, 13), np.uint8)
    whole = picked(squares.outputs(network, enter, inputs, rooms=rooms), chosen)
    for rows, columns in (((3, 10), (3, 5)), ((0, 4), (4, 13)), ((6, 17), (0, 13)), ((9, 10), (7, 8))):
        inner = slice(*rows), slice(*columns)
        leave = squares.Chosen(network.leave, 3, chosen[inner[0]])
        found = squares.outputs(network, enter, inputs, inner, rooms, leave)
        np.testing.assert_array_equal(found, whole[(slice(None), *inner)])
