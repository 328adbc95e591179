"""The whole pipeline on every geometry: one axis, two, and two levels; one plane, two and three."""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction

import numpy as np
import pytest
from helpers import psnr_of, samples_of, save_sound

from nfcodec import api, zoo
from nfcodec.container.layout import SectionType
from nfcodec.decoder import Decoder
from nfcodec.encoder import encode_signal
from nfcodec.errors import CorruptError, UnsupportedMediaError
from nfcodec.lattice.space import section_run, unpack_run
from nfcodec.media.samples import dequantize, quantize
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.signal import MemorySource, SignalInfo

from .tiny_lattices import GEOMETRIES, path_of, signal_of

NAMES = sorted(GEOMETRIES)
SOUNDS, PICTURES = ["mono", "stereo"], ["coarse-fine", "colour", "grey"]


def source_of(name, samples=None):
    samples = signal_of(name) if samples is None else samples
    if name in SOUNDS:
        info = SignalInfo("audio", samples.shape[:1], samples.shape[1], "i16", rate=Fraction(8000))
        return MemorySource(info, dequantize(quantize(samples, info), "i16", None, signed=True))
    info = SignalInfo("image", samples.shape[:2], samples.shape[2], "u8")
    return MemorySource(info, dequantize(samples, "u8", None))


def pack(name, samples=None, **options):
    out = io.BytesIO()
    options = EncodeOptions(**{"init": path_of(name), "effort": 1, "quality": 70, **options})
    encoded = encode_signal(source_of(name, samples), out, options, again=lambda: source_of(name, samples))
    encoded.verify(io.BytesIO(out.getvalue()), options)
    return out.getvalue(), encoded


def opened(data, name, **options):
    return Decoder(io.BytesIO(data), inits=(path_of(name),), **options)


def values_of(decoder, **options):
    return np.concatenate([b.values for b in decoder.blocks(DecodeOptions(**options))])


@pytest.fixture(scope="module", params=NAMES)
def coded(request):
    return request.param, *pack(request.param)


# -- whole files -----------------------------------------------------------------------------------------
def test_what_is_decoded_is_what_was_measured(coded):
    name, data, encoded = coded
    decoder = opened(data, name)
    source = source_of(name)
    found, wanted = values_of(decoder), source.values
    assert found.shape == wanted.shape
    ours = quantize(found, source.info).astype(np.float64), quantize(wanted, source.info).astype(np.float64)
    assert psnr_of(*ours, source.info.peak) == pytest.approx(encoded.psnr, abs=0.05)
    assert encoded.psnr > (30 if name in SOUNDS else 26)
    assert decoder.digest()[0] == encoded.digest
    assert len({section_run(e.first, len(decoder.init.levels))[1] for e in decoder.index}) == len(decoder.init.levels)


@pytest.mark.parametrize("name", NAMES)
def test_higher_qualities_and_efforts_are_better(name):
    low, high = (pack(name, quality=q)[1] for q in (30, 85))
    assert low.bytes < high.bytes and low.psnr < high.psnr - 1
    rounds = pack(name, quality=85, effort=3)[1]
    worth = 6.02 * 8 * (high.bytes - rounds.bytes) / source_of(name).info.samples / (2 if name == "stereo" else 1)
    assert rounds.psnr + worth > high.psnr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2, 7, 33])
def test_small_signals(name, size):
    samples = signal_of(name)[:size] if name in SOUNDS else signal_of(name)[:size, : size + 1]
    data, encoded = pack(name, samples)
    assert values_of(opened(data, name)).shape == samples.shape and np.isfinite(encoded.psnr)


@pytest.mark.parametrize(("name", "channels"), [("stereo", 1), ("colour", 1), ("coarse-fine", 1)])
def test_one_channel_needs_the_first_plane_alone(name, channels):
    samples = signal_of(name)[..., :channels]
    data, encoded = pack(name, samples)
    decoder = opened(data, name)
    assert not any(decoder.field._decoded(0, level)[1:].any() for level in range(len(decoder.init.levels)))
    assert values_of(decoder).shape == samples.shape and encoded.psnr > 26


