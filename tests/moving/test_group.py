"""The order of the pictures of a group: all of them once, references first."""

import itertools

import numpy as np
import pytest

from nfcodec.errors import CorruptError, FormatError
from nfcodec.moving.fit.structure import anchors, cuts
from nfcodec.moving.group import Anchor, pack_group, pictures, unpack_group


def random_anchors(rng, length, goes_on):
    places = [0, *(i for i in range(1, length) if rng.random() < 0.3)]
    if not goes_on and places[-1] != length - 1:
        places.append(length - 1)
    return [Anchor(at, i == 0 or rng.random() < 0.2) for i, at in enumerate(places)]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("goes_on", [False, True])
def test_every_picture_once_and_after_its_references(seed, goes_on):
    rng = np.random.default_rng(seed)
    length = int(rng.integers(1, 34))
    chosen = random_anchors(rng, length, goes_on)
    found, known = pictures(chosen, length, goes_on=goes_on), {length} if goes_on else set()
    for picture in found:
        assert set(picture.references) <= known and picture.at not in known
        assert picture.heir in (None, *picture.references)
        assert picture.alone == any(a.at == picture.at and a.alone for a in chosen)
        known.add(picture.at)
    assert known == set(range(length + goes_on))
    between = [p for p in found if p.depth]
    assert all(p.references[0] < p.at < p.references[1] for p in between)


def test_nothing_looks_back_over_a_cut():
    chosen = anchors(16, [5], goes_on=False)
    for picture in pictures(chosen, 16, goes_on=False):
        assert all((r < 5) == (picture.at < 5) for r in picture.references)


def test_a_cut_at_the_next_group_is_not_crossed():
    assert anchors(8, [8], goes_on=True)[-1].at == 7
    assert anchors(8, [], goes_on=True)[-1].at == 0


@pytest.mark.parametrize("places", [[], [1], [0, 0, 7], [0, 9], [0, 5]])
def test_anchors_that_leave_pictures_out(places):
    with pytest.raises(CorruptError):
        pictures([Anchor(at, at == 0) for at in places], 8, goes_on=False)


@pytest.mark.parametrize("length", [1, 2, 9])
def test_packing(length):
    chosen = anchors(length, [4], goes_on=False)
    payloads = [bytes(range(i)) for i in range(length)]
    data = pack_group(chosen, payloads)
    assert unpack_group(data, length) == (chosen, payloads)
    for cut, other in itertools.product(range(len(data)), (length, length + 1)):
        with pytest.raises(FormatError):
            unpack_group(data[:cut], other)


def test_scenes():
    frames = [np.full((4, 4), v, np.float32) for v in (0.1, 0.11, 0.1, 0.8, 0.81, 0.8)]
    assert cuts(frames) == [3]
    assert cuts([np.full((4, 4), 0.1 * i, np.float32) for i in range(8)]) == []  # a fade is no cut
