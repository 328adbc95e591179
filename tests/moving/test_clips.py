"""Whole clips: what is decoded is what the encoder saw, in parts as in whole, with alpha, in grey, painted."""

import io
from dataclasses import replace

import numpy as np
import pytest
from helpers import MemorySource, memory, moving, psnr_of

from moving.small import panning, small_init
from nfcodec.container.layout import SectionType
from nfcodec.decoder import Decoder
from nfcodec.encoder import encode_signal
from nfcodec.errors import CorruptError, FormatError, UnsupportedFeatureError, UnsupportedMediaError
from nfcodec.lattice.space import Box
from nfcodec.media.samples import quantize
from nfcodec.moving.picture import PAINTED
from nfcodec.moving.residual import Cells, rendered
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.parallel import limited
from nfcodec.zoo import write_init


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    path = tmp_path_factory.mktemp("init") / "small.safetensors"
    write_init(small_init(), path)
    return str(path)


def packed(source, init, **options):
    out = io.BytesIO()
    encoded = encode_signal(source, out, EncodeOptions(init=init, **{"effort": 1, **options}))
    encoded.verify(out, EncodeOptions(init=init))
    return out.getvalue(), encoded


def opened(data, init, **options):
    return Decoder(io.BytesIO(data), inits=(init,), **options)


def values(data, init, **options):
    return np.concatenate([b.values for b in opened(data, init).blocks(DecodeOptions(**options))])


def samples(data, init, **options):
    decoder = opened(data, init)
    return quantize(values(data, init, **options), decoder.info)


@pytest.mark.parametrize("frames", [1, 2, 8, 9, 19])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_reported_error_is_that_of_what_is_decoded(init, frames, channels):
    clip = panning(frames, 41, 50, channels=channels)
    data, encoded = packed(memory("video", clip), init, quality=80)
    found = samples(data, init)
    assert found.shape == clip.shape
    assert psnr_of(found, clip, 255) == pytest.approx(encoded.psnr, abs=1e-6)
    assert opened(data, init).digest()[0] == encoded.digest
    assert encoded.psnr > 25


def test_a_pan_costs_little_more_than_a_picture(init):
    """Vectors and averages do the rest."""
    still = len(packed(memory("video", panning(1, 64, 80)), init)[0])
    moved = len(packed(memory("video", panning(8, 64, 80)), init)[0])
    assert moved < 2.2 * still


def test_a_still_clip_costs_a_byte_or_two_for_a_frame(init):
    frame = panning(1, 64, 80)
    one, many = (len(packed(memory("video", np.repeat(frame, n, 0)), init, quality=40)[0]) for n in (1, 8))
    assert many - one < 7 * 10


@pytest.fixture(scope="module")
def panned(init):
    clip = panning(19, 41, 50)
    return clip, packed(memory("video", clip), init, quality=70)[0]


def test_parts_are_those_of_the_whole(init, panned):
    _, data = panned
    whole = values(data, init)
    np.testing.assert_array_equal(values(data, init, crop=(7, 11, 30, 21)), whole[:, 11:32, 7:37])
    np.testing.assert_array_equal(values(data, init, time=(0.5, 1.2)), whole[5:12])
    np.testing.assert_array_equal(values(data, init, time=(1.8, None)), whole[18:])
    decoder = opened(data, init)
    y, x = np.array([3, 40]), np.array([9, 0])
    at = np.stack([np.full(2, 9.5), y + 0.5, x + 0.5], 1)
    np.testing.assert_allclose(decoder.field.sample(1, at), whole[9, y, x], atol=1e-6)


def test_a_part_reads_only_what_it_needs(init, panned):
    """The group itself, and the first picture of the next one."""
    _, data = panned
    field = opened(data, init).field
    field._frames(1, np.array([3]))
    assert sorted(field._group(1)._known) == [0, 2, 3, 4, 8]
    assert sorted(field._group(2)._known) == [0]


