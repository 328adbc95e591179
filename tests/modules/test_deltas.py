from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_coder import reference_deltas

from nfcodec.entropy import tables
from nfcodec.entropy.coder import SymbolDecoder, SymbolEncoder
from nfcodec.errors import CorruptError, InternalError, LimitError
from nfcodec.limits import Limits
from nfcodec.modules import classes, deltas
from nfcodec.modules.deltas import DeltaModel, choose_model, decode_deltas, delta_bits, encode_deltas, rows_for

SCALE = np.array([18, 18, 18, 6])
TENSOR = np.array([0, 0, 1, 1])
GOLDEN = (
    ("", [[0, 0, 0, 0]], 0),
    ("22b4", [[1, 0, -2, 0]], 0),
    ("24cdd1c28174f3b55bc490db6f", [[1, 0, -2, 0], [0, 0, 0, 0], [40, -3, 5000, 1], [2, 1, 1, 0]], 2),
)


def synthetic(modules, weights, tensors=3, level=10, seed=0):
    """Deltas whose loudness wanders over the modules, with their init's scale and tensor ids."""
    return _synthetic(modules, weights, tensors, level, seed)[:3]


def _synthetic(modules, weights, tensors, level, seed):
    rng = np.random.default_rng(seed)
    tensor_of = np.sort(rng.integers(0, tensors, weights))
    scale = rng.integers(-10, 10, weights)
    true = scale + rng.integers(-4, 5, tensors)[tensor_of]
    loud = 2 * np.sin(np.arange(modules) / 9) + rng.normal(size=modules) * 0.3
    scales = 2.0 ** ((true + level - 18) / 4 + loud[:, None])
    return np.rint(rng.laplace(size=scales.shape) * scales).astype(np.int32), scale, tensor_of, scales


@pytest.mark.parametrize(("payload", "q", "width"), GOLDEN)
def test_golden_vectors(payload, q, width):
    data = bytes.fromhex(payload)
    found = decode_deltas(data, modules=len(q), scale=SCALE, tensor_of=TENSOR, width=width)
    assert found.dtype == np.int32
    assert found.tolist() == q


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_round_trip(data):
    modules, weights = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 8))
    value = st.one_of(st.just(0), st.integers(-3, 3), st.integers(-(2**31) + 1, 2**31 - 1))
    q = np.array(data.draw(st.lists(value, min_size=modules * weights, max_size=modules * weights)), np.int64)
    q = q.reshape(modules, weights)
    scale = np.array(data.draw(st.lists(st.integers(-90, 90), min_size=weights, max_size=weights)))
    tensor_of = np.array(data.draw(st.lists(st.integers(0, 3), min_size=weights, max_size=weights)))
    width = data.draw(st.integers(0, 14))
    payload = encode_deltas(q, scale, tensor_of, width=width)
    found = decode_deltas(payload, modules=modules, scale=scale, tensor_of=tensor_of, width=width)
    assert np.array_equal(found, q)
    assert reference_deltas(payload, modules, scale.tolist(), tensor_of.tolist(), width) == q.tolist()


def test_the_plain_python_decoder_on_a_larger_grid():
    q, scale, tensor_of = synthetic(77, 9)
    payload = encode_deltas(q, scale, tensor_of, width=10)
    assert reference_deltas(payload, 77, scale.tolist(), tensor_of.tolist(), 10) == q.tolist()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 30))
def test_any_bytes_decode_or_are_corrupt(data, modules):
    with suppress(CorruptError):
        decode_deltas(data, modules=modules, scale=SCALE, tensor_of=TENSOR, width=5)


def test_41_estimate_is_the_size():
    q, scale, tensor_of = synthetic(300, 60)
    model = choose_model(q, scale, tensor_of, width=20)
    payload = encode_deltas(q, scale, tensor_of, width=20, model=model)
    assert abs(len(payload) - delta_bits(q, scale, tensor_of, model, width=20) / 8) < 8 + 0.002 * len(payload)


