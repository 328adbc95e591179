"""What the prior of a residual is told: exact, alike in parts, and used by coder, rounds and twin alike."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import INITS, memory, psnr_of

from moving.small import panning, small_init, told_init
from moving.test_clips import opened, packed, samples, values
from nfcodec.entropy.adaptive import Counts, Reader, Writer
from nfcodec.errors import CorruptError
from nfcodec.lattice.basis import lapped_basis
from nfcodec.lattice.code import RegionSymbols, predict, region_bits
from nfcodec.lattice.fit.outlook import Outlook
from nfcodec.lattice.fit.twin import Beside, FloatPrior, float_params
from nfcodec.lattice.given import Told
from nfcodec.lattice.order import compand, order_of
from nfcodec.lattice.space import Box
from nfcodec.moving import expected
from nfcodec.moving.given import given_of, lapped, sizes, told, whole_basis
from nfcodec.moving.light import Light
from nfcodec.moving.motion import CONTEXTS, Motion
from nfcodec.moving.prediction import Reference
from nfcodec.moving.residual import Cells, exchange
from nfcodec.moving.stored_init import build, contents
from nfcodec.options import EncodeOptions

SHAPE = (70, 86)  # five by six blocks, cut off; nine by eleven cells


def blocks_of(seed=0):
    """A motion of blocks that differ in everything."""
    rng = np.random.default_rng(seed)
    modes = rng.integers(0, 3, (5, 6)).astype(np.uint8)
    return Motion(modes, rng.integers(-40, 41, (2, 5, 6, 2)), rng.random((5, 6)) < 0.5, np.zeros((5, 6, 4), np.uint8))


def expected_of(seed=1, largest=8191):
    return np.random.default_rng(seed).integers(-largest, largest + 1, (3, *SHAPE)).astype(np.int16)


def whole(level, expected, motion):
    cells = Cells.of(motion.coded, SHAPE, level.spec.spacing)
    box = Box(-1, (0, 0), cells.coded.shape)
    return cells, given_of(level, expected, motion, cells.coded, box, 60)


@pytest.mark.parametrize("spacing", [4, 8, 16])
def test_functions_are_far_from_being_rounded_otherwise(spacing):
    exact = lapped_basis(spacing) * 128
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-3
    # What is summed stays below 2^24, in both directions.
    first = 8191 * np.abs(whole_basis(spacing)).sum(1).max()
    assert first < 2**24 and (first / 256 + 1) * np.abs(whole_basis(spacing)).sum(1).max() < 2**24


def test_the_transform_is_that_of_whole_numbers():
    """Cell by cell in integers, with extreme samples: float32 loses nothing."""
    spec, planes = small_init().residuals.spec, expected_of()
    table = whole_basis(8).astype(np.int64)
    wide = np.pad(planes.astype(np.int64), ((0, 0), (0, -SHAPE[0] % 8), (0, -SHAPE[1] % 8)), "edge")
    wide = np.pad(wide, ((0, 0), (4, 4), (4, 4)), "symmetric")
    found = lapped(spec, planes, Box(-1, (0, 0), (9, 11)))[..., 1:-1, 1:-1]
    for y, x in ((0, 0), (3, 5), (8, 10), (8, 0)):
        part = wide[:, 8 * y : 8 * y + 16, 8 * x : 8 * x + 16]
        across = (part @ table.T + 128) >> 8
        wanted = table @ across
        for k, (down, right) in enumerate(order_of(spec).frequencies):
            np.testing.assert_array_equal(found[:, k, y, x], wanted[:, down, right])


def test_a_box_is_told_what_the_whole_is_told():
    level, motion = small_init().residuals, blocks_of()
    motion.coded[0], motion.coded[:, 5] = False, False
    cells, every = whole(level, expected_of(), motion)
    part = given_of(level, expected_of(), motion, cells.coded, cells.box, 60)
    for one, other in ((part.each, every.each), (part.cell, every.cell)):
        inside = other.reshape(*other.shape[:-1], *cells.coded.shape)[cells.box.cells]
        np.testing.assert_array_equal(one.reshape(inside.shape), inside)
    assert every.told == told(level.spec) and np.abs(every.each).max() <= 127
    assert not every.cell[:, ~cells.coded.ravel()].any() and not every.each[..., ~cells.coded.ravel()].any()


def test_numbers_are_sizes_in_quarters_of_a_step():
    level, motion = small_init().residuals, blocks_of()
    cells, given = whole(level, expected_of(largest=300), motion)
    size = sizes(level, expected_of(largest=300), Box(-1, (0, 0), cells.coded.shape), 60)[:, :, 1:-1, 1:-1]
    exact = np.abs(lapped(level.spec, expected_of(largest=300), Box(-1, (0, 0), cells.coded.shape)))[..., 1:-1, 1:-1]
    wanted = exact * 2.0**-19 / level.steps(60)[..., None, None] * 4
    np.testing.assert_allclose(size, wanted, atol=0.51)
    at = np.flatnonzero(cells.coded)
    np.testing.assert_array_equal(given.each[0][..., at], compand(size.reshape(3, 64, -1)[..., at]))
    luma = compand(size[0, 15:].sum(0).ravel()[at] >> 2)
    np.testing.assert_array_equal(given.cell[2, at], luma)


def test_the_mode_is_told():
    level, motion = small_init().residuals, blocks_of()
    cells, given = whole(level, expected_of(), motion)
    at = np.flatnonzero(cells.coded)
    modes = np.repeat(np.repeat(motion.modes, 2, 0), 2, 1)[:9, :11].ravel()[at]
    first = 3 + 8 + 2 + 8
    np.testing.assert_array_equal(given.cell[first : first + 3, at], 16 * (modes == np.arange(3)[:, None]))


def test_vectors_are_told_block_by_block():
    """As FORMAT.md says it, with loops."""
    level, motion = small_init().residuals, blocks_of(4)
    motion.coded[...] = True
    cells, given = whole(level, expected_of(), motion)
    found = given.cell[24:34].reshape(10, *cells.coded.shape)[:, ::2, ::2]
    uses = {0: (0,), 1: (1,), 2: (0, 1)}
    for y, x in np.ndindex(5, 6):
        mine = uses[motion.modes[y, x]]
        vectors = [motion.vectors[r, y, x] for r in mine]
        wanted = [compand(max(np.abs(v).sum() for v in vectors)), 16 * sum(int(c) % 4 != 0 for v in vectors for c in v)]
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            there = y + down, x + right
            there = there if 0 <= there[0] < 5 and 0 <= there[1] < 6 else (y, x)
            both = [r for r in mine if r in uses[motion.modes[there]]]
            off = [np.abs(motion.vectors[(r, *there)] - motion.vectors[r, y, x]).sum() for r in both]
            wanted += [compand(max(off, default=0)), 16 * (motion.modes[there] != motion.modes[y, x])]
        np.testing.assert_array_equal(found[:, y, x], wanted)


def symbols_of(cells, seed=3):
    rng = np.random.default_rng(seed)
    found = np.round(rng.laplace(size=(3, 64, *cells.inside.shape)) * 4 / (1 + np.arange(64))[:, None, None])
    return (found * cells.inside).astype(np.int32)


def test_symbols_there_and_back_and_another_prediction_codes_otherwise():
    level, motion = told_init().residuals, blocks_of()
    cells = Cells.of(motion.coded, SHAPE, level.spec.spacing)
    symbols, payloads = symbols_of(cells), []
    for seed in (1, 2):
        given = given_of(level, expected_of(seed), motion, cells.coded, cells.box, 60)
        common = {"quality": 60, "planes": 3, "given": given}
        writer = Writer()
        exchange(writer, level, symbols, cells, counts=Counts.of(CONTEXTS), **common)
        payloads.append(writer.finish())
        reader = Reader(payloads[-1])
        np.testing.assert_array_equal(
            exchange(reader, level, None, cells, counts=Counts.of(CONTEXTS), **common), symbols
        )
        reader.finish()
    assert payloads[0] != payloads[1]


def test_rounds_and_twin_see_what_the_coder_sees():
    """At the picture's size: all cells are coded. The twin rounds otherwise: alike on the whole."""
    level, motion = told_init().residuals, replace(blocks_of(), coded=np.ones((5, 6), bool))
    cells, given = whole(level, expected_of(largest=500), motion)
    symbols = symbols_of(cells)
    region = RegionSymbols(symbols, 60, 3, given)
    wanted = predict(level.prior, region)
    found = Outlook(level.prior, cells.coded.shape, 3).look(region).prediction
    np.testing.assert_array_equal(found.mean, wanted.mean)
    np.testing.assert_array_equal(found.scale, wanted.scale)
    other = predict(level.prior, replace(region, given=whole(level, expected_of(9), motion)[1]))
    assert (other.scale != wanted.scale).mean() > 0.05
    assert twice(level, region, given) == pytest.approx(twice(small_init().residuals, region, None), rel=0.03)
    mask = np.arange(cells.coded.size) % 3 > 0
    assert twice(level, region, given, mask) == pytest.approx(twice(level, region, given), rel=0.03)


