"""Between values and planes."""

import numpy as np
import pytest
import torch

from nfcodec.errors import CorruptError
from nfcodec.lattice.planes import MID_SIDE_SET, OPPONENT_SET, PLAIN_SET, offset_of, places, planes_of
from nfcodec.lattice.spec import MID_SIDE, OPPONENT, PLAIN, LatticeSpec, Plane

CASES = [(OPPONENT_SET, 3), (OPPONENT_SET, 1), (MID_SIDE_SET, 2), (MID_SIDE_SET, 1), (PLAIN_SET, 1)]


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize(("planes", "channels"), CASES)
@pytest.mark.parametrize("shape", [(5, 7), (9,), (2, 3, 4)])
def test_planes_and_back(planes, channels, shape, library):
    values = np.random.default_rng(0).random((*shape, channels)).astype(np.float32)
    found = planes.to_planes(library(values), 0.5)
    assert found.shape == (len(planes.names), *shape) and found.dtype == library(values).dtype
    np.testing.assert_allclose(planes.to_values(found, channels, 0.5), values, atol=1e-6)
    squared = np.square(values - 0.5).sum()  # orthonormal: errors are the same in both, up to the unit
    np.testing.assert_allclose(np.square(np.asarray(found)).sum(), planes.unit(channels) * squared, rtol=1e-5)


@pytest.mark.parametrize("planes", [OPPONENT_SET, MID_SIDE_SET])
def test_one_channel_is_the_first_plane(planes):
    grey = np.full((2, 2, 1), 0.9, np.float32)
    found = planes.to_planes(grey, 0.5)
    assert not found[1:].any() and planes.coded(1) == 1 and planes.coded(planes.channels) == planes.channels
    np.testing.assert_allclose(planes.to_planes(np.repeat(grey, planes.channels, -1), 0.5), found, atol=1e-6)


def test_opponents_of_colours():
    """Luma is the mean of the channels times √3, as everywhere in the format."""
    red = np.array([[1.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(OPPONENT_SET.to_planes(red, 0.0)[:, 0], [3**-0.5, 2**-0.5, 6**-0.5], atol=1e-6)
    assert offset_of("audio") == 0.0 and offset_of("image") == offset_of("array") == 0.5


def test_sets_are_known_by_the_names_of_all_levels():
    specs = [LatticeSpec.of(spacing=(4,), planes=p) for p in (PLAIN, MID_SIDE, OPPONENT)]
    assert [planes_of([s]) for s in specs] == [PLAIN_SET, MID_SIDE_SET, OPPONENT_SET]
    chroma = LatticeSpec.of(spacing=(4,), planes=[Plane("red-blue"), Plane("magenta-green")])
    luma = LatticeSpec.of(spacing=(4,), planes=[Plane("luma")])
    assert planes_of([luma, chroma]) == OPPONENT_SET and places(chroma, OPPONENT_SET) == [1, 2]
    for wrong in ([luma], [chroma], [luma, specs[0]]):
        with pytest.raises(CorruptError, match="planes"):
            planes_of(wrong)
    swapped = LatticeSpec.of(spacing=(4,), planes=[Plane("magenta-green"), Plane("luma")])
    with pytest.raises(CorruptError, match="order"):
        places(swapped, OPPONENT_SET)
