"""Chunks to bytes and back: exactly, side by side as alone, and nothing but what an encoder writes."""

import numpy as np
import pytest

from lapped.small import SPEC, small_init
from nfcodec.errors import CorruptError, LimitError, NfcError
from nfcodec.lapped.code import ChunkBytes, ChunkSymbols, chunk_scales, decode_chunks, encode_chunk, tops_of
from nfcodec.limits import Limits

NO_GAINS = np.zeros((16, 3), np.int8)


def chunk(seed=0, frames=16, planes=2, *, split=True, law=0, size=2.0):
    rng = np.random.default_rng(seed)
    q = np.rint(rng.laplace(size=(planes, frames, 32)) * size * np.linspace(1, 0.1, 32)).astype(np.int32)
    q[:, :, 24:] = 0
    splits = rng.integers(0, 3, frames).astype(np.uint8) if split else np.zeros(frames, np.uint8)
    gains = rng.integers(-5, 6, (frames, 3)) if law else np.zeros((frames, 3))
    return ChunkSymbols(q, splits, law, gains.astype(np.int8))


def read(payload, like, **more):
    return decode_chunks(small_init(), 40, [ChunkBytes(payload, *like.symbols.shape, **more)])[0]


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("planes", [1, 2])
@pytest.mark.parametrize("law", [0, 1])
def test_round_trip(frames, planes, law):
    wanted = chunk(frames, frames, planes, law=law)
    coded = encode_chunk(small_init(), 40, wanted)
    found = read(coded.payload, wanted)
    assert np.array_equal(found.scales, coded.decoded.scales)
    assert np.array_equal(found.chunk.numbers(), wanted.numbers())
    tops = tops_of(wanted.symbols, SPEC.block)
    scales = chunk_scales(small_init(), 40, wanted)
    for plane, top in enumerate(tops):
        assert np.array_equal(found.scales[plane, :, : top * 8], scales[plane, :, : top * 8])
        assert not found.scales[plane, :, top * 8 :].any()


def test_large_symbols_and_no_splits():
    wanted = chunk(split=False)
    wanted.symbols[0, 3, 4] = -(1 << 20)
    payload = encode_chunk(small_init(), 0, wanted).payload
    found = decode_chunks(small_init(), 0, [ChunkBytes(payload, 2, 16, 32)])[0]
    assert np.array_equal(found.chunk.symbols, wanted.symbols)


def test_silence_is_nothing():
    silent = ChunkSymbols(np.zeros((2, 16, 32), np.int32), np.ones(16, np.uint8), 1, np.ones((16, 3), np.int8))
    coded = encode_chunk(small_init(), 40, silent)
    found = read(b"", silent)
    assert coded.payload == b"" and np.array_equal(coded.decoded.chunk.numbers(), found.chunk.numbers())
    assert not found.chunk.symbols.any() and not found.chunk.splits.any()


def test_side_by_side():
    wanted = [chunk(i, law=i % 2, size=0.3 + i) for i in range(5)]
    wanted[2] = ChunkSymbols(np.zeros_like(wanted[2].symbols), np.zeros(16, np.uint8), 0, NO_GAINS)
    payloads = [encode_chunk(small_init(), 40, c).payload for c in wanted]
    found = decode_chunks(small_init(), 40, [ChunkBytes(p, 2, 16, 32) for p in payloads])
    for a, b, payload in zip(found, wanted, payloads, strict=True):
        assert np.array_equal(a.chunk.numbers(), b.numbers())
        if payload:
            assert np.array_equal(a.scales, read(payload, b).scales)


def test_networks_see_only_what_came_before():
    """A later symbol changes no scale of an earlier one: the decoder agrees, for any change."""
    wanted = chunk(9)
    for place in ((0, 0, 0), (0, 5, 9), (1, 15, 23), (0, 8, 16)):
        changed = ChunkSymbols(wanted.symbols.copy(), wanted.splits, 0, NO_GAINS)
        changed.symbols[place] += 7
        payload = encode_chunk(small_init(), 40, changed).payload
        assert np.array_equal(read(payload, changed).chunk.symbols, changed.symbols)


def test_damage_is_noticed():
    wanted = chunk(3)
    payload = encode_chunk(small_init(), 40, wanted).payload
    rng = np.random.default_rng(0)
    changed = []
    for _ in range(60):
        broken = bytearray(payload)
        broken[rng.integers(len(payload))] ^= 1 << rng.integers(8)
        changed.append(bytes(broken))
    for broken in [*changed, *(payload[:cut] for cut in range(1, len(payload)))]:
        try:
            other = read(broken, wanted)
        except NfcError:
            continue
        assert not np.array_equal(other.chunk.numbers(), wanted.numbers())
        again = encode_chunk(small_init(), 40, other.chunk).payload
        assert np.array_equal(read(again, wanted).chunk.numbers(), other.chunk.numbers())


@pytest.mark.parametrize(
    "front", [b"\x40\x01\x01", b"\x1e\x05\x01", b"\x1e\x01\x01", b"\x1e\x00\x00", b"\x1c\x01\x01"]
)
def test_impossible_fronts(front):
    """A reserved bit; too many blocks; blocks of zeros; zeros in some bytes; no frame of those said to be split."""
    with pytest.raises(CorruptError):
        read(front, chunk())


def test_limits():
    with pytest.raises(LimitError):
        read(encode_chunk(small_init(), 40, chunk()).payload, chunk(), limits=Limits(max_symbols=1000))
