"""Planes to symbols and back, and what the contexts are made of."""

import numpy as np
import pytest

from nfcodec import zoo
from nfcodec.dyadic import features
from nfcodec.dyadic.board import Board, Level
from nfcodec.dyadic.code import SERIES, Expected, Scheme, Tuning, walk
from nfcodec.dyadic.exchange import Taker, get_tuning, put_tuning
from nfcodec.dyadic.fit.giver import Giver
from nfcodec.dyadic.order import PHASES, spacings
from nfcodec.dyadic.volume import decode_planes
from nfcodec.entropy.coder import SymbolDecoder, SymbolEncoder
from nfcodec.errors import CorruptError


@pytest.fixture(scope="module")
def init():
    return zoo.load("array-dyadic")


def smooth(shape, seed=0, size=30.0):
    r = np.random.default_rng(seed)
    lines = [np.cos(r.uniform(1, 5) * np.linspace(0, 1, n) + r.uniform(0, 6)) for n in shape]
    parts = np.meshgrid(*lines, indexing="ij")
    field = sum(parts) + 0.5 * np.prod(parts, 0)
    return (field - field.min()) / max(np.ptp(field), 1e-9) * size * features.UNIT


def round_trip(init, scheme, planes, coded=None, tune=True):
    coded = np.ones(planes.shape, bool) if coded is None else coded
    encoder = SymbolEncoder()
    given = decode_planes(init, scheme, coded, lambda i: Giver(planes[i], encoder, tune=tune))
    data = encoder.finish()
    decoder = SymbolDecoder(data)
    taken = decode_planes(init, scheme, coded, lambda _: Taker(decoder))
    decoder.finish()
    np.testing.assert_array_equal(taken, given)
    return taken, data


