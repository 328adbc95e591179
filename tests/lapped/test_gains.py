"""Gains: exponents between bands, what is coded of them, and how encoders choose them."""

from dataclasses import replace

import numpy as np
import pytest

from lapped.small import LAWS, SPEC, small_init
from nfcodec.entropy.coder import SymbolDecoder, SymbolEncoder
from nfcodec.errors import CorruptError
from nfcodec.lapped.code import get_gains, put_gains
from nfcodec.lapped.fit.gains import choose_gains
from nfcodec.lapped.gains import LARGEST_GAIN, SHAPE, UNIT, expected, exponents, residuals, through
from nfcodec.lapped.order import PHASES


def test_exponents_are_those_of_bands_in_their_middles():
    gains = np.array([[2, -4, 6]])
    found = exponents(gains, (0, 8, 20), 32)[0]
    assert found[3] == found[0] == 2 * UNIT and found[31] == 6 * UNIT
    # The middles lie at bins 4, 14 and 26 (edges of bins), 10 and 12 bins apart.
    assert found[4] == 2 * UNIT + -6 * UNIT * 1 // 20 and found[13] == 2 * UNIT + -6 * UNIT * 19 // 20
    assert found[14] == -4 * UNIT + 10 * UNIT * 1 // 24
    assert (np.diff(found[:14]) <= 0).all() and (np.diff(found[14:]) >= 0).all()


def test_one_band_is_everywhere_the_same():
    assert (exponents(np.array([[3], [-2]]), (0,), 16) == [[3 * UNIT], [-2 * UNIT]]).all()


@pytest.mark.parametrize("frames", [1, 2, 5, 16])
def test_round_trip(frames):
    rng = np.random.default_rng(frames)
    wanted = [rng.integers(-LARGEST_GAIN, LARGEST_GAIN + 1, (frames, 3)).astype(np.int8) for _ in range(3)]
    streams = []
    for gains in wanted:
        encoder = SymbolEncoder()
        put_gains(small_init(), encoder, gains)
        streams.append(encoder.finish())
    found = get_gains(small_init(), [SymbolDecoder(s) for s in streams], (frames, 3))
    assert np.array_equal(found, np.stack(wanted))
    alone = get_gains(small_init(), [SymbolDecoder(streams[1])], (frames, 3))
    assert np.array_equal(alone[0], wanted[1])


def test_what_is_expected():
    gains = np.zeros((1, 9, 2), np.int8)
    gains[0, 0], gains[0, 8], gains[0, 4, 0] = (4, 6), (7, 9), 10
    found, apart = expected(gains, PHASES[1], 0)
    assert (found.tolist(), apart.tolist()) == ([[6]], [[3]])  # (4 + 7 + 1) >> 1
    found, _ = expected(gains, PHASES[1], 1)
    assert found.tolist() == [[8 + (10 - 6 >> 1)]]
    assert expected(gains, PHASES[0], 1)[0].tolist() == [[4, 7]]  # the band below


def test_even_gains_cost_nothing_but_the_first():
    assert sum(int(np.abs(d).sum()) for *_, d in residuals(np.full((40, 3), 5, np.int8))) == 5 * 5


def test_gains_beyond_the_largest_are_refused():
    with pytest.raises(CorruptError, match="gain"):
        through(np.zeros((1, 4, 3), np.int8), np.zeros(SHAPE, np.uint8), lambda rows: np.full(rows.shape, 32))


def test_choice():
    rng = np.random.default_rng(0)
    bins = rng.normal(size=(1, 16, 32)).astype(np.float32) * 2.0**-8
    even = choose_gains(bins, SPEC.bands, LAWS[1])
    louder = choose_gains(4 * bins, SPEC.bands, LAWS[1])
    # Two octaves more, of which steps follow 0.6, in half octaves.
    assert np.abs((louder.astype(int) - even) - 2.4).max() < 1.5 and abs((louder.astype(int) - even).mean() - 2.4) < 0.3
    assert not choose_gains(bins, SPEC.bands, LAWS[0]).any()
    tilted = choose_gains(bins, SPEC.bands, replace(LAWS[1], tilt=4.0))
    assert (tilted[:, 2] > even[:, 2] + 2).all()
    assert np.abs(choose_gains(np.zeros((1, 4, 32), np.float32), SPEC.bands, LAWS[1])).max() <= LARGEST_GAIN
