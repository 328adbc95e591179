"""Pictures at a half, a quarter and an eighth of their size."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import MemorySource, memory, moving, opened, pack, painting, sound, unpack

from nfcodec.decoder.reduced import reduced
from nfcodec.errors import ChecksumError, OptionError
from nfcodec.media.samples import dequantize
from nfcodec.options import PREVIEW_STEPS
from nfcodec.signal import SignalInfo

SHAPE = (61, 90)


@pytest.fixture(scope="module", params=["image", "tiny-lattice"])
def coded(request):
    return request.param, pack(memory("image", painting(*SHAPE)), request.param, effort=1, quality=60)[0]


def means(values, step):
    """Means over squares, written down again: what is there of the last ones counts."""
    rows, columns = (range(0, n, step) for n in values.shape[:2])
    return np.array([[values[y : y + step, x : x + step].mean((0, 1)) for x in columns] for y in rows])


@pytest.mark.parametrize("step", PREVIEW_STEPS)
def test_samples_are_means_over_squares(coded, step):
    kind, data = coded
    found = reduced(opened(data, kind), step).block.values
    exact = means(unpack(data, kind), step)
    assert found.shape == exact.shape and found.dtype == np.float32
    if kind == "image" or step < 4:
        assert np.abs(found - exact).max() < 1e-6
    else:
        assert np.sqrt(np.mean((found - exact) ** 2)) < 0.012 and abs((found - exact).mean()) < 0.002


@pytest.mark.parametrize("step", PREVIEW_STEPS)
@pytest.mark.parametrize("box", [(0, 0, 90, 61), (13, 9, 40, 30), (88, 59, 2, 2), (0, 60, 1, 1), (64, 1, 26, 60)])
def test_a_part_is_cut_from_the_whole(coded, step, box):
    kind, data = coded
    decoder = opened(data, kind)
    whole, part = reduced(decoder, step).block.values, reduced(decoder, step, box)
    x, y, width, height = box
    assert (part.x, part.y) == (x // step * step, y // step * step)
    left, top, right, bottom = x // step, y // step, -(-(x + width) // step), -(-(y + height) // step)
    assert part.block.values.shape == (bottom - top, right - left, 3)
    assert np.abs(part.block.values - whole[top:bottom, left:right]).max() < 1e-6


@pytest.mark.parametrize("step", PREVIEW_STEPS)
def test_rough_halves_are_near_and_nothing_else_changes(coded, step):
    kind, data = coded
    found, exact = (reduced(opened(data, kind), step, rough=rough).block.values for rough in (True, False))
    if kind == "image" or step != 2:
        assert np.array_equal(found, exact)
    else:
        off = found - exact
        assert 0 < np.sqrt(np.mean(off**2)) < 0.02 and abs(off.mean()) < 0.002


@pytest.mark.parametrize("box", [(0, 0, 90, 61), (13, 9, 40, 30), (88, 59, 2, 2), (0, 60, 1, 1), (64, 1, 26, 60)])
def test_a_rough_part_is_cut_from_the_rough_whole(coded, box):
    kind, data = coded
    decoder = opened(data, kind)
    whole, part = (reduced(decoder, 2, b, rough=True).block.values for b in (None, box))
    left, top, right, bottom = box[0] // 2, box[1] // 2, -(-(box[0] + box[2]) // 2), -(-(box[1] + box[3]) // 2)
    assert part.shape == (bottom - top, right - left, 3)
    assert np.abs(part - whole[top:bottom, left:right]).max() < 1e-6


def test_several_regions_meet_without_a_seam():
    """More cells than a region has; what the tiny init cannot tell is far below what a seam would be."""
    picture = np.tile(painting(64, 64, seed=3), (1, 18, 1))
    data = pack(memory("image", picture), "tiny-lattice", effort=1, quality=80)[0]
    decoder = opened(data, "tiny-lattice")
    found, exact = reduced(decoder, 4).block.values, means(unpack(data, "tiny-lattice"), 4)
    off = np.abs(found - exact).mean((0, 2))
    assert decoder.field.space.row_size == 2
    assert off[250:262].max() < 2 * off[100:200].max()


def test_bands_meet_without_a_seam(coded, monkeypatch):
    kind, data = coded
    whole = reduced(opened(data, kind), 4).block.values
    for rows in (1, 3):
        monkeypatch.setattr("nfcodec.lattice.preview._BAND", rows)
        assert np.abs(reduced(opened(data, kind), 4).block.values - whole).max() < 1e-6


@pytest.mark.parametrize("step", PREVIEW_STEPS)
@pytest.mark.parametrize("kind", ["image", "tiny-lattice"])
def test_alpha_and_grey(kind, step):
    alpha = painting(*SHAPE, seed=2, channels=1)[..., 0]
    info = SignalInfo("image", SHAPE, 1, "u8", True)
    source = MemorySource(info, dequantize(painting(*SHAPE, channels=1), "u8"), alpha)
    found = reduced(opened(pack(source, kind, effort=1)[0], kind), step, (8, 16, 70, 40)).block
    exact = means(alpha[16:56, 8:80].astype(float), step)[:, : -(-70 // step)]
    assert found.values.shape == (*exact.shape, 1) and found.alpha.dtype == np.uint8
    assert np.abs(found.alpha - exact).max() <= 0.5 + 1e-4


def test_a_preview_reads_the_first_layer_only():
    """Damage in a finer layer stops the whole picture, not its preview; rough halves do without the last layer."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    data = bytearray(pack(memory("image", noise), "tiny-lattice", effort=1)[0])
    decoder = opened(bytes(data), "tiny-lattice")
    sections = [e for e in decoder.index if e.first is not None]
    assert len(sections) == 3
    data[sections[-1].offset + 40] ^= 1
    assert reduced(opened(bytes(data), "tiny-lattice"), 4).block.values.shape == (24, 24, 3)
    assert reduced(opened(bytes(data), "tiny-lattice"), 2, rough=True).block.values.shape == (48, 48, 3)
    with pytest.raises(ChecksumError):
        reduced(opened(bytes(data), "tiny-lattice"), 2)
    data[sections[1].offset + 40] ^= 1
    with pytest.raises(ChecksumError):
        reduced(opened(bytes(data), "tiny-lattice"), 2, rough=True)


@pytest.mark.parametrize("step", [0, 3, 16, -1])
def test_other_steps_are_refused(coded, step):
    with pytest.raises(OptionError, match=f"step {step}"):
        reduced(opened(coded[1], coded[0]), step)


@pytest.mark.parametrize("box", [(-1, 0, 4, 4), (0, 0, 91, 61), (0, 0, 0, 4), (89, 60, 2, 1), (0, 61, 1, 1)])
def test_boxes_outside_are_refused(coded, box):
    with pytest.raises(OptionError, match="box"):
        reduced(opened(coded[1], coded[0]), 2, box)


@pytest.mark.parametrize(("kind", "samples"), [("audio", sound(600, 1)), ("video", moving(4, 12, 12))])
def test_other_signals_have_no_previews(kind, samples):
    data = pack(memory(kind, samples), kind, effort=1)[0]
    with pytest.raises(OptionError, match=kind):
        reduced(opened(data, kind), 4)