def twice(level, region, given, mask=None):
    """What the twin charges for the cells of a mask, over what the coder does."""
    twin, q = FloatPrior(level.prior.order, region.shape, 1), torch.from_numpy(region.symbols[None]).float()
    hats = torch.from_numpy(level.hats(region.quality))[None]
    beside = Beside(given, None if mask is None else torch.from_numpy(mask))
    found = twin.bits(float_params(level.prior), q, hats, q, beside)
    bits = region_bits(predict(level.prior, replace(region, given=given)), region.symbols).reshape(3, 64, -1)
    return float(found) / float(bits[..., slice(None) if mask is None else mask].sum())


def test_a_prediction_is_made_once_for_a_motion_whatever_is_coded(monkeypatch):
    made = []
    monkeypatch.setattr(expected, "predicted", lambda references, motion: made.append(references) or len(made))
    references = [Reference(expected_of(seed)) for seed in (1, 2)]
    found, motion, light = expected.Expected(references), blocks_of(), (Light(120, 3), Light())
    assert found.of(motion) == found.of(replace(motion, coded=~motion.coded)) == 1
    assert found.of(motion, light) == 2 and found.of(blocks_of(5), light) == 3
    assert made[1] is made[2] and made[1][1] is references[1] and made[1][0] is not references[0]
    assert len(found) == 2 and not expected.Expected(())


