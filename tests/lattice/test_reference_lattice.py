"""Regions decode as FORMAT.md says: a decoder that was written from the document finds the same symbols."""

from pathlib import Path

import numpy as np
import pytest
from helpers import init as path_of
from helpers import memory, opened, pack, painting
from reference_lattice import counts, reference_region

from nfcodec import zoo
from nfcodec.entropy import logistic
from nfcodec.lattice.code import ALONE, RegionBytes, RegionSymbols
from nfcodec.lattice.space import unpack_run

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def prior():
    return zoo.load(path_of("tiny-lattice")).levels[0].prior


@pytest.fixture(scope="module")
def plain(prior):
    """The prior as lists of whole numbers."""
    named = {f"group.{i}": n for i, n in enumerate(prior.groups)} | {f"mean.{i}": n for i, n in enumerate(prior.means)}

    def whole(array):
        assert (array == np.rint(array)).all()
        return array.astype(np.int64).tolist()

    return {
        name: [(whole(layer.weight), whole(layer.bias), whole(layer.shift)) for layer in network.layers]
        for name, network in named.items()
    }


def test_tables_by_the_recipe_of_the_document():
    assert [counts(row) for row in range(152)] == [logistic.row_counts(row) for row in range(logistic.ROWS)]


@pytest.mark.parametrize(
    ("shape", "planes", "quality"),
    [((1, 1), 3, 0), ((1, 6), 1, 100), ((5, 3), 3, 37), ((4, 9), 3, 63), ((11, 2), 1, 80)],
)
def test_regions_by_the_document(prior, plain, shape, planes, quality):
    rng = np.random.default_rng(sum(shape))
    symbols = np.rint(rng.laplace(0, 2, (3, 64, *shape)) / (1 + np.arange(64)[:, None, None] / 4)).astype(np.int32)
    symbols[:, 0] *= 9
    symbols[0, 5, 0, 0] = -40_000  # an escape
    symbols[planes:] = 0
    payloads = ALONE.encode(prior, RegionSymbols(symbols, quality, planes))
    assert np.array_equal(reference_region(plain, payloads, shape, quality, planes), symbols)
    for layers in (1, 2):
        part = ALONE.decode(prior, RegionBytes(payloads[:layers], shape, quality, planes))
        assert np.array_equal(reference_region(plain, payloads[:layers], shape, quality, planes), part)


def test_a_golden_file_by_the_document(plain):
    decoder = opened((GOLDEN / "lattice.nfc").read_bytes(), "tiny-lattice")
    payloads = [unpack_run(decoder.reader.read(e).payload).payloads[0] for e in decoder.index if e.type == 3]
    found = reference_region(plain, payloads, (3, 4), decoder.header.quality, 3)
    assert np.array_equal(np.ravel(found), decoder.symbols(0)) and decoder.symbols(0).any()


def test_a_picture_by_the_document(plain):
    data, _ = pack(memory("image", painting(40, 25)), "tiny-lattice", quality=95, effort=1)
    decoder = opened(data, "tiny-lattice")
    (entry,) = decoder.index
    run = unpack_run(decoder.reader.read(entry).payload)
    assert np.array_equal(np.ravel(reference_region(plain, run.payloads, (5, 4), 95, 3)), decoder.symbols(0))
