"""Blocks of few colours: which ones are taken, and the sums over them."""

import numpy as np
import pytest

from nfcodec.lattice.fit.palette.blocks import BLOCK, blocky, even_blocks, grown, packed, per_block


def slopes(size):
    """Neighbours differ by one, as in the calm part of a photograph."""
    y, x = np.mgrid[0:size, 0:size]
    return np.repeat(((y + x) % 256).astype(np.uint8)[..., None], 3, 2)


def flat(size, left=20, right=220):
    picture = np.full((size, size, 3), left, np.uint8)
    picture[:, size // 2 + 3 :] = right
    return picture


def test_even_areas_with_an_edge_are_taken():
    even, edged = even_blocks(flat(BLOCK))
    assert even.all() and edged.all()


def test_even_areas_without_an_edge_need_no_overlay():
    even, edged = even_blocks(np.full((BLOCK, BLOCK, 3), 77, np.uint8))
    assert even.all() and not edged.any()


def test_slopes_are_left_to_the_lattice():
    even, edged = even_blocks(slopes(2 * BLOCK))
    assert not even.any() and not edged.any()


def test_noise_has_too_many_colours():
    noise = np.random.default_rng(0).integers(0, 256, (BLOCK, BLOCK, 3)).astype(np.uint8)
    assert not even_blocks(noise)[0].any()


def test_an_edge_between_two_blocks_counts_for_the_first():
    """Each block alone is of one colour; the edge lies on their border."""
    picture = np.full((BLOCK, 2 * BLOCK, 1), 10, np.uint8)
    picture[:, BLOCK:] = 240
    assert even_blocks(picture)[1].tolist() == [[True, False]]


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_as_numbers_are_one_to_one(channels):
    samples = np.random.default_rng(1).integers(0, 256, (40, 30, channels)).astype(np.uint8)
    codes = packed(samples).ravel()
    assert len(np.unique(codes)) == len(np.unique(samples.reshape(-1, channels), axis=0))


def test_masks_of_samples_end_with_the_picture():
    blocks = np.array([[True, False], [False, True]])
    mask = blocky(blocks, (BLOCK + 3, BLOCK + 5))
    assert mask.shape == (BLOCK + 3, BLOCK + 5) and mask.sum() == BLOCK * BLOCK + 3 * 5


def test_sums_over_blocks_count_nothing_beyond_the_border():
    plane = np.random.default_rng(2).random((BLOCK + 4, 2 * BLOCK - 1))
    sums = per_block(plane)
    assert sums.shape == (2, 2) and sums.sum() == pytest.approx(plane.sum())
    assert sums[1, 0] == pytest.approx(plane[BLOCK:, :BLOCK].sum())


def test_grown():
    assert grown(np.array([[1, 2]]), 2).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
