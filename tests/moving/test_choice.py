"""What is decided about blocks: cheap where nothing is lost, and quarters where borders of what moves lie."""

import numpy as np
import pytest
from helpers import painting

from nfcodec.entropy.adaptive import Writer
from nfcodec.moving import motion as moves
from nfcodec.moving import motion_code
from nfcodec.moving.fit.choice import moved
from nfcodec.moving.fit.prices import Prices
from nfcodec.moving.fit.search import Shown
from nfcodec.moving.motion import BOTH, Past
from nfcodec.moving.prediction import Reference, clipped, predicted

TRADE = 2e-4


def picture(seed=0, shape=(96, 128)):
    """A luma and some texture."""
    noise = np.random.default_rng(seed).normal(0, 0.05, shape)
    return (painting(*shape, seed, 1)[..., 0] / 255.0 - 0.5 + noise).astype(np.float32)


def shown(luma):
    return Shown(Reference(clipped(np.rint(luma * 8192.0))[None]))


def size(motion, past, distances):
    writer = Writer()
    motion_code.exchange(writer, past, motion, motion.modes.shape, distances)
    return len(writer.finish())


def test_a_pan_costs_hardly_more_than_nothing():
    """Under noise that hides what the best vector of every block is."""
    whole = picture(shape=(112, 160))
    noisy = whole + np.random.default_rng(5).normal(0, 0.03, whole.shape).astype(np.float32)
    motion = moved(noisy[6:102, 10:138], [shown(whole[:96, :128])], TRADE, Past.of(None), (-1,))
    inside = motion.vectors[0, 1:-1, 1:-1].reshape(-1, 2)
    assert (np.abs(inside - (24, 40)) <= 1).all()
    assert size(motion, Past.of(None), (-1,)) < 40


def test_the_mean_of_two_references():
    first, second = picture(1), picture(2)
    motion = moved(0.5 * (first + second), [shown(first), shown(second)], TRADE, Past.of(None), (-1, 1))
    assert (motion.modes == BOTH).mean() > 0.9 and not motion.vectors.any()


def test_a_picture_goes_on_as_its_heir_where_that_is_cheaper():
    """Blocks that moved all over the place between the ends are expected to be halfway in the middle."""
    rng, luma = np.random.default_rng(3), picture(3)
    heir = moves.standing((6, 8))
    heir.vectors[0] = 8 * rng.integers(-3, 4, (6, 8, 2))
    halfway = moves.Motion(heir.modes, heir.vectors // 2, heir.coded, heir.parts)
    middle = predicted([shown(luma).reference], halfway)[0] / np.float32(8192.0)
    past = Past.of(None).after(heir, (-2,))
    found = moved(middle, [shown(luma)], TRADE, past, (-1,))
    alone = moved(middle, [shown(luma)], TRADE, Past.of(None), (-1,))
    assert size(found, Past.of(past), (-1,)) < 0.75 * size(alone, Past.of(None), (-1,))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_border_in_the_middle_of_blocks(axis):
    """What lies behind sample 56 has moved by seven samples."""
    luma = picture(4)
    rolled = np.roll(luma, 7, 1 - axis)
    behind = np.arange(luma.shape[axis]) >= 56
    wanted = np.where(behind[:, None] if axis == 0 else behind, rolled, luma)
    reference = shown(luma)
    motion = moved(wanted, [reference], TRADE, Past.of(None), (-1,))
    split = motion.parts.any(-1)
    assert split.take(3, axis).mean() > 0.5
    assert split.mean() < 0.3
    whole = moves.Motion(motion.modes, motion.vectors, motion.coded, 0 * motion.parts)

    def error(of):
        return np.square(predicted([reference.reference], of)[0] / 8192.0 - wanted).mean()

    assert error(motion) < 0.8 * error(whole)


def test_prices():
    past = Past.of(None)
    past.counts.learn(np.ones(30, np.int64), np.zeros(30, np.int64))
    prices = Prices.of(past.counts)
    assert prices.yes[0] == pytest.approx(np.log2(32 / 31), abs=1e-3) and prices.no[0] == pytest.approx(5, abs=1e-2)
    assert prices.yes[1] == prices.no[1] == 1.0