@pytest.mark.parametrize(("name", "channels"), [("mono", 2), ("stereo", 3), ("grey", 3), ("colour", 2)])
def test_signals_of_other_channels_are_refused(name, channels):
    shape = (64, channels) if name in SOUNDS else (16, 16, channels)
    kind = np.float32 if name in SOUNDS else np.uint8
    with pytest.raises(UnsupportedMediaError, match="channels"):
        pack(name, np.zeros(shape, kind))


def test_signals_of_other_axes_are_refused():
    with pytest.raises(UnsupportedMediaError, match="axes"):
        encode_signal(source_of("colour"), io.BytesIO(), EncodeOptions(init=path_of("stereo")))


# -- parts -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", PICTURES)
def test_a_crop_is_the_crop_of_the_whole(name):
    data, _ = pack(name)
    whole = values_of(opened(data, name))
    found = values_of(opened(data, name), crop=(9, 5, 30, 31))
    np.testing.assert_allclose(found, whole[5:36, 9:39], atol=3e-5)


@pytest.mark.parametrize("name", SOUNDS)
def test_a_stretch_of_time_is_that_of_the_whole(name):
    data, _ = pack(name)
    whole = values_of(opened(data, name))
    found = values_of(opened(data, name), time=(0.0125, 0.05))
    np.testing.assert_allclose(found, whole[100:400], atol=3e-5)


@pytest.mark.parametrize("name", PICTURES)
def test_scales_agree_where_samples_coincide(name):
    data, _ = pack(name)
    whole = values_of(opened(data, name))
    finer = values_of(opened(data, name), scale=3)
    np.testing.assert_allclose(finer[1::3, 1::3], whole, atol=3e-4)
    assert values_of(opened(data, name), scale=0.5).shape[:2] == tuple(round(n / 2) for n in whole.shape[:2])


@pytest.mark.parametrize("name", SOUNDS)
def test_other_rates(name):
    data, _ = pack(name)
    whole = values_of(opened(data, name))
    finer = values_of(opened(data, name), rate=24_000)
    np.testing.assert_allclose(finer[1::3], whole, atol=3e-4)
    assert len(values_of(opened(data, name), rate=4_000)) == len(whole) // 2


def test_points_are_those_of_the_grid(coded):
    name, data, _ = coded
    decoder = opened(data, name)
    whole = values_of(decoder)
    rng = np.random.default_rng(0)
    index = np.stack([rng.integers(0, n, 40) for n in whole.shape[:-1]], 1)
    np.testing.assert_allclose(decoder.field.sample(0, index + 0.5), whole[tuple(index.T)], atol=3e-5)


