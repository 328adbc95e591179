"""How cells become regions, and layers sections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfcodec.container.varint import encode_varint
from nfcodec.errors import CorruptError, FormatError, TruncatedError
from nfcodec.lattice.regions import LAYERS, REGION, LayerRun, Layout, pack_run, section_run, unpack_run

RUNS = [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 3)]


# -- layout ----------------------------------------------------------------------------------------------
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700))
def test_regions_cover_every_cell_once(height, width):
    layout = Layout((height, width))
    owner = np.full((height, width), -1)
    for index in range(layout.count):
        region = layout.region(index)
        assert region.index == index and max(region.shape) <= REGION
        part = owner[region.top : region.bottom, region.left : region.right]
        assert part.shape == region.shape and (part == -1).all()
        part[:] = index
    assert (owner >= 0).all()
    rows, columns = np.indices(owner.shape) // REGION
    np.testing.assert_array_equal(owner, rows * layout.columns + columns)


def test_rows_of_regions():
    layout = Layout((300, 129))
    assert (layout.rows, layout.columns, layout.count, layout.chunk_rows) == (3, 2, 6, 128)
    assert [r.index for r in layout.row(1)] == [2, 3]
    assert [r.shape for r in layout.row(2)] == [(44, 128), (44, 1)]
    assert Layout((5, 999)).chunk_rows == 5


@pytest.mark.parametrize(
    ("shape", "cells"), [((1, 1), (1, 1)), ((8, 9), (1, 2)), ((1024, 1025), (128, 129)), ((65_535, 1), (8192, 1))]
)
def test_cells_of_a_picture(shape, cells):
    assert Layout.of(shape, (8, 8)).cells == cells


def test_huge_layouts_cost_nothing():
    assert Layout((2**60, 2**60)).count == 2**106


# -- sections --------------------------------------------------------------------------------------------
def test_indices_of_sections():
    """Part of the format."""
    assert [section_run(i) for i in range(6)] == [(0, first, count) for first, count in RUNS]
    assert section_run(6 * 1000 + 4) == (1000, 1, 2)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**61), st.sampled_from(RUNS), st.data())
def test_runs_of_layers_come_back(region, numbers, data):
    payloads = tuple(data.draw(st.binary(max_size=300)) for _ in range(numbers[1]))
    run = LayerRun(region, numbers[0], payloads)
    assert unpack_run(pack_run(run)) == run


def test_bytes_of_a_run():
    """Index, lengths of all layers but the last, layers: written down from the format."""
    assert pack_run(LayerRun(2, 0, (b"ab", b"", b"c" * 5))) == bytes([17, 2, 0]) + b"abccccc"
    assert pack_run(LayerRun(0, 2, (b"xyz",))) == b"\x02xyz"
    assert pack_run(LayerRun(43, 1, (b"q" * 200, b""))) == encode_varint(262) + b"\xc8\x01" + b"q" * 200
    assert LAYERS == 3


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
