import hashlib
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nfcodec.entropy import coder, logistic
from nfcodec.entropy.coder import LOGISTIC, SymbolEncoder
from nfcodec.entropy.networks import Layer
from nfcodec.errors import CorruptError, InternalError, LimitError
from nfcodec.lattice.code import (
    ALONE,
    LARGEST_SYMBOL,
    Known,
    RegionBytes,
    RegionSymbols,
    predict,
    region_bits,
)
from nfcodec.lattice.correction import BINS, FLAG_SCALE, Corrections
from nfcodec.lattice.order import order_of
from nfcodec.lattice.prior import Network, Prior
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.limits import Limits

# SHA-256 of the payloads of golden_symbols under golden_prior. Part of the format.
GOLDEN = (
    "bb4189da1232cee7904bceb8ccfdf4655a47287f27f0ed6512993a6661c9f5cf",
    "31b799c5b096152d77e2511d223b4b556fada81dc8652d958b715db8c23d859b",
    "72ba1a56c4a9038a2c71afc942c0dd5ea6f4d25ccfa683c47cf3a6db15e0f171",
)
SPEC = LatticeSpec()
ORDER = order_of(SPEC)
SHAPES = [(1, 1), (1, 7), (5, 3), (16, 16), (33, 20)]


class Lcg:
    """x ← 1664525 x + 1013904223 mod 2^32 from a seed; each number is taken from the upper 16 bits."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (1664525 * self.state + 1013904223) % 2**32
        return (self.state >> 16) % n

    def numbers(self, count, low, high):
        return [low + self.below(high - low + 1) for _ in range(count)]


def random_layer(lcg, rows, inputs, largest, shift):
    weight = np.array(lcg.numbers(rows * inputs, -largest, largest), np.float32).reshape(rows, inputs)
    bias = np.array(lcg.numbers(rows, 0, 40 << shift), np.float32)
    return Layer(weight, bias, np.full(rows, shift, np.int32))


def random_network(lcg, inputs, symbols, hidden=6):
    first = random_layer(lcg, hidden, inputs, 2, 4)
    second = random_layer(lcg, hidden, hidden, 9, 3)
    last = random_layer(lcg, 2 * symbols, hidden, 5, 6)
    last.bias[:symbols] -= 20 << 6
    return Network((first, second, last))


@cache
def golden_prior():
    lcg = Lcg(1)
    groups = [random_network(lcg, *sizes) for sizes in ORDER.groups]
    means = [random_network(lcg, *sizes) for sizes in ORDER.means]
    prior = Prior(SPEC, tuple(groups), tuple(means))
    prior.validate()
    return prior


def random_symbols(shape, planes=3, seed=7):
    """Most zero, some loud, a few beyond every table."""
    lcg = Lcg(seed)
    count = planes * 64 * shape[0] * shape[1]
    kinds, sizes, large = (np.array(lcg.numbers(count, *r)) for r in ((0, 99), (-3, 3), (-2000, 2000)))
    symbols = np.zeros((3, 64, *shape), np.int32)
    symbols[:planes] = np.where(kinds < 55, 0, np.where(kinds < 98, sizes, large)).reshape(planes, 64, *shape)
    return symbols


def golden_payloads():
    symbols = random_symbols((5, 6))
    return ALONE.encode(golden_prior(), RegionSymbols(symbols, 35, 3))


def digests():
    return tuple(hashlib.sha256(data).hexdigest() for data in golden_payloads())


def test_payloads_never_change():
    assert digests() == GOLDEN


@pytest.mark.parametrize("threads", ["1", "2"])
def test_payloads_do_not_depend_on_threads(threads):
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    code = "import test_prior; assert test_prior.digests() == test_prior.GOLDEN"
    environment = os.environ | dict.fromkeys(names, threads)
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, env=environment, check=True, timeout=120)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("quality", [0, 41, 100])
def test_round_trip(shape, planes, quality):
    symbols = random_symbols(shape, planes)
    payloads = ALONE.encode(golden_prior(), RegionSymbols(symbols, quality, planes))
    found = ALONE.decode(golden_prior(), RegionBytes(payloads, shape, quality, planes))
    assert found.dtype == np.int32
    assert np.array_equal(found, symbols)


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("planes", [1, 3])
def test_fewer_layers_give_the_first_passes(layers, planes):
    shape = (9, 6)
    symbols = random_symbols(shape, planes)
    payloads = ALONE.encode(golden_prior(), RegionSymbols(symbols, 50, planes))
    wanted = np.zeros_like(symbols)
    for layer in range(layers):
        wanted[:, 0] = symbols[:, 0]
        for number in ORDER.layer(layer):
            plane, low, high = SPEC.passes[number]
            wanted[plane, low:high] = symbols[plane, low:high]
    found = ALONE.decode(golden_prior(), RegionBytes(payloads[:layers], shape, 50, planes))
    assert np.array_equal(found, wanted)
    assert wanted.any() == bool(layers)


def none(patches, kinds):
    return Corrections(np.zeros((patches, kinds, BINS), np.int8))


def test_bits_are_what_the_payloads_take_that_correct_nothing(monkeypatch):
    symbols = random_symbols((20, 22))
    monkeypatch.setattr("nfcodec.lattice.correction.best", lambda n, kinds: none(n, len(kinds)))
    prediction = predict(golden_prior(), RegionSymbols(symbols, 20, 3))
    bits = region_bits(prediction, symbols)
    assert bits.shape == symbols.shape and bits.dtype == np.float32
    taken = 8 * sum(map(len, ALONE.encode(golden_prior(), RegionSymbols(symbols, 20, 3))))
    assert abs(taken - bits.sum(dtype=np.float64)) < 3 * 64 + 2e-4 * taken


def test_planes_that_are_not_coded_cost_nothing():
    symbols = random_symbols((4, 4), 1)
    bits = region_bits(predict(golden_prior(), RegionSymbols(symbols, 20, 1)), symbols)
    assert not bits[1:].any() and (bits[0] > 0).all()


def test_predictions_use_the_whole_range():
    """The prior of these tests is no constant: means, fractions and scales vary with place and symbols."""
    symbols = random_symbols((16, 16))
    one = predict(golden_prior(), RegionSymbols(symbols, 20, 3))
    other = predict(golden_prior(), RegionSymbols(random_symbols((16, 16), seed=8), 20, 3))
    assert len(np.unique(one.scale)) > 30 and len(np.unique(one.mean & 7)) == 8
    assert (one.mean != other.mean).mean() > 0.5
    assert one.mean.dtype == np.int32 and one.scale.dtype == np.uint8


def constant_prior(mean, scale):
    """Every symbol is expected at mean/8 with this scale index."""

    def network(inputs, symbols):
        shift = np.ones(1, np.int32)
        hidden = Layer(np.zeros((1, inputs), np.float32), np.zeros(1, np.float32), shift)
        bias = np.repeat(np.array([2 * mean, 2 * scale], np.float32), symbols)
        last = Layer(np.zeros((2 * symbols, 1), np.float32), bias, np.ones(2 * symbols, np.int32))
        return Network((hidden, replace(hidden, weight=np.zeros((1, 1), np.float32)), last))

    groups, means = (tuple(network(*sizes) for sizes in kind) for kind in (ORDER.groups, ORDER.means))
    prior = Prior(SPEC, groups, means)
    prior.validate()
    return prior


@pytest.mark.parametrize(
    ("mean", "base", "fraction"), [(0, 0, 0), (11, 1, 3), (12, 2, -4), (-13, -2, 3), (126, 16, -2)]
)
def test_means_in_eighths(mean, base, fraction):
    symbols = random_symbols((3, 3))
    prediction = predict(constant_prior(mean, 20), RegionSymbols(symbols, 50, 3))
    assert (prediction.mean[:, 1:] == mean).all() and (prediction.scale == 20).all()
    wanted = logistic.bits(symbols - base, np.full(symbols.shape, 20), np.full(symbols.shape, fraction))
    assert np.array_equal(region_bits(prediction, symbols)[:, 1:], wanted[:, 1:])


def test_means_add_their_neighbours():
    symbols = np.zeros((3, 64, 3, 3), np.int32)
    symbols[:, 0] = np.array([[10, 0, 20], [0, 0, 0], [30, 0, 41]])
    mean = predict(constant_prior(3, 20), RegionSymbols(symbols, 50, 3)).mean[1, 0]
    assert mean[0, 0] == 3  # no neighbour
    assert mean[1, 1] == 8 * 25 + 3  # (10 + 20 + 30 + 41)/4 = 25.25


def test_predictions_are_clipped():
    prediction = predict(constant_prior(5000, 5000), RegionSymbols(random_symbols((2, 2)), 0, 3))
    assert (prediction.mean[:, 1:] == 126).all() and (prediction.scale == 47).all()
    prediction = predict(constant_prior(-5000, -5000), RegionSymbols(random_symbols((2, 2)), 0, 3))
    assert (prediction.mean[:, 1:] == -126).all() and not prediction.scale.any()


def test_zeros_are_empty_payloads():
    symbols = np.zeros((3, 64, 4, 5), np.int32)
    for prior in (golden_prior(), constant_prior(40, 10)):
        assert ALONE.encode(prior, RegionSymbols(symbols, 50, 3)) == [b"", b"", b""]
        assert not ALONE.decode(prior, RegionBytes([b"", b"", b""], (4, 5), 50, 3)).any()


def test_streams_that_do_not_decode_are_noticed_when_they_are_made(monkeypatch):
    def wrong(encoders, owners, symbols, rows, family):
        coder.put_each(encoders, owners, symbols + (np.arange(len(symbols)) == 2), rows, family)

    monkeypatch.setattr("nfcodec.lattice.code.put_each", wrong)
    with pytest.raises(InternalError, match="other symbols"):
        ALONE.encode(golden_prior(), RegionSymbols(random_symbols((5, 6)), 35, 3))


def test_the_encoder_knows_no_more_than_the_decoder(monkeypatch):
    """What the encoder predicts a symbol from has been coded before it."""
    symbols = random_symbols((7, 6))
    seen = []
    expect = Network.__call__
    monkeypatch.setattr(Network, "__call__", lambda self, x: seen.append(x.copy()) or expect(self, x))
    payloads = ALONE.encode(golden_prior(), RegionSymbols(symbols, 35, 3))
    encoded, seen[:] = seen[:], []
    ALONE.decode(golden_prior(), RegionBytes(payloads, (7, 6), 35, 3))
    assert len(seen) == len(encoded) > 50
    assert all(np.array_equal(a, b) for a, b in zip(encoded, seen, strict=True))


def test_known_streams_are_known_by_every_byte():
    region = RegionSymbols(random_symbols((4, 4)), 50, 3)
    payloads = ALONE.encode(golden_prior(), region)
    marked = region.symbols + 1
    known = Known({(golden_prior(), tuple(payloads), (4, 4), 50, 3): marked})
    assert known.decode(golden_prior(), RegionBytes(payloads, (4, 4), 50, 3)) is marked
    fewer = RegionBytes(payloads[:2], (4, 4), 50, 3)
    assert np.array_equal(known.decode(golden_prior(), fewer), ALONE.decode(golden_prior(), fewer))
    with suppress(CorruptError):
        other = RegionBytes([*payloads[:2], payloads[2] + b"\1"], (4, 4), 50, 3)
        assert known.decode(golden_prior(), other) is not marked


def test_a_layer_in_the_middle_may_be_empty():
    symbols = random_symbols((6, 5))
    for number in ORDER.layer(1):
        plane, low, high = SPEC.passes[number]
        symbols[plane, low:high] = 0
    payloads = ALONE.encode(golden_prior(), RegionSymbols(symbols, 50, 3))
    assert [bool(data) for data in payloads] == [True, False, True]
    assert np.array_equal(ALONE.decode(golden_prior(), RegionBytes(payloads, (6, 5), 50, 3)), symbols)


def test_symbols_that_are_expected_but_not_zero_are_one_byte():
    prior = constant_prior(8, 10)
    symbols = np.ones((3, 64, 1, 1), np.int32)
    payloads = ALONE.encode(prior, RegionSymbols(symbols, 50, 3))
    assert payloads == [b"\0"] * 3
    assert np.array_equal(ALONE.decode(prior, RegionBytes(payloads, (1, 1), 50, 3)), symbols)
    with pytest.raises(CorruptError, match="zeros"):
        ALONE.decode(constant_prior(0, 10), RegionBytes(payloads, (1, 1), 50, 3))


def test_zeros_have_no_second_spelling():
    """A sound stream that says zero everywhere, where the prior expects ones."""
    count = 2 * 2 * (3 + 2 + 3 + 5 + 5)
    encoder = SymbolEncoder()
    encoder.put(np.array([0]), np.array([logistic.row_of(FLAG_SCALE, 0)[0]]), LOGISTIC)
    encoder.put(np.full(count, -1), np.full(count, logistic.row_of(10, 0)[0]), LOGISTIC)
    with pytest.raises(CorruptError, match="of zeros"):
        ALONE.decode(constant_prior(8, 10), RegionBytes([encoder.finish()], (2, 2), 50, 3))


def test_two_zero_bytes_are_corrupt():
    with pytest.raises(CorruptError, match="coded payload"):
        ALONE.decode(constant_prior(8, 10), RegionBytes([b"\0\0"], (2, 2), 50, 3))


def spelled(monkeypatch, payloads, shape):
    """Symbols of payloads, and the payloads that these have with the same corrections."""
    told, read = [], Corrections.read
    monkeypatch.setattr(Corrections, "read", lambda *a: told.append(read(*a)) or told[-1])
    found = ALONE.decode(golden_prior(), RegionBytes(payloads, shape, 35, 3))
    monkeypatch.setattr("nfcodec.lattice.correction.best", lambda *_: told.pop(0))
    again = ALONE.encode(golden_prior(), RegionSymbols(found, 35, 3))
    monkeypatch.undo()
    return found, again


def test_damage_is_corrupt_or_decodes_to_other_symbols(monkeypatch):
    shape = (5, 6)
    symbols, payloads = random_symbols(shape), golden_payloads()
    rng = np.random.default_rng(0)
    corrupt = 0
    for layer in range(3):
        for _ in range(40):
            data = bytearray(payloads[layer])
            bit = int(rng.integers(8 * len(data)))
            data[bit // 8] ^= 1 << bit % 8
            damaged = [*payloads[:layer], bytes(data), *payloads[layer + 1 :]]
            try:
                found, again = spelled(monkeypatch, damaged, shape)
            except CorruptError:
                corrupt += 1
                monkeypatch.undo()
            else:
                assert not np.array_equal(found, symbols)
                assert again == damaged
    assert corrupt > 60


@pytest.mark.parametrize("change", [lambda d: d + b"\0", lambda d: d + b"\1", lambda d: d[:-1], lambda d: d[:9]])
def test_other_lengths_are_corrupt_or_other_symbols(change, monkeypatch):
    payloads = golden_payloads()
    with suppress(CorruptError):
        _, again = spelled(monkeypatch, [change(payloads[0])], (5, 6))
        assert again[0] == change(payloads[0])
        assert change(payloads[0]) != payloads[0]


def test_too_many_layers_are_corrupt():
    with pytest.raises(CorruptError, match="4 layers"):
        ALONE.decode(golden_prior(), RegionBytes([b""] * 4, (2, 2), 50, 3))


def test_symbols_at_the_limit():
    symbols = random_symbols((4, 4))
    symbols[0, 0, :2], symbols[1, 5, 2] = LARGEST_SYMBOL, -LARGEST_SYMBOL
    payloads = ALONE.encode(golden_prior(), RegionSymbols(symbols, 50, 3))
    assert np.array_equal(ALONE.decode(golden_prior(), RegionBytes(payloads, (4, 4), 50, 3)), symbols)


def test_decoded_symbols_beyond_the_limit_are_corrupt(monkeypatch):
    symbols = random_symbols((4, 4))
    symbols[0, 0, 3, 3] = LARGEST_SYMBOL + 1
    monkeypatch.setattr(RegionSymbols, "__post_init__", lambda _: None)
    payloads = ALONE.encode(golden_prior(), RegionSymbols(symbols, 50, 3))
    with pytest.raises(CorruptError, match="leave"):
        ALONE.decode(golden_prior(), RegionBytes(payloads, (4, 4), 50, 3))


@pytest.mark.parametrize("side", [3, 4])
def test_symbol_limit(side):
    limits = Limits(max_symbols=192 * 9)
    if side > 3:
        with pytest.raises(LimitError, match="max_symbols"):
            ALONE.decode(golden_prior(), RegionBytes([], (side, side), 50, 3, limits))
    else:
        payloads = ALONE.encode(golden_prior(), RegionSymbols(random_symbols((3, 3)), 50, 3))
        ALONE.decode(golden_prior(), RegionBytes(payloads, (3, 3), 50, 3, limits))


def test_a_bomb_is_refused_before_allocation():
    with pytest.raises(LimitError):
        ALONE.decode(golden_prior(), RegionBytes([b"x"], (2**30, 2**30), 50, 3))


@pytest.mark.parametrize(
    ("shape", "quality", "planes"),
    [((0, 3), 50, 3), ((3, 3), -1, 3), ((3, 3), 101, 3), ((3, 3), 50, 0), ((3, 3), 50, 4)],
)
def test_regions_that_do_not_exist(shape, quality, planes):
    with pytest.raises(InternalError):
        ALONE.decode(golden_prior(), RegionBytes([], shape, quality, planes))
    with pytest.raises(InternalError):
        ALONE.encode(golden_prior(), RegionSymbols(np.zeros((3, 64, *shape), np.int32), quality, planes))


@pytest.mark.parametrize(
    "symbols",
    [
        np.zeros((3, 64, 2, 2)),
        np.zeros((3, 63, 2, 2), np.int32),
        np.zeros((1, 64, 2, 2), np.int32),
        np.zeros((3, 64, 4), np.int32),
        np.full((3, 64, 2, 2), LARGEST_SYMBOL + 1, np.int32),
        np.full((3, 64, 2, 2), -(2**31), np.int32),
    ],
)
def test_impossible_symbols(symbols):
    with pytest.raises(InternalError):
        predict(golden_prior(), RegionSymbols(symbols, 50, 3))


def test_symbols_in_planes_that_are_not_coded():
    with pytest.raises(InternalError, match="not coded"):
        ALONE.encode(golden_prior(), RegionSymbols(np.ones((3, 64, 2, 2), np.int32), 50, 1))


def test_layers_are_exact_in_any_order():
    """Against 64-bit integers, with sums that come within a hair of 2^24, and with the inputs permuted."""
    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (700, 90)).astype(np.float32)
    weight = np.full((20, 700), 90.0, np.float32) * rng.choice([-1, 1], (20, 700))
    weight[:4] = 90
    x[:, :30] = np.where(weight[5][:, None] > 0, 255, 0)
    x[:, 30:40] = 255
    bias = rng.integers(-600_000, 600_000, 20).astype(np.float32)
    layer = Layer(weight.astype(np.float32), bias, rng.integers(1, 17, 20).astype(np.int32))
    sums = np.abs(weight).sum(1) * 255 + np.abs(bias)
    assert 0.95 < sums.max() / 2**24 < 1
    whole = layer.weight.astype(np.int64) @ x.astype(np.int64) + layer.bias.astype(np.int64)[:, None]
    shift = layer.shift.astype(np.int64)[:, None]
    wanted = (whole + (1 << (shift - 1))) >> shift
    assert np.array_equal(layer(x), wanted)
    order = rng.permutation(700)
    shuffled = replace(layer, weight=np.ascontiguousarray(layer.weight[:, order]))
    assert np.array_equal(shuffled(x[order]), wanted)
    assert np.array_equal(np.concatenate([layer(x[:, i : i + 7]) for i in range(0, 90, 7)], 1), wanted)


def spoiled(number, layer, **changes):
    """The golden prior with one layer of one group's network changed by functions of its arrays."""
    prior = golden_prior()
    layers = list(prior.groups[number].layers)
    old = layers[layer]
    layers[layer] = replace(old, **{name: change(getattr(old, name).copy()) for name, change in changes.items()})
    groups = (*prior.groups[:number], Network(tuple(layers)), *prior.groups[number + 1 :])
    return replace(prior, groups=groups)


