"""Predictions, against a plain implementation sample by sample, and what follows from their definition."""

from dataclasses import replace

import numpy as np
import pytest

from moving.test_motion import random_motion
from nfcodec.moving.motion import BOTH, Motion, grid, standing
from nfcodec.moving.prediction import LARGEST_SAMPLE, OVERLAP, Reference, predicted, window

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


def heard(motion):
    """Top, left, side and the block whose motion it has, of all that is heard: blocks, around the picture copies of
    them, and of split ones the quarters."""
    h, w = motion.modes.shape
    for i, j in np.ndindex(h + 2, w + 2):
        y, x = i - 1, j - 1
        at = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
        if at != (y, x) or not motion.parts[at].any():
            yield 16 * y, 16 * x, 16, at
            continue
        for quarter, part in enumerate(motion.parts[at]):
            down, right = divmod(quarter, 2)
            goes_with = {0: (y, x), 1: (y + 2 * down - 1, x), 2: (y, x + 2 * right - 1)}[int(part)]
            yield 16 * y + 8 * down, 16 * x + 8 * right, 8, goes_with


def plain(references, motion, y, x, plane):
    """The prediction at (y, x): what is heard there, each twice its sample under its window."""
    total = 0
    for top, left, side, at in heard(motion):
        down, right, weights = y - top + OVERLAP // 2, x - left + OVERLAP // 2, window(side)
        if 0 <= down < len(weights) and 0 <= right < len(weights):
            mode = motion.modes[at]
            used = (0, 1) if mode == BOTH else (mode, mode)
            both = sum(plain_sample(references[r].planes[plane], y, x, motion.vectors[r][at]) for r in used)
            total += int(weights[down]) * int(weights[right]) * both
    return (total + 1024) >> 11


@pytest.mark.parametrize("count", [1, 2])
def test_against_a_plain_implementation(count):
    references = [Reference(planes(i)) for i in range(count)]
    motion = random_motion(3, grid(37, 50), count, 60)
    assert motion.parts.any(-1).any() and not motion.parts.any(-1).all()
    found = predicted(references, motion)
    rng = np.random.default_rng(0)
    for _ in range(150):
        plane, y, x = (int(rng.integers(n)) for n in found.shape)
        assert found[plane, y, x] == plain(references, motion, y, x, plane)


@pytest.mark.parametrize("side", [8, 16])
def test_windows_add_up(side):
    weights, total = window(side), np.zeros(side * 6 + OVERLAP, np.int64)
    for block in range(6):
        total[side * block : side * block + len(weights)] += weights
    assert (total[OVERLAP : side * 6] == 32).all()


def test_quarters_move_the_border_of_a_block():
    """The left of the middle block goes with the left block: the border lies 8 samples further on. What is heard from
    beyond the picture goes with the middle one."""
    reference, still = Reference(planes(10, (1, 16, 48))), standing((1, 3))
    vectors = still.vectors.copy()
    vectors[0, 0, 0] = (0, 8)
    parts = still.parts.copy()
    parts[0, 1, ::2] = 2
    split = predicted([reference], Motion(still.modes, vectors, still.coded, parts))
    inside = slice(None), slice(4, 12)
    np.testing.assert_array_equal(split[inside][..., :20], reference.planes[inside][..., 2:22])
    np.testing.assert_array_equal(split[inside][..., 28:], reference.planes[inside][..., 28:])


def test_whole_vectors_copy():
    reference = Reference(planes(4, (1, 48, 64)))
    vectors = np.zeros((2, 3, 4, 2), np.int64)
    vectors[0] = (-8, 12)
    still = standing((3, 4))
    motion = Motion(still.modes, vectors, still.coded, still.parts)
    found = predicted([reference], motion)
    np.testing.assert_array_equal(found[:, 2:, :-3], reference.planes[:, :-2, 3:])


def test_standing_blocks_are_the_first_reference_however_they_are_computed():
    references = [Reference(planes(5)), Reference(planes(6))]
    still = standing(grid(37, 50))
    np.testing.assert_array_equal(predicted(references, still), references[0].planes)
    modes = still.modes.copy()
    modes[-1, -1] = 1  # which takes the long way
    found = predicted(references, Motion(modes, still.vectors, still.coded, still.parts))
    np.testing.assert_array_equal(found[:, :20, :20], references[0].planes[:, :20, :20])


def test_both_references_are_averaged():
    references, still = [Reference(planes(7)), Reference(planes(8))], standing(grid(37, 50))
    both = predicted(references, replace(still, modes=np.full_like(still.modes, BOTH)))
    wanted = (references[0].planes.astype(int) + references[1].planes + 1) >> 1
    np.testing.assert_array_equal(both, wanted)


def test_no_sum_leaves_its_type():
    extreme = np.where(np.indices((1, 40, 40)).sum(0) % 2, LARGEST_SAMPLE, -LARGEST_SAMPLE).astype(np.int16)
    motion = random_motion(9, grid(40, 40), 1, 7)
    found = predicted([Reference(extreme)], motion)
    assert np.abs(found).max() <= LARGEST_SAMPLE
