"""Analysis in whole numbers: the transpose of rendering, exact, and nearly its inverse."""

import numpy as np
import pytest
from helpers import init as path_of

from nfcodec import zoo
from nfcodec.errors import InternalError
from nfcodec.lattice.analysis import LARGEST_SAMPLE, analyse, analysis_table, padded, whole_samples
from nfcodec.lattice.native import render_box
from nfcodec.lattice.trunk import LatticeSpec

SPECS = [
    (LatticeSpec(spacing=(16,), bases=5, width=11, planes=2), (7,)),
    (LatticeSpec(spacing=(8, 4), bases=4, width=10), (3, 4)),
    (LatticeSpec(spacing=(2, 4, 6), bases=3, width=8, planes=1), (4, 2, 3)),
]


def mirror(i, n):
    i = i if i >= 0 else -1 - i
    return i if i < n else 2 * n - 1 - i


@pytest.mark.parametrize(("spec", "cells"), SPECS)
def test_by_hand(spec, cells):
    """Sums over the reach of every cell, in Python's whole numbers, at the bounds of the samples."""
    rng = np.random.default_rng(0)
    reach = tuple(2 * s for s in spec.spacing)
    table = rng.integers(-30000, 30001, (spec.weights, int(np.prod(reach))))
    shape = tuple(n * s for n, s in zip(cells, spec.spacing, strict=True))
    planes = rng.integers(-LARGEST_SAMPLE, LARGEST_SAMPLE + 1, (spec.planes, *shape))
    found = analyse(spec, table.astype(np.float64), planes.astype(np.float64))
    assert found.shape == (spec.weights, *cells)
    shaped = table.reshape(spec.weights, *reach).tolist()
    for _ in range(20):
        plane, k = int(rng.integers(spec.planes)), int(rng.integers(spec.bases))
        cell = tuple(int(rng.integers(n)) for n in cells)
        total = 0
        for place in np.ndindex(*reach):
            at = zip(cell, place, spec.spacing, shape, strict=True)
            where = tuple(mirror(c * s - s // 2 + i, n) for c, i, s, n in at)
            value = shaped[k + plane * spec.bases]
            for i in place:
                value = value[i]
            total += value * int(planes[(plane, *where)])
        wanted = min(max((total + (1 << 19)) >> 20, -(1 << 23)), 1 << 23)
        assert found[(plane * spec.bases + k, *cell)] == wanted


@pytest.mark.parametrize("name", ["photo-lattice", path_of("tiny-lattice")])
def test_a_rendered_lattice_gives_its_weights_back(name):
    """As far as the trained functions undo the rendering, here of a spectrum that falls as those of pictures do."""
    [level] = zoo.load(name).levels
    rng, cells = np.random.default_rng(1), (6, 7)
    falling = 1.0 / (1 + np.tile(np.arange(64), 3))
    layers = np.rint(rng.laplace(0, 200000, (192, *cells)) * falling[:, None, None]).astype(np.float32)
    box = [(0, 48), (0, 56)]
    planes = render_box(level.spec, level.table.astype(np.float64), layers, (0, 0), cells, box)
    found = analyse(level.spec, analysis_table(level), whole_samples(planes))
    share = np.square(found - layers).sum() / np.square(layers).sum()
    assert share < 0.06, share


def test_the_functions_are_those_of_the_first_step():
    [level] = zoo.load(path_of("tiny-lattice")).levels
    tables = [level.first_step[f"analysis.{name}"] for name in ("luma", "chroma", "chroma")]
    wanted = np.stack(tables) * np.exp2(level.first_step["log_gain"])[..., None]
    found = analysis_table(level).reshape(3, 64, 256)
    assert (found == np.rint(found)).all()
    np.testing.assert_allclose(found * 2.0**-16, wanted, atol=2.0**-17 + 2e-3 * np.abs(wanted).max())


def test_samples_of_whole_cells():
    planes = np.arange(2 * 5.0 * 3).reshape(2, 5, 3)
    wanted = np.pad(planes, [(0, 0), (0, 3), (0, 1)], "edge")
    np.testing.assert_array_equal(padded(planes, (8, 4)), wanted)


@pytest.mark.parametrize(
    "planes",
    [np.zeros((3, 8, 5)), np.zeros((2, 8, 4)), np.full((3, 8, 4), 0.5), np.full((3, 8, 4), 1.0 + LARGEST_SAMPLE),
     np.zeros((3, 8, 4), np.float32)],
)  # fmt: skip
def test_other_samples_are_refused(planes):
    with pytest.raises(InternalError):
        analyse(SPECS[1][0], np.zeros((12, 128)), planes)
