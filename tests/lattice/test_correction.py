"""What regions correct of the prior: what is chosen, how it is coded, and what a reader refuses."""

import numpy as np
import pytest

from nfcodec.entropy import logistic
from nfcodec.entropy.coder import LOGISTIC, SymbolDecoder, SymbolEncoder, get_each, put_each
from nfcodec.errors import CorruptError
from nfcodec.lattice import correction
from nfcodec.lattice.correction import BINS, LARGEST, LAST_OF_BINS, Corrections, Seen

FLAG, OFFSET = (logistic.row_of(s, 0)[0] for s in (correction.FLAG_SCALE, correction.OFFSET_SCALE))


def loud(n, seed=0, factor=1.0, scales=(0, 47), owners=None):
    """Symbols whose true spread is ``factor`` times what their scale index says."""
    rng = np.random.default_rng(seed)
    scale = rng.integers(*scales, n).astype(np.uint8)
    fraction = rng.integers(-4, 4, n).astype(np.int8)
    spread = factor * 2.0 ** ((scale - 18.0) / 4)
    values = np.rint(rng.logistic(fraction / 8, spread)).astype(np.int64)
    return Seen(owners, scale, fraction, np.clip(values, -1000, 1000))


def bits(seen, offsets):
    """By the tables alone, one symbol after the other."""
    bins = np.searchsorted(LAST_OF_BINS, seen.scale)
    scale = np.clip(seen.scale + np.asarray(offsets)[bins], 0, logistic.SCALES - 1)
    return float(logistic.bits(seen.values, scale, seen.fraction).sum(dtype=np.float64))


def test_the_right_prior_is_left_alone():
    found = correction.best(1, [[loud(20_000)], [loud(20_000, 1)]])
    assert not found.offsets.any() and found.offsets.shape == (1, 2, BINS)


@pytest.mark.parametrize(("factor", "offset"), [(2.0, 4), (0.5, -4), (2**0.5, 2), (2**-0.25, -1)])
def test_what_is_louder_or_quieter_is_corrected(factor, offset):
    seen = loud(60_000, factor=factor, scales=(12, 40))
    found = correction.best(1, [[seen]])
    assert found.offsets[0, 0, 1:].tolist() == [offset, offset]


def test_no_offsets_of_one_kind_are_better():
    """Each bin alone, against every other offset."""
    seen = loud(3000, factor=1.6, scales=(3, 30))
    found = correction.best(1, [[seen]]).offsets[0, 0]
    least = bits(seen, found)
    price = logistic.bits(np.arange(-LARGEST, LARGEST + 1), np.full(9, 15), np.zeros(9, np.int64))
    for place in range(BINS):
        for other in range(-LARGEST, LARGEST + 1):
            changed = found.copy()
            changed[place] = other
            more = price[other + LARGEST] - price[found[place] + LARGEST]
            assert bits(seen, changed) + more > least - 0.02 * len(seen.values) / 256


def test_little_is_not_worth_telling():
    assert not correction.best(1, [[loud(10, factor=2.0)]]).offsets.any()


def test_each_patch_has_what_it_has_alone():
    factors = [1.0, 2.0, 0.5, 1.0]
    parts = [loud(9000, i, f, (8, 40)) for i, f in enumerate(factors)]
    alone = [correction.best(1, [[part]]).offsets[0] for part in parts]
    mixed = np.random.default_rng(5).permutation(4 * 9000)
    owners = np.repeat(np.arange(4), 9000)[mixed]
    both = [np.concatenate([getattr(p, n) for p in parts])[mixed] for n in ("scale", "fraction", "values")]
    halves = [Seen(owners[s], *(b[s] for b in both)) for s in (slice(0, 7000), slice(7000, None))]
    together = correction.best(4, [halves]).offsets
    assert np.array_equal(together, np.stack(alone))
    assert [bool(t.any()) for t in together] == [False, True, True, False]


def test_scales_move_by_bins_within_bounds():
    found = Corrections(np.array([[[-4, 1, 4], [0, 0, 0]]], np.int8))
    scale = np.arange(48, dtype=np.uint8)
    moved = found.scales(0, scale, None)
    assert moved[:9].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4]
    assert moved[9:15].tolist() == [10, 11, 12, 13, 14, 15]
    assert moved[15:].tolist() == [*range(19, 48), 47, 47, 47, 47]
    assert np.array_equal(found.scales(1, scale, None), scale)


def test_owners_have_their_own():
    found = Corrections(np.array([[[0, 0, 2]], [[0, 0, -2]]], np.int8))
    moved = found.scales(0, np.full(4, 20, np.uint8), np.array([0, 1, 1, 0]))
    assert moved.tolist() == [22, 18, 18, 22]


def written(parts, patches):
    encoders = [SymbolEncoder() for _ in range(patches)]
    for owners, rows, values in parts:
        put_each(encoders, owners, values, rows, LOGISTIC)
    return [e.finish() for e in encoders]


def reading(payloads, there, kinds):
    decoders = [SymbolDecoder(p) for p in payloads]
    return Corrections.read(lambda o, r: get_each(decoders, o, r, LOGISTIC), np.array(there), kinds)


@pytest.mark.parametrize("patches", [1, 3])
def test_what_is_told_is_read(patches):
    offsets = np.random.default_rng(0).integers(-LARGEST, LARGEST + 1, (patches, 4, BINS)).astype(np.int8)
    offsets[-1] *= patches == 1
    payloads = written(Corrections(offsets).coded(), patches)
    assert np.array_equal(reading(payloads, [True] * patches, 4).offsets, offsets)


def test_patches_that_are_not_there_have_none():
    offsets = np.ones((3, 2, BINS), np.int8)
    payloads = written(Corrections(offsets).coded(), 3)
    found = reading([payloads[0], b"", payloads[2]], [True, False, True], 2).offsets
    assert found[[0, 2]].all() and not found[1].any()


@pytest.mark.parametrize(
    ("values", "message"),
    [([2], "a flag"), ([-1], "a flag"), ([1, 0, 0, 0], "out of range, or none"), ([1, 5, 0, 0], "out of range")],
)
def test_what_is_never_written_is_refused(values, message):
    encoder = SymbolEncoder()
    rows = np.array([FLAG] + [OFFSET] * (len(values) - 1), np.uint8)
    for value, row in zip(values, rows, strict=True):
        encoder.put(np.array([value]), np.array([row]), LOGISTIC)
    with pytest.raises(CorruptError, match=message):
        reading([encoder.finish()], [True], 1)
