"""What quarters of blocks go with, to a stream and back."""

import numpy as np
import pytest

from nfcodec.entropy.adaptive import Counts, Reader, Writer
from nfcodec.errors import CorruptError
from nfcodec.moving.parts import ACROSS, BESIDE, CONTEXTS, OWN, Unlike, exchange, sources, touched


def unlike(vectors):
    """Of blocks (h, w) with one reference, from one number each."""
    flat = np.zeros((2, vectors.size, 2), np.int64)
    flat[0, :, 0] = vectors.ravel()
    return Unlike.of(np.zeros(vectors.size, np.int64), flat, vectors.shape)


def coded(parts, of):
    writer = Writer()
    exchange(writer, Counts.of(CONTEXTS), parts, of, 0)
    return writer.finish()


def test_quarters_touch_what_lies_around():
    assert touched(2, 3)[4].tolist() == [[1, 3], [1, 5], [4, 3], [4, 5]]
    assert touched(2, 3)[0].tolist() == [[0, 0], [0, 1], [3, 0], [3, 1]]


def test_there_and_back():
    of = unlike(np.array([[0, 1, 1], [0, 0, 2]]))
    parts = np.zeros((6, 4), np.uint8)
    parts[4] = ACROSS, BESIDE, OWN, OWN  # the left one is like it: that quarter has one choice alone
    parts[5] = OWN, ACROSS, BESIDE, OWN
    parts[4, 0] = ACROSS
    reader = Reader(coded(parts, of))
    found = exchange(reader, Counts.of(CONTEXTS), None, of, 0)
    reader.finish()
    np.testing.assert_array_equal(found, parts)


def test_what_moves_as_one_costs_nothing():
    of = unlike(np.full((9, 9), 5))
    assert not of.any.any()
    assert len(coded(np.zeros((81, 4), np.uint8), of)) <= len(Writer().finish())


def test_neighbours_that_move_alike_are_one_choice():
    """Whoever reads finds the first of them."""
    of = unlike(np.array([[3, 3], [3, 0]]))
    assert of.around[3].tolist() == [[True, True], [True, False], [False, True], [False, False]]
    assert not of.between[3, 0] and not of.free.any()


def test_a_split_block_whose_quarters_all_go_with_it():
    of = unlike(np.array([[0, 7]]))
    writer = Writer()
    counts = Counts.of(CONTEXTS)
    writer.flags(np.array([True, False]), of.contexts(), counts)
    writer.flags(np.zeros(2, np.int64), of.quarter_contexts()[0, 1::2], counts)
    with pytest.raises(CorruptError, match="as it does"):
        exchange(Reader(writer.finish()), Counts.of(CONTEXTS), None, of, 0)


def test_sources():
    parts = np.array([[OWN, ACROSS, BESIDE, OWN]], np.uint8)
    assert sources(parts, np.array([4]), (3, 3)).tolist() == [[4, 1, 3, 4]]
