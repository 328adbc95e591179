"""How samples become whole units."""

import numpy as np
import pytest

from nfcodec.dyadic.fit.encode import over
from nfcodec.dyadic.fit.measure import measure_for
from nfcodec.dyadic.values import Measure, Mode


def measured(array, bound):
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    return measure_for(array, low, high, bound)


def test_packed_data_are_found():
    """16-bit integers times a scale plus an offset, in single precision."""
    r = np.random.default_rng(0)
    for scale, offset in ((0.01, 273.15), (1.7226, 52000.0), (3.1e-5, 0.02)):
        packed = r.integers(-3000, 3000, 20000)
        packed[:2] = -3000, 2999
        array = (packed * np.float32(scale) + np.float32(offset)).astype(np.float32)
        found = measured(array, 0.4 * scale)
        assert (found.mode, found.count) == (Mode.WHOLE, 5999)
        assert np.abs(found.samples(found.units(array)).astype(float) - array).max() < 0.01 * scale + 1e-3
        # Where the bound is coarser than the data's own steps, these are no use.
        assert measured(array, 2.0 * scale).mode == Mode.FREE


def test_arbitrary_floats_have_no_grid():
    array = np.random.default_rng(0).random(5000).astype(np.float32)
    assert measured(array, 1e-4).mode == Mode.FREE
    assert measured(array, 0.0).mode == Mode.STORED


def test_counts_in_floats_are_lossless():
    array = np.random.default_rng(0).integers(0, 900, 3000).astype(np.float64)
    found = measured(array, 0.0)
    assert found.mode == Mode.WHOLE
    np.testing.assert_array_equal(found.samples(found.units(array)), array)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u4", "i8", "u8"])
@pytest.mark.parametrize("bound", [0, 1, 3, 7, 100.5])
def test_integers(dtype, bound):
    limits = np.iinfo(dtype)
    for top in (limits.max, min(limits.max, limits.min + 1000)):
        array = np.array([limits.min + (top - limits.min) * i // 998 for i in range(999)], dtype)
        array[:2], array[-2:] = limits.min, top
        found = measured(array, bound)
        if found.mode == Mode.STORED:
            continue
        units = found.units(array)
        nearest = np.rint(units / 256) * 256
        assert not over(array, found.samples(nearest), bound).any()


def test_steps_of_integers_end_at_the_largest():
    found = Measure(Mode.INTEGERS, np.dtype("u1"), 0.0, 255.0, count=13, first=0, span=255)
    array = np.arange(256).astype(np.uint8)
    back = found.samples(found.units(array))
    assert np.abs(back.astype(int) - array).max() <= 6
    assert back[-1] == 255


def test_over_is_exact_where_types_are():
    big = np.array([2**63 + 1, 2**63 + 5], np.uint64)
    assert over(big, np.array([2**63 - 2, 2**63 + 8], np.uint64), 3).tolist() == [False, False]
    assert over(big, np.array([2**63 - 3, 2**63 + 9], np.uint64), 3).tolist() == [True, True]
    assert over(np.array([1.0, 1.0]), np.array([1.0, 1.5]), 0.5).tolist() == [False, True]
    assert over(np.array([-(2**63), 5]), np.array([2**63 - 1, 5]), 2.0**64).tolist() == [False, False]
