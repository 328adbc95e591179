"""From a file to samples on any grid."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from helpers import (
    MemorySource,
    decode_array,
    init,
    memory,
    moving,
    opened,
    pack,
    painting,
    psnr_of,
    repaired,
    sound,
    unpack,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from nfcodec import api
from nfcodec.decoder import Decoder, decoder, output_grid
from nfcodec.errors import CorruptError, LimitError, ModelNotFoundError, OptionError
from nfcodec.limits import Limits
from nfcodec.modules import stored
from nfcodec.modules.fit import encode as encoder
from nfcodec.options import DecodeOptions
from nfcodec.signal import SignalInfo

PICTURE = SignalInfo("image", (40, 56), 3, "u8")
CLIP = SignalInfo("video", (8, 16, 24), 3, "u8", rate=Fraction(10))
SOUND = SignalInfo("audio", (2000,), 2, "i16", rate=Fraction(8000))
ARRAY = SignalInfo("array", (20, 30), 1, "f32", value_range=(0.0, 1.0))


@pytest.fixture(scope="module")
def picture():
    return pack(memory("image", painting(40, 56)), "image", effort=3)[0]


@pytest.fixture(scope="module")
def clip():
    return pack(memory("video", moving(8, 16, 24)), "video", effort=3)[0]


@pytest.fixture(scope="module")
def recording():
    return pack(memory("audio", sound(2000, 2)), "audio", effort=3)[0]


def eight_bit(values):
    return np.rint(np.clip(values, 0, 1) * 255).astype(int)


def nearly_equal(a, b):
    """Equal samples but for ±1 in fewer than one of 10,000."""
    gap = np.abs(a - b)
    return gap.max() <= 1 and (gap > 0).mean() < 1e-4


# -- shapes ----------------------------------------------------------------------------------------------
def announced(data, kind, **options):
    """The announced shape, after checking that just that is delivered."""
    with_options = DecodeOptions(**options)
    file = opened(data, kind)
    info = file.output_info(with_options)
    blocks = list(file.blocks(with_options))
    shape = (sum(len(b.values) for b in blocks), *blocks[0].values.shape[1:])
    assert shape == (*info.shape, info.channels)
    return info.shape


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 24), st.integers(1, 24), st.sampled_from([2.0, 0.37, 1.0, 0.5, 3.3, 1e-9]))
def test_scaled_pictures_have_the_announced_shape(height, width, scale):
    data, _ = pack(memory("image", painting(height, width)), "image", effort=1)
    expected = tuple(max(1, round(n * scale)) for n in (height, width))
    assert announced(data, "image", scale=scale) == expected


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_grids_of_all_options(data):
    """Announced shapes from the header alone, for every modality and combination."""
    info = data.draw(st.sampled_from([PICTURE, CLIP, SOUND, ARRAY]))
    spatial, options = info.modality in ("image", "video"), {}
    span = [float(n) for n in info.shape]
    if spatial and data.draw(st.booleans()):
        h, w = info.shape[-2:]
        x, y = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
        options["crop"] = (x, y, data.draw(st.integers(1, w - x)), data.draw(st.integers(1, h - y)))
        span[-2:] = float(options["crop"][3]), float(options["crop"][2])
    if info.rate and data.draw(st.booleans()):
        options["time"] = data.draw(st.sampled_from([(0, None), (0.1, None), (0.05, 0.2), (0.2, 99)]))
        start, stop = (round(t * float(info.rate)) if t is not None else info.shape[0] for t in options["time"])
        span[0] = float(max(1, min(stop, info.shape[0]) - start))
    expected = list(span)
    name = data.draw(st.sampled_from(["none", "scale", "size", "rate", "fps"]))
    if name == "scale" and info.modality != "audio":
        options["scale"] = scale = data.draw(st.floats(0.01, 20))
        first = len(span) - 2 if spatial else 0
        expected[first:] = [n * scale for n in span[first:]]
    elif name == "size" and spatial:
        options["size"] = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300))
        expected[-2:] = options["size"][::-1]
    elif name in ("rate", "fps") and info.modality == {"rate": "audio", "fps": "video"}[name]:
        options[name] = data.draw(st.floats(0.5, 50_000))
        expected[0] = span[0] * options[name] / float(info.rate)
    grid = output_grid(info, DecodeOptions(**options))
    assert [g.n for g in grid] == [pytest.approx(max(1, n), abs=0.51) for n in expected]


def test_one_side_follows_from_the_other(picture):
    assert announced(picture, "image", size=(112, 0)) == (80, 112)
    assert announced(picture, "image", size=(0, 10)) == (10, 14)
    assert announced(picture, "image", size=(7, 90)) == (90, 7)
    assert announced(picture, "image", size=(0, 10), crop=(0, 0, 20, 40)) == (10, 5)


def test_time_and_rates(clip, recording):
    assert announced(recording, "audio", rate=16_000) == (4000,)
    assert announced(recording, "audio", rate=3000.0, time=(0.125, None)) == (375,)
    assert announced(recording, "audio", time=(0.01, 0.02)) == (80,)
    assert announced(clip, "video", fps=25) == (20, 16, 24)
    assert announced(clip, "video", fps=1, scale=0.5) == (1, 8, 12)
    assert announced(clip, "video", time=(0.1, 0.3), size=(5, 5)) == (2, 5, 5)
    assert opened(clip, "video").output_info(DecodeOptions(fps=29.97)).rate == Fraction(2997, 100)
    assert opened(clip, "video").output_info(DecodeOptions(fps=1e-9)).rate > 0


# -- parts -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("crop", [(0, 0, 56, 40), (8, 8, 16, 16), (3, 5, 11, 7), (55, 39, 1, 1), (0, 13, 56, 1)])
def test_crop_is_the_crop_of_the_whole(picture, crop):
    x, y, w, h = crop
    whole = unpack(picture, "image")[y : y + h, x : x + w]
    assert nearly_equal(eight_bit(unpack(picture, "image", crop=crop)), eight_bit(whole))


def test_crop_of_a_clip_and_time_ranges(clip, recording):
    whole = unpack(clip, "video")
    part = unpack(clip, "video", crop=(5, 3, 9, 10), time=(0.3, 0.7))
    assert nearly_equal(eight_bit(part), eight_bit(whole[3:7, 3:13, 5:14]))
    heard = unpack(recording, "audio", time=(0.0625, 0.1))
    np.testing.assert_allclose(heard, unpack(recording, "audio")[500:800], atol=2e-6)


# -- reduction -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scale", [0.5, 0.37, 0.25, 0.1])
def test_a_fine_pattern_does_not_alias(scale):
    board = (np.indices((48, 48)).sum(0) % 2 * 160 + 48).astype(np.uint8)[..., None].repeat(3, -1)
    data, _ = pack(memory("image", board), "image", quality=100, effort=7)
    full = unpack(data, "image")
    assert full.std() > 0.15  # the pattern is really there
    small = unpack(data, "image", scale=scale)
    inner = (slice(1, -1), slice(1, -1))  # on the border the filter repeats the edge
    assert np.abs(small - full.mean())[inner].max() < 0.08 and np.abs(small - full.mean()).max() < 0.12
    assert small.std() < 0.15 * full.std()


@pytest.mark.parametrize("k", [2, 4, 5])
def test_a_smooth_picture_is_averaged(k):
    y, x = np.mgrid[:40, :40] / 40.0
    smooth = np.stack([x, y, (x + y) / 2], -1) * 160 + 40
    data, _ = pack(memory("image", smooth.astype(np.uint8)), "image", quality=100, effort=5)
    full, small = unpack(data, "image"), unpack(data, "image", scale=1 / k)
    means = full.reshape(40 // k, k, 40 // k, k, 3).mean((1, 3))
    inner = (slice(1, -1), slice(1, -1))  # on the border the filter repeats the edge
    assert np.abs(small - means)[inner].max() < 0.02
    assert psnr_of(small, means, 1.0) > 36


def test_slower_sound_loses_only_what_it_cannot_hold():
    t = np.arange(4000) / 8000
    wave = (0.5 * np.sin(2 * np.pi * 150 * t))[:, None].astype(np.float32)
    data, _ = pack(memory("audio", wave), "audio", quality=100)
    native, low = unpack(data, "audio")[:, 0], unpack(data, "audio", rate=2000)[:, 0]
    expected = 0.5 * np.sin(2 * np.pi * 150 * ((np.arange(1000) + 0.5) * 4 - 0.5) / 8000)
    assert psnr_of(low, expected, 2.0) > psnr_of(native, wave[:, 0], 2.0) > 35


# -- consistency of resolutions --------------------------------------------------------------------------
@pytest.mark.parametrize("k", [3, 5])
def test_resolutions_agree_where_samples_coincide(picture, clip, k):
    for data, kind in ((picture, "image"), (clip, "video")):
        native, fine = unpack(data, kind), unpack(data, kind, scale=k)
        np.testing.assert_allclose(fine[..., k // 2 :: k, k // 2 :: k, :], native, atol=2e-5)


def test_faster_sound_and_video_pass_through_the_same_samples(recording, clip):
    np.testing.assert_allclose(unpack(recording, "audio", rate=24_000)[1::3], unpack(recording, "audio"), atol=2e-5)
    np.testing.assert_allclose(unpack(clip, "video", fps=30)[1::3], unpack(clip, "video"), atol=2e-5)


def test_pieces_change_nothing(picture, recording, monkeypatch):
    """Large outputs are rendered in pieces; the seams are not seen."""
    cases = (
        (picture, "image", {"scale": 3.3}), (recording, "audio", {"rate": 21_000}),
        (picture, "image", {"size": (30, 300)}), (recording, "audio", {"rate": 2900}),
    )  # fmt: skip
    for data, kind, options in cases:
        whole = unpack(data, kind, **options)
        with monkeypatch.context() as patch:
            patch.setattr(decoder, "PIECE_SAMPLES", 1)
            patch.setattr(Decoder, "chunk_length", property(lambda d: d.header.chunk_rows * d.init.spec.tile[0]))
            np.testing.assert_allclose(unpack(data, kind, **options), whole, atol=2e-5)


@pytest.mark.parametrize("kind", ["image", "audio", "video"])
def test_chunks_change_nothing(kind, monkeypatch):
    def source():
        signals = {"image": painting(45, 30), "audio": sound(900, 2), "video": moving(11, 16, 16)}
        return memory(kind, signals[kind])

    one, _ = pack(source(), kind)
    monkeypatch.setattr(encoder, "CHUNK_MODULES", 5)
    many, said = pack(source(), kind)
    file = opened(many, kind)
    assert file.chunks > 2 and opened(one, kind).chunks == 1
    np.testing.assert_allclose(unpack(many, kind), unpack(one, kind), atol=2e-5)
    assert file.digest()[0] == said.digest
    options = {"rate": 3000, "time": (0.03, 0.09)} if kind == "audio" else {"scale": 0.6, "crop": (1, 2, 7, 5)}
    np.testing.assert_allclose(unpack(many, kind, **options), unpack(one, kind, **options), atol=2e-5)


# -- transparency ----------------------------------------------------------------------------------------
def test_alpha_is_exact_and_scales():
    rng = np.random.default_rng(0)
    source = memory("image", painting(20, 30))
    info = replace(source.info, alpha=True)
    alpha = rng.integers(0, 256, (20, 30)).astype(np.uint8)
    data, _ = pack(MemorySource(info, source.values, alpha), "image")
    (block,) = opened(data, "image").blocks(DecodeOptions())
    np.testing.assert_array_equal(block.alpha, alpha)
    (block,) = opened(data, "image").blocks(DecodeOptions(crop=(4, 5, 6, 7)))
    np.testing.assert_array_equal(block.alpha, alpha[5:12, 4:10])
    for scale in (0.37, 2.0):
        blocks = list(opened(data, "image").blocks(DecodeOptions(scale=scale)))
        found = np.concatenate([b.alpha for b in blocks])
        assert found.dtype == np.uint8 and found.shape == (round(20 * scale), round(30 * scale))
        assert abs(found.mean() - alpha.mean()) < 8
    half = np.repeat([[0, 255]], 20, 0).repeat(15, 1).astype(np.uint8)
    data, _ = pack(MemorySource(info, source.values, half), "image")
    found = np.concatenate([b.alpha for b in opened(data, "image").blocks(DecodeOptions(scale=3))])
    assert (found[:, :40] == 0).all() and (found[:, 50:] == 255).all()


# -- refusals --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("info", "options", "word"),
    [
        (SOUND, {"scale": 2}, "scale"), (SOUND, {"size": (3, 3)}, "size"), (SOUND, {"crop": (0, 0, 1, 1)}, "crop"),
        (SOUND, {"fps": 5}, "fps"), (PICTURE, {"rate": 5}, "rate"), (PICTURE, {"fps": 5}, "fps"),
        (PICTURE, {"time": (0, 1)}, "time"), (CLIP, {"rate": 5}, "rate"),
        (replace(ARRAY, shape=(20,)), {"crop": (0, 0, 1, 1)}, "crop"),
        (ARRAY, {"size": (3, 3)}, "size"), (ARRAY, {"time": (0, 1)}, "time"), (ARRAY, {"rate": 3}, "rate"),
        (PICTURE, {"crop": (50, 0, 7, 1)}, "crop 50,0,7,1"), (CLIP, {"crop": (0, 16, 1, 1)}, "crop"),
        (SOUND, {"time": (0.25, None)}, "time"), (CLIP, {"time": (9, 10)}, "time"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(info, options, word):
    with pytest.raises(OptionError, match=word):
        output_grid(info, DecodeOptions(**options))


@pytest.mark.parametrize("options", [{"scale": 1e5}, {"scale": 1e308}, {"size": (10**6, 1)}, {"size": (1, 10**400)}])
def test_outputs_over_a_limit_are_refused_before_rendering(picture, tmp_path, options, monkeypatch):
    monkeypatch.setattr(stored, "render_chunk", None)
    (tmp_path / "a.nfc").write_bytes(picture)
    wanted = DecodeOptions(**options)
    with pytest.raises(LimitError, match="max_"):
        api.decode(tmp_path / "a.nfc", options=wanted, init=init("image"))
    with pytest.raises(LimitError, match="max_"):
        decode_array(tmp_path / "a.nfc", "image", **options)
    with api.open(tmp_path / "a.nfc", init=init("image")) as field, pytest.raises(LimitError, match="max_"):
        field.render(**options)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nfc"]


def test_limits_of_sound_and_clips(recording, clip):
    with pytest.raises(LimitError, match="max_samples"):
        unpack(recording, "audio", rate=1e300)
    with pytest.raises(LimitError, match="max_frames"):
        unpack(clip, "video", fps=1e8)
    with pytest.raises(LimitError, match="max_pixels"):
        opened(clip, "video", limits=Limits(max_pixels=24 * 16 - 1))
    with pytest.raises(LimitError, match="max_symbols"):
        opened(clip, "video", limits=Limits(max_symbols=1000)).digest()


def test_another_init_is_refused(picture):
    with pytest.raises(ModelNotFoundError, match="3ed16999|needs the init"):
        opened(picture, "masked")
    with pytest.raises(ModelNotFoundError, match="--init|needs the init"):
        opened(picture, "video")


def altered(data, **changes):
    """The same sections under another header."""
    import io

    from nfcodec.container.reader import Reader
    from nfcodec.container.writer import Writer

    reader, out = Reader(io.BytesIO(data)), io.BytesIO()
    with Writer() as writer:
        for section in reader.sections():
            writer.add(section.type, section.payload)
        writer.finish(replace(reader.header, **changes), out)
    return out.getvalue()


def test_chunks_that_are_missing_or_too_many(picture, recording):
    assert repaired(picture) == picture
    for changes in ({"chunk_rows": 1}, {"alpha": True}, {"shape": (400, 56), "chunk_rows": 5}):
        with pytest.raises(CorruptError, match=r"DELTA sections|ALPHA sections|chunks"):
            opened(altered(picture, **changes), "image")
    many = altered(recording, shape=(2**31,), chunk_rows=1)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptError, match="33554432 chunks"):
            opened(many, "audio")
        assert tracemalloc.get_traced_memory()[1] < 2**24, "less than a byte for each: nothing of that size was built"
    finally:
        tracemalloc.stop()


def test_any_number_of_chunk_rows_is_taken(picture, recording, tmp_path):
    for rows in (6, 2**20, 2**63, 2**64 - 1):
        np.testing.assert_array_equal(unpack(altered(picture, chunk_rows=rows), "image"), unpack(picture, "image"))
        (tmp_path / "a.nfc").write_bytes(altered(picture, chunk_rows=rows))
        with api.open(tmp_path / "a.nfc", init=init("image")) as field:
            assert np.isfinite(field.sample([[0.1, 0.2], [0.3, -0.9]])).all()
    lots = altered(recording, chunk_rows=2**64 - 1)
    assert opened(lots, "audio").chunk_length == 2048
    np.testing.assert_array_equal(unpack(lots, "audio", rate=3000), unpack(recording, "audio", rate=3000))
