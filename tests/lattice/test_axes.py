"""Order, features and coding on one axis and on three."""

import itertools

import numpy as np
import pytest
import torch

from nfcodec.lattice.anywhere import render_grid
from nfcodec.lattice.code import ALONE, RegionBytes, RegionSymbols, decode_regions, encode_regions, predict, region_bits
from nfcodec.lattice.fit import twin
from nfcodec.lattice.init import Level
from nfcodec.lattice.mosaic import GAP, Mosaic
from nfcodec.lattice.neighbourhood import Neighbourhood, seen_features
from nfcodec.lattice.order import LARGEST_FEATURE, order_of
from nfcodec.lattice.prior import Prior
from nfcodec.lattice.spec import MID_SIDE, OPPONENT, PLAIN, LatticeSpec

from .test_prior import Lcg, none, random_network
from .test_trunk import random_params

SPECS = {
    "sound": LatticeSpec.of(spacing=(16,), planes=MID_SIDE),
    "mono": LatticeSpec.of(spacing=(8,), planes=PLAIN),
    "one number a cell": LatticeSpec.of(spacing=(8, 8), planes=PLAIN, bases=1),
    "volume": LatticeSpec.of(spacing=(2, 4, 2), planes=PLAIN),
    "clip": LatticeSpec.of(spacing=(2, 4, 4), planes=OPPONENT, bases=9),
}
SHAPES = {1: [(1,), (2,), (7,), (64,), (33,)], 2: [(1, 1), (5, 3)], 3: [(1, 1, 1), (2, 3, 4), (1, 6, 5), (5, 4, 9)]}
CASES = [(name, shape) for name, spec in SPECS.items() for shape in SHAPES[spec.axes]]
cases = pytest.mark.parametrize(("name", "shape"), CASES)


def prior_of(spec):
    lcg, order = Lcg(3), order_of(spec)
    groups, means = ([random_network(lcg, *sizes) for sizes in kind] for kind in (order.groups, order.means))
    prior = Prior(spec, tuple(groups), tuple(means))
    prior.validate()
    return prior


def symbols_of(spec, shape, seed=0):
    rng = np.random.default_rng(seed)
    loud = rng.choice([0.1, 1, 30], (len(spec.planes), spec.bases, *shape))
    return np.rint(rng.laplace(size=loud.shape) * loud).astype(np.int32)


def known_of(spec, symbols):
    mosaic = Mosaic([symbols.shape[2:]], order_of(spec))
    known = Neighbourhood(mosaic, planes=len(spec.planes), qualities=np.array([40]))
    flat = symbols.reshape(*symbols.shape[:2], -1)
    for plane in range(len(spec.planes)):
        known.put_means(plane, np.arange(flat.shape[2]), flat[plane, 0])
        for phase in range(len(mosaic.order.phases)):
            cells = mosaic.phase(phase).flat
            known.put(plane, 1, phase, cells, flat[plane, 1:, cells].T)
    return known


# -- order -----------------------------------------------------------------------------------------------
def test_orders_of_one_and_three_axes():
    one, three = order_of(SPECS["sound"]), order_of(SPECS["volume"])
    assert one.phases == ((0,), (1,)) and one.block == ((-1,), (0,), (1,)) and one.ring == ((-2,), (-1,), (1,), (2,))
    assert one.frequencies == tuple((u,) for u in range(16))
    assert [c.offsets for c in one.mean_classes] == [((-1,), (1,), (-3,), (3,))]
    assert len(three.phases) == 8 and len(three.block) == 19 and len(three.ring) == 60 and len(three.close) == 18
    assert [c.odd for c in three.mean_classes] == [3, 2, 1]
    assert three.frequencies[:4] == ((0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 0))  # of cycles per sample


@cases
def test_means_are_visited_once_and_after_their_neighbours(name, shape):
    known = np.zeros(int(np.prod(shape)), bool)
    steps = Mosaic([shape], order_of(SPECS[name])).mean_passes
    for step in steps:
        assert not known[step.cells.flat].any() and known[step.neighbours[step.neighbours >= 0]].all()
        known[step.cells.flat] = True
    assert known.all()
    if min(shape) > 3:  # every later cell has something near it
        assert all((s.neighbours[:, : s.nearest] >= 0).any(1).all() for s in steps[1:])


@cases
def test_phases_visit_every_cell_once(name, shape):
    order = order_of(SPECS[name])
    mosaic = Mosaic([shape, shape], order)
    cells = [mosaic.phase(i).flat for i in range(len(order.phases))]
    assert sorted(np.concatenate(cells)) == np.flatnonzero(mosaic.inside()).tolist()
    for number, parities in enumerate(order.phases):
        at = np.unravel_index(cells[number], mosaic.shape)
        assert all((along % 2 == p).all() for along, p in zip(at, parities, strict=True))


