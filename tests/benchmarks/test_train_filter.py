"""benchmarks/train_filter.py: what is held out, what is kept, and the init that it writes."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import init, painting, save_picture

from nfcodec import zoo

_FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def tool() -> Any:
    sys.path.insert(0, str(_FOLDER))
    spec = importlib.util.spec_from_file_location("train_filter", _FOLDER / "train_filter.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(_FOLDER))
    return module


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        save_picture(folder / f"{i}.png", painting(100, 97, i))
    return folder


def test_it_makes_an_init_and_goes_on(tool, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "EFFORT", 1)
    monkeypatch.setattr(tool, "HELD_OUT", 3)
    paths, held = tool.files_of([pictures], 2)
    assert held == [pictures / "2.png"] and len(set(paths)) == 2 and not set(held) & set(paths)
    out, work = tmp_path / "new.safetensors", tmp_path / "work"
    more = "--pictures", "2", "--soft", "0", "--work", str(work), "--steps", "2", "--networks", "2", "-o", str(out)
    monkeypatch.setattr(sys, "argv", ["train_filter.py", str(pictures), "--init", init("filtered-lattice"), *more])
    assert tool.main() == 0
    assert {p.name for p in work.iterdir()} == {
        "train-0000.npz", "train-0001.npz", "held-0000.npz", "coded.png", "coded.nfc", "checkpoint-0", "checkpoint-1",
    }  # fmt: skip
    made = zoo.load(str(out))
    [level] = made.tuned("psnr").levels
    assert [len(n.blocks) for n in level.filter.networks] == [5, 5]
    assert made.tuned("perceptual").levels[0].filter is not None
    with np.load(work / "train-0000.npz") as stored:
        assert stored["decoded"].shape == (3, 3, 96, 96)
    before = {p: p.stat().st_mtime_ns for p in work.glob("*.npz")}
    assert tool.main() == 0  # nothing is left to do
    assert before == {p: p.stat().st_mtime_ns for p in work.glob("*.npz")}
    height, width, _ = tool.soft(pictures / "0.png", np.random.default_rng(1)).shape
    assert height % 48 == width % 48 == 0 and 96 < height <= 192
    assert "-q 10" in capsys.readouterr().err
    assert tool.learned(0, 3) == (0, 36) and tool.learned(1, 3) == (31, 70) and tool.learned(2, 3) == (65, 100)
