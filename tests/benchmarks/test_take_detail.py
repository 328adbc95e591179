"""X of one init in another."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import init as path_of

from nfcodec import zoo
from nfcodec.lattice.enlarge import detail_shapes
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.order import QUALITY_LEVELS

_FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def tool() -> Any:
    sys.path.insert(0, str(_FOLDER))
    spec = importlib.util.spec_from_file_location("take_detail", _FOLDER / "take_detail.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(_FOLDER))
    return module


def with_x(init: LatticeInit, size: float) -> LatticeInit:
    shapes = detail_shapes(4, 1, 3, 1, QUALITY_LEVELS)
    x = {n: np.full(s, size, np.float32) for n, s in shapes.items()}
    return replace(init, levels=(replace(init.levels[0], detail=x),))


def test_each_tune_takes_its_own(tool: Any) -> None:
    tiny = zoo.load(path_of("tiny-lattice"))
    assert isinstance(tiny, LatticeInit)
    source = replace(with_x(tiny, 1.0), perceptual=with_x(tiny, 2.0))
    made = tool.taken(source, replace(tiny, perceptual=tiny))
    assert made.levels[0].detail["out.bias"][0] == 1.0
    assert made.perceptual.levels[0].detail["out.bias"][0] == 2.0
    assert made.levels[0].prior is tiny.levels[0].prior
    assert tool.taken(source, tiny).perceptual is None
    alone = tool.taken(with_x(tiny, 3.0), replace(tiny, perceptual=tiny))
    assert alone.perceptual.levels[0].detail["out.bias"][0] == 3.0


def test_there_must_be_one(tool: Any) -> None:
    tiny = zoo.load(path_of("tiny-lattice"))
    with pytest.raises(tool.BenchmarkError, match="no X"):
        tool.taken(tiny, tiny)
