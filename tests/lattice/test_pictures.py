"""Pictures on a lattice: regions, layers, crops, scales and points."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import (
    STAND_INS,
    MemorySource,
    init,
    memory,
    opened,
    pack,
    painting,
    psnr_of,
    save_picture,
    there_and_back,
    unpack,
    with_region,
)

from nfcodec import api, zoo
from nfcodec.container.layout import SectionType
from nfcodec.container.reader import Reader
from nfcodec.lattice.fit import coded
from nfcodec.lattice.renderer import LatticeRenderer
from nfcodec.lattice.space import Space, section_run
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.media.samples import quantize
from nfcodec.options import DecodeOptions

KIND = "tiny-lattice"
# Between samples the trunk is asked, at them its table, which is rounded to 2^-16.
CLOSE = {"atol": 1e-4}


@pytest.fixture
def small_regions(monkeypatch):
    """Regions of 4 × 4 cells, 32 × 32 pixels, and a section for every layer."""
    monkeypatch.setitem(STAND_INS, "tiny-lattice", with_region("tiny-lattice", 4, 4))
    monkeypatch.setattr(coded, "SPLIT_FROM", 0)


def picture(height, width, seed=0, channels=3, effort=1, **options):
    return pack(memory("image", painting(height, width, seed, channels)), KIND, effort=effort, **options)[0]


def with_alpha(height, width, seed=0):
    """A source with alpha, and that alpha."""
    source = memory("image", painting(height, width, seed))
    alpha = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    return MemorySource(replace(source.info, alpha=True), source.values, alpha), alpha


def kinds(data):
    return [SectionType(s.type).name for s in Reader(io.BytesIO(data)).sections()]


# -- whole files -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(37, 53), (300, 20), (1100, 40)])
def test_larger_pictures(tmp_path, size, channels):
    source = save_picture(tmp_path / "a.png", painting(*size, channels=channels))
    result, _ = there_and_back(source, KIND, tmp_path / "b.png", effort=1, quality=60)
    assert result.psnr > 30 and result.rate < 1.5


@pytest.mark.parametrize("size", [(37, 53), (33, 8), (64, 97), (1, 70)])
def test_many_regions(tmp_path, size, small_regions):
    rows, columns = (-(-n // 32) for n in size)
    source = save_picture(tmp_path / "a.png", painting(*size))
    result, _ = there_and_back(source, KIND, tmp_path / "b.png", effort=1)
    assert result.psnr > 30
    assert kinds((tmp_path / "b.nfc").read_bytes()) == ["CELLS"] * 3 * rows * columns


def test_small_regions_share_a_section_and_layers_come_coarse_to_fine(small_regions, monkeypatch):
    data = picture(40, 40)
    runs = [section_run(e.first) for e in opened(data, KIND).index]
    assert runs == [(region, 0, layer, 1) for layer in range(3) for region in range(4)]
    monkeypatch.setattr(coded, "SPLIT_FROM", 1 << 30)
    merged = picture(40, 40)
    assert [section_run(e.first) for e in opened(merged, KIND).index] == [(region, 0, 0, 3) for region in range(4)]
    assert len(merged) < len(data) and opened(merged, KIND).digest() == opened(data, KIND).digest()
    np.testing.assert_array_equal(unpack(merged, KIND), unpack(data, KIND))


def test_same_bytes_twice_and_same_digest(small_regions):
    source = memory("image", painting(45, 61))
    data, encoded = pack(source, KIND, effort=3)
    assert pack(source, KIND, effort=3)[0] == data
    assert opened(data, KIND).digest()[0] == encoded.digest
    assert opened(data, KIND).digest()[1] == 6 * 8 * 192


def test_the_header_says_how_many_rows_of_cells_a_region_has(small_regions):
    assert Reader(io.BytesIO(picture(200, 9))).header.chunk_rows == 4
    assert Reader(io.BytesIO(picture(17, 90))).header.chunk_rows == 3


def test_alpha_in_rows_of_regions(small_regions):
    source, alpha = with_alpha(71, 45)
    data, encoded = pack(source, KIND, effort=1)
    decoder = opened(data, KIND)
    assert decoder.chunks == 3 and kinds(data).count("ALPHA") == 3
    np.testing.assert_array_equal(np.concatenate([b.alpha for b in decoder.blocks(DecodeOptions())]), alpha)
    part = list(opened(data, KIND).blocks(DecodeOptions(crop=(5, 20, 30, 40))))
    np.testing.assert_array_equal(np.concatenate([b.alpha for b in part]), alpha[20:60, 5:35])
    assert decoder.digest()[0] == encoded.digest


def test_grey_costs_only_one_plane():
    grey = painting(64, 64, channels=1)
    one, three = (pack(memory("image", p), KIND, effort=1)[1] for p in (grey, grey.repeat(3, -1)))
    assert one.psnr == pytest.approx(three.psnr, abs=0.7) and one.bytes <= three.bytes
    assert not opened(picture(64, 64, channels=1), KIND).symbols(0).reshape(3, -1)[1:].any()


def test_nothing_to_say_costs_next_to_nothing():
    """A picture that the init renders from zeros: 34 bytes of framing, and one for each mean that is not zero."""
    flat = np.full((64, 64, 3), 128, np.uint8)
    data, encoded = pack(memory("image", flat), KIND, quality=20, effort=1)
    assert encoded.bytes == len(data) < 60 and encoded.psnr > 35


def test_more_is_more():
    sizes, decibels = zip(
        *[
            (sum(e.bytes for e in said), np.mean([e.psnr for e in said]))
            for said in (
                [pack(memory("image", painting(64, 80, s)), KIND, quality=q, effort=1)[1] for s in range(3)]
                for q in (0, 25, 50, 75, 100)
            )
        ],
        strict=True,
    )
    assert (np.diff(sizes) > 0).all() and (np.diff(decibels) > 0).all()
    assert decibels[-1] - decibels[0] > 8


@pytest.mark.parametrize("quality", [15, 60, 95])
def test_effort_never_makes_a_worse_file(quality):
    """Squared error and λ · bits of the file, as the encoder weighs them.

    With the shipped init: what an untrained prior expects of a change is noise.
    """
    field, efforts = zoo.load("photo-lattice"), (1, 2, 3, 5, 7)
    costs = np.zeros((2, len(efforts)))
    for (row, column), effort in zip(np.ndindex(costs.shape), 2 * efforts, strict=True):
        source = memory("image", painting(48, 72, 1 + row))
        data, _ = pack(source, "photo-lattice", quality=quality, effort=effort, tune="psnr")
        error = float(np.square(unpack(data, "photo-lattice") - source.values).sum())
        costs[row, column] = error + 3.0 * field.trade_off(quality) * len(data) * 8
    # Seen one region at a time, without the samples that only fill the last cells; and three rounds begin otherwise
    # than two, which on a picture as small as these may be worse by chance: less so of both together.
    assert (costs[:, 1:] <= 1.01 * costs[:, :-1]).all()
    assert (costs.sum(0)[1:] <= 1.006 * costs.sum(0)[:-1]).all()


# -- seams -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("quality", [20, 50, 80])
@pytest.mark.parametrize("effort", [1, 3])
def test_regions_leave_no_seams(quality, effort, small_regions):
    y, x = np.mgrid[:96, :96]
    slope = np.stack([x * 1.6 + 40, y * 1.8 + 30, (x + y) * 0.9 + 30], -1).astype(np.uint8)
    data, _ = pack(memory("image", slope), KIND, quality=quality, effort=effort)
    error = np.abs(unpack(data, KIND) * 255 - slope).mean(-1)
    to_seam = np.minimum(np.minimum(x % 32, 31 - x % 32), np.minimum(y % 32, 31 - y % 32))
    inside = np.minimum(np.minimum(x, 95 - x), np.minimum(y, 95 - y)) >= 4
    at, off = error[inside & (to_seam < 2)], error[inside & (to_seam >= 2)]
    assert at.mean() < 1.3 * off.mean() and at.max() < 1.3 * off.max()


def test_regions_change_little(small_regions, monkeypatch):
    """Cut into regions the picture looks as it does in one piece."""
    many = picture(70, 100, 2)
    cut = unpack(many, KIND)
    monkeypatch.delitem(STAND_INS, KIND)
    one = picture(70, 100, 2)
    whole = unpack(one, KIND)
    original = painting(70, 100, 2)
    assert abs(psnr_of(cut * 255, original, 255) - psnr_of(whole * 255, original, 255)) < 0.4
    assert np.abs(cut - whole).mean() < 0.006


# -- parts and scales ------------------------------------------------------------------------------------
@pytest.mark.parametrize("crop", [(0, 0, 100, 70), (8, 8, 16, 16), (30, 29, 5, 7), (99, 69, 1, 1), (0, 33, 100, 1)])
def test_crop_is_the_crop_of_the_whole(crop, small_regions):
    data = picture(70, 100)
    x, y, w, h = crop
    part, whole = unpack(data, KIND, crop=crop), unpack(data, KIND)[y : y + h, x : x + w]
    np.testing.assert_allclose(part, whole, rtol=0, atol=2e-6)
    written = [quantize(v, opened(data, KIND).info) for v in (part, whole)]
    clear = np.abs(whole * 255 % 1 - 0.5) > 1e-3  # not between two samples, where the last bit decides
    np.testing.assert_array_equal(written[0][clear], written[1][clear])


@pytest.mark.parametrize(
    ("crop", "touched"),
    [
        ((0, 0, 20, 20), {0}), ((40, 0, 20, 20), {1}), ((0, 0, 28, 28), {0}), ((0, 0, 29, 28), {0, 1}),
        ((28, 28, 1, 1), {0, 1, 4, 5}), ((70, 40, 10, 10), {6}), ((36, 36, 24, 24), {5}),
        ((0, 40, 128, 10), {4, 5, 6, 7}),
    ],
)  # fmt: skip
def test_a_crop_reads_only_its_regions(crop, touched, small_regions, monkeypatch):
    """A region is 32 pixels wide and reaches 4 pixels into its neighbours."""
    decoder, read = opened(picture(96, 128), KIND), []
    real = Reader.read
    monkeypatch.setattr(Reader, "read", lambda reader, entry: read.append(entry.first) or real(reader, entry))
    list(decoder.blocks(DecodeOptions(crop=crop)))
    assert {section_run(first)[0] for first in read} == touched
    assert len(read) == 3 * len(touched)  # each layer once


def test_rows_of_regions_are_decoded_once(small_regions, monkeypatch):
    decoder, read = opened(picture(200, 70), KIND), []
    real = Reader.read
    monkeypatch.setattr(Reader, "read", lambda reader, entry: read.append(entry.first) or real(reader, entry))
    for options in (DecodeOptions(), DecodeOptions(scale=2.5), DecodeOptions(scale=0.3)):
        read.clear()
        decoder = opened(decoder.reader._file.getvalue(), KIND)
        list(decoder.blocks(options))
        assert sorted(read) == sorted({*read}) and len(read) == 3 * 7 * 3


@pytest.mark.parametrize("scale", [2.0, 0.5, 3.0, 0.37, 1.3])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (37, 53)])
def test_scales(size, scale, small_regions):
    data, shape = picture(*size), tuple(max(1, round(n * scale)) for n in size)
    found = unpack(data, KIND, scale=scale)
    assert found.shape == (*shape, 3) and np.isfinite(found).all()
    native = unpack(data, KIND)
    assert abs(found.mean() - native.mean()) < 0.05 and found.min() > -0.3 and found.max() < 1.3


def test_sizes_that_are_no_scale(small_regions):
    data = picture(37, 53)
    assert unpack(data, KIND, size=(111, 0)).shape == (77, 111, 3)
    assert unpack(data, KIND, size=(7, 90)).shape == (90, 7, 3)
    assert unpack(data, KIND, size=(0, 10), crop=(3, 4, 30, 20)).shape == (10, 15, 3)


@pytest.mark.parametrize("k", [3, 5])
def test_resolutions_agree_where_samples_coincide(k, small_regions):
    data = picture(37, 53)
    native, fine = unpack(data, KIND), unpack(data, KIND, scale=k)
    np.testing.assert_allclose(fine[k // 2 :: k, k // 2 :: k], native, **CLOSE)


@pytest.mark.parametrize("k", [2, 4])
def test_a_reduced_picture_is_averaged(k, small_regions):
    data = picture(40, 64, quality=95)
    full, small = unpack(data, KIND), unpack(data, KIND, scale=1 / k)
    means = full.reshape(40 // k, k, 64 // k, k, 3).mean((1, 3))
    inner = (slice(1, -1), slice(1, -1))  # on the border the filter repeats the edge
    assert psnr_of(small[inner], means[inner], 1.0) > 34


def test_odd_reductions_are_those_of_the_field(small_regions, monkeypatch):
    """Their dense grid is interpolated from the samples; asking the field itself at every point gives the same."""
    data = picture(60, 75, quality=90)
    found = unpack(data, KIND, scale=0.3)
    monkeypatch.setattr(LatticeRenderer, "_interpolated", LatticeRenderer.planes)
    assert psnr_of(found, unpack(data, KIND, scale=0.3), 1.0) > 45


# -- points ----------------------------------------------------------------------------------------------
def grid(info, scale=1.0):
    """Coordinates (N, 2) of a rendering, written from the documentation."""
    longest = max(info.shape)
    sizes = [round(n * scale) for n in info.shape]
    axes = [((2 * np.arange(m) + 1) / m - 1) * n / longest for m, n in zip(sizes, info.shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)


@pytest.mark.parametrize(("size", "channels"), [((37, 53), 3), ((70, 40), 1), ((1, 1), 3)])
def test_sampling_at_the_grid_is_rendering(tmp_path, size, channels, small_regions):
    (tmp_path / "a.nfc").write_bytes(picture(*size, channels=channels))
    with api.open(tmp_path / "a.nfc", init=init(KIND)) as f:
        native, twice = f.render(), f.render(scale=2)
        np.testing.assert_allclose(f.sample(grid(f.info)).reshape(native.shape), native, **CLOSE)
        np.testing.assert_allclose(f.sample(grid(f.info, 2)).reshape(twice.shape), twice, **CLOSE)


def test_points_anywhere(tmp_path, small_regions):
    (tmp_path / "a.nfc").write_bytes(picture(70, 100))
    with api.open(tmp_path / "a.nfc", init=init(KIND)) as f:
        points = np.random.default_rng(0).uniform(-1, 1, (9000, 2)) * (0.7, 1.0)
        found = f.sample(points)
        np.testing.assert_allclose(f.sample(points[::-1])[::-1], found, **CLOSE)
        np.testing.assert_allclose(f.sample(points[4000:4010]), found[4000:4010], **CLOSE)
        assert np.isfinite(f.sample([[3.0, -7.0], [-1.2, 1.1]])).all()
        edge, beyond = f.sample([[0.0, 1.08], [0.74, 0.0]]), f.sample([[0.0, 5.0], [9.0, 0.0]])
        np.testing.assert_allclose(edge, beyond, **CLOSE)  # the last cells end at 104 and at 72


# -- threads ---------------------------------------------------------------------------------------------
def test_symbols_do_not_depend_on_threads(small_regions):
    data, before = picture(70, 100, quality=90), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append((opened(data, KIND).digest(), unpack(data, KIND)))
    finally:
        torch.set_num_threads(before)
    assert len({digest for digest, _ in found}) == 1
    for _, values in found[1:]:
        np.testing.assert_allclose(values, found[0][1], atol=2e-6)


def test_layout_of_the_test(small_regions):
    """The tests above are about what they say: several regions, the last ones cut off."""
    space = Space.of((70, 100), replace(LatticeSpec(), region=(4, 4)))
    assert (*space.counts, space.box(11).shape) == (3, 4, (1, 1))