SHAPES = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 1, 301), (1, 37, 1), (1, 50, 64), (5, 9, 17), (2, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("series", range(len(SERIES)))
def test_no_sample_is_off_by_more_than_half_a_step(init, shape, series):
    planes = smooth(shape)
    found, _ = round_trip(init, Scheme(30, series), planes)
    assert np.abs(found - planes).max() <= features.UNIT / 2 + 1e-6


@pytest.mark.parametrize("wrap", [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize("shape", [(1, 48, 64), (1, 47, 63), (3, 40, 41)])
def test_axes_that_wrap(init, wrap, shape):
    planes = smooth(shape)
    found, _ = round_trip(init, Scheme(30, wrap=wrap), planes)
    assert np.abs(found - planes).max() <= features.UNIT / 2 + 1e-6


def test_wrapping_helps_where_ends_meet(init):
    x, y = np.linspace(0, 2 * np.pi, 64, endpoint=False), np.linspace(0, 1, 48)[:, None]
    field = (np.sin(2 * x) + np.cos(3 * x + 4 * y) + 2)[None] * 1000.0 * features.UNIT
    sizes = [len(round_trip(init, Scheme(4000, wrap=(False, w)), field)[1]) for w in (False, True)]
    assert sizes[1] < sizes[0]


def test_whole_steps_are_kept(init):
    planes = np.rint(smooth((2, 33, 40)) / features.UNIT) * features.UNIT
    found, _ = round_trip(init, Scheme(30, whole=True), planes)
    np.testing.assert_array_equal(found, planes)


def test_what_is_not_coded_costs_nothing_and_is_not_looked_at(init):
    planes = smooth((1, 64, 64))
    coded = np.ones(planes.shape, bool)
    coded[0, 10:50, 10:50] = False
    other = np.where(coded, planes, 12345.0)
    found, data = round_trip(init, Scheme(30), planes, coded)
    same, again = round_trip(init, Scheme(30), other, coded)
    assert data == again
    assert np.abs(found - planes)[coded].max() <= features.UNIT / 2 + 1e-6
    nothing, empty = round_trip(init, Scheme(30), planes, np.zeros(planes.shape, bool))
    assert empty == b""


def test_planes_of_a_chain_help_each_other(init):
    field = smooth((1, 40, 40)) + np.random.default_rng(0).normal(0, 200, (1, 40, 40))
    one = len(round_trip(init, Scheme(60), np.clip(field, 0, None))[1])
    four = len(round_trip(init, Scheme(60), np.clip(field, 0, None).repeat(4, 0))[1])
    assert four < 2 * one


def test_tuning_pays_where_the_networks_are_wrong(init):
    r = np.random.default_rng(1)
    planes = np.clip(smooth((1, 128, 128), size=2000) + 3000 * r.normal(0, 1, (1, 1, 128)), 0, 4000 * 256)
    sizes = [len(round_trip(init, Scheme(4000), planes, tune=t)[1]) for t in (False, True)]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    "tuning", [Tuning(), Tuning(change=-48), Tuning((0,) * 8, 0), Tuning((127, -127, 3, 0, 0, 1, 2, 3), 7)]
)
def test_tunings_are_written(tuning):
    encoder = SymbolEncoder()
    put_tuning(encoder, tuning)
    decoder = SymbolDecoder(encoder.finish())
    assert get_tuning(decoder, 8) == tuning
    decoder.finish()


@pytest.mark.parametrize("tuning", [Tuning(change=49), Tuning((128, 0), 0)])
def test_wild_tunings_are_refused(tuning):
    encoder = SymbolEncoder()
    put_tuning(encoder, tuning)
    with pytest.raises(CorruptError):
        get_tuning(SymbolDecoder(encoder.finish()), 2)


# -- order and contexts ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("n", "expected"), [(1, []), (2, [1]), (3, [2, 1]), (5, [4, 2, 1]), (9, [8, 4, 2, 1]), (8, [4, 2, 1])]
)
def test_spacings(n, expected):
    assert spacings(n) == expected


def test_every_sample_comes_once():
    height, width = 23, 40
    count = np.zeros((height, width), int)
    count[0, 0] += 1
    for t in spacings(max(height, width)):
        for phase in PHASES:
            count[phase.start[0] * t :: 2 * t, phase.start[1] * t :: 2 * t] += 1
    assert (count == 1).all()


def test_logarithms_are_those_of_eighths():
    x = np.arange(0.0, 5000)
    exact = 8 * np.log2(x + 1)
    assert (features.log8(x) <= exact + 1e-9).all()
    assert (exact - features.log8(x)).max() < 1.1
    assert features.log8(np.array([0.0, 1.0, 3.0, 2.0**40 - 1])).tolist() == [0, 8, 16, 320]


def test_predictions_are_right_for_planes():
    """A linear field is foreseen exactly wherever all neighbours are known, and by straight lines at the border."""
    y, x = np.mgrid[:17, :17]
    values = (3.0 * y - 5.0 * x + 100)[None] * 16
    board = Board.empty(values.shape, None, (False, False))
    board.values[:, ::2, ::2], board.known[:, ::2, ::2] = values[:, ::2, ::2], True
    level = Level.of(board, 1)
    setting = features.Setting(256, 0, 0)
    for number, phase in enumerate(PHASES):
        truth = values[:, phase.start[0] :: 2, phase.start[1] :: 2]
        everywhere = np.ones(truth.shape, bool)
        window = features.Window(level, phase, (slice(None), slice(None)), everywhere)
        looked = features.look(window, setting)
        np.testing.assert_array_equal(looked.predicted, truth[everywhere])
        assert not looked.terms.any()
        assert looked.seen().features.shape == (features.inputs(number), truth.size)
        level.put(phase, everywhere, truth[everywhere])
        level.at(level.known, phase)[...] = True


def test_weights_move_predictions():
    values = np.random.default_rng(0).integers(0, 1000, (1, 9, 9)).astype(float)
    board = Board.empty(values.shape, None, (False, False))
    board.values[:, ::2, ::2], board.known[:, ::2, ::2] = values[:, ::2, ::2], True
    level = Level.of(board, 1)
    window = features.Window(level, PHASES[0], (slice(None), slice(None)), np.ones((1, 4, 4), bool))
    looked = features.look(window, features.Setting(256, 0, 0))
    moved = looked.seen((64, 0, 0, 0, 0, 0, 0, 0)).predicted
    np.testing.assert_array_equal(moved, looked.predicted + np.rint(looked.terms[0] / 2))


def test_pieces_do_not_matter(init, monkeypatch):
    planes = smooth((3, 40, 50))
    _, whole = round_trip(init, Scheme(30), planes)
    monkeypatch.setattr("nfcodec.dyadic.code._AT_ONCE", 64)
    assert round_trip(init, Scheme(30), planes)[1] == whole


def test_centres_stay_within_the_range():
    expected = Expected.of(Scheme(4), 256, np.array([-1e12, 5e12, 300.0]), np.array([-5.0, 99.0, 7.0]))
    assert expected.centre.tolist() == [0.0, 1024.0, 300.0]
    wanted = Expected.of(Scheme(4), 256, np.zeros(3), np.array([0, 47, 7]))
    np.testing.assert_array_equal(expected.tables[0], wanted.tables[0])


def test_nothing_wild_grows_without_bound(init):
    """Symbols of a hostile file stay finite."""
    planes = np.full((1, 9, 9), 4.0 * 256)
    r = np.random.default_rng(0)

    class Hostile:
        def tuned(self, sight):
            return sight.expected(Tuning())

        def symbols(self, where, expected):
            return np.sign(r.normal(size=len(expected.centre))) * (2.0**31 - 1)

    found = walk(init, Scheme(4), None, np.ones(planes.shape, bool), Hostile())
    assert np.isfinite(found).all() and np.abs(found).max() < 2.0**42
