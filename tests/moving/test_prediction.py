"""Predictions, against a plain implementation sample by sample, and what follows from their definition."""

import numpy as np
import pytest

from moving.test_motion import random_motion
from nfcodec.moving.motion import BOTH, Motion, grid, standing
from nfcodec.moving.prediction import LARGEST_SAMPLE, OVERLAP, SPAN, Reference, predicted, window

TAPS = {0: (0, 0, 0, 64, 0, 0, 0, 0), 1: (-1, 4, -10, 58, 17, -5, 1, 0), 2: (-1, 4, -11, 40, 40, -11, 4, -1),
        3: (0, 1, -5, 17, 58, -10, 4, -1)}  # fmt: skip


def planes(seed, shape=(2, 37, 50)):
    rng = np.random.default_rng(seed)
    return rng.integers(-LARGEST_SAMPLE, LARGEST_SAMPLE + 1, shape).astype(np.int16)


def plain_filter(line, at, phase):
    places = [min(max(at + i, 0), len(line) - 1) for i in range(-3, 5)]
    total = (sum(t * int(line[p]) for t, p in zip(TAPS[phase], places, strict=True)) + 32) >> 6
    return max(-LARGEST_SAMPLE, min(LARGEST_SAMPLE, total))


def plain_sample(plane, y, x, vector):
    """A sample at (y, x), moved by a vector: along rows, then along columns."""
    rows = [min(max(y + (vector[0] >> 2) + i, 0), len(plane) - 1) for i in range(-3, 5)]
    across = [plain_filter(plane[r], x + (vector[1] >> 2), vector[1] & 3) for r in rows]
    if not vector[0] & 3:
        return across[3]
    total = (sum(t * a for t, a in zip(TAPS[vector[0] & 3], across, strict=True)) + 32) >> 6
    return max(-LARGEST_SAMPLE, min(LARGEST_SAMPLE, total))


def plain(references, motion, y, x, plane):
    """The prediction at (y, x): up to four blocks around, each twice its sample under its window."""
    h, w = motion.modes.shape
    weights, total = window(), 0
    for i in range(-1, h + 1):
        for j in range(-1, w + 1):
            down, right = y - (16 * i - OVERLAP // 2), x - (16 * j - OVERLAP // 2)
            if 0 <= down < SPAN and 0 <= right < SPAN:
                at = min(max(i, 0), h - 1), min(max(j, 0), w - 1)
                mode = motion.modes[at]
                used = (0, 1) if mode == BOTH else (mode, mode)
                both = sum(plain_sample(references[r].planes[plane], y, x, motion.vectors[r][at]) for r in used)
                total += int(weights[down]) * int(weights[right]) * both
    return (total + 1024) >> 11


@pytest.mark.parametrize("count", [1, 2])
def test_against_a_plain_implementation(count):
    references = [Reference(planes(i)) for i in range(count)]
    motion = random_motion(3, grid(37, 50), count, 60)
    found = predicted(references, motion)
    rng = np.random.default_rng(0)
    for _ in range(150):
        plane, y, x = (int(rng.integers(n)) for n in found.shape)
        assert found[plane, y, x] == plain(references, motion, y, x, plane)


def test_windows_add_up():
    weights, total = window(), np.zeros(16 * 5 + SPAN, np.int64)
    for block in range(6):
        total[16 * block : 16 * block + SPAN] += weights
    assert (total[OVERLAP : 16 * 5 + 16] == 32).all()


def test_whole_vectors_copy():
    reference = Reference(planes(4, (1, 48, 64)))
    vectors = np.zeros((2, 3, 4, 2), np.int64)
    vectors[0] = (-8, 12)
    motion = Motion(np.zeros((3, 4), np.uint8), vectors, np.zeros((3, 4), bool))
    found = predicted([reference], motion)
    np.testing.assert_array_equal(found[:, 2:, :-3], reference.planes[:, :-2, 3:])


def test_standing_blocks_are_the_first_reference_however_they_are_computed():
    references = [Reference(planes(5)), Reference(planes(6))]
    still = standing(grid(37, 50))
    np.testing.assert_array_equal(predicted(references, still), references[0].planes)
    modes = still.modes.copy()
    modes[-1, -1] = 1  # which takes the long way
    found = predicted(references, Motion(modes, still.vectors, still.coded))
    np.testing.assert_array_equal(found[:, :20, :20], references[0].planes[:, :20, :20])


def test_both_references_are_averaged():
    references, still = [Reference(planes(7)), Reference(planes(8))], standing(grid(37, 50))
    both = predicted(references, Motion(np.full_like(still.modes, BOTH), still.vectors, still.coded))
    wanted = (references[0].planes.astype(int) + references[1].planes + 1) >> 1
    np.testing.assert_array_equal(both, wanted)


def test_no_sum_leaves_its_type():
    extreme = np.where(np.indices((1, 40, 40)).sum(0) % 2, LARGEST_SAMPLE, -LARGEST_SAMPLE).astype(np.int16)
    motion = random_motion(9, grid(40, 40), 1, 7)
    found = predicted([Reference(extreme)], motion)
    assert np.abs(found).max() <= LARGEST_SAMPLE
