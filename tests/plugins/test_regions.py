"""Regions of training samples: inside the picture, of the shape and share asked for, and the same for one seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfcodec.errors import OptionError
from nfcodec.plugins.regions import Regions

SIDES = st.integers(1, 400)


def draw(seed=0):
    return np.random.default_rng(seed)


def test_whole():
    assert Regions(None).choose((30, 20), draw()).box == (0, 0, 30, 20)


@pytest.mark.parametrize(
    ("picture", "size", "box"),
    [((30, 20), (10, 10), (5, 0, 20, 20)), ((20, 30), (10, 10), (0, 5, 20, 20)), ((40, 20), (20, 10), (0, 0, 40, 20))],
)
def test_centre_is_the_largest_of_the_shape(picture, size, box):
    assert Regions(size, "centre").choose(picture, draw()).box == box


@given(SIDES, SIDES, st.integers(0, 2**32))
def test_random_regions_lie_inside(width, height, seed):
    x, y, w, h = Regions((64, 64), "random").choose((width, height), draw(seed)).box
    assert x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= width and y + h <= height


def test_random_regions_have_the_share_and_the_shape_asked_for():
    regions = Regions((100, 50), "random", area=(0.2, 0.3), ratio=(0.9, 1.1))
    random = draw()
    for _ in range(200):
        _, _, w, h = regions.choose((1000, 1000), random).box
        assert 0.195 <= w * h / 1e6 <= 0.305 and 1.78 <= w / h <= 2.22


def test_what_cannot_be_had_becomes_the_centre():
    regions = Regions((10, 10), "random", area=(1.0, 1.0), ratio=(1.0, 1.0))
    assert regions.choose((50, 20), draw()).box == (15, 0, 20, 20)


def test_one_seed_gives_one_region():
    regions = Regions((64, 64), "random", mirror=True)
    assert regions.choose((500, 300), draw(7)) == regions.choose((500, 300), draw(7))


def test_half_are_mirrored_where_asked():
    random = draw()
    shown = [Regions(None, mirror=True).choose((9, 9), random).mirrored for _ in range(400)]
    assert 150 < sum(shown) < 250
    assert not Regions(None).choose((9, 9), random).mirrored


def test_a_box_must_lie_in_every_picture():
    regions = Regions(None, (5, 5, 10, 10))
    assert regions.choose((15, 15), draw()).box == (5, 5, 10, 10)
    with pytest.raises(OptionError, match="5,5,10,10 reaches outside 14x15"):
        regions.choose((14, 15), draw())


@pytest.mark.parametrize(
    "options",
    [
        {"size": (0, 5)}, {"size": (3.5, 4)}, {"size": (3,)}, {"crop": "middle"}, {"crop": (0, 0, 0, 5)},
        {"crop": (-1, 0, 3, 5)}, {"crop": (0, 0, 3)}, {"area": (0.0, 1.0)}, {"area": (0.5, 0.2)}, {"area": (0.5, 1.2)},
        {"ratio": (0.0, 1.0)}, {"ratio": (1.0, float("inf"))}, {"ratio": "wide"},
    ],
)  # fmt: skip
def test_impossible_options(options):
    with pytest.raises(OptionError):
        Regions(**{"size": None, **options})