def test_other_sizes_and_rates(init, panned):
    _, data = panned
    whole = values(data, init)
    twice = values(data, init, scale=2.0)
    assert twice.shape == (19, 82, 100, 3)
    assert np.abs(twice.reshape(19, 41, 2, 50, 2, 3).mean((2, 4)) - whole).mean() < 0.01
    half = values(data, init, fps=5.0)
    assert half.shape[1:] == whole.shape[1:] and len(half) in (9, 10)


def test_threads_change_nothing(init):
    source = memory("video", moving(11, 40, 56, 3))
    files = []
    for threads in (1, 3):
        with limited(threads):
            files.append(packed(source, init, quality=75)[0])
    assert files[0] == files[1]
    with limited(3):
        np.testing.assert_array_equal(values(files[0], init), values(files[1], init))


def test_alpha(init):
    clip = memory("video", panning(9, 20, 33))
    alpha = (np.indices((9, 20, 33)).sum(0) * 6 % 256).astype(np.uint8)
    alpha[:, :5, :5] = 0
    source = MemorySource(replace(clip.info, alpha=True), clip.values, alpha)
    data, encoded = packed(source, init)
    decoder = opened(data, init)
    found = list(decoder.blocks(DecodeOptions()))
    np.testing.assert_array_equal(np.concatenate([b.alpha for b in found]), alpha)
    seen = alpha > 0
    colours = quantize(np.concatenate([b.values for b in found]), decoder.info)
    assert psnr_of(colours[seen], quantize(clip.values, decoder.info)[seen], 255) == pytest.approx(encoded.psnr)


def flat_clip(channels):
    clip = np.full((11, 24, 30, channels), 40, np.uint8)
    colours = np.array([[255, 0, 9], [3, 200, 180], [254, 254, 1]], np.uint8)[:, :channels]
    for t, frame in enumerate(clip):
        frame[4 : 9 + t, 3:8], frame[12:, t : t + 6], frame[0, 0] = colours
    clip[6] = clip[5]
    return clip


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_few_colours_come_back_exactly(init, channels):
    clip = flat_clip(channels)
    data, encoded = packed(memory("video", clip), init, quality=10)
    assert encoded.psnr == np.inf
    np.testing.assert_array_equal(samples(data, init), clip)
    group = opened(data, init).field._group(0)
    assert group._payloads[0][0] == PAINTED and group._payloads[6] == b""


def test_hidden_colours_of_painted_pictures_are_not_coded(init):
    clip = flat_clip(3)
    noise = np.random.default_rng(0).integers(0, 256, clip.shape).astype(np.uint8)
    hidden = np.zeros(clip.shape[:3], bool)
    hidden[:, :4] = True
    source = memory("video", np.where(hidden[..., None], noise, clip))
    alpha = np.where(hidden, 0, 255).astype(np.uint8)
    data, encoded = packed(MemorySource(replace(source.info, alpha=True), source.values, alpha), init)
    assert encoded.psnr == np.inf and len(data) < 1500
    np.testing.assert_array_equal(samples(data, init)[~hidden], clip[~hidden])


def test_a_cut_is_a_picture_of_its_own(init):
    clip = np.concatenate([panning(5, 48, 64, seed=1), 255 - panning(3, 48, 64, seed=2)])
    group = opened(packed(memory("video", clip), init)[0], init).field._group(0)
    assert [p.at for p in group.pictures if p.alone] == [0, 5]


def test_targets(init):
    clip = memory("video", panning(9, 40, 56))
    out = io.BytesIO()
    encoded = encode_signal(clip, out, EncodeOptions(init=init, target_size=1500, effort=1), again=lambda: clip)
    assert 1000 < encoded.bytes <= 1500
    encoded = encode_signal(clip, io.BytesIO(), EncodeOptions(init=init, target_psnr=33, effort=1), again=lambda: clip)
    assert 33 <= encoded.psnr < 34


def test_more_quality_is_more_bytes_and_less_error(init):
    found = [packed(memory("video", panning(9, 48, 64)), init, quality=q) for q in (20, 50, 80)]
    assert [len(d) for d, _ in found] == sorted(len(d) for d, _ in found)
    assert [e.psnr for _, e in found] == sorted(e.psnr for _, e in found)


