"""From a signal to bytes: tests 39 to 44, 47 and 48 of the plan (numbers in the names of the sections)."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import (
    MemorySource,
    decode,
    encode,
    error_of,
    init,
    memory,
    moving,
    opened,
    pack,
    painting,
    psnr_of,
    samples_of,
    save_frames,
    save_picture,
    save_sound,
    sound,
    unpack,
)

from nfcodec import zoo
from nfcodec.container.reader import Reader
from nfcodec.coords import module_coords, modules_per_axis
from nfcodec.encoder import choose_init, encode_signal
from nfcodec.entropy.quantizer import dequantize, quantize
from nfcodec.errors import ModelNotFoundError, UnsupportedMediaError
from nfcodec.modules.deltas import choose_model, delta_bits
from nfcodec.modules.fit.adapt import Adapter
from nfcodec.modules.fit.encode import chunk_rows
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.partition import cut
from nfcodec.modules.stored import dequantized, render_chunk
from nfcodec.modules.trade import trade_off
from nfcodec.modules.train.rate_loss import sensitivity
from nfcodec.options import EncodeOptions
from nfcodec.signal import SignalInfo

SIGNALS = {
    "image": lambda seed: memory("image", painting(45, 61, seed)),
    "audio": lambda seed: memory("audio", sound(1500, 2, seed)),
    "video": lambda seed: memory("video", moving(6, 20, 27, seed)),
}
OVERHEAD = 36  # bytes of header and framing that a plain file may cost


def all_symbols(data: bytes, kind: str) -> np.ndarray:
    decoder = opened(data, kind)
    rows = np.concatenate([decoder.symbols(c) for c in range(decoder.chunks)])
    return rows.reshape(-1, len(decoder.field.kept))


# -- 39: what the encoder says is what the decoder writes ------------------------------------------------
@pytest.mark.parametrize("quality", [0, 60, 100])
@pytest.mark.parametrize("kind", SIGNALS)
def test_39_reported_psnr_is_that_of_the_written_file(tmp_path, kind, quality):
    if kind == "image":
        source, name, peak = save_picture(tmp_path / "a.png", painting(45, 61)), "b.png", 255
    elif kind == "audio":
        source, name, peak = save_sound(tmp_path / "a.wav", sound(1500, 2)), "b.wav", 65535
    else:
        source, name, peak = save_frames(tmp_path / "a.mkv", moving(6, 20, 27)), "b.mkv", 255
    result = encode(source, kind, tmp_path / "a.nfc", quality=quality)
    decode(tmp_path / "a.nfc", kind, tmp_path / name)
    assert result.psnr == error_of(samples_of(source), samples_of(tmp_path / name)).psnr(peak)
    assert result.bytes == (tmp_path / "a.nfc").stat().st_size
    assert (result.snr is not None) == (kind == "audio")


@pytest.mark.parametrize("kind", SIGNALS)
def test_39_same_symbols_and_same_digest(kind):
    data, encoded = pack(SIGNALS[kind](3), kind)
    assert opened(data, kind).digest()[0] == encoded.digest


@pytest.mark.parametrize("kind", SIGNALS)
def test_encoding_twice_gives_the_same_bytes(kind):
    assert pack(SIGNALS[kind](1), kind)[0] == pack(SIGNALS[kind](1), kind)[0]


# -- 40: no change at all --------------------------------------------------------------------------------
def mean_signal(kind: str) -> MemorySource:
    """The field of θ0 itself, as a signal of floats that whole modules cover."""
    field = zoo.load(init(kind))
    info = replace(SIGNALS[kind](0).info, sample_type="f32", shape=tuple(3 * n for n in field.spec.tile))
    kept = field.kept(field.spec.channels)
    modules = int(np.prod(modules_per_axis(info.shape, field.spec.tile))) * (2 if kind == "audio" else 1)
    zero = np.zeros((modules, len(kept)), np.int32)
    native = [np.arange(n) + 0.5 for n in info.shape]
    return MemorySource(info, render_chunk(field, 50, kept, zero, info, info.shape, native))


@pytest.mark.parametrize("quality", [0, 50, 100])
@pytest.mark.parametrize("kind", SIGNALS)
def test_the_mean_signal_costs_nothing(kind, quality):
    source = mean_signal(kind)
    data, encoded = pack(source, kind, quality=quality)
    assert not all_symbols(data, kind).any()
    np.testing.assert_array_equal(unpack(data, kind), source.values)
    # Where the mean is silent, what is silent is said: a section of its own, with its framing.
    silence = 12 if kind == "audio" and (source.values == 0).any() else 0
    assert len(data) < OVERHEAD + silence and encoded.bytes == len(data)


@pytest.mark.parametrize("size", [(1, 1), (256, 384)])
def test_overhead_of_a_picture(size, monkeypatch):
    """Forced zeros: the file decodes to f(·; θ0) at any size and holds a header and an empty section."""

    def nothing(adapter, targets, progress=None):
        return np.zeros((len(targets), len(adapter.coding.kept)), np.int32)

    monkeypatch.setattr(Adapter, "deltas", nothing)
    data, _ = pack(memory("image", painting(*size)), "image")
    assert len(data) < OVERHEAD
    tile = unpack(data, "image")[:8, :8]
    field, info = zoo.load(init("image")), SignalInfo("image", (8, 8), 3, "u8")
    kept = field.kept(3)
    expected = render_chunk(field, 0, kept, np.zeros((1, len(kept)), np.int32), info, (8, 8), [np.arange(8) + 0.5] * 2)
    np.testing.assert_allclose(tile, expected[: size[0], : size[1]], atol=1e-6)


# -- 41: the size is what the model says -----------------------------------------------------------------
@pytest.mark.parametrize("kind", SIGNALS)
def test_41_length_is_the_code_length(kind):
    data, _ = pack(SIGNALS[kind](2), kind, quality=90)
    decoder = opened(data, kind)
    field, q = decoder.init, decoder.field.deltas().symbols
    assert decoder.chunks == 1
    scale, tensor_of = field.scales_at(90)[decoder.field.kept], field.tensor_of[decoder.field.kept]
    width = modules_per_axis(decoder.info.shape, field.spec.tile)[-1]
    model = choose_model(q, scale, tensor_of, width=width)
    bits = delta_bits(q, scale, tensor_of, model, width=width)
    assert abs(len(data) * 8 - bits) <= 0.01 * bits + OVERHEAD * 8
    assert bits > 1500


# -- 42: zero is on every grid ---------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["image", "masked", "audio", "video"])
def test_42_zero_is_representable(kind):
    field = zoo.load(init(kind))
    for quality in (0, 33, 100):
        exponents = field.steps_at(quality)
        nothing = np.zeros((1, len(exponents)), np.float32)
        assert not quantize(nothing, exponents).any()
        assert not dequantize(quantize(nothing, exponents), exponents).any()


# -- 43: what is masked never moves ----------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["masked", "image"])
def test_43_masked_weights_stay_exactly(kind):
    data, _ = pack(memory("image", painting(32, 40)), kind, quality=100)
    decoder = opened(data, kind)
    field, q = decoder.init, decoder.field.deltas().symbols
    params = field.params(dequantized(field, 100, decoder.field.kept, q), decoder.field.kept)
    pruned, changed = 0, 0
    for name, mask in field.mask.items():
        off = mask == 0
        pruned += int(off.sum())
        moved = params[name] - field.theta0[name]
        assert not moved[:, off].any()
        changed += np.count_nonzero(moved[:, ~off])
        if kind == "masked":  # Meta-SparseINR: θ0 itself is zero there, so are the decoded weights
            assert not params[name][:, off].any()
    assert pruned > 50 and changed > 300


def test_grey_touches_only_the_first_output():
    data, _ = pack(memory("image", painting(32, 40, channels=1)), "image", quality=100)
    decoder = opened(data, "image")
    full = decoder.init.kept(3)
    assert len(decoder.field.kept) == len(full) - 2 * (16 + 1)
    assert set(decoder.field.kept) < set(full)


# -- 44: more is more ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "seeds"), [("image", 4), ("audio", 2), ("video", 2)])
@pytest.mark.parametrize("effort", [1, 5])
def test_44_rate_and_psnr_rise_with_quality(kind, seeds, effort):
    points = []
    for quality in (0, 25, 50, 75, 100):
        files = [pack(SIGNALS[kind](s), kind, quality=quality, effort=effort)[1] for s in range(seeds)]
        points.append((np.mean([f.bytes for f in files]), np.mean([f.psnr for f in files])))
    sizes, decibels = np.array(points).T
    assert (np.diff(sizes) > 0).all(), sizes
    assert (np.diff(decibels) > 0).all(), decibels
    assert decibels[-1] - decibels[0] > 4


def cost(kind: str, seed: int, quality: int, effort: int) -> np.ndarray:
    """D + λR per module, as the encoder itself counts it."""
    source, field = SIGNALS[kind](seed), zoo.load(init(kind))
    adapter = Adapter(field, quality, effort, field.spec.channels)
    targets = torch.from_numpy(cut(field.spec, source.values))
    q, coding = adapter.deltas(targets), adapter.coding
    from nfcodec.modules.fit.rounds import class_of

    params = field.params(dequantized(field, quality, coding.kept, q), coding.kept)
    out = field_kind(field.spec.kind).forward(field.spec, params, module_coords(field.spec.tile)[None])
    error = np.square(out - targets.numpy()).sum((1, 2))
    return error + trade_off(field.coarsest, quality) * class_of(q, coding)[1]


@pytest.mark.parametrize("quality", [10, 80])
@pytest.mark.parametrize("kind", SIGNALS)
def test_effort_never_costs_more(kind, quality):
    """The trajectory of a low effort is the beginning of that of a high one, module by module."""
    last = None
    for effort in (1, 3, 5, 7):
        now = cost(kind, 5, quality, effort)
        if last is not None:
            assert (now <= last * (1 + 1e-4) + 1e-6).all()
        last = now


@pytest.mark.parametrize("kind", SIGNALS)
def test_effort_never_makes_a_worse_file(kind):
    """The same promise on whole files: squared error + λ · bits of the file."""
    source, field = SIGNALS[kind](6), zoo.load(init(kind))
    last = np.inf
    for effort in (1, 3, 5, 7):
        data, _ = pack(SIGNALS[kind](6), kind, quality=60, effort=effort)
        error = float(np.square(unpack(data, kind) - source.values).sum())
        now = error + trade_off(field.coarsest, 60) * len(data) * 8
        assert now <= last * 1.002  # the coder's own choices are not part of the search
        last = now


# -- 47: finer steps -------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", SIGNALS)
def test_47_six_decibels_per_bit(kind):
    source, field = SIGNALS[kind](4), zoo.load(init(kind))
    adapter = Adapter(field, 50, 3, field.spec.channels)
    coding, targets = adapter.coding, torch.from_numpy(cut(field.spec, source.values))
    coords = torch.from_numpy(module_coords(field.spec.tile)).unsqueeze(0)
    delta = adapter.float_deltas(coding, coords, targets)
    forward = field_kind(field.spec.kind).forward
    with torch.no_grad():
        exact = forward(field.spec, field.params(delta, coding.kept), coords)
        best = psnr_of(exact.numpy(), targets.numpy(), 1.0)
        gaps, losses = [], []
        for octave in range(4, 11):
            finer = replace(field, step=field.step - 8 * octave)
            q = quantize(delta.numpy(), finer.steps_at(50)[coding.kept])
            few = torch.from_numpy(dequantized(finer, 50, coding.kept, q))
            rough = forward(field.spec, field.params(few, coding.kept), coords)
            gaps.append(psnr_of(rough.numpy(), exact.numpy(), 1.0))
            losses.append(abs(best - psnr_of(rough.numpy(), targets.numpy(), 1.0)))
    slopes = np.diff(gaps)
    assert 5.3 < slopes.mean() < 6.4 and slopes.min() > 4, slopes  # deltas under half a step lag behind
    assert losses[-1] < 0.003


# -- 48: sensitivity -------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", SIGNALS)
def test_48_noise_of_a_step_does_what_the_fisher_information_says(kind):
    """ΔMSE of uniform noise of one step in one tensor, against Σ F_j δ_j²/12 (½·F of the loss ½‖e‖²)."""
    source, field = SIGNALS[kind](4), zoo.load(init(kind))
    adapter = Adapter(field, 75, 3, field.spec.channels)
    coding, targets = adapter.coding, torch.from_numpy(cut(field.spec, source.values))
    coords = torch.from_numpy(module_coords(field.spec.tile)).unsqueeze(0)
    delta = adapter.float_deltas(coding, coords, targets)
    rng = torch.Generator().manual_seed(0)
    fisher = sensitivity(field.spec, field.params(delta, coding.kept), coords, rng, 32)[torch.from_numpy(coding.kept)]
    forward = field_kind(field.spec.kind).forward
    with torch.no_grad():
        clean = forward(field.spec, field.params(delta, coding.kept), coords)
        for tensor in range(len(field.tensors)):
            mine = torch.from_numpy(coding.tensor_of == tensor)
            predicted = float((fisher * coding.step**2 / 12)[mine].sum())
            noise = (torch.rand((4, *delta.shape), generator=rng) - 0.5) * coding.step * mine
            noisy = [forward(field.spec, field.params(delta + n, coding.kept), coords) for n in noise]
            measured = float(np.mean([(n - clean).square().sum((1, 2)).mean() for n in noisy]))
            assert 0.5 < measured / predicted < 2, field.tensors[tensor].name


# -- refusals and structure ------------------------------------------------------------------------------
def test_an_init_must_fit_the_signal():
    for kind, other in (("audio", "image"), ("image", "audio"), ("video", "image"), ("image", "video")):
        with pytest.raises(UnsupportedMediaError, match=f"init test-{other}"):
            pack(SIGNALS[kind](0), other)
    two = SignalInfo("image", (8, 8), 2, "u8")
    with pytest.raises(UnsupportedMediaError, match="2 channels"):
        pack(MemorySource(two, np.zeros((8, 8, 2), np.float32)), "image")


def test_init_by_path_or_not_at_all():
    assert choose_init(SIGNALS["image"](0).info, EncodeOptions(init=init("image"))).id == "test-image"
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        choose_init(SIGNALS["image"](0).info, EncodeOptions(init="nowhere"))


def test_an_empty_source_is_refused():
    class Empty(MemorySource):
        def blocks(self, rows):
            return iter(())

    source = SIGNALS["audio"](0)
    with pytest.raises(UnsupportedMediaError, match="no samples"):
        pack(Empty(source.info, source.values), "audio")


def test_chunks_hold_whole_rows_of_modules():
    field = zoo.load(init("image"))
    assert chunk_rows(field, SignalInfo("image", (20, 20), 3, "u8")) == 3
    assert chunk_rows(field, SignalInfo("image", (60_000, 4000), 3, "u8")) == 8
    assert chunk_rows(field, SignalInfo("image", (9, 65_000), 3, "u8")) == 1
    sounds = zoo.load(init("audio"))
    assert chunk_rows(sounds, SignalInfo("audio", (2**31,), 2, "i16")) == 2048
    assert chunk_rows(sounds, SignalInfo("audio", (1,), 64, "i16")) == 1


def test_progress_reaches_the_total():
    events = []
    source = SIGNALS["video"](0)
    encode_signal(source, io.BytesIO(), EncodeOptions(init=init("video"), effort=1), progress=events.append)
    assert {e.stage for e in events} == {"encode"}
    assert events[-1].done == pytest.approx(source.info.samples) and events[-1].total == pytest.approx(events[-1].done)
    assert all(a.done <= b.done for a, b in zip(events, events[1:], strict=False))


def test_header_says_what_was_asked():
    data, _ = pack(SIGNALS["audio"](0), "audio", quality=7)
    header = Reader(io.BytesIO(data)).header
    assert (header.quality, header.shape, header.channels, header.sample_type) == (7, (1500,), 2, "i16")
    assert header.init == zoo.load(init("audio")).sha256[:8] and header.sections == 1
