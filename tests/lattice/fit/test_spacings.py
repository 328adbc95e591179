"""Which spacings are tried for a picture, and what becomes of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import MemorySource, decode_array, memory, opened, pack, painting

from nfcodec import zoo
from nfcodec.lattice.fit.spacings import frequencies, lost, promising


@pytest.fixture(scope="module")
def init():
    return zoo.load("photo-lattice")


def soft(height, width):
    """Wide slopes and one wide disc: nothing that cells of 16 samples could not show."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    disc = 0.5 - 0.5 * np.tanh((np.hypot(y - height / 2, x - width / 3) - width / 5) / 14)
    planes = [90 + 60 * disc + x / 8, 120 - 40 * disc + y / 6, 140 + 20 * disc - x / 9]
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)


def busy(height, width):
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def luma(samples):
    return torch.from_numpy(samples.mean(-1) / 255.0).float() * math.sqrt(3.0)


def test_energy_is_kept_whatever_the_size():
    plane = torch.rand(100, 250)
    energy = frequencies(plane)
    rows, columns = torch.arange(192).clamp(max=99), torch.arange(288).clamp(max=249)
    assert float(energy.sum()) == pytest.approx(float(plane[rows][:, columns].square().sum()), rel=1e-4)


@pytest.mark.parametrize(
    ("cycles", "share", "gone"), [(20, 1 / 2, 0.0), (60, 1 / 2, 1.0), (60, 2 / 3, 0.0), (80, 2 / 3, 1.0)]
)
def test_what_is_lost_are_high_frequencies(cycles, share, gone):
    wave = torch.cos(math.pi * cycles * (2 * torch.arange(96.0) + 1) / 192)
    energy = frequencies(wave.repeat(96, 1))
    assert lost(energy, share) == pytest.approx(gone * float(energy.sum()), abs=1e-2)


def test_soft_pictures_are_tried_and_busy_ones_are_not(init):
    assert promising(init, luma(soft(192, 192)), 20) == [16]
    assert promising(init, luma(busy(192, 192)), 20) == []
    assert promising(init, luma(soft(192, 192)), 95) == []
    assert 16 not in promising(init, luma(soft(192, 192)), 83)


@pytest.mark.parametrize("effort", [1, 3])
@pytest.mark.parametrize("tune", ["psnr", "perceptual"])
def test_soft_pictures_take_wide_cells_and_fewer_bytes(effort, tune, monkeypatch):
    picture = memory("image", soft(310, 403))
    data, encoded = pack(picture, "photo-lattice", quality=30, effort=effort, tune=tune)
    assert opened(data, "photo-lattice").header.spacing == 16
    monkeypatch.setattr("nfcodec.lattice.fit.encode.promising", lambda *_: [])
    usual, before = pack(picture, "photo-lattice", quality=30, effort=effort, tune=tune)
    assert opened(usual, "photo-lattice").header.spacing is None
    assert len(data) < 0.9 * len(usual) and encoded.psnr > before.psnr - 0.5


def test_busy_pictures_have_the_usual_cells():
    data, _ = pack(memory("image", busy(64, 64)), "photo-lattice", quality=10, effort=1)
    assert opened(data, "photo-lattice").header.spacing is None


def test_targets_are_met_with_wide_cells(tmp_path):
    data, encoded = pack(memory("image", soft(150, 203)), "photo-lattice", effort=1, target_size=260)
    assert len(data) <= 260 and opened(data, "photo-lattice").header.spacing is not None
    data, encoded = pack(memory("image", soft(150, 203)), "photo-lattice", effort=1, target_psnr=38.0)
    assert encoded.psnr >= 38.0 and len(data) < 300


def test_alpha_goes_along(tmp_path):
    """Its chunks follow the rows of regions, which are higher with wider cells."""
    source = memory("image", soft(2100, 20))
    alpha = (np.indices((2100, 20)).sum(0) % 256).astype(np.uint8)
    source = MemorySource(replace(source.info, alpha=True), source.values, alpha)
    data, _ = pack(source, "photo-lattice", quality=20, effort=1)
    assert opened(data, "photo-lattice").header.spacing == 16
    (tmp_path / "a.nfc").write_bytes(data)
    found = decode_array(tmp_path / "a.nfc", "photo-lattice")
    np.testing.assert_array_equal(found[..., 3], alpha)


def test_few_colours_keep_their_overlay():
    samples = painting(64, 64)
    samples[:48, :48] = 230
    samples[4:40:3, 5:40] = (200, 20, 40)
    data, _ = pack(memory("image", samples), "photo-lattice", quality=30, effort=1)
    assert opened(data, "photo-lattice").header.spacing is None
