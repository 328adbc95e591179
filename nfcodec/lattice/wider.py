"""The same lattice with cells that lie farther apart: what smooth pictures need, and all pictures at low rates.

Natural images look alike at every scale, and φ is a function of (x − x_c)/s. So a lattice that was trained with one
spacing serves others with the very same trunk, steps, D and prior: to its networks a picture seen through cells of 16
samples is one of half the size. Only φ at the samples is another table, and since an error counts in every sample but
bits in every cell, the steps that go with a λ are those of a finer quality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.lattice.basis import cosines
from nfcodec.types import Doubles, Floats


@dataclass(frozen=True, slots=True)
class Wider:
    """What a level has of its own at another spacing s: φ at the samples, the ``table`` (F, ∏ 2s) in 2^-16, and by how
    much ``finer`` the quality of its steps is than that of the picture."""

    table: npt.NDArray[np.integer[Any]]
    finer: int


def finer(ratio: float, trade: tuple[float, float]) -> int:
    """By how much the quality of the steps rises where cells lie ``ratio`` times as far apart along both axes: λ of a
    cell's own samples falls by ratio². ``trade``: λ at quality 0, and its ratio over the whole range."""
    return round(-100.0 * 2.0 * math.log(ratio) / math.log(trade[1]))


def stretched(functions: Floats, spacing: tuple[int, ...], wider: tuple[int, ...]) -> Floats:
    """Functions (K, ∏ 2s) of the preconditioner for another spacing: continued between the samples by their cosines
    (DCT-II, with zeros for all higher ones), and smaller by as much as there are more samples."""
    count = len(functions)
    found: Doubles = functions.astype(np.float64).reshape(count, *(2 * s for s in spacing))
    for axis, (s, w) in enumerate(zip(spacing, wider, strict=True), 1):
        found = np.moveaxis(np.tensordot(found, _between(2 * s, 2 * w), (axis, 1)), -1, axis) * (s / w)
    return np.ascontiguousarray(found.reshape(count, -1), np.float32)


def _between(samples: int, wanted: int) -> Doubles:
    """The matrix (wanted, samples) from samples to more samples of the same stretch."""
    return cosines(samples, wanted).T @ cosines(samples, samples)
