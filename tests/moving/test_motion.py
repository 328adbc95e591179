"""Motion to a stream and back, whatever it is."""

import numpy as np
import pytest

from nfcodec.entropy.adaptive import LENGTHS, Counts, Reader, Writer, numbers
from nfcodec.errors import CorruptError
from nfcodec.moving.motion import BOTH, CONTEXTS, Motion, exchange, grid, middle, passes, standing


def random_motion(seed, shape, references, largest=40):
    rng = np.random.default_rng(seed)
    modes = rng.integers(0, 3, shape).astype(np.uint8) if references == 2 else np.zeros(shape, np.uint8)
    vectors = rng.integers(-largest, largest + 1, (2, *shape, 2)) * (rng.random((2, *shape, 1)) < 0.5)
    for r in range(2):
        vectors[r][(modes != r) & (modes != BOTH)] = 0
    if references == 1:
        vectors[1] = 0
    return Motion(modes, vectors, rng.random(shape) < 0.3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3), (9, 16)])
@pytest.mark.parametrize("references", [1, 2])
def test_there_and_back(shape, references):
    motion = random_motion(sum(shape), shape, references, 8000)
    writer, there, back = Writer(), Counts.of(CONTEXTS), Counts.of(CONTEXTS)
    exchange(writer, there, motion, shape, references)
    reader = Reader(writer.finish())
    found = exchange(reader, back, None, shape, references)
    reader.finish()
    np.testing.assert_array_equal(found.numbers(), motion.numbers())
    np.testing.assert_array_equal(there._counts, back._counts)


def test_standing_blocks_cost_next_to_nothing():
    shape = (30, 54)
    writer = Writer()
    exchange(writer, Counts.of(CONTEXTS), standing(shape), shape, 2)
    assert len(writer.finish()) < 24


def test_damage_is_found():
    shape, motion = (6, 6), random_motion(1, (6, 6), 2)
    writer = Writer()
    exchange(writer, Counts.of(CONTEXTS), motion, shape, 2)
    data = writer.finish()
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x5A
        reader = Reader(bytes(bad))
        with pytest.raises(CorruptError):  # noqa: PT012 (either finds it)
            exchange(reader, Counts.of(CONTEXTS), None, shape, 2)
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