def test_close_to_an_oracle_that_knows_every_scale():
    q, scale, tensor_of, scales = _synthetic(400, 100, 3, 10, 3)
    rows = tables.row_of_scale(scales)
    oracle = tables.magnitude_bits()[rows, np.minimum(np.abs(q), tables.LMAX)].sum() / 8
    assert len(encode_deltas(q, scale, tensor_of)) < 1.02 * oracle + 400 * 3 / 8


def test_choosing_beats_not_choosing():
    q, scale, tensor_of = synthetic(200, 50)
    fixed = DeltaModel(np.zeros(3, np.int64), np.full(200, 8, np.uint8))
    chosen = choose_model(q, scale, tensor_of)
    assert delta_bits(q, scale, tensor_of, chosen) < 0.9 * delta_bits(q, scale, tensor_of, fixed)


def test_several_blocks(monkeypatch):
    q, scale, tensor_of = synthetic(90, 20)
    monkeypatch.setattr(deltas, "BLOCK", 130)
    payload = encode_deltas(q, scale, tensor_of, width=9)
    found = decode_deltas(payload, modules=90, scale=scale, tensor_of=tensor_of, width=9)
    assert np.array_equal(found, q)


def test_nothing_costs_nothing():
    q = np.zeros((100_000, 10), np.int32)
    scale = np.full(10, 20)
    assert encode_deltas(q, scale, np.zeros(10, int)) == b""
    assert not decode_deltas(b"", modules=100_000, scale=scale, tensor_of=np.zeros(10, int)).any()


def test_one_delta_among_zero_modules_is_cheap():
    q = np.zeros((1000, 10), np.int32)
    q[500, 3] = 1
    assert len(encode_deltas(q, np.full(10, 10), np.zeros(10, int))) < 30


def test_an_init_that_keeps_no_weight():
    empty = np.zeros(0, np.int64)
    assert encode_deltas(np.zeros((3, 0), np.int32), empty, empty) == b""
    assert decode_deltas(b"", modules=3, scale=empty, tensor_of=empty).shape == (3, 0)


def test_rows_for():
    rows = rows_for(SCALE, TENSOR, np.array([1, -1]), np.array([0, 2, 60, -60]))
    assert rows.tolist() == [[19, 19, 17, 5], [21, 21, 19, 7], [47] * 4, [0] * 4]
    assert rows_for(SCALE, TENSOR, np.array([1, -1]), 2).tolist() == [21, 21, 19, 7]


@pytest.mark.parametrize("modules", [24, 25, 26])
def test_symbol_limit(modules):
    limits = Limits(max_symbols=100)
    if modules > 25:
        with pytest.raises(LimitError, match="max_symbols"):
            decode_deltas(b"", modules=modules, scale=SCALE, tensor_of=TENSOR, limits=limits)
    else:
        assert decode_deltas(b"", modules=modules, scale=SCALE, tensor_of=TENSOR, limits=limits).size == 4 * modules
        ones = np.ones((modules, 4), np.int32)
        payload = encode_deltas(ones, SCALE, TENSOR)
        assert decode_deltas(payload, modules=modules, scale=SCALE, tensor_of=TENSOR, limits=limits).all()


def test_a_bomb_is_refused_before_allocation():
    with pytest.raises(LimitError):
        decode_deltas(b"", modules=2**40, scale=SCALE, tensor_of=TENSOR)
    with pytest.raises(LimitError):
        decode_deltas(b"", modules=2**40, scale=SCALE[:0], tensor_of=TENSOR[:0])


def test_45_truncation_and_trailing_bytes():
    q, scale, tensor_of = synthetic(6, 20)
    payload = encode_deltas(q, scale, tensor_of)
    for length in range(len(payload)):
        with suppress(CorruptError):
            found = decode_deltas(payload[:length], modules=6, scale=scale, tensor_of=tensor_of)
            assert not np.array_equal(found, q)
    with pytest.raises(CorruptError):
        decode_deltas(payload + b"\0", modules=6, scale=scale, tensor_of=tensor_of)