def test_a_truncated_file(init, panned):
    _, data = panned
    index = opened(data, init).index
    decoder = opened(data[: index[1].offset + 5], init, partial=True)
    assert decoder.field.lacking() == "1 of 3 groups are there"
    found = np.concatenate([b.values for b in decoder.blocks(DecodeOptions())])
    assert found.shape[0] == 19 and (found == 0.5).all()  # its end needs the next group


def test_other_fields_and_signals_are_refused(init):
    with pytest.raises(UnsupportedMediaError):
        packed(memory("image", panning(1, 20, 20)[0]), init)
    data, _ = packed(memory("video", panning(2, 20, 20)), init)
    with pytest.raises(UnsupportedFeatureError):
        opened(data, init).field.deltas()


def test_damaged_groups_are_refused(init, panned):
    """Whatever changes in a payload is found, or is another clip; nothing else is raised."""
    _, data = panned
    decoder = opened(data, init)
    entry = next(e for e in decoder.index if e.type == SectionType.GROUP)
    payload = decoder.reader.read(entry).payload
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(30):
        bad = bytearray(payload)
        bad[rng.integers(1, len(bad))] ^= 1 << rng.integers(8)
        fresh = opened(data, init).field
        try:
            group = type(fresh._group(0))(fresh.canvas, bytes(bad[1:]), 8, fresh.limits, goes_on=True)
            group.decode(range(8), fresh._group(1))
        except FormatError:
            refused += 1
    assert refused > 5


def test_no_vector_or_symbol_is_beyond_the_format():
    with pytest.raises(CorruptError):
        replace(small_init(), frames=0).validate()


def test_large_pictures_go_in_shorter_groups():
    init = replace(small_init(), frames=32)
    assert [init.frames_of(s) for s in ((480, 854), (1080, 1920), (2160, 3840))] == [32, 16, 8]



def test_cells_that_are_not_coded_change_nothing_elsewhere():
    """A residual on its own box is that on all cells, with zeros where nothing is coded."""
    level, rng, shape = small_init().residuals, np.random.default_rng(0), (130, 150)
    blocks = np.zeros((9, 10), bool)
    blocks[4:7, 2:6] = rng.random((3, 4)) < 0.6
    blocks[4, 2] = blocks[6, 5] = True
    few = Cells.of(blocks, shape, (8, 8))
    symbols = np.zeros((3, 64, 17, 19), np.int32)
    symbols[few.box.cells] = rng.integers(-3, 4, (3, 64, *few.box.shape)) * few.inside
    found = rendered(level, symbols[few.box.cells], few, 60, shape)
    whole = rendered(level, symbols, replace(few, box=Box(-1, (0, 0), (17, 19))), 60, shape)
    assert (whole.top, whole.left) == (0, 0)
    bottom, right = found.top + found.planes.shape[1], found.left + found.planes.shape[2]
    np.testing.assert_array_equal(whole.planes[:, found.top : bottom, found.left : right], found.planes)
    whole.planes[:, found.top : bottom, found.left : right] = 0
    assert not whole.planes.any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (17, 16)])
def test_small_pictures(init, shape):
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (10, *shape, 3)).astype(np.uint8)
    data, encoded = packed(memory("video", clip), init, quality=90)
    assert psnr_of(samples(data, init), clip, 255) == pytest.approx(encoded.psnr, abs=1e-6)


def test_floats_in_a_range(init):
    """Values of one number are that number; others keep their range."""
    info = replace(memory("video", panning(2, 16, 20)).info, sample_type="f32", value_range=(2.0, 2.0))
    data, _ = packed(MemorySource(info, np.zeros((2, 16, 20, 3), np.float32)), init)
    assert (samples(data, init) == 2.0).all()
    values_in = panning(2, 16, 20).astype(np.float32) / 255
    data, encoded = packed(MemorySource(replace(info, value_range=(-3.0, 5.0)), values_in), init, quality=90)
    assert psnr_of(samples(data, init), values_in * 8 - 3, 8) == pytest.approx(encoded.psnr, abs=1e-3)
