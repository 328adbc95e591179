"""16-bit pictures of few values: exact, whatever the distances of the values are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import MemorySource, decode_array, encode, pack, save_picture

from nfcodec.lattice.fit.labels import label_overlays
from nfcodec.media.samples import dequantize
from nfcodec.signal import SignalInfo


def labels(values, channels=1, side=48):
    """A map of rectangles: uint16 (side, side, channels)."""
    rng = np.random.default_rng(3)
    out = np.full((side, side, channels), values[0], np.uint16)
    for i in range(3 * len(values)):
        y, x = rng.integers(0, side - 8, 2)
        h, w = rng.integers(5, 20, 2)
        out[y : y + h, x : x + w] = np.resize(np.roll(values, i), channels)
    return out


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("values", [[0, 7, 12, 300], [1, 2, 3, 65535], [40000, 40001, 65000], [0, 65535], [5]])
def test_labels_are_exact(tmp_path, values, channels):
    samples = labels(values, channels)
    source = save_picture(tmp_path / "a.png", samples)
    result = encode(source, "tiny-lattice", effort=1, quality=10)
    assert result.psnr == np.inf and result.bytes < 4 * 48 * 48 / 8 + 300
    np.testing.assert_array_equal(decode_array(tmp_path / "a.nfc", "tiny-lattice"), samples)


def test_a_target_that_exact_values_miss_is_told(tmp_path):
    source = save_picture(tmp_path / "a.png", labels(list(range(0, 60000, 1000))))
    exact = encode(source, "tiny-lattice", effort=1).bytes
    small = encode(source, "tiny-lattice", effort=1, target_size=exact - 40)
    assert small.bytes <= exact - 40 or "cannot be met" in small.warnings[-1]
    assert "few values" in small.warnings[0]


def test_hidden_values_do_not_matter(tmp_path):
    samples, alpha = labels([3, 900, 20000]), np.full((48, 48), 65535, np.uint16)
    alpha[:, 30:] = 0
    noisy = np.where(alpha[..., None] == 0, np.random.default_rng(0).integers(0, 65536, samples.shape), samples)
    sizes = []
    for pixels in (samples, noisy.astype(np.uint16)):
        result = encode(save_picture(tmp_path / "a.png", pixels, alpha), "tiny-lattice", effort=1)
        assert result.psnr == np.inf
        sizes.append(result.bytes)
    assert sizes[0] == sizes[1]


def values_of(samples, kind="u16"):
    return dequantize(samples, kind), SignalInfo("image", samples.shape[:2], samples.shape[2], kind)


def test_other_pictures_are_no_labels():
    rng = np.random.default_rng(0)
    assert label_overlays(*values_of(labels([0, 9, 70])), 16) is not None
    assert label_overlays(*values_of(rng.integers(0, 65536, (48, 48, 1)).astype(np.uint16)), 16) is None
    noise = (rng.integers(0, 200, (48, 48, 1)) * 300).astype(np.uint16)
    assert label_overlays(*values_of(noise), 16) is None
    values, info = values_of(labels([0, 9, 70]))
    assert label_overlays(values, replace(info, sample_type="u8"), 16) is None


@pytest.mark.parametrize("kind", ["image", "tiny-lattice"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_alpha_hides_costs_nothing(kind, depth):
    """The bytes do not depend on it at all, and neither does the PSNR."""
    top = np.iinfo(depth).max
    rng = np.random.default_rng(1)
    seen = rng.integers(0, top + 1, (40, 56, 3)).astype(depth)
    alpha = np.full((40, 56), top, depth)
    alpha[8:30, 10:50] = 0
    files = []
    for hidden in (np.zeros_like(seen), rng.integers(0, top + 1, seen.shape).astype(depth)):
        pixels = np.where(alpha[..., None] == 0, hidden, seen)
        name = "u8" if depth is np.uint8 else "u16"
        info = SignalInfo("image", (40, 56), 3, name, True)
        data, encoded = pack(MemorySource(info, dequantize(pixels, name), alpha), kind, effort=3)
        files.append((data, encoded.psnr))
        told = "colours under full transparency are not kept" in encoded.warnings
        assert told == bool(hidden.any())
    assert files[0] == files[1]