def with_first(value):
    def change(values):
        values.flat[0] = value
        return values

    return change


@pytest.mark.parametrize(
    ("layer", "changes", "message"),
    [
        (0, {"weight": with_first(0.5)}, "whole"),
        (0, {"weight": with_first(np.nan)}, "whole"),
        (1, {"bias": with_first(0.25)}, "whole"),
        (1, {"bias": with_first(np.inf)}, "sum"),
        (1, {"shift": with_first(0)}, "shifts"),
        (1, {"shift": with_first(25)}, "shifts"),
        (0, {"weight": with_first(2**24 / 127)}, "whole|sum"),
        (0, {"weight": with_first(132105)}, "sum"),
        (1, {"weight": with_first(65794)}, "sum"),
        (2, {"bias": with_first(-(2**24))}, "sum"),
        (2, {"shift": with_first(24), "bias": with_first(2**23)}, "sum"),
        (0, {"weight": lambda w: w[:, 1:]}, "shapes"),
        (0, {"weight": lambda w: w[1:]}, "shapes"),
        (1, {"bias": lambda b: b[:, None]}, "shapes"),
        (2, {"shift": lambda s: s[1:]}, "shapes"),
        (1, {"weight": lambda w: w.astype(np.float64)}, "float64"),
        (1, {"shift": lambda s: s.astype(np.int64)}, "int64"),
    ],
)
def test_spoiled_priors_are_corrupt(layer, changes, message):
    with pytest.raises(CorruptError, match=message):
        spoiled(3, layer, **changes).validate()


