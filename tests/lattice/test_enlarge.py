"""What lies between the samples, with the shipped init: the test inits have no X."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import memory, pack, painting

from nfcodec import zoo
from nfcodec.api import open as open_field
from nfcodec.coords import sample_positions
from nfcodec.decoder import Decoder
from nfcodec.errors import CorruptError
from nfcodec.lattice import detail as detail_of
from nfcodec.lattice.convolution import filtered
from nfcodec.lattice.detail import Detail
from nfcodec.lattice.enlarge import (
    Functions,
    between,
    between_points,
    colourful,
    detail,
    detail_shapes,
    detail_size,
    reach,
    share,
)
from nfcodec.lattice.enlarger import Enlarger
from nfcodec.lattice.init import Level
from nfcodec.lattice.train.enlarge import FUNCTIONS
from nfcodec.options import DecodeOptions

INIT = "photo-lattice"
SHAPE = (45, 70)
pytestmark = pytest.mark.shipped


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("detail") / "a.nfc"
    path.write_bytes(pack(memory("image", painting(*SHAPE, 4)), INIT, quality=70, effort=1)[0])
    return path


@pytest.fixture
def field(path):
    with open_field(path) as file:
        yield file


def coordinates(scale):
    """Of the samples of a rendering, as docs/python.md says: the longer side covers [−1, 1]."""
    rows, columns = (round(n * scale) for n in SHAPE)
    y, x = ((2 * np.arange(m) + 1) / m - 1 for m in (rows, columns))
    grid = np.meshgrid(y * SHAPE[0] / SHAPE[1], x, indexing="ij")
    return np.stack(grid, -1).reshape(-1, 2)


def without(path):
    """The same file without X."""
    decoder = Decoder(io.BytesIO(path.read_bytes()))
    decoder.field._renderer._detail = None
    return decoder


def rendered(decoder, scale):
    return np.concatenate([b.values for b in decoder.blocks(DecodeOptions(scale=scale))])


# -- one function of coordinates -------------------------------------------------------------------------
@pytest.mark.parametrize("scale", [1, 1.5, 2, 3])
def test_sampling_is_rendering(field, scale, monkeypatch):
    monkeypatch.setattr(detail_of, "_TILE", 32)
    grid = field.render(scale=float(scale))
    found = field.sample(coordinates(scale)).reshape(grid.shape)
    # At the samples themselves φ comes from the init's table, which counts 2^-16.
    np.testing.assert_allclose(found, grid, rtol=0, atol=1e-4)


def test_crops_and_pieces_show_the_same(path, monkeypatch):
    whole = rendered(Decoder(io.BytesIO(path.read_bytes())), 2.0)
    monkeypatch.setattr("nfcodec.decoder.decoder.PIECE_SAMPLES", 1000)
    decoder = Decoder(io.BytesIO(path.read_bytes()))
    np.testing.assert_allclose(rendered(decoder, 2.0), whole, rtol=0, atol=2e-5)
    part = np.concatenate([b.values for b in decoder.blocks(DecodeOptions(scale=2.0, crop=(11, 7, 31, 22)))])
    np.testing.assert_allclose(part, whole[14:58, 22:84], rtol=0, atol=2e-5)


def test_the_detail_is_there_between_the_samples_and_not_at_them(path):
    plain = without(path)
    assert (rendered(Decoder(io.BytesIO(path.read_bytes())), 1.0) == rendered(plain, 1.0)).all()
    added = rendered(Decoder(io.BytesIO(path.read_bytes())), 2.0) - rendered(plain, 2.0)
    assert np.abs(added).max() > 2e-3
    shown = detail_size(zoo.load(INIT).tuned("perceptual").levels[-1].detail)[3]
    assert (np.ptp(added, -1).max() > 1e-3) == (shown > 1)  # in the first plane alone, which is grey, or in all
    thrice = rendered(Decoder(io.BytesIO(path.read_bytes())), 3.0) - rendered(plain, 3.0)
    assert np.abs(thrice[1::3, 1::3]).max() < 1e-6 < np.abs(thrice[0::3, 0::3]).max()


def test_smaller_sizes_have_no_detail(path):
    for scale in (0.5, 0.3):
        assert (rendered(Decoder(io.BytesIO(path.read_bytes())), scale) == rendered(without(path), scale)).all()


# -- its parts -------------------------------------------------------------------------------------------
def test_share():
    positions = np.array([0.5, 7.5, 0.25, 0.75, 0.0, 1.0, 0.4375, 3.625])
    np.testing.assert_allclose(share(positions), [0, 0, 1, 1, 1, 1, 0.25, 0.5])


def test_between_is_linear_between_the_points_of_the_weights():
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((2, 8, 12)).astype(np.float32)
    points = [sample_positions(3.0, 7.0, 8), sample_positions(5.0, 11.0, 12)]
    np.testing.assert_allclose(between(weights, (3, 5), points), weights, rtol=0, atol=1e-6)
    at = [np.array([4.0, 5.31]), np.array([6.0, 9.9])]
    both = between(weights, (3, 5), at)
    scattered = np.array([(y, x) for y in at[0] for x in at[1]])
    np.testing.assert_allclose(between_points(weights, (3, 5), scattered), both.reshape(2, -1), rtol=0, atol=1e-6)
    weights, grid = weights[1], both[1]
    assert grid[0, 0] == pytest.approx(weights[1:3, 1:3].mean(), abs=1e-6)  # a corner of four samples
    y, x = 2 * 2.31 - 0.5, 2 * 4.9 - 0.5
    (i, v), (j, u) = divmod(y, 1), divmod(x, 1)
    square = weights[int(i) : int(i) + 2, int(j) : int(j) + 2]
    full = (1 - v) * ((1 - u) * square[0, 0] + u * square[0, 1]) + v * ((1 - u) * square[1, 0] + u * square[1, 1])
    m = [4 * abs(5.31 - 5.5), min(1.0, 4 * abs(9.9 - 9.5))]
    assert grid[1, 1] == pytest.approx(full * (1 - (1 - m[0]) * (1 - m[1])), abs=1e-5)


@pytest.mark.parametrize("side", [1, 3, 5])
def test_filtered_is_a_convolution(side):
    rng = np.random.default_rng(1)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((2, 3, 70, 41), (4, 3, side, side), (4,)))
    tensors = [torch.from_numpy(a) for a in (x, w, b)]
    wanted = F.conv2d(F.pad(tensors[0], (side // 2,) * 4, mode="replicate"), *tensors[1:])
    np.testing.assert_allclose(filtered(x, w, b), wanted.numpy(), rtol=0, atol=1e-4)
    torch.testing.assert_close(filtered(*tensors), wanted, rtol=0, atol=1e-4)


def made_up(blocks, seen, shown, seed=0):
    """An X of random numbers, small enough not to grow with its depth."""
    rng = np.random.default_rng(seed)
    shapes = detail_shapes(6, blocks, seen, shown, 8)
    return {n: (0.1 * rng.standard_normal(s)).astype(np.float32) for n, s in shapes.items()}


@pytest.mark.parametrize(("blocks", "planes", "shown"), [(0, 1, 1), (2, 3, 1), (3, 3, 3)])
def test_x_sees_as_far_as_it_says_and_the_same_in_both_libraries(blocks, planes, shown):
    params = made_up(blocks, planes, shown)
    assert detail_size(params) == (6, blocks, planes, shown)
    pictures, hats = np.random.default_rng(0).standard_normal((2, planes, 40, 50)).astype(np.float32), Level.hats(50)
    found = detail(params, pictures, hats)
    assert found.shape == (2, shown, 80, 100)
    tensors = {n: torch.from_numpy(a) for n, a in params.items()}
    each = torch.from_numpy(np.stack([hats, Level.hats(20)]))
    for functions in (Functions(), FUNCTIONS):
        same = detail(tensors, torch.from_numpy(pictures), each, functions).numpy()
        np.testing.assert_allclose(same[0], found[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(same[1], detail(params, pictures[1:], Level.hats(20))[0], rtol=0, atol=1e-5)
    changed, far = pictures.copy(), reach(params)
    changed[0, -1, 20, 25] += 1.0
    moved = (np.abs(detail(params, changed, hats) - found)[0] > 1e-9).any(0)
    y, x = np.nonzero(moved)
    assert y.min() == 2 * (20 - far) and y.max() == 2 * (20 + far) + 1
    assert x.min() == 2 * (25 - far) and x.max() == 2 * (25 + far) + 1


def test_grey_stays_grey():
    """Of planes whose colours are zero, those of the detail are, too; half is shown at 4/255."""
    params, planes = made_up(2, 3, 3), np.random.default_rng(3).standard_normal((2, 3, 20, 30)).astype(np.float32)
    full = detail(params, planes, Level.hats(50))
    planes[0, 1:] = 0.0
    some = detail(params, planes, Level.hats(50))
    assert not some[0, 1:].any() and some[0, 0].any() and np.array_equal(some[1], full[1])
    planes[0, 1:] = 4 / 255 / 2**0.5
    np.testing.assert_allclose(colourful(planes)[0], 0.5, rtol=1e-5)


@pytest.mark.parametrize(("seen", "shown"), [(1, 1), (3, 3)])
@pytest.mark.parametrize("size", [(20, 7), (70, 131)])
def test_tiles_show_what_x_does_both_ways(seen, shown, size, monkeypatch):
    monkeypatch.setattr("nfcodec.lattice.enlarger._TILE", 32)
    params, hats = made_up(3, seen, shown), Level.hats(35)
    planes = np.random.default_rng(5).standard_normal((3, *size)).astype(np.float32)
    found = Enlarger(params, hats)(planes)
    assert found.dtype == np.float32
    seen_planes = planes[None, :seen]
    turned = detail(params, seen_planes.swapaxes(2, 3), hats).swapaxes(2, 3)
    np.testing.assert_allclose(found, (detail(params, seen_planes, hats) + turned)[0] / 2, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("seen", "shown"), [(1, 1), (3, 1), (3, 3)])
def test_x_of_some_planes_alone(path, seen, shown):
    """Inits may have one that leaves colours as they are, seeing them or not."""
    plain, one = without(path), Decoder(io.BytesIO(path.read_bytes()))
    renderer = one.field._renderer
    renderer._detail = Detail(made_up(2, seen, shown), Level.hats(70), SHAPE, renderer._shown_planes)
    added = rendered(one, 2.0) - rendered(plain, 2.0)
    assert np.abs(added).max() > 1e-3 and (np.ptp(added, -1).max() > 1e-4) == (shown > 1)
    scattered = one.field._renderer.sample(np.array([[10.25, 20.25], [11.75, 30.25]]))
    np.testing.assert_allclose(scattered, rendered(one, 2.0)[[20, 23], [40, 60]], rtol=0, atol=1e-4)


def test_wrong_shapes_are_refused():
    [level] = zoo.load(INIT).levels
    wrong = dict(level.detail)
    del wrong["0.weight"]
    for detail_of_level in (wrong, {"out.bias": np.zeros(4)}, {**level.detail, "9.weight": level.detail["0.weight"]}):
        with pytest.raises(CorruptError, match=r"tensor|weight"):
            dataclasses.replace(level, detail=detail_of_level).validate("x")
