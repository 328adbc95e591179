"""D: by hand, at borders, in numpy and in torch."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from nfcodec.entropy.networks import Layer
from nfcodec.errors import CorruptError
from nfcodec.lattice import order
from nfcodec.lattice.fit.tensors import Convolved
from nfcodec.lattice.restore import Restore, compand, features, input_count

PLANES, K, WIDTH = 2, 3, 5


def layer(rng, rows, inputs, shift=5):
    weight = rng.integers(-40, 41, (rows, inputs)).astype(np.float32)
    bias = rng.integers(-900, 901, rows).astype(np.float32)
    return Layer(weight, bias, np.full(rows, shift, np.int32))


def network(axes, blocks=2, seed=0):
    rng = np.random.default_rng(seed)
    inputs = input_count(PLANES, K, axes)
    return Restore(
        layer(rng, WIDTH, inputs, 3), tuple(layer(rng, WIDTH, 3**axes * WIDTH) for _ in range(blocks)),
        layer(rng, PLANES * K, WIDTH, 2),
    )  # fmt: skip


def on_torch(d):
    layers = {n: Layer(torch.from_numpy(la.weight), torch.from_numpy(la.bias), la.shift) for n, la in d.layers.items()}
    return Restore.of(layers)


def symbols_of(*cells, seed=1):
    return np.random.default_rng(seed).integers(-300, 301, (PLANES, K, *cells)).astype(np.int32)


def row(quality=40):
    return order.quality_features(quality).astype(np.float32)


GRIDS = [(1,), (7,), (1, 1), (1, 5), (4, 3), (2, 1, 3), (2, 3, 2)]


def plain(d, symbols, quality):
    """The network with plain loops over cells, in Python's whole numbers."""
    cells = symbols.shape[2:]
    offsets = list(itertools.product((-1, 0, 1), repeat=len(cells)))
    near = lambda c, o: tuple(min(max(i + j, 0), n - 1) for i, j, n in zip(c, o, cells, strict=True))  # noqa: E731
    table = [int(t) for t in order.companded()]
    squeeze = lambda n: table[min(abs(n), 255)] * (1 if n >= 0 else -1)  # noqa: E731

    def apply(la, x):
        rows = zip(la.weight.astype(int).tolist(), la.bias.astype(int).tolist(), la.shift.tolist(), strict=True)
        return [(sum(a * b for a, b in zip(w, x, strict=True)) + b + (1 << (s - 1))) >> s for w, b, s in rows]

    clip = lambda v, most: [min(max(n, -most), most) for n in v]  # noqa: E731
    active = lambda v: clip([(128 * max(n, 0) + 13 * min(n, 0) + 256) >> 9 for n in v], 255)  # noqa: E731
    stream = {}
    for c in np.ndindex(*cells):
        x = [squeeze(int(n)) for n in symbols[(slice(None), slice(1, None), *c)].ravel()]
        for o in offsets:
            if any(o):
                x += [squeeze(int(symbols[(p, 0, *near(c, o))] - symbols[(p, 0, *c)])) for p in range(PLANES)]
        stream[c] = clip(apply(d.enter, x + [int(h) for h in order.quality_features(quality)]), 8191)
    for block in d.blocks:
        before = {c: active(s) for c, s in stream.items()}
        for c, s in list(stream.items()):
            seen = [n for o in offsets for n in before[near(c, o)]]
            stream[c] = clip([a + b for a, b in zip(s, apply(block, seen), strict=True)], 8191)
    out = np.zeros((PLANES * K, *cells), int)
    for c, s in stream.items():
        out[(slice(None), *c)] = clip(apply(d.leave, active(s)), 2047)
    return out


@pytest.mark.parametrize("cells", GRIDS)
def test_network_by_hand(cells):
    d, symbols = network(len(cells)), symbols_of(*cells)
    found = d(features(symbols, row()), len(cells))
    wanted = plain(d, symbols, 40)
    assert found.dtype == np.float32 and len(np.unique(wanted)) > 3
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("cells", GRIDS)
def test_tensors_give_the_same_with_a_leading_axis(cells):
    d, pictures = network(len(cells)), [symbols_of(*cells, seed=s) for s in range(3)]
    wanted = np.stack([d(features(s, row(q)), len(cells)) for s, q in zip(pictures, (0, 55, 100), strict=True)])
    rows = torch.from_numpy(np.stack([row(q) for q in (0, 55, 100)]))
    symbols = torch.from_numpy(np.stack(pictures).astype(np.float32))
    inputs = features(symbols, rows)
    np.testing.assert_array_equal(on_torch(d)(inputs, len(cells)), wanted)
    np.testing.assert_array_equal(Convolved.of(on_torch(d).layers)(inputs, len(cells)), wanted)


