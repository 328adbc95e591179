"""Files that were written once decode as they did then. See make_golden.py for when to make new ones: never."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import decode_array, init, opened, psnr_of

from nfcodec import api
from nfcodec.container.layout import SectionType
from nfcodec.options import DecodeOptions

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())


def off_by_more_than_rounding(found, golden, kind):
    """Samples that differ by more than the float arithmetic of another machine explains.

    Integers may be off by one, and then only a few; floats (and integers of 16 bits) in the last few digits.
    """
    gap = np.abs(found.astype(np.float64) - golden.astype(np.float64))
    if kind.startswith("f"):
        return int((gap > 1e-5 * np.ptp(golden)).sum())
    if kind == "u8":
        ones = int((gap > 0).sum())
        return int((gap > 1).sum()) + (ones if ones > max(1.0, 1e-4 * gap.size) else 0)
    return int((gap > 2).sum())


def samples(path, about):
    found = decode_array(path, about["init"])
    if api.info(path).modality == "array":  # without an axis of channels
        return found[..., None]
    return found[..., : about["channels"]]


@pytest.mark.parametrize("name", EXPECTED)
def test_golden(name):
    about, path = EXPECTED[name], HERE / f"{name}.nfc"
    assert path.stat().st_size == about["bytes"]
    header = api.info(path)
    assert list(header.shape) == about["shape"] and header.channels == about["channels"]
    assert header.sample_type == about["type"]
    assert api.verify(path, init=init(about["init"])).digest == about["symbols"]
    found = samples(path, about)
    assert found.shape == (*about["shape"], about["channels"])
    if hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest() != about["samples"]:
        # These are whole numbers to the end.
        assert about["init"] not in ("tiny-lattice", "tiny-moving", "told-moving", "array-dyadic")
        with np.load(HERE / "samples.npz") as stored:
            assert off_by_more_than_rounding(found, stored[name], about["type"]) == 0


@pytest.mark.parametrize(("name", "kind"), [("rgba", "image"), ("lattice", "tiny-lattice")])
def test_golden_alpha_and_metadata(name, kind):
    with api.open(HERE / f"{name}.nfc", init=init(kind)) as file:
        assert file.metadata.icc == b"icc profile" and file.metadata.tags == (("title", "näive"),)
    alpha = decode_array(HERE / f"{name}.nfc", kind)[..., 3]
    np.testing.assert_array_equal(alpha, (np.indices((19, 26)).sum(0) * 5).astype(np.uint8))


def test_golden_layers_of_a_lattice():
    """One section for each layer of each region, and a picture from the first ones alone."""
    for name, regions in (("lattice", 1), ("tall", 2)):
        data = (HERE / f"{name}.nfc").read_bytes()
        whole, kind = opened(data, "tiny-lattice"), EXPECTED[name]["type"]
        assert [e.first for e in whole.index if e.type == SectionType.CELLS] == [
            6 * region + layer for layer in range(3) for region in range(regions)
        ]
        coarse = next(opened(data[: whole.index[regions].offset], "tiny-lattice", partial=True).blocks(DecodeOptions()))
        with np.load(HERE / "samples.npz") as stored:
            rows = stored[name][: len(coarse.values)]
        assert kind == "u8" and 20 < psnr_of(coarse.values * 255, rows, 255) < 60


def test_golden_between_the_samples():
    """A file of the shipped init at twice its size, to which X adds."""
    decoder = opened((HERE / "shipped.nfc").read_bytes(), "photo-lattice")
    found = np.concatenate([b.values for b in decoder.blocks(DecodeOptions(scale=2.0))])
    with np.load(HERE / "samples.npz") as stored:
        np.testing.assert_allclose(found, stored["shipped at 2x"], rtol=0, atol=2e-5)
    decoder.field._renderer._detail = None
    plain = np.concatenate([b.values for b in decoder.blocks(DecodeOptions(scale=2.0))])
    assert np.abs(found - plain).max() > 0.02


def test_the_stored_samples_belong_to_the_hashes():
    with np.load(HERE / "samples.npz") as stored:
        assert set(stored) == {*EXPECTED, "shipped at 2x"}
        for name, about in EXPECTED.items():
            assert hashlib.sha256(stored[name].tobytes()).hexdigest() == about["samples"]


def test_golden_files_are_not_made_by_accident():
    before = {p.name: p.read_bytes() for p in HERE.iterdir() if p.is_file()}
    done = subprocess.run([sys.executable, str(HERE / "make_golden.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "--force" in done.stderr
    assert before == {p.name: p.read_bytes() for p in HERE.iterdir() if p.is_file()}
