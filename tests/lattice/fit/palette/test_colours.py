"""Palettes: exact where colours are few, and the number of colours follows what errors are worth."""

import numpy as np
import pytest

from nfcodec.lattice.fit.palette.colours import candidates, colours_of, palette_of


def drawn(colours, size=32, seed=0):
    random = np.random.default_rng(seed)
    table = random.choice(256**3, colours, replace=False)
    table = np.stack([table >> 16, table >> 8 & 255, table & 255], 1).astype(np.uint8)
    return table[random.integers(0, colours, (size, size))]


def everywhere(samples):
    return np.ones(samples.shape[:2], bool)


def test_colours_are_counted():
    samples = drawn(5)
    found = colours_of(samples, everywhere(samples))
    assert len(found.colours) == 5 and found.counts.sum() == 32 * 32
    assert np.array_equal(found.colours[found.of], samples)


def test_what_is_not_in_the_mask_has_no_colour():
    samples = drawn(5)
    mask = everywhere(samples)
    mask[:, 16:] = False
    found = colours_of(samples, mask)
    assert (found.of[:, 16:] == -1).all() and found.counts.sum() == 32 * 16


def test_very_many_colours_are_gathered():
    noise = np.random.default_rng(3).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    found = colours_of(noise, everywhere(noise))
    assert len(found.colours) <= 4095
    assert np.abs(found.colours[found.of] - noise).max() < 128, "gathered by their upper bits, so still near"


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_palette_of_all_colours_is_exact(count):
    samples = drawn(count)
    colours = colours_of(samples, everywhere(samples))
    palette, of = palette_of(colours, count)
    assert np.array_equal(palette[of[colours.of]], samples)


def test_palettes_are_sorted_from_dark_to_light():
    samples = drawn(20)
    palette, _ = palette_of(colours_of(samples, everywhere(samples)), 12)
    light = palette.astype(int).sum(1)
    assert len(palette) <= 12 and (np.diff(light) >= 0).all()


def test_every_colour_gets_the_nearest_of_the_palette():
    samples = drawn(40)
    colours = colours_of(samples, everywhere(samples))
    palette, of = palette_of(colours, 6)
    away = ((colours.colours[:, None] - palette[None].astype(float)) ** 2).sum(2)
    assert np.allclose(away[np.arange(len(of)), of], away.min(1))


def test_dear_errors_ask_for_more_colours():
    samples = drawn(30)
    colours = colours_of(samples, everywhere(samples))
    cheap, dear = (len(candidates(colours, worth)[0][1]) for worth in (1e-6, 10.0))
    assert cheap < dear == 30


def test_candidates_come_best_first():
    colours = colours_of(drawn(30), everywhere(drawn(30)))
    bits = [b for b, _, _ in candidates(colours, 0.01)]
    assert len(bits) > 1 and bits == sorted(bits)
