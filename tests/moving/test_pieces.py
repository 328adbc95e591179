"""Clips read and written piece by piece: what is held meanwhile, and what is decoded ahead."""

import numpy as np
import pytest
import torch

from moving.small import small_init
from moving.test_clips import init, opened, panned, values  # noqa: F401 - fixtures among them
from nfcodec.entropy.adaptive import Counts, Reader, Writer
from nfcodec.errors import CorruptError
from nfcodec.lattice.synthesis import whole_to_values
from nfcodec.moving import residual, stored
from nfcodec.moving.fit import transform
from nfcodec.moving.motion import CONTEXTS, FINE
from nfcodec.moving.residual import Cells, coarse, exchange, fine
from nfcodec.moving.values import values_of
from nfcodec.options import DecodeOptions
from nfcodec.parallel import limited


@pytest.mark.parametrize("threads", [1, 3])
def test_pieces_are_those_of_the_whole(init, panned, monkeypatch, threads):  # noqa: F811
    _, data = panned
    whole = values(data, init)
    monkeypatch.setattr(stored, "_PIECE", 41 * 50)
    with limited(threads):
        blocks = [b.values for b in opened(data, init).blocks(DecodeOptions())]
        np.testing.assert_array_equal(np.concatenate(blocks), whole)
        assert {len(b) for b in blocks} == {1}
        np.testing.assert_array_equal(values(data, init, time=(0.5, 1.2)), whole[5:12])


def test_what_is_not_expected_is_not_decoded(init, panned, monkeypatch):  # noqa: F811
    """Frames 9 and 11 of the second group, 8 … 15."""
    _, data = panned
    monkeypatch.setattr(stored, "_PIECE", 41 * 50)
    decoder = opened(data, init)
    found = list(decoder.blocks(DecodeOptions(time=(0.9, 1.0))))
    assert len(found) == 1
    assert 7 not in decoder.field._group(1)._known
    assert sorted(decoder.field._group(2)._known) == [0]


@pytest.mark.parametrize(("planes", "of", "channels"), [(3, 3, 3), (1, 3, 1)])
def test_values_are_those_of_a_lattice(planes, of, channels):
    samples = np.random.default_rng(0).integers(-8191, 8192, (planes, 300, 70)).astype(np.int16)
    wide = np.zeros((of, 300, 70))
    wide[:planes] = samples
    np.testing.assert_array_equal(values_of(samples, of, channels), whole_to_values(wide * 2.0**19, channels, 0.5))


# -- symbols of high frequency ---------------------------------------------------------------------------
def residual_symbols(*, high):
    level, blocks = small_init().residuals, np.ones((2, 3), bool)
    cells = Cells.of(blocks, (32, 48), level.spec.spacing)
    symbols = np.random.default_rng(0).integers(-2, 3, (3, 64, 4, 6)).astype(np.int32)
    if not high:
        symbols[1:, coarse(64) :] = 0
    return level, cells, symbols


@pytest.mark.parametrize("high", [False, True])
def test_fine_symbols_are_coded_where_there_are_any(high):
    level, cells, symbols = residual_symbols(high=high)
    assert fine(symbols) == high
    writer = Writer()
    exchange(writer, level, symbols, cells, quality=60, planes=3, counts=Counts.of(CONTEXTS))
    reader = Reader(writer.finish())
    found = exchange(reader, level, None, cells, quality=60, planes=3, counts=Counts.of(CONTEXTS))
    reader.finish()
    np.testing.assert_array_equal(found, symbols)


def test_a_residual_must_not_tell_of_fine_symbols_that_it_lacks(monkeypatch):
    level, cells, symbols = residual_symbols(high=False)
    told = np.array([True]), np.array([FINE]), Counts.of(CONTEXTS)
    monkeypatch.setattr(residual, "_told", lambda stream, *_: bool(stream.flags(*told)[0]))
    with pytest.raises(CorruptError, match="without the fine"):
        exchange(Writer(), level, symbols, cells, quality=60, planes=3, counts=Counts.of(CONTEXTS))


@pytest.mark.parametrize(("step", "worth"), [(2.9, True), (2.7, False)])
def test_fine_symbols_are_kept_where_they_save_more_than_their_bits(step, worth):
    """A symbol of one step that is exact saves step² / λ, here 8.41 or 7.29; eight bits are what it may cost."""
    symbols = np.zeros((3, 64, 2, 2), np.int32)
    symbols[1, 63, 0, 0] = symbols[0, 63, 1, 1] = 1
    sizes = torch.full((3, 64, 1, 1), step)
    assert transform._worth_fine(symbols, torch.from_numpy(symbols).float() * sizes, sizes, 1.0) == worth
