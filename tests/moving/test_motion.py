"""Motion to a stream and back, whatever it is."""

import numpy as np
import pytest

from nfcodec.entropy.adaptive import LENGTHS, Counts, Reader, Writer, numbers
from nfcodec.errors import CorruptError
from nfcodec.moving.motion import BOTH, FIRST, SECOND, Motion, Past, grid, middle, passes, speeds, standing
from nfcodec.moving.motion_code import exchange
from nfcodec.moving.parts import ACROSS, BESIDE, OWN, QUARTERS, Unlike


def random_motion(seed, shape, references, largest=40):
    rng = np.random.default_rng(seed)
    modes = rng.integers(0, 3, shape).astype(np.uint8) if references == 2 else np.zeros(shape, np.uint8)
    vectors = rng.integers(-largest, largest + 1, (2, *shape, 2)) * (rng.random((2, *shape, 1)) < 0.5)
    for r in range(2):
        vectors[r][(modes != r) & (modes != BOTH)] = 0
    if references == 1:
        vectors[1] = 0
    return Motion(modes, vectors, rng.random(shape) < 0.3, random_parts(rng, modes, vectors))


def random_parts(rng, modes, vectors):
    unlike = Unlike.of(modes.ravel(), vectors.reshape(2, -1, 2), modes.shape)
    parts = rng.integers(0, 3, (modes.size, QUARTERS)) * (rng.random((modes.size, 1)) < 0.5)
    for kind, side in ((ACROSS, 0), (BESIDE, 1)):
        parts[(parts == kind) & ~unlike.around[..., side]] = OWN
    parts[(parts == BESIDE) & unlike.around.all(2) & ~unlike.between] = ACROSS
    return parts.reshape(*modes.shape, QUARTERS).astype(np.uint8)


def new():
    return Past.of(None)


def size(motion, past, distances):
    writer = Writer()
    exchange(writer, past, motion, motion.modes.shape, distances)
    return len(writer.finish())


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3), (9, 16)])
@pytest.mark.parametrize("distances", [(-8,), (-3, 4)])
@pytest.mark.parametrize("goes_on", [False, True])
def test_there_and_back(shape, distances, goes_on):
    motion = random_motion(sum(shape), shape, len(distances), 8000)
    heir = random_motion(sum(shape) + 1, shape, 2, 8000)
    past = new().after(heir, (-1, 1)) if goes_on else None
    writer, there, back = Writer(), Past.of(past), Past.of(past)
    exchange(writer, there, motion, shape, distances)
    reader = Reader(writer.finish())
    found = exchange(reader, back, None, shape, distances)
    reader.finish()
    np.testing.assert_array_equal(found.numbers(), motion.numbers())
    np.testing.assert_array_equal(there.counts._counts, back.counts._counts)


def test_standing_blocks_cost_next_to_nothing():
    shape = (30, 54)
    assert size(standing(shape), new(), (-1, 1)) < 24


def test_speeds():
    """Of two references the first one tells, if it is used; 64ths of a quarter sample, rounded down."""
    modes = np.array([[FIRST, SECOND, BOTH]], np.uint8)
    vectors = np.array([[[[6, -9], [0, 0], [4, 1]]], [[[0, 0], [7, 1], [9, 9]]]])
    motion = Motion(modes, vectors, np.zeros((1, 3), bool), np.zeros((1, 3, 4), np.uint8))
    assert speeds(motion, (-3, 5)).tolist() == [[[-128, 192], [89, 12], [-86, -22]]]
    assert speeds(motion, (-3,))[0, 0].tolist() == [-128, 192]


def test_what_goes_on_as_before_needs_no_vectors():
    """Blocks that move all over the place, in a picture between its heir's first reference and the heir."""
    shape, rng = (8, 9), np.random.default_rng(0)
    vectors = 8 * rng.integers(-20, 21, (1, *shape, 2))
    heir = Motion(standing(shape).modes, np.concatenate([vectors, 0 * vectors]), *_no_more(shape))
    between = Motion(np.full(shape, BOTH, np.uint8), np.concatenate([vectors // 2, -vectors // 2]), *_no_more(shape))
    assert size(between, new().after(heir, (-8,)), (-4, 4)) < 0.25 * size(between, new(), (-4, 4))


def test_vectors_of_neighbours_are_cheap():
    """Blocks that move as one or another of two, at random, against blocks with vectors of their own."""
    shape, rng = (12, 14), np.random.default_rng(4)
    two = rng.integers(0, 2, (1, *shape, 1)) * np.array([81, -67])
    own = two + rng.integers(-9, 10, (1, *shape, 2))
    motions = [Motion(standing(shape).modes, np.concatenate([v, 0 * v]), *_no_more(shape)) for v in (two, own)]
    cheap, dear = (size(m, new(), (-1,)) for m in motions)
    assert 8 * cheap < 5 * 12 * 14 and dear > 3 * cheap


def _no_more(shape):
    still = standing(shape)
    return still.coded, still.parts


def test_damage_is_found():
    shape, motion = (6, 6), random_motion(1, (6, 6), 2)
    writer = Writer()
    exchange(writer, new(), motion, shape, (-1, 1))
    data = writer.finish()
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x5A
        reader = Reader(bytes(bad))
        with pytest.raises(CorruptError):  # noqa: PT012 (either finds it)
            exchange(reader, new(), None, shape, (-1, 1))
            reader.finish()
            raise CorruptError("other motion, which is well written")


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 11)])
def test_passes_hold_every_block_once_between_earlier_ones(shape):
    known = set()
    for step in passes(*shape):
        for at, near, there in zip(step.at, step.near, step.there, strict=True):
            assert at not in known and set(near[there].tolist()) <= known
        known.update(step.at.tolist())
    assert known == set(range(shape[0] * shape[1]))


def test_middle():
    values = np.array([[3, -1, 7, 5], [3, -1, 7, 5], [3, 0, 0, 0], [-3, 0, 0, 0], [9, 9, 9, 9]])
    there = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]) > 0
    assert middle(values, there).tolist() == [4, 3, 1, -2, 0]


def test_numbers_there_and_back():
    rng = np.random.default_rng(0)
    values = rng.integers(-(2**14) + 1, 2**14, 300) >> rng.integers(0, 14, 300)
    contexts = rng.integers(0, 3, 300)
    writer = Writer()
    numbers(writer, values, contexts, Counts.of(3 * LENGTHS + 2), first=0, plain=3 * LENGTHS)
    reader = Reader(writer.finish())
    found = numbers(reader, None, contexts, Counts.of(3 * LENGTHS + 2), first=0, plain=3 * LENGTHS)
    reader.finish()
    np.testing.assert_array_equal(found, values)


def test_chances_are_learned():
    def size(share):
        flags, writer, counts = (np.random.default_rng(1).random((300, 100)) < share), Writer(), Counts.of(1)
        for row in flags:
            writer.flags(row, np.zeros(100, np.int64), counts)
        return len(writer.finish()) * 8 / flags.size

    for share in (0.5, 0.1, 0.01):
        assert size(share) == pytest.approx(-share * np.log2(share) - (1 - share) * np.log2(1 - share), rel=0.1)


def test_blocks_cover_the_picture():
    assert grid(1, 17) == (1, 2) and grid(480, 854) == (30, 54)
