"""A picture at its own size is whole numbers to the end: every part, every way of asking gives the same."""

import numpy as np
import pytest
from helpers import memory, opened, pack, painting, with_region

from nfcodec import zoo
from nfcodec.coords import sample_positions
from nfcodec.lattice import renderer as rendering
from nfcodec.lattice.renderer import LatticeRenderer
from nfcodec.lattice.space import Space
from nfcodec.signal import SignalInfo

SHAPE = 45, 70


def info_of(shape):
    return SignalInfo("image", shape, 3, "u8")


@pytest.fixture
def renderer():
    """Of several regions, with symbols that no encoder would make."""
    init = zoo.load(with_region("tiny-lattice", 3, 3))
    space = Space.of(SHAPE, init.levels[0].spec)
    shapes = {i: space.box(i).shape for i in range(space.count)}
    symbols = {
        i: np.random.default_rng(i).integers(-40, 41, (3, 64, *shape)).astype(np.int32) for i, shape in shapes.items()
    }
    return LatticeRenderer(init, [space], 70, info_of(SHAPE), lambda region, level: symbols[region])


def grid(rows, columns):
    return [sample_positions(float(a), float(b), b - a) for a, b in (rows, columns)]


def whole(renderer):
    return renderer.render(grid((0, SHAPE[0]), (0, SHAPE[1])))


@pytest.mark.parametrize("seed", range(8))
def test_parts(renderer, seed):
    rng = np.random.default_rng(seed)
    top, left = int(rng.integers(SHAPE[0])), int(rng.integers(SHAPE[1]))
    bottom, right = int(rng.integers(top + 1, SHAPE[0] + 1)), int(rng.integers(left + 1, SHAPE[1] + 1))
    part = renderer.render(grid((top, bottom), (left, right)))
    np.testing.assert_array_equal(part, whole(renderer)[top:bottom, left:right])


def test_points(renderer):
    rng = np.random.default_rng(1)
    index = np.stack([rng.integers(n, size=200) for n in SHAPE], 1)
    np.testing.assert_array_equal(renderer.sample(index + 0.5), whole(renderer)[tuple(index.T)])


@pytest.mark.parametrize("step", [2, 3])
def test_every_second_sample(renderer, step):
    positions = [np.arange(1, n, step) + 0.5 for n in SHAPE]
    np.testing.assert_array_equal(renderer.render(positions), whole(renderer)[1::step, 1::step])


def test_floats_are_near(renderer, monkeypatch):
    exact = whole(renderer)
    points = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in SHAPE), indexing="ij"), -1).reshape(-1, 2)
    monkeypatch.setattr(rendering, "native_index", lambda *_: None)
    size = np.abs(exact).max()
    assert size > 1 and 0 < np.abs(whole(renderer) - exact).max() < 1e-4 * size
    assert np.abs(renderer.sample(points).reshape(exact.shape) - exact).max() < 1e-4 * size


def test_extreme_symbols_saturate_and_stay_exact():
    """The bounds are those of the proof: no sum leaves the whole numbers of float64, no part differs."""
    init = zoo.load(with_region("tiny-lattice", 2, 2))
    space = Space.of((33, 40), init.levels[0].spec)
    signs = np.random.default_rng(0).integers(0, 2, (3, 64, 8, 8)) * 2 - 1

    def symbols_of(index, level):
        return ((1 << 20) * signs[space.box(index).cells]).astype(np.int32)

    renderer = LatticeRenderer(init, [space], 0, info_of((33, 40)), symbols_of)
    values = renderer.render(grid((0, 33), (0, 40)))
    assert np.isfinite(values).all() and np.abs(values).max() > 100
    np.testing.assert_array_equal(renderer.render(grid((11, 30), (5, 33))), values[11:30, 5:33])


def test_what_the_encoder_reports_is_what_decodes():
    picture = painting(41, 30)
    data, encoded = pack(memory("image", picture), "tiny-lattice", quality=80, effort=3)
    decoder = opened(data, "tiny-lattice")
    from nfcodec.media.samples import quantize
    from nfcodec.options import DecodeOptions

    found = np.concatenate([quantize(b.values, decoder.info) for b in decoder.blocks(DecodeOptions())])
    error = np.square(found.astype(np.float64) - picture).mean()
    assert encoded.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)