def test_sums_just_below_the_bound_pass():
    zeros = {"weight": lambda w: 0 * w, "bias": lambda b: 0 * b}
    largest = 2**24 - 1 - (1 << 5)
    spoiled(3, 2, **zeros).validate()
    spoiled(3, 2, weight=zeros["weight"], bias=lambda b: with_first(largest)(0 * b)).validate()
    with pytest.raises(CorruptError, match="sum"):
        spoiled(3, 2, weight=zeros["weight"], bias=lambda b: with_first(largest + 1)(0 * b)).validate()


def test_missing_networks_and_layers_are_corrupt():
    prior = golden_prior()
    outputs = spoiled(3, 2, weight=lambda w: w[2:], bias=lambda b: b[2:], shift=lambda s: s[2:])
    short = Network(prior.means[0].layers[:2])
    for wrong in (
        replace(prior, groups=prior.groups[:12]),
        replace(prior, means=prior.means[:5]),
        replace(prior, means=(prior.means[2], *prior.means[1:])),
        replace(prior, means=(short, *prior.means[1:])),
        replace(prior, groups=(prior.groups[1], prior.groups[0], *prior.groups[2:])),
        outputs,
    ):
        with pytest.raises(CorruptError):
            wrong.validate()


def test_hidden_values_are_clipped():
    ones, shift = np.ones((1, 1), np.float32), np.ones(1, np.int32)
    layer = Layer(2 * ones, np.zeros(1, np.float32), shift)
    last = Layer(np.full((2, 1), 2, np.float32), np.array([-2 * 250, -2 * 230], np.float32), np.ones(2, np.int32))
    mean, scale = Network((layer, layer, last))(np.array([[-3, 253, 254, 255, 256, 400]], np.float32))
    assert mean.tolist() == [[-126, 3, 4, 5, 5, 5]]
    assert scale.tolist() == [[0, 23, 24, 25, 25, 25]]