@pytest.mark.parametrize(("effort", "channels"), [(1, 3), (4, 3), (1, 1)])
def test_clips_there_and_back(effort, channels):
    """At effort 4 P pictures go through rounds."""
    path = str(INITS / "told-moving.safetensors")
    clip = panning(9, 41, 50, channels=channels).astype(int)
    clip = (clip + np.random.default_rng(0).integers(-25, 26, clip.shape)).clip(0, 255).astype(np.uint8)
    data, encoded = packed(memory("video", clip), path, quality=75, effort=effort)
    found = samples(data, path)
    assert psnr_of(found, clip, 255) == pytest.approx(encoded.psnr, abs=1e-6)
    encoded.verify(io.BytesIO(data), EncodeOptions(init=path))
    part = values(data, path, time=(0.5, 0.7))
    np.testing.assert_array_equal(part, values(data, path)[5:7])
    assert opened(data, path).digest()[0] == encoded.digest


def test_inits_there_and_back():
    init = told_init()
    arrays, meta = contents(init)
    read = build(meta, arrays, b"1")
    assert read.residuals.prior.told == told(init.residuals.spec) and not read.shared
    for one, other in zip(read.residuals.prior.groups, init.residuals.prior.groups, strict=True):
        np.testing.assert_array_equal(one.layers[0].weight, other.layers[0].weight)
    other = replace(init.residuals.prior, told=Told(1, 3))
    with pytest.raises(CorruptError, match="told"):
        replace(init, residuals=replace(init.residuals, prior=other)).validate()


def test_an_encoder_predicts_a_picture_once(monkeypatch):
    """For its residual, its symbols and its samples."""
    made, clip = [], panning(3, 48, 64)
    predict_one = expected.predicted
    monkeypatch.setattr(expected, "predicted", lambda *given: made.append(1) or predict_one(*given))
    packed(memory("video", clip), str(INITS / "told-moving.safetensors"), quality=80)
    assert len(made) == 2
