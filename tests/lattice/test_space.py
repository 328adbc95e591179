"""How cells become regions, and layers sections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfcodec.container.varint import encode_varint
from nfcodec.errors import CorruptError, FormatError, TruncatedError
from nfcodec.lattice.space import Box, LayerRun, Space, box_of, pack_run, section_run, unpack_run
from nfcodec.lattice.spec import LatticeSpec

RUNS = [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 3)]


# -- regions ---------------------------------------------------------------------------------------------
SIZES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 15)), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_regions_cover_every_cell_once(sizes):
    cells, region = zip(*sizes, strict=True)
    space = Space(cells, region)
    owner = np.full(cells, -1)
    for index in range(space.count):
        box = space.box(index)
        assert box.index == index and all(n <= m for n, m in zip(box.shape, region, strict=True))
        part = owner[box.cells]
        assert part.shape == box.shape and (part == -1).all()
        part[...] = index
    places = [at // r for at, r in zip(np.indices(cells), region, strict=True)]
    np.testing.assert_array_equal(owner, np.ravel_multi_index(places, space.counts))
    rows = [box for y in range(space.rows) for box in space.row(y)]
    assert rows == [space.box(i) for i in range(space.count)]


@settings(max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_touched_regions_are_those_with_cells_in_the_part(sizes, data):
    cells, region = zip(*sizes, strict=True)
    space = Space(cells, region)
    spans = [sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in cells]
    part, seen = box_of(spans), np.zeros(cells, int)
    found = list(space.touched(part))
    assert found == [box for box in map(space.box, range(space.count)) if box.touches(part)]
    for box in found:
        values = np.arange(np.prod(cells)).reshape(cells)[box.cells][part.within(box)]
        seen[part.cells][box.within(part)] += values + 1
    np.testing.assert_array_equal(seen[part.cells], np.arange(1, np.prod(cells) + 1).reshape(cells)[part.cells])


def test_rows_of_regions():
    space = Space((300, 129), (128, 128))
    assert (space.rows, space.row_size, space.count, space.chunk_rows) == (3, 2, 6, 128)
    assert [b.index for b in space.row(1)] == [2, 3]
    assert [b.shape for b in space.row(2)] == [(44, 128), (44, 1)]
    assert Space((5, 999), (128, 128)).chunk_rows == 5
    assert Space((1000,), (300,)).row_size == 1
    assert space.around(space.box(3), 5) == Box(3, (123, 123), (261, 129))


@pytest.mark.parametrize(
    ("shape", "cells"), [((1, 1), (1, 1)), ((8, 9), (1, 2)), ((1024, 1025), (128, 129)), ((65_535, 1), (8192, 1))]
)
def test_cells_of_a_picture(shape, cells):
    assert Space.of(shape, LatticeSpec()).cells == cells


def test_huge_spaces_cost_nothing():
    assert Space((2**60, 2**60), (128, 128)).count == 2**106


# -- sections --------------------------------------------------------------------------------------------
def test_indices_of_sections():
    """Part of the format."""
    assert [section_run(i) for i in range(6)] == [(0, 0, first, count) for first, count in RUNS]
    assert section_run(6 * 1000 + 4) == (1000, 0, 1, 2)
    assert section_run(6 * (3 * 1000 + 2) + 4, 3) == (1000, 2, 1, 2)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**59), st.sampled_from(RUNS), st.integers(1, 4), st.data())
def test_runs_of_layers_come_back(region, numbers, levels, data):
    payloads = tuple(data.draw(st.binary(max_size=300)) for _ in range(numbers[1]))
    run = LayerRun(region, numbers[0], payloads, data.draw(st.integers(0, levels - 1)))
    assert unpack_run(pack_run(run, levels), levels) == run


def test_bytes_of_a_run():
    """Index, lengths of all layers but the last, layers: written down from the format."""
    assert pack_run(LayerRun(2, 0, (b"ab", b"", b"c" * 5))) == bytes([17, 2, 0]) + b"abccccc"
    assert pack_run(LayerRun(0, 2, (b"xyz",))) == b"\x02xyz"
    assert pack_run(LayerRun(43, 1, (b"q" * 200, b""))) == encode_varint(262) + b"\xc8\x01" + b"q" * 200
    assert pack_run(LayerRun(2, 0, (b"a",), 1), 2) == bytes([30]) + b"a"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError), (b"\x80", TruncatedError), (b"\x80\0", CorruptError), (b"\x05\x01", TruncatedError),
        (b"\x05\x02\x02abc", CorruptError), (b"\x03\x04abc", CorruptError), (b"\x05\x80\0\0", CorruptError),
        (b"\x05" + encode_varint(2**63) * 2, CorruptError), (b"\x05" + b"\xff" * 11, CorruptError),
    ],
)  # fmt: skip
def test_runs_that_are_none(data, error):
    with pytest.raises(FormatError) as caught:
        unpack_run(data)
    assert type(caught.value) is error