def test_gradients_reach_symbols_and_weights():
    d = on_torch(network(2))
    weights = [la.weight.requires_grad_() for la in d.layers.values()]
    symbols = torch.from_numpy(symbols_of(4, 3).astype(np.float32)).requires_grad_()
    out = d(features(symbols, torch.from_numpy(row())), 2)
    out.square().sum().backward()
    assert all(w.grad.abs().sum() > 0 for w in weights)
    assert (symbols.grad != 0).any(dim=(2, 3)).all()


def test_rows_of_cells_are_computed_apart_and_meet(monkeypatch):
    d, inputs = network(2), features(symbols_of(9, 4), row())
    whole = d(inputs, 2)
    for cells in (1, 4, 8, 12):
        monkeypatch.setattr("nfcodec.lattice.paired._CELLS", cells)
        np.testing.assert_array_equal(d(inputs, 2), whole)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_features_count(axes):
    cells = (3, 2, 4)[:axes]
    assert features(symbols_of(*cells), row()).shape == (input_count(PLANES, K, axes), *cells)


def test_features_see_differences_of_the_means_only():
    symbols = symbols_of(4, 5)
    brighter = symbols.copy()
    brighter[:, 0] += 100
    np.testing.assert_array_equal(features(brighter, row()), features(symbols, row()))


def test_features_far_beyond_the_table():
    """No symbol that a file can hold leaves the bound."""
    symbols = np.full((1, 2, 2, 2), 1 << 20, np.int32)
    symbols[0, 0, 0, 0] = -(1 << 20)
    assert np.abs(features(symbols, row())).max() == 127


def test_companding_has_a_slope_for_tensors():
    x = torch.tensor([-300.0, -3.0, 0.0, 1.0, 7.0], requires_grad=True)
    y = compand(x)
    np.testing.assert_array_equal(y.detach(), order.compand(x.detach().numpy().astype(np.int32)))
    y.sum().backward()
    between = [16 / 2 * np.log2(302 / 300), 16 / 2 * np.log2(5 / 3), 16.0, 16 / 2 * np.log2(3), 16 / 2 * np.log2(9 / 7)]
    np.testing.assert_allclose(x.grad, between, rtol=1e-5)


# -- refusals --------------------------------------------------------------------------------------------
def test_a_sound_network_passes():
    network(2).validate(input_count(PLANES, K, 2), PLANES * K, 2)


def changed(d, name, **parts):
    return Restore.of({**d.layers, name: replace(d.layers[name], **parts)})


@pytest.mark.parametrize("name", ["in", "0", "1", "out"])
def test_sums_that_float32_may_round(name):
    d = network(2)
    bias = d.layers[name].bias.copy()
    bias[2] = 1 << 24
    with pytest.raises(CorruptError, match=f"layer {name}.*2\\^?24|layer {name}.*exact"):
        changed(d, name, bias=bias).validate(input_count(PLANES, K, 2), PLANES * K, 2)
    with pytest.raises(CorruptError, match="whole"):
        changed(d, name, weight=d.layers[name].weight + 0.5).validate(input_count(PLANES, K, 2), PLANES * K, 2)


def test_the_bound_of_a_layer_is_what_its_inputs_can_be():
    """255 for activations: a row that is exact for features need not be exact behind them."""
    d = network(1, blocks=1)
    weight = np.zeros_like(d.blocks[0].weight)
    weight[0, 0] = (1 << 23) // 255
    fits = np.zeros_like(weight)
    fits[0, 0] = (1 << 23) // 255 - 20
    zero = np.zeros(WIDTH, np.float32)
    changed(d, "0", weight=fits, bias=zero).validate(input_count(PLANES, K, 1), PLANES * K, 1)
    with pytest.raises(CorruptError, match="exact"):
        changed(d, "0", weight=weight + fits, bias=zero).validate(input_count(PLANES, K, 1), PLANES * K, 1)


@pytest.mark.parametrize(("inputs", "outputs", "axes"), [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_other_shapes(inputs, outputs, axes):
    with pytest.raises(CorruptError):
        network(2).validate(input_count(PLANES, K, 2) + inputs, PLANES * K + outputs, 2 + axes)
