"""The transform in whole numbers is the one of floats, and its own inverse, whatever frames are cut into."""

import numpy as np
import pytest

from nfcodec.lapped.fit.analysis import analyse, coefficients, dct4, folded
from nfcodec.lapped.synthesis import factors, synthesized, whole_dct4
from nfcodec.lapped.window import BITS, circle, rotation
from nfcodec.lapped.zones import part_sizes, zones_of


@pytest.mark.parametrize("size", [4, 10, 34, 40, 320, 2048])
def test_dct4(size):
    rng = np.random.default_rng(size)
    x = rng.normal(size=(3, size))
    n = np.arange(size) + 0.5
    matrix = np.sqrt(2 / size) * np.cos(np.pi / size * np.outer(n, n))
    assert np.abs(dct4(x.astype(np.float32)) - x @ matrix).max() < 1e-5
    whole = whole_dct4(np.rint(x * 2**20))
    assert np.abs(whole - (x @ matrix) * 2**20).max() < 400  # of 2^20: factors have 18 bits
    assert (whole == np.rint(whole)).all()


def test_factors():
    assert [factors(n) for n in (1, 2, 7, 160, 1024, 4096)] == [(1, 1), (1, 2), (1, 7), (10, 16), (32, 32), (64, 64)]


def test_circle_and_window():
    c, s = circle(96)
    angle = 2 * np.pi * np.arange(96) / 96
    assert np.abs(c - np.cos(angle) * 2**BITS).max() <= 0.5 + 1e-6
    assert np.abs(s - np.sin(angle) * 2**BITS).max() <= 0.5 + 1e-6
    for half in (1, 2, 20, 160):
        c, s = rotation(half)
        assert np.abs(c**2 + s**2 - 2.0 ** (2 * BITS)).max() < 2.0 ** (BITS + 1)
        assert (np.diff(c) > 0).all() and c[0] > s[0] >= 0
        kaiser = np.kaiser(2 * half + 1, 2 * np.pi)
        sums = np.concatenate([[0.0], np.cumsum(kaiser[:-1])])
        slope = sums[1:] + sums[:-1]
        wanted = np.sqrt(slope[half:] / (slope[half:] + slope[half - 1 :: -1])) * 2**BITS
        assert np.abs(c - wanted).max() < 1


def test_zones():
    splits = np.array([0, 2, 1], np.uint8)
    assert part_sizes(splits, 16).tolist() == [16, 4, 4, 4, 4, 8, 8]
    halves = {z.half: z.before[:, 0].tolist() for z in zones_of(splits, 16)}
    assert halves == {2: [15, 19, 23, 27, 31], 4: [39]}
    assert {z.half: len(z.before) for z in zones_of(splits, 16, first=2, last=16)} == {1: 1, 2: 5, 4: 2}


@pytest.mark.parametrize("spacing", [16, 80])
def test_perfect_reconstruction(spacing):
    rng = np.random.default_rng(1)
    splits = rng.integers(0, 3, 30).astype(np.uint8)
    x = rng.uniform(-1, 1, (2, 30 * spacing)).astype(np.float32)
    bins = analyse(x, splits, spacing)
    assert np.isclose((bins**2).sum(), (x**2).sum(), rtol=1e-5)
    again = synthesized(np.rint(bins * 2.0**20), splits) * 2.0**-20
    assert np.abs(again - x).max() < 1e-4


def test_a_chunk_is_analysed_as_its_part_of_the_whole():
    rng = np.random.default_rng(2)
    splits = rng.integers(0, 3, 24).astype(np.uint8)
    x = rng.uniform(-1, 1, (1, 24 * 16)).astype(np.float32)
    whole = analyse(x, splits, 16)
    first, last = 16 >> int(splits[7]), 16 >> int(splits[16])
    part = folded(x[:, 8 * 16 - 8 : 16 * 16 + 8], splits[8:16], 16, first=first, last=last, behind=8)
    assert np.allclose(coefficients(part, splits[8:16], 16), whole[:, 8:16], atol=1e-6)


def test_frames_are_rendered_between_their_neighbours():
    rng = np.random.default_rng(3)
    splits = rng.integers(0, 3, 12).astype(np.uint8)
    weights = np.rint(rng.normal(size=(1, 12, 16)) * 2**20)
    whole = synthesized(weights, splits)
    part = synthesized(weights[:, 3:9], splits[3:9])
    assert (part[:, 16:-16] == whole[:, 4 * 16 : 8 * 16]).all()


def test_the_largest_weights_stay_exact():
    """Sums of whole numbers in float64 are those of Python's integers."""
    x = np.full((1, 8192), 2.0**27) * np.where(np.arange(8192) % 3, 1, -1)
    found = whole_dct4(x)
    assert np.isfinite(found).all() and np.abs(found).max() < 2.0**34
    assert (found == whole_dct4(x[:, ::1].copy())).all()
