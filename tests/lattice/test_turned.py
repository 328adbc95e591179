"""Planes that are turned, and grids of means that are moved, for one picture."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import STAND_INS, decode_array, memory, opened, pack, painting, with_region
from helpers import init as path_of
from safetensors.numpy import load_file

from nfcodec import api, zoo
from nfcodec.cli.text import information
from nfcodec.container.layout import Header, pack_fields, unpack_fields
from nfcodec.decoder import Decoder
from nfcodec.errors import CorruptError
from nfcodec.lattice.fit.adapt import Plan
from nfcodec.lattice.fit.coded import LevelFit
from nfcodec.lattice.fit.dither import best_dither, means
from nfcodec.lattice.fit.encode import LatticeEncoder
from nfcodec.lattice.fit.first_step import analysis
from nfcodec.lattice.fit.trial import Parts
from nfcodec.lattice.fit.turn import best_turn, proposed
from nfcodec.lattice.fit.window import Mirrored, whole_window
from nfcodec.lattice.planes import MID_SIDE_SET, OPPONENT_SET
from nfcodec.lattice.space import Space
from nfcodec.lattice.synthesis import region_layers, whole_to_values
from nfcodec.rotations import turned_rotation, whole_rotation, whole_turn

from .test_reference_samples import by_the_document

HEADER = Header("image", (8, 8), 3, "u8", b"12345678", 50, 1, sections=1)
TURN, DITHER = (20, -9, 128 - 256), (-8, 7, 1)


@pytest.fixture(scope="module")
def shipped():
    return zoo.load("photo-lattice").tuned("psnr")


@pytest.fixture
def forced(monkeypatch):
    """Make the encoder use a turn and a dither, whatever they cost."""

    def use(turn, dither):
        monkeypatch.setattr("nfcodec.lattice.fit.encode.best_turn", lambda *_: turn)
        monkeypatch.setattr("nfcodec.lattice.fit.encode.best_dither", lambda *_: dither)

    return use


# -- the header ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("turn", [None, TURN, (0, 0, 1)])
@pytest.mark.parametrize("dither", [None, DITHER, (0, -1, 0)])
@pytest.mark.parametrize(("spacing", "perceptual"), [(None, False), (12, True), (None, True)])
def test_headers_round_trip(turn, dither, spacing, perceptual):
    header = replace(HEADER, turn=turn, dither=dither, spacing=spacing, perceptual=perceptual)
    fields = pack_fields(header)
    assert unpack_fields(fields, 1) == header
    more = 4 * (turn is not None) + 3 * (dither is not None) + 2 * (spacing is not None)
    assert len(fields) == len(pack_fields(HEADER)) + more


@pytest.mark.parametrize(
    ("name", "wrong"), [("turn", (0, 0, 128)), ("turn", (1, 2)), ("dither", (8, 0, 0)), ("dither", (0, 0, 0))]
)
def test_headers_that_there_are_not(name, wrong):
    assert replace(HEADER, **{name: wrong}).problem() == f"{name} {wrong}"


# -- turns -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("turn", [TURN, (3, 0, 0), (-128, -128, -128)])
def test_turns_are_orthonormal_and_errors_stay(turn):
    whole = whole_turn(turn) * 2.0**-16
    np.testing.assert_allclose(whole @ whole.T, np.eye(3), atol=5e-5)
    assert np.linalg.det(whole) == pytest.approx(1.0, abs=1e-4)
    both = turned_rotation(3, turn)
    np.testing.assert_allclose(both @ both.T * 2.0**-32, np.eye(3), atol=1e-4)
    assert np.abs(both).sum(1).max() * 2**35 < 2**53 and np.array_equal(turned_rotation(3, None), whole_rotation(3, 3))


def test_turned_planes_give_the_values_back():
    values = np.random.default_rng(1).uniform(size=(5, 4, 3)).astype(np.float32)
    turned = OPPONENT_SET.turned(TURN)
    planes = turned.to_planes(values, 0.5)
    np.testing.assert_allclose(turned.to_values(planes, 3, 0.5), values, atol=1e-4)
    np.testing.assert_allclose(whole_to_values(np.round(planes * 2.0**32), 3, 0.5, TURN), values, atol=2e-4)
    own = OPPONENT_SET.to_planes(values, 0.5)
    np.testing.assert_allclose(planes, np.tensordot(whole_turn(TURN) * 2.0**-16, own, 1), atol=1e-5)
    assert np.abs(planes - own).max() > 0.1 and OPPONENT_SET.turned(None) is OPPONENT_SET


def test_a_picture_of_two_colours_is_turned_to_fewer_bits(shipped):
    """Along one line through the colours, but not along luma."""
    y, x = np.mgrid[:128, :128] / 128
    rng = np.random.default_rng(2)
    mixed = 0.5 + 0.2 * np.sin(9 * x + 7 * y * y) + 0.1 * rng.normal(size=(128, 128)).cumsum(1) / 8
    values = (mixed[..., None] * (1.0, 0.7, 0.35)).clip(0, 1).astype(np.float32)
    turn = best_turn(shipped, Parts(values), 60)
    assert turn is not None and all(abs(a) <= b for a, b in zip(turn, (40, 10, 10), strict=True))
    planes = shipped.turned(turn).planes.to_planes(values, 0.5).reshape(3, -1).std(1)
    own = shipped.planes.to_planes(values, 0.5).reshape(3, -1).std(1)
    assert planes[0] > own[0] and planes[1:].max() < 0.6 * own[1:].max()


def test_grey_noise_is_not_turned(shipped):
    grey = np.repeat(np.random.default_rng(3).uniform(0.3, 0.7, (64, 64, 1)), 3, -1).astype(np.float32)
    assert not proposed(shipped, Parts(grey), 50)[0]
    assert best_turn(shipped, Parts(grey), 50) is None


@pytest.mark.parametrize(("shape", "sizes"), [
    ((100, 300), [(100, 256)]), ((512, 768), [(256, 256)] * 2), ((3000, 4000), [(256, 256)] * 16)
])  # fmt: skip
def test_parts_of_a_picture(shipped, shape, sizes):
    """Where they lie, and that what they cost is remembered."""
    rows, columns = (np.arange(n, dtype=np.float32) / n for n in shape)
    parts = Parts(np.stack(np.broadcast_arrays(rows[:, None], columns, 0.5), -1).astype(np.float32))
    found = [tuple(wide.planes.shape[1:]) for wide in parts.mirrored(shipped)]
    assert found == sizes
    middles = np.mean([part.mean((0, 1)).numpy()[:2] for part in parts._parts], 0)
    np.testing.assert_allclose(middles, 0.5, atol=0.01)


# -- dithers ---------------------------------------------------------------------------------------------
def test_a_dither_moves_means_and_nothing_else(shipped):
    level = shipped.levels[0]
    symbols = np.random.default_rng(4).integers(-2, 3, (3, 64, 3, 4)).astype(np.int32)
    moved = region_layers(level.dithered(DITHER, 30), symbols, 30) - region_layers(level, symbols, 30)
    moved = moved.reshape(3, 64, -1) * 2.0**-16
    expected = level.steps(30)[:, 0] * np.array(DITHER) / 16
    np.testing.assert_allclose(moved[:, 0], np.repeat(expected[:, None], 12, 1), atol=2e-5)
    assert not moved[:, 1:].any()


def test_of_planes_that_there_are_not():
    plain = zoo.load(path_of("tiny-lattice"))
    level = replace(plain.levels[0], spec=replace(plain.levels[0].spec, planes=plain.levels[0].spec.planes[:1]))
    with pytest.raises(CorruptError, match="a dither"):
        level.dithered((1, 2, 0), 50)
    with pytest.raises(CorruptError, match="a dither of 2 levels"):
        replace(plain, levels=plain.levels * 2).dithered((1, 0, 0), 50)
    assert plain.dithered(None, 50) is plain and plain.turned(None) is plain
    assert MID_SIDE_SET.channels == 2


def wide_of(init, values):
    spec = init.levels[0].spec
    planes = init.planes.to_planes(torch.from_numpy(values), 0.5)
    return Mirrored(planes, Space.of(values.shape[:2], spec), spec.spacing), planes


def test_means_are_those_of_the_first_step(shipped):
    values = painting(70, 90, 5).astype(np.float32) / 255
    wide, planes = wide_of(shipped, values)
    found, share = means(shipped.levels[0], wide)
    exact = analysis(shipped.levels[0], whole_window(planes, shipped.levels[0].spec))[:, 0].numpy()
    assert share == 1.0
    np.testing.assert_allclose(found.reshape(exact.shape), exact, atol=0.12 * exact.std())


def test_an_even_picture_is_met_exactly(shipped):
    """What lies between two steps is shown as it is."""
    level, quality = shipped.levels[0], 10
    values = np.empty((256, 256, 3), np.float32)
    values[:] = (0.61, 0.43, 0.27)
    wide, planes = wide_of(shipped, values)
    dither = best_dither(LevelFit(shipped, 0, 3), wide, Plan.of(quality, 1))
    y = np.median(means(level, wide)[0], 1) / level.steps(quality)[:, 0]
    for plane in (1, 2):
        off = y[plane] - dither[plane] / 16
        assert abs(off - round(off)) <= 1 / 31
    assert best_dither(LevelFit(shipped, 0, 3), wide, Plan.of(quality, 1, rounding=2.0)) is None


# -- files -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tune", ["psnr", "perceptual"])
def test_files_by_the_document(forced, tmp_path, monkeypatch, tune):
    """Of several regions; the tiny init has one tune."""
    monkeypatch.setitem(STAND_INS, "tiny-lattice", with_region("tiny-lattice", 2, 2))
    forced((25, -40, 7), (5, -8, 7))
    data, encoded = pack(memory("image", painting(21, 26, 2)), "tiny-lattice", quality=40, effort=2, tune=tune)
    header = opened(data, "tiny-lattice").header
    assert header.dither == (5, -8, 7) and header.turn == (25, -40, 7)
    (tmp_path / "b.nfc").write_bytes(data)
    about = api.info(tmp_path / "b.nfc")
    assert (about.dither, about.turn) == (header.dither, header.turn)
    assert "planes turned, means between steps, " in information(about)
    tensors = {n: a.tolist() for n, a in load_file(path_of("tiny-lattice")).items() if a.dtype.kind in "iu"}
    (tmp_path / "a.nfc").write_bytes(data)
    shown = decode_array(tmp_path / "a.nfc", "tiny-lattice")
    np.testing.assert_array_equal(by_the_document(data, tensors), shown)
    error = ((shown.astype(float) - painting(21, 26, 2)) ** 2).mean()
    assert encoded.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)


def test_grey_pictures_are_not_turned(forced, monkeypatch):
    forced(TURN, None)
    data, _ = pack(memory("image", painting(24, 24, 2)[..., :1]), "tiny-lattice", quality=40, effort=2)
    assert opened(data, "tiny-lattice").header.turn is None
    from nfcodec.container.reader import Reader

    own = Reader.__init__

    def turned(self, *args, **options):
        own(self, *args, **options)
        self.header = replace(self.header, turn=TURN)

    monkeypatch.setattr(Reader, "__init__", turned)
    with pytest.raises(CorruptError, match="grey picture"):
        opened(data, "tiny-lattice")


def test_effort_1_and_looks_keep_opponent_colours(monkeypatch):
    monkeypatch.setattr("nfcodec.lattice.fit.encode.best_turn", lambda *_: (4, 0, 0))
    picture = memory("image", painting(40, 40, 3))
    for effort, tune, turn in ((1, "psnr", None), (2, "perceptual", None), (2, "psnr", (4, 0, 0))):
        data, _ = pack(picture, "photo-lattice", quality=40, effort=effort, tune=tune)
        assert Decoder(io.BytesIO(data)).header.turn == turn


def test_plans_carry_the_dither():
    assert Plan.of(50, 1).dither is None and LatticeEncoder.turn is None