@pytest.mark.parametrize("name", ["sound", "volume"])
def test_patches_keep_their_distance(name):
    rng = np.random.default_rng(4)
    shapes = [tuple(int(n) for n in rng.integers(1, 9, SPECS[name].axes)) for _ in range(9)]
    mosaic = Mosaic(shapes, order_of(SPECS[name]))
    boxes = [tuple(zip(c, s, strict=True)) for c, s in zip(mosaic.corners, shapes, strict=True)]
    for a, b in itertools.combinations(boxes, 2):
        apart = [max(ca - cb - nb, cb - ca - na) for (ca, na), (cb, nb) in zip(a, b, strict=True)]
        assert max(apart) >= GAP
    assert mosaic.inside().sum() == sum(np.prod(s) for s in shapes)


# -- features --------------------------------------------------------------------------------------------
@cases
def test_features_are_those_of_training(name, shape, monkeypatch):
    spec, seen = SPECS[name], {}
    order, symbols = order_of(spec), symbols_of(spec, shape)

    def network(params, prefix, x):
        seen[prefix] = (16 * x).numpy()
        kind, number = prefix.split(".")
        n = (order.means if kind == "m" else order.groups)[int(number)][1]
        return torch.zeros(n, x.shape[1]), torch.zeros(n, x.shape[1])

    monkeypatch.setattr(twin, "_network", network)
    batch = torch.from_numpy(symbols).float()[None]
    twin.FloatPrior(order, shape, 1).bits({}, batch, torch.from_numpy(Level.hats(40))[None], batch)
    known, cells = known_of(spec, symbols), np.arange(np.prod(shape)).reshape(shape)
    for number, phase in itertools.product(range(len(spec.passes)), range(len(order.phases))):
        where = cells[order.phase_cells(phase)].ravel()
        if len(where):
            found = np.zeros((order.feature_count(number), len(where)), np.float32)
            found[seen_features(order, number, phase)] = np.concatenate(
                list(known.features(number, phase, known.mosaic.phase(phase).flat)), 1
            )
            assert np.array_equal(found, seen[f"p.{number}"][:, where]) and np.abs(found).max() <= LARGEST_FEATURE
    for plane, kind in itertools.product(range(len(spec.planes)), range(len(order.mean_classes))):
        steps = [step for step in known.mosaic.mean_passes if step.kind == kind]
        if steps:
            found = np.concatenate([known.mean_features(plane, step)[0] for step in steps], 1)
            assert np.array_equal(found, seen[f"m.{len(order.mean_classes) * plane + kind}"])


# -- coding ----------------------------------------------------------------------------------------------
@cases
def test_round_trip(name, shape, monkeypatch):
    spec = SPECS[name]
    prior, symbols = prior_of(spec), symbols_of(spec, shape)
    region = RegionSymbols(symbols, 40, len(spec.planes))
    payloads = ALONE.encode(prior, region)
    assert len(payloads) == len(spec.layers)
    assert np.array_equal(ALONE.decode(prior, RegionBytes(payloads, shape, 40, len(spec.planes))), symbols)
    monkeypatch.setattr("nfcodec.lattice.correction.best", lambda n, kinds: none(n, len(kinds)))
    payloads = ALONE.encode(prior, region)
    bits = region_bits(predict(prior, region), symbols).sum()
    assert abs(8 * sum(map(len, payloads)) - bits) < 3 * 64 + 1e-3 * bits


@pytest.mark.parametrize("name", SPECS)
def test_regions_get_the_bytes_that_they_get_alone(name):
    spec = SPECS[name]
    prior, planes = prior_of(spec), len(spec.planes)
    regions = [RegionSymbols(symbols_of(spec, s, i), 40, planes) for i, s in enumerate(SHAPES[spec.axes] * 2)]
    together = encode_regions(prior, regions)
    assert together == [ALONE.encode(prior, r) for r in regions]
    found = decode_regions(prior, [RegionBytes(p, r.shape, 40, planes) for p, r in zip(together, regions, strict=True)])
    assert all(np.array_equal(f, r.symbols) for f, r in zip(found, regions, strict=True))


# -- rendering -------------------------------------------------------------------------------------------
def test_three_axes_show_the_same_in_parts():
    """A part of a volume is the part of the whole, and between samples it is smooth."""
    spec = LatticeSpec.of(spacing=(2, 4, 4), planes=OPPONENT, bases=9, width=16, w0=4.0)
    params = {n: p.float().numpy() for n, p in random_params(spec).items()}
    weights = np.random.default_rng(0).standard_normal((spec.coded, 3, 4, 3)).astype(np.float32)
    grid = [np.arange(n * s) + 0.5 for n, s in zip((3, 4, 3), spec.spacing, strict=True)]
    whole = render_grid(spec, params, weights, (0, 0, 0), (3, 4, 3), grid)
    assert whole.shape == (3, 6, 16, 12)
    part = [g[a:b] for g, (a, b) in zip(grid, ((3, 5), (1, 9), (4, 11)), strict=True)]
    found = render_grid(spec, params, weights, (0, 0, 0), (3, 4, 3), part)
    np.testing.assert_allclose(found, whole[:, 3:5, 1:9, 4:11], atol=1e-5)