def test_no_bit_flip_decodes_to_the_same_deltas():
    q, scale, tensor_of = synthetic(6, 10)
    payload = encode_deltas(q, scale, tensor_of)
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        with suppress(CorruptError):
            found = decode_deltas(bytes(flipped), modules=6, scale=scale, tensor_of=tensor_of)
            assert not np.array_equal(found, q)


def test_offset_out_of_range_is_corrupt():
    encoder = SymbolEncoder()
    encoder.put(np.array([97, 0]), np.full(2, 16))
    with pytest.raises(CorruptError, match="offsets"):
        decode_deltas(encoder.finish(), modules=1, scale=SCALE, tensor_of=TENSOR)


@pytest.mark.parametrize("difference", [1, -16])
def test_class_out_of_range_is_corrupt(difference):
    encoder = SymbolEncoder()
    encoder.put_bits(np.array([15]), 4)
    encoder.put_bits(np.array([11]), 4)
    encoder.put(np.array([difference]), np.array([14]))
    with pytest.raises(CorruptError, match="class"):
        classes.get_classes(SymbolDecoder(encoder.finish()), 2)


@pytest.mark.parametrize(
    ("q", "scale", "tensor_of"),
    [
        (np.zeros((1, 3), int), SCALE, TENSOR),
        (np.zeros((0, 4), int), SCALE, TENSOR),
        (np.zeros((1, 4)), SCALE, TENSOR),
        (np.full((1, 4), 2**31), SCALE, TENSOR),
        (np.zeros((1, 4), int), SCALE * 1.0, TENSOR),
        (np.zeros((1, 4), int), SCALE * 10_000, TENSOR),
        (np.zeros((1, 4), int), SCALE, TENSOR - 1),
        (np.zeros((1, 4), int), SCALE, TENSOR + 1024),
        (np.zeros((1, 4), int), SCALE, TENSOR * 1.0),
    ],
)
def test_impossible_arguments(q, scale, tensor_of):
    with pytest.raises(InternalError):
        encode_deltas(q, scale, tensor_of)


def test_impossible_models_and_counts():
    with pytest.raises(InternalError, match="class 0"):
        encode_deltas(np.ones((1, 4), int), SCALE, TENSOR, model=DeltaModel(np.zeros(2, int), np.zeros(1, np.uint8)))
    with pytest.raises(InternalError, match="0 modules"):
        decode_deltas(b"", modules=0, scale=SCALE, tensor_of=TENSOR)


@pytest.mark.parametrize(("modules", "width"), [(1, 0), (2, 0), (7, 3), (12, 4), (13, 4), (64, 8), (100, 0), (5, 99)])
def test_classes_round_trip(modules, width):
    rng = np.random.default_rng(modules)
    wanted = rng.integers(0, classes.CLASSES, modules).astype(np.uint8)
    encoder = SymbolEncoder()
    classes.put_classes(encoder, wanted, width)
    payload = encoder.finish()
    decoder = SymbolDecoder(payload)
    assert np.array_equal(classes.get_classes(decoder, modules, width), wanted)
    decoder.finish()
    assert abs(classes.class_bits(wanted, width) / 8 - len(payload)) < 4


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (5, 1), (6, 7), (16, 16), (3, 40)])
def test_passes_visit_every_cell_once_after_its_neighbours(height, width):
    known = np.zeros((height, width), bool)
    known[0, 0] = True
    for y, x, step, directions in classes._passes(height, width):
        grid = np.where(known, 1, -1)
        assert not known[y, x].any()
        if y.size:
            assert (classes._neighbours(grid, y, x, step, directions).max(axis=0) == 1).all()
        known[y, x] = True
    assert known.all()


def test_a_smooth_grid_of_classes_is_cheaper_with_its_width():
    y, x = np.mgrid[:24, :32]
    smooth = (8 + 6 * np.sin(y / 5) * np.cos(x / 6)).astype(np.uint8).ravel()
    assert classes.class_bits(smooth, 32) < 0.8 * classes.class_bits(smooth, 0)
