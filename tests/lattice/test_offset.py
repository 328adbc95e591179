"""W0: the last layers that Δ is taken from."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import STAND_INS, decode_array, memory, opened, pack, painting, unpack
from helpers import init as path_of
from safetensors.numpy import load_file

from lattice.test_reference_samples import by_the_document
from nfcodec import zoo
from nfcodec.errors import CorruptError
from nfcodec.lattice.fit.first_step import corrected
from nfcodec.lattice.fit.tensors import on_torch
from nfcodec.lattice.steps import LARGEST_WEIGHT
from nfcodec.lattice.synthesis import last_layers, region_layers


def offset_of(seed=0, size=3000):
    return np.random.default_rng(seed).integers(-size, size + 1, (3, 64)).astype(np.int32)


@pytest.fixture(scope="module")
def plain():
    return zoo.load(path_of("tiny-lattice"))


@pytest.fixture
def shifted(plain, tmp_path, monkeypatch):
    """The path of the tiny init with a W0; where tests ask for the tiny init they get this one."""
    path = tmp_path / "shifted.safetensors"
    zoo.write_init(replace(plain, levels=(replace(plain.levels[0], offset=offset_of()),)), path)
    monkeypatch.setitem(STAND_INS, "tiny-lattice", str(path))
    return path


def symbols_of(seed=0):
    return np.random.default_rng(seed).integers(-9, 10, (3, 64, 4, 5)).astype(np.int32)


def test_decoders_add_it_to_every_cell(plain):
    [level] = plain.levels
    symbols, offset = symbols_of(), offset_of()
    found = region_layers(replace(level, offset=offset), symbols, 40) - region_layers(level, symbols, 40)
    np.testing.assert_array_equal(found, np.broadcast_to(offset.reshape(192, 1, 1), found.shape))


def test_sums_saturate(plain):
    """Added before the clip: no symbol breaks the proof that samples are exact."""
    level = replace(plain.levels[0], offset=np.full((3, 64), LARGEST_WEIGHT, np.int32))
    found = last_layers(level, 1000 * np.abs(symbols_of()), 10)
    assert found.max() == LARGEST_WEIGHT and found.min() > 0


def test_tensors_come_within_one(plain):
    level, symbols = replace(plain.levels[0], offset=offset_of()), symbols_of(1)
    exact = last_layers(level, symbols, 70)
    close = last_layers(on_torch(level), torch.from_numpy(symbols.astype(np.float32)), 70)
    assert np.abs(close.numpy() - exact).max() <= 1


def test_the_first_step_takes_it_off(plain):
    [level] = plain.levels
    weights = torch.randn(3, 64, 4, 3, generator=torch.Generator().manual_seed(1))
    moved = replace(level, offset=offset_of())
    wanted = corrected(level, weights, 50)
    found = corrected(moved, weights + torch.from_numpy(moved.base)[:, :, None, None], 50)
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


def test_pictures_by_the_document(shifted, tmp_path):
    """An independent decoder that was written from FORMAT.md finds the same samples."""
    data, encoded = pack(memory("image", painting(21, 27)), "tiny-lattice", quality=60, effort=2)
    (tmp_path / "a.nfc").write_bytes(data)
    tensors = {n: a.tolist() for n, a in load_file(shifted).items() if a.dtype.kind in "iu"}
    assert "0/offset" in tensors
    found = decode_array(tmp_path / "a.nfc", "tiny-lattice")
    np.testing.assert_array_equal(by_the_document(data, tensors), found)
    assert encoded.psnr > 20


def test_previews_know_it(plain, tmp_path, monkeypatch):
    """A thumbnail comes from the lowest weights alone: W0 is as much of it as the symbols are."""
    offset = np.zeros((3, 64), np.int32)
    offset[0, 0] = 2 << 16
    path = tmp_path / "shifted.safetensors"
    zoo.write_init(replace(plain, levels=(replace(plain.levels[0], offset=offset),)), path)
    monkeypatch.setitem(STAND_INS, "tiny-lattice", str(path))
    data, _ = pack(memory("image", np.full((64, 64, 3), 160, np.uint8)), "tiny-lattice", quality=60, effort=1)
    small = opened(data, "tiny-lattice").field.preview(8, (0, 0, 64, 64), rough=True)
    whole = unpack(data, "tiny-lattice")
    assert abs(float(whole.mean()) - 160 / 255) < 0.02
    assert abs(float(small.values.mean()) - float(whole.mean())) < 0.02


def test_stored_and_read_again(plain, shifted):
    [level] = zoo.read_init(shifted).levels
    np.testing.assert_array_equal(level.offset, offset_of())
    np.testing.assert_allclose(level.base, offset_of() / 65536)
    assert level.parameters == plain.levels[0].parameters + 192
    assert not plain.levels[0].base.any() and plain.levels[0].offset is None


def test_inits_without_it_keep_their_bytes(plain):
    with open(path_of("tiny-lattice"), "rb") as file:
        assert zoo.init_bytes(plain) == file.read()


@pytest.mark.parametrize(
    "offset", [np.zeros((3, 63), np.int32), np.zeros((3, 64)), np.full((3, 64), -LARGEST_WEIGHT - 1, np.int32)]
)
def test_what_is_no_offset(plain, offset):
    with pytest.raises(CorruptError, match="offset"):
        replace(plain.levels[0], offset=offset).validate("x")


def test_nothing_is_written_for_zeros_of_a_file(plain, shifted):
    """A file does not hold W0: an init with it makes files as long as symbols ask for."""
    even = np.full((32, 32, 3), 128, np.uint8)
    data, _ = pack(memory("image", even), "tiny-lattice", quality=20, effort=1)
    assert len(data) < 400 and io.BytesIO(data).read(4) == b"\xb1nf\n"
