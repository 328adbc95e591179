"""Features, computed for the coder and as the float prior of training computes them."""

import math

import numpy as np
import pytest
import torch

from nfcodec.lattice import order
from nfcodec.lattice.fit import twin
from nfcodec.lattice.init import Level
from nfcodec.lattice.mosaic import Mosaic
from nfcodec.lattice.neighbourhood import Neighbourhood, seen_features
from nfcodec.lattice.order import order_of
from nfcodec.lattice.spec import LatticeSpec

SPEC = LatticeSpec()
ORDER = order_of(SPEC)
SHAPES = [(2, 2), (5, 3), (7, 10), (16, 9), (1, 6)]


def all_of(parts):
    """Features of all cells of a phase."""
    return np.concatenate(list(parts), 1)


def random_symbols(shape, seed=0):
    rng = np.random.default_rng(seed)
    loud = rng.choice([0.1, 1, 30, 500], (3, 64, *shape))
    return np.rint(rng.laplace(size=(3, 64, *shape)) * loud).astype(np.int32)


def known_of(symbols, quality, planes=3):
    shape = symbols.shape[2:]
    known = Neighbourhood(Mosaic([shape], ORDER), planes=planes, qualities=[quality])
    for plane in range(planes):
        known.put_means(plane, np.arange(shape[0] * shape[1]), symbols[plane, 0].ravel())
        for phase in range(4):
            cells = known.mosaic.phase(phase).flat
            known.put(plane, 1, phase, cells, symbols[plane, 1:].reshape(63, -1)[:, cells])
    return known


def all_features(known, number, phase):
    """With those that are always zero."""
    found = all_of(known.features(number, phase, known.mosaic.phase(phase).flat))
    out = np.zeros((ORDER.feature_count(number), found.shape[1]), found.dtype)
    out[seen_features(ORDER, number, phase)] = found
    return out


def float_features(symbols, quality, monkeypatch):
    """What every network of the float prior sees, times 16, by its name."""
    seen = {}

    def network(params, prefix, x):
        seen[prefix] = (16 * x).numpy()
        kind, number, *_ = prefix.split(".")
        n = 1 if kind == "m" else SPEC.passes[int(number)][2] - SPEC.passes[int(number)][1]
        return torch.zeros(n, x.shape[1]), torch.zeros(n, x.shape[1])

    monkeypatch.setattr(twin, "_network", network)
    batch = torch.from_numpy(symbols).float()[None]
    prior = twin.FloatPrior(ORDER, symbols.shape[2:], 1)
    prior.bits({}, batch, torch.from_numpy(Level.hats(quality))[None], batch)
    return seen


@pytest.mark.parametrize("shape", SHAPES[:-1])
@pytest.mark.parametrize("quality", [0, 37, 100])
def test_features_are_those_of_training(shape, quality, monkeypatch):
    symbols = random_symbols(shape)
    wanted = float_features(symbols, quality, monkeypatch)
    known = known_of(symbols, quality)
    cells = np.arange(shape[0] * shape[1]).reshape(shape)
    for number in range(len(SPEC.passes)):
        for phase in range(4):
            found = all_features(known, number, phase)
            where = cells[ORDER.phase_cells(phase)].ravel()
            assert found.dtype == np.float32
            assert np.array_equal(found, wanted[f"p.{number}"][:, where])


@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_mean_features_are_those_of_training(shape, monkeypatch):
    symbols = random_symbols(shape, 1)
    wanted = float_features(symbols, 60, monkeypatch)
    known = known_of(symbols, 60)
    for plane in range(3):
        for kind in (0, 1):
            steps = [step for step in known.mosaic.mean_passes if step.kind == kind]
            found = [known.mean_features(plane, step)[0] for step in steps]
            assert np.array_equal(np.concatenate(found, 1), wanted[f"m.{2 * plane + kind}"])


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (33, 20)])
def test_features_are_counted_and_stay_in_range(shape):
    known = known_of(random_symbols(shape), 50)
    for number in range(len(SPEC.passes)):
        found = all_of(known.features(number, 0, known.mosaic.phase(0).flat))
        assert found.shape == (len(seen_features(ORDER, number, 0)), math.ceil(shape[0] / 2) * math.ceil(shape[1] / 2))
        assert np.abs(found).max() <= order.LARGEST_FEATURE


def test_absent_planes_are_zeros():
    symbols = random_symbols((5, 6))
    symbols[1:] = 0
    one, three = known_of(symbols, 20, planes=1), known_of(symbols, 20)
    for number in (0, 1, 4, 5, 8, 9, 10):
        for phase in range(4):
            cells = one.mosaic.phase(phase).flat
            assert np.array_equal(
                all_of(one.features(number, phase, cells)), all_of(three.features(number, phase, cells))
            )


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (33, 20), (16, 16)])
def test_means_are_visited_once_and_after_their_neighbours(shape):
    known = np.zeros(shape[0] * shape[1], bool)
    for step in Mosaic([shape], ORDER).mean_passes:
        assert not known[step.cells.flat].any()
        assert known[step.neighbours[step.neighbours >= 0]].all()
        known[step.cells.flat] = True
    assert known.all()


def test_passes_visit_every_symbol_once_and_layers_every_pass():
    for plane in range(3):
        runs = sorted((low, high) for p, low, high in SPEC.passes if p == plane)
        assert [runs[0][0], *(h for _, h in runs)] == [*(low for low, _ in runs), 64]
    assert [i for layer in range(3) for i in ORDER.layer(layer)] == list(range(13))


def test_companding_is_the_rounded_logarithm():
    wanted = np.minimum(np.rint(16 * np.log2(1.0 + np.arange(256))), 127)
    assert order.companded().tolist() == wanted.tolist()
    assert order.compand(np.array([0, -1, 1, 3, 255, -256, 10**6])).tolist() == [0, -16, 16, 32, 127, -127, 127]


def test_quality_features_share_sixteen():
    rows = np.array([order.quality_features(q) for q in range(101)])
    assert (rows.sum(1) == 16).all() and rows.min() == 0
    assert rows[0].tolist() == [16, 0, 0, 0, 0, 0, 0, 0]
    assert rows[100].tolist() == [0, 0, 0, 0, 0, 0, 0, 16]
    assert rows[50].tolist() == [0, 0, 0, 8, 8, 0, 0, 0]


def test_neighbours_known_in_each_phase():
    assert ORDER.known_mask.sum(1).tolist() == [0, 4, 4, 8]
    for number, (_, low, high) in enumerate(SPEC.passes):
        unseen = [ORDER.feature_count(number) - len(seen_features(ORDER, number, phase)) for phase in range(4)]
        assert unseen == [n * (high - low) + 3 for n in (8, 4, 4, 0)]


def test_new_means_make_new_features():
    known = known_of(random_symbols((4, 4)), 50)
    cells = known.mosaic.phase(0).flat
    old = all_of(known.features(2, 0, cells)).copy()
    known.put_means(1, np.array([5]), np.array([10_000]))
    assert not np.array_equal(all_of(known.features(2, 0, cells)), old)
