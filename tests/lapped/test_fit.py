"""What the encoder decides: where frames are split, and which magnitude a coefficient gets."""

import numpy as np

from lapped.small import SPEC, small_init
from nfcodec.lapped.code import ChunkSymbols, chunk_scales, encode_chunk
from nfcodec.lapped.fit.analysis import analyse
from nfcodec.lapped.fit.encode import whole_frames
from nfcodec.lapped.fit.quantize import quantize, savings
from nfcodec.lapped.fit.splits import choose_splits, frame_bits


def test_a_click_is_split_and_a_tone_is_not():
    t = np.arange(64 * 20)
    tone = 0.5 * np.sin(0.31 * t).astype(np.float32)[None]
    assert not choose_splits(tone, 64, 3, 0.01)[1:-1].any()  # at its ends a tone is none
    click = np.zeros_like(tone)
    click[0, 64 * 10 + 40] = 0.8
    splits = choose_splits(click, 64, 3, 0.01)
    assert splits[10] > 0 and not splits[:9].any() and not splits[12:].any()
    zero = np.zeros(20, np.uint8)
    assert frame_bits(click, splits, 64, 0.01).sum() < frame_bits(click, zero, 64, 0.01).sum()


def bins(seed=0):
    rng = np.random.default_rng(seed)
    return rng.laplace(size=(2, 16, 32)).astype(np.float32) * np.linspace(1.5, 0.05, 32, dtype=np.float32)


def quantized(sizes, rounds, law=0):
    front = ChunkSymbols(np.zeros(sizes.shape, np.int32), np.zeros(16, np.uint8), law, np.zeros((16, 3), np.int8))
    return quantize(small_init(), 40, front, np.abs(sizes), sizes < 0, rounds)


def test_prices_lower_error_and_bits_together():
    """D + λR falls against plain rounding, at the law's own λ."""
    sizes, init = bins(), small_init()

    def cost(chunk):
        error = ((np.abs(sizes) - np.abs(chunk.symbols)) ** 2).sum()
        return error + init.laws[0].trade * 8 * len(encode_chunk(init, 40, chunk).payload)

    plain = ChunkSymbols(np.rint(sizes).astype(np.int32), np.zeros(16, np.uint8), 0, np.zeros((16, 3), np.int8))
    priced = quantized(sizes, 2)
    assert cost(priced) < cost(plain)
    assert (np.abs(priced.symbols) <= np.rint(np.abs(sizes))).all()
    assert (np.abs(priced.symbols) >= np.rint(np.abs(sizes)) - 1).all()
    assert (np.sign(priced.symbols) * np.sign(sizes) >= 0).all()


def test_savings_are_those_of_the_tables():
    saved = savings(small_init(), 0)
    counts = small_init().prior.families[0].counts(20)
    assert np.isclose(saved[20, 1], np.log2(counts[0] / counts[1]), atol=1e-4)
    assert np.isclose(saved[20, 5], np.log2(counts[7] / counts[9]), atol=1e-4)
    assert not saved[:, 0].any() and np.isfinite(saved).all()


def test_large_coefficients_are_only_rounded():
    sizes = np.zeros((2, 16, 32), np.float32)
    sizes[0, 0, 0] = 3e6
    sizes[0, 0, 1] = -1000.4
    found = quantized(sizes, 2).symbols
    assert found[0, 0, 0] == 1 << 20 and found[0, 0, 1] == -1000


def test_the_last_frame_ends_softly():
    values = np.ones((2, 70), np.float32)
    whole = whole_frames(values, 32)
    assert whole.shape == (2, 96) and (whole[:, :70] == 1).all() and whole[0, -1] == 0
    assert whole_frames(values[:, :64], 32).shape == (2, 64)
    assert whole_frames(values[:, :1], 32).shape == (2, 32)


def test_scales_do_not_depend_on_what_is_coded_alone():
    """Blocks beyond the last coded one change nothing below."""
    chunk = quantized(bins(3), 1)
    all_blocks = chunk_scales(small_init(), 40, chunk)
    some = chunk_scales(small_init(), 40, chunk, [2, 1])
    assert np.array_equal(some[0, :, : 2 * SPEC.block], all_blocks[0, :, : 2 * SPEC.block])
    assert np.array_equal(some[1, :, : SPEC.block], all_blocks[1, :, : SPEC.block])
    assert not some[1, :, SPEC.block :].any()


def test_energy_is_kept():
    x = np.random.default_rng(1).normal(size=(1, 320)).astype(np.float32)
    assert np.isclose((analyse(x, np.zeros(10, np.uint8), 32) ** 2).sum(), (x**2).sum(), rtol=1e-5)
