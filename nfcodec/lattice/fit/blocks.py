"""The context set of a round: blocks of cells, ranked by what is expected of them.

After the pruned contexts of GradNCP (Tack et al. 2023, §3.2), with the expected fall of the cost as the score.

A cell reaches its neighbours in the prior and in D, so single cells save nothing: what is left out are blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.types import Shape

BLOCK = 8  # cells along each axis

Blocks = npt.NDArray[np.bool_]


def pooled(scores: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Sums (*blocks) of scores (*cells) over blocks of ``side`` cells along each axis; the last ones may be smaller."""
    found = np.pad(scores, [(0, -n % side) for n in scores.shape])
    for axis in range(scores.ndim):
        found = found.reshape(*found.shape[:axis], -1, side, *found.shape[axis + 1 :]).sum(axis + 1)
    return found


def spread(blocks: Blocks, side: int, shape: Shape) -> Blocks:
    """The cells (*shape) of chosen blocks."""
    for axis, n in enumerate(shape):
        blocks = blocks.repeat(side, axis).take(range(n), axis)
    return blocks


def best_holding(scores: npt.NDArray[Any], held: float) -> Blocks | None:
    """The fewest blocks (*blocks) that hold the share ``held`` of all scores, none of them negative; None for all."""
    order = np.argsort(-scores, axis=None, kind="stable")
    sums = np.cumsum(scores.ravel()[order])
    count = 1 + int(np.searchsorted(sums, held * sums[-1]))
    if held >= 1.0 or count >= len(sums):
        return None
    kept = np.zeros(scores.shape, bool)
    kept.ravel()[order[:count]] = True
    return kept
