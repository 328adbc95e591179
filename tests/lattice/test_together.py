"""Regions that are coded at the same time: on one canvas, and for jobs that take turns."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from nfcodec.errors import CorruptError
from nfcodec.lattice.code import ALONE, RegionBytes, RegionSymbols, decode_regions, encode_regions
from nfcodec.lattice.mosaic import GAP, Mosaic
from nfcodec.lattice.order import order_of
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.together import MOST, Together

from .test_prior import golden_prior, random_symbols

SHAPES = [(5, 3), (1, 1), (16, 9), (2, 31), (8, 8), (33, 20), (1, 12), (7, 1)]


def regions_of(shapes, planes=3):
    qualities = np.random.default_rng(5).integers(0, 101, len(shapes))
    many = zip(shapes, qualities, strict=True)
    return [RegionSymbols(random_symbols(s, planes, seed=i), int(q), planes) for i, (s, q) in enumerate(many)]


def bytes_of(region, payloads):
    return RegionBytes(payloads, region.shape, region.quality, region.planes)


# -- mosaics ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(8))
def test_patches_keep_their_distance(seed):
    rng = np.random.default_rng(seed)
    shapes = [tuple(int(n) for n in rng.integers(1, 40, 2)) for _ in range(int(rng.integers(1, 17)))]
    mosaic = Mosaic(shapes, order_of(LatticeSpec()))
    taken = np.full([n + 2 * GAP for n in mosaic.shape], -1)
    for i, ((top, left), (h, w)) in enumerate(zip(mosaic.corners, shapes, strict=True)):
        assert top % 2 == left % 2 == 0
        around = taken[top : top + h + 2 * GAP, left : left + w + 2 * GAP]
        assert (around == -1).all(), "context would reach from one patch into another"
        taken[top + GAP : top + GAP + h, left + GAP : left + GAP + w] = i
        assert mosaic.patch(mosaic.inside(), i).all()
    assert mosaic.inside().sum() == sum(h * w for h, w in shapes)
    visited = np.concatenate([mosaic.phase(i).flat for i in range(4)])
    assert sorted(visited) == np.flatnonzero(mosaic.inside()).tolist()
    assert sorted(np.concatenate([p.cells.flat for p in mosaic.mean_passes])) == sorted(visited)


def test_patches_are_packed_tightly():
    mosaic = Mosaic([(16, 16)] * 16, order_of(LatticeSpec()))
    assert np.prod(mosaic.shape) < 1.35 * 16 * 16 * 16


@pytest.mark.parametrize("planes", [1, 3])
def test_regions_get_the_bytes_that_they_get_alone(planes):
    regions = regions_of(SHAPES, planes)
    together = encode_regions(golden_prior(), regions)
    assert together == [ALONE.encode(golden_prior(), r) for r in regions]
    found = decode_regions(golden_prior(), [bytes_of(r, p) for r, p in zip(regions, together, strict=True)])
    assert all(np.array_equal(f, r.symbols) for f, r in zip(found, regions, strict=True))


def test_missing_and_empty_layers_among_others():
    regions = regions_of(SHAPES[:5])
    regions[1].symbols[...] = 0
    payloads = encode_regions(golden_prior(), regions)
    assert payloads[1] == [b""] * 3
    cut = [bytes_of(r, p[:layers]) for r, p, layers in zip(regions, payloads, (3, 3, 0, 1, 2), strict=True)]
    for one, found in zip(cut, decode_regions(golden_prior(), cut), strict=True):
        assert np.array_equal(found, ALONE.decode(golden_prior(), one))


def test_more_patches_than_a_byte_can_count():
    regions = regions_of([(1, 1)] * 300)
    payloads = encode_regions(golden_prior(), regions)
    assert payloads[::60] == [ALONE.encode(golden_prior(), r) for r in regions[::60]]


# -- jobs ------------------------------------------------------------------------------------------------
def job_of(region, running, most):
    """Encodes and decodes a region; notes how many jobs run at the same time."""

    def job(coder):
        running.add(threading.get_ident())
        most.append(len(running))
        running.discard(threading.get_ident())
        payloads = coder.encode(golden_prior(), region)
        most.append(len(running))
        return payloads, coder.decode(golden_prior(), bytes_of(region, payloads))

    return job


def test_jobs_get_what_they_get_alone(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "nfcodec.lattice.together.encode_regions", lambda p, r: calls.append(len(r)) or encode_regions(p, r)
    )
    regions = [*regions_of(SHAPES), *regions_of(SHAPES[:3], planes=1)]
    running, most = set(), []
    futures = Together(16).run([job_of(r, running, most) for r in regions])
    for region, future in zip(regions, futures, strict=True):
        payloads, symbols = future.result()
        assert payloads == ALONE.encode(golden_prior(), region)
        assert np.array_equal(symbols, region.symbols)
    assert max(most) <= 1
    assert sorted(calls) == [3, 8], "regions of as many planes are coded at once"
    calls.clear()
    assert len(Together(4).run([job_of(r, running, most) for r in regions[:8]])) == 8
    assert calls == [4, 4]


def test_a_job_that_fails_disturbs_no_other():
    region = regions_of([(4, 4)])[0]
    good = ALONE.encode(golden_prior(), region)
    bad = [good[0][:3] + bytes([good[0][3] ^ 255]) + good[0][4:], *good[1:]]

    def broken(coder):
        return coder.decode(golden_prior(), bytes_of(region, [b"\0\0"]))

    def raising(coder):
        coder.encode(golden_prior(), region)
        raise ValueError("mine")

    def fine(coder):
        return coder.decode(golden_prior(), bytes_of(region, good))

    def damaged(coder):
        return coder.decode(golden_prior(), bytes_of(region, bad))

    jobs = [fine, broken, raising, fine, damaged, lambda coder: 7]
    one, two, three, four, five, six = Together().run(jobs)
    assert np.array_equal(one.result(), region.symbols) and np.array_equal(four.result(), region.symbols)
    with pytest.raises(CorruptError):
        two.result()
    with pytest.raises(ValueError, match="mine"):
        three.result()
    assert six.result() == 7
    with suppress(CorruptError):
        assert not np.array_equal(five.result(), region.symbols)


def test_threads_of_a_job_are_served_at_once():
    region = regions_of([(3, 4)])[0]

    def job(coder):
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda r: coder.encode(golden_prior(), r), [region] * 4))

    wanted = ALONE.encode(golden_prior(), region)
    for future in Together().run([job] * 3):
        assert future.result() == [wanted] * 4


def test_no_more_cells_at_once_than_a_large_region_has(monkeypatch):
    sizes = []

    def noted(_, regions):
        sizes.append([r.shape for r in regions])
        return [[b""] * 3] * len(regions)

    monkeypatch.setattr("nfcodec.lattice.together.encode_regions", noted)
    zeros = [RegionSymbols(np.zeros((3, 64, *s), np.int32), 50, 3) for s in [(128, 128), (90, 90), (8, 8), (90, 90)]]
    Together(16).run([lambda coder, r=r: coder.encode(golden_prior(), r) for r in zeros])
    assert sizes == [[(128, 128)], [(90, 90), (8, 8), (90, 90)]]


def test_jobs_end_when_the_turns_are_interrupted(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    ended = []

    def job(coder):
        try:
            coder.encode(golden_prior(), region)
        finally:
            ended.append(1)

    region = regions_of([(2, 2)])[0]
    together = Together()
    monkeypatch.setattr("nfcodec.lattice.together.encode_regions", interrupted)
    with pytest.raises(KeyboardInterrupt):
        together.run([job] * 3)
    monkeypatch.undo()
    # The threads are free again.
    assert [f.result() for f in together.run([lambda coder: 1] * MOST)] == [1] * MOST
    assert len(ended) == 3