def test_cut_files_show_what_is_there(coded):
    """Coarse levels and layers come first in a picture; in sound, regions come one after the other."""
    name, data, _ = coded
    decoder = opened(data, name)
    whole, sections = values_of(decoder), [e for e in decoder.index if e.type == SectionType.CELLS]
    half = sections[len(sections) // 2]
    cut = opened(data[: half.offset], name, partial=True)
    shown = values_of(cut)
    assert shown.shape == whole.shape and "layers are there" in cut.field.lacking() and not decoder.field.lacking()
    error = [float(np.square(values - source_of(name).values).mean()) for values in (whole, shown)]
    assert error[1] > error[0]
    if name in SOUNDS:
        covered = section_run(half.first, len(decoder.init.levels))[0] * decoder.chunk_length - 32
        np.testing.assert_allclose(shown[:covered], whole[:covered], atol=3e-5)


# -- levels ----------------------------------------------------------------------------------------------
def test_every_level_has_its_share():
    data, _ = pack("coarse-fine", quality=40)
    decoder = opened(data, "coarse-fine")
    assert all(decoder.field._decoded(0, level).any() for level in (0, 1))
    order = [section_run(e.first, 2)[:2] for e in decoder.index]
    assert order == [(region, level) for level in (0, 1) for region in range(4)]
    runs = [unpack_run(decoder.reader.read(e).payload, 2) for e in decoder.index]
    assert [(run.region, run.level) for run in runs] == order


def test_the_coarse_level_alone_is_a_blurred_picture():
    data, _ = pack("coarse-fine", quality=95)
    decoder = opened(data, "coarse-fine")
    first_fine = next(e for e in decoder.index if section_run(e.first, 2)[1] == 1)
    coarse = values_of(opened(data[: first_fine.offset], "coarse-fine", partial=True))
    original = source_of("coarse-fine").values
    alone, both = (psnr_of(v * 255, original * 255, 255) for v in (coarse, values_of(decoder)))
    assert 20 < alone < both - 2


def test_sections_of_levels_that_do_not_exist():
    data, _ = pack("colour")
    reader = opened(data, "colour")
    doubled = dataclasses.replace(reader.init, levels=reader.init.levels * 2)
    with pytest.raises(CorruptError, match="regions"):
        type(reader.field)(
            doubled, reader.reader, reader.index, reader.info, reader.limits, reader.field._coder, partial=False
        )


# -- streams ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize("length", [127, 128, 129, 256, 300, 1000])
def test_streams_are_cut_into_chunks_of_one_region(name, length):
    data, encoded = pack(name, np.resize(signal_of(name), (length, len(GEOMETRIES[name][0][0].planes))), effort=2)
    decoder = opened(data, name)
    cells = -(-length // 16)
    assert decoder.header.chunk_rows == min(8, cells) and decoder.chunks == -(-cells // 8)
    assert [section_run(e.first)[0] for e in decoder.index] == list(range(decoder.chunks))
    assert len(values_of(decoder)) == length and np.isfinite(encoded.psnr)


def test_regions_of_a_stream_are_fitted_as_in_one_piece():
    """Cutting a recording into regions changes little: neighbours are taken into account."""
    samples = signal_of("stereo")
    init = zoo.load(path_of("stereo"))
    found = pack("stereo")[1].psnr
    assert init.levels[0].spec.region == (8,)
    assert abs(found - pack("stereo", samples[: 8 * 16])[1].psnr) < 8


def test_a_stream_never_holds_more_than_some_chunks():
    """A source that is longer than what has been written by more than a few chunks would be read ahead of need."""
    name, handed = "mono", []

    class Watched(MemorySource):
        def blocks(self, rows):
            for block in super().blocks(rows):
                handed.append(len(block.values))
                yield block

    samples = np.resize(signal_of(name), (128 * 40, 1))
    source = source_of(name, samples)
    watched = Watched(source.info, source.values)
    ahead = []
    options = EncodeOptions(init=path_of(name), effort=1)
    encode_signal(watched, io.BytesIO(), options, progress=lambda event: ahead.append(sum(handed) - event.done))
    assert max(ahead) <= 3 * 128 and len(ahead) == 40


def test_sound_meets_a_target():
    data, encoded = pack("mono", bpp=3.0)
    assert len(data) <= 3.0 * len(signal_of("mono")) / 8
    assert len(data) > 0.8 * 3.0 * len(signal_of("mono")) / 8 or encoded.quality == 100


# -- files -----------------------------------------------------------------------------------------------
def test_sound_through_the_api(tmp_path):
    source = save_sound(tmp_path / "a.wav", signal_of("stereo"))
    options = EncodeOptions(init=path_of("stereo"), effort=1, quality=80)
    result = api.encode(source, tmp_path / "a.nfc", options=options)
    api.decode(tmp_path / "a.nfc", tmp_path / "b.wav", init=path_of("stereo"))
    assert result.psnr > 30 and samples_of(tmp_path / "b.wav").shape == signal_of("stereo").shape
    info = api.info(tmp_path / "a.nfc")
    assert info.field == "lattice" and info.modality == "audio"
    assert api.verify(tmp_path / "a.nfc", init=path_of("stereo")).symbols > 0
