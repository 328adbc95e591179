"""The same lattice with cells that lie farther apart."""

import io
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import STAND_INS, decode_array, memory, opened, pack, painting
from helpers import init as path_of
from safetensors.numpy import load_file

from nfcodec import zoo
from nfcodec.decoder import Decoder
from nfcodec.errors import CorruptError
from nfcodec.lattice.code import ALONE
from nfcodec.lattice.family import open_field
from nfcodec.lattice.fit.encode import LatticeEncoder
from nfcodec.lattice.renderer import LatticeRenderer
from nfcodec.lattice.space import Space
from nfcodec.lattice.train.export import with_wider
from nfcodec.lattice.wider import Wider, finer, stretched
from nfcodec.limits import DEFAULT_LIMITS
from nfcodec.signal import SignalInfo

from .test_reference_samples import by_the_document


@pytest.fixture(scope="module")
def wide():
    """The shipped init, which has cells of 12 and 16 samples, too."""
    return zoo.load("photo-lattice")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    path = tmp_path / "wide.safetensors"
    zoo.write_init(with_wider(zoo.load(path_of("tiny-lattice")), (12, 16)), path)
    monkeypatch.setitem(STAND_INS, "tiny-lattice", str(path))
    return zoo.load(str(path))


@pytest.fixture
def settled(monkeypatch):
    """Make the encoder use a spacing, whatever it costs."""

    def use(spacing):
        monkeypatch.setattr(LatticeEncoder, "_settle", lambda self, *_: self.use(spacing))

    return use


def test_cells_twice_as_far_apart_show_the_same_at_twice_the_distance(wide):
    """f₁₆(2x) = f₈(x): φ is a function of (x − x_c)/s."""
    rng = np.random.default_rng(1)
    symbols = (rng.normal(size=(3, 64, 3, 4)) * 2.0 / (1 + np.arange(64))[:, None, None]).round().astype(np.int32)
    at = rng.uniform(0, 1, (50, 2)) * (24, 32)

    def seen(init, scale):
        info = SignalInfo("image", (24 * scale, 32 * scale), 3, "u8")
        init = replace(init, levels=(replace(init.levels[0], detail={}, filter=None),))
        space = Space.of(info.shape, init.levels[0].spec)
        assert space.cells == (3, 4)
        return LatticeRenderer(init, [space], 60, info, lambda *_: symbols).sample(at * scale)

    np.testing.assert_allclose(seen(wide.at(16), 2), seen(wide, 1), atol=2e-6)


def test_an_error_counts_in_every_sample_and_bits_in_every_cell(wide):
    for spacing in wide.spacings:
        other = wide.at(spacing)
        assert other.plane_trade(40 + other.finer) == pytest.approx(wide.plane_trade(40))
        own = wide.plane_trade(40 + other.finer) * (spacing / 8) ** 2
        assert math.log(own / wide.plane_trade(40)) == pytest.approx(0, abs=0.04)
    assert finer(1.0, wide.trade) == 0


def test_stretched_functions_ask_for_the_same():
    """What functions find in a smooth picture is what wider ones find in the same picture, enlarged."""
    waves = np.stack([np.cos(np.pi * k * (2 * np.arange(16) + 1) / 32) for k in range(8)])
    functions = np.einsum("ki,lj->klij", waves, waves).reshape(64, 256).astype(np.float32)
    wider = stretched(functions, (8, 8), (12, 12))
    long = np.stack([np.cos(np.pi * k * (2 * np.arange(24) + 1) / 48) for k in range(8)])
    expected = np.einsum("ki,lj->klij", long, long).reshape(64, 576) * (8 / 12) ** 2
    np.testing.assert_allclose(wider, expected, atol=1e-5)
    picture, larger = (np.outer(w[2] + w[5], w[1] - w[3]).ravel() for w in (waves, long))
    np.testing.assert_allclose(wider @ larger, functions @ picture, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("spacing", [12, 16])
def test_files_by_the_document(tiny, settled, spacing, tmp_path):
    settled(spacing)
    data, encoded = pack(memory("image", painting(37, 51, 2)), "tiny-lattice", quality=40, effort=2, tune="psnr")
    decoder = opened(data, "tiny-lattice")
    assert decoder.header.spacing == spacing and encoded.quality == decoder.header.quality == 40
    tensors = {n: a.tolist() for n, a in load_file(path_of("tiny-lattice")).items() if a.dtype.kind in "iu"}
    (tmp_path / "a.nfc").write_bytes(data)
    np.testing.assert_array_equal(by_the_document(data, tensors), decode_array(tmp_path / "a.nfc", "tiny-lattice"))


def test_written_and_read_again(tiny, tmp_path):
    zoo.write_init(tiny, tmp_path / "again.safetensors")
    again = zoo.load(str(tmp_path / "again.safetensors"))
    assert again.spacings == (12, 16) and again.at(16).finer == tiny.at(16).finer > again.at(12).finer > 0
    np.testing.assert_array_equal(again.at(12).levels[0].table, tiny.levels[0].wider[12].table)
    assert again.perceptual is None or again.perceptual.spacings == (12, 16)


def test_spacings_that_an_init_does_not_have(wide, settled):
    with pytest.raises(CorruptError, match="no cells 10 samples apart"):
        wide.at(10)
    assert wide.at(None) is wide


def test_a_file_of_a_spacing_that_its_init_does_not_have(tiny, settled, tmp_path, monkeypatch):
    settled(16)
    data, _ = pack(memory("image", painting(40, 40)), "tiny-lattice", effort=1, quality=30)
    alone = with_wider(tiny, ())
    monkeypatch.setattr(zoo, "load_prefix", lambda *_: replace(alone, sha256=tiny.sha256))
    with pytest.raises(CorruptError, match="one spacing alone"):
        Decoder(io.BytesIO(data))
    monkeypatch.setattr(zoo, "load_prefix", lambda *_: replace(with_wider(tiny, (12,)), sha256=tiny.sha256))
    with pytest.raises(CorruptError, match="16 samples apart"):
        Decoder(io.BytesIO(data))


@pytest.mark.parametrize("change", ["odd", "finer", "shape"])
def test_lies(tiny, change):
    level = tiny.levels[0]
    table = level.wider[16].table
    other = {"odd": {15: Wider(table, 18)}, "finer": {16: Wider(table, 101)}, "shape": {12: Wider(table, 11)}}
    with pytest.raises(CorruptError, match="impossible cells|table"):
        replace(tiny, levels=(replace(level, wider=other[change]),)).validate()


def test_too_fine_for_its_cells(tiny, settled):
    settled(16)
    data, _ = pack(memory("image", painting(40, 40)), "tiny-lattice", effort=1, quality=95)
    decoder = opened(data, "tiny-lattice")
    assert decoder.header.quality == 100 - tiny.at(16).finer and decoder.field.quality == 100
    reader = SimpleNamespace(header=replace(decoder.header, quality=decoder.header.quality + 1))
    with pytest.raises(CorruptError, match="too fine for cells of 16 samples"):
        open_field(tiny, reader, decoder.index, decoder.info, DEFAULT_LIMITS, ALONE, partial=False)
