"""By how much the grids of a picture's means are moved: where its even parts lie in between, all of them are off.

One constant per plane is known to both sides, as in subtractive dithering (Roberts 1962), but chosen for the picture:
by the error that rounding leaves in the means of all cells.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.lattice.fit.adapt import Plan
from nfcodec.lattice.fit.coded import LevelFit
from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.fit.window import Mirrored
from nfcodec.lattice.init import DITHERS, Level
from nfcodec.lattice.native import TABLE_BITS
from nfcodec.types import Doubles

# Rows of cells that are looked at together, and about how many cells in all.
_ROWS, _CELLS = 8, 1 << 13
# Of a plane with luma, in steps: what the encoder's correction adds to means, and what of it D does not take back.
_ADDED, _LEFT = 0.18, 0.15
PLANES = 3  # that a dither names, whether there are so many or not
# Bits per cell and in all that a plane has to save.
_LEAST_PER_CELL, _LEAST = 0.01, 24.0


def best_dither(fit: LevelFit, wide: Mirrored, plan: Plan) -> tuple[int, ...] | None:
    """The dither of a picture, 16ths of a step for each plane; None where none is worth its bytes. ``wide``: what the
    only level is to show."""
    level, trade, found = fit.init.levels[0], plan.trade(fit.init), [0] * PLANES
    y, share = means(level, wide)
    sizes = level.steps(plan.quality)
    for plane in range(fit.planes):
        z = (y[plane] - level.base[plane, 0]) / sizes[plane, 0]
        energy = float(np.square(level.table[level.spec.functions_of(plane)][0] * 2.0**-TABLE_BITS).sum())
        bits = energy * float(sizes[plane, 0]) ** 2 / trade
        falls = bits * _falls(z.ravel(), first=plane == 0)
        best = int(falls.argmax())
        if falls[best] * share > _LEAST and falls[best] > _LEAST_PER_CELL * z.size:
            found[plane] = best - DITHERS // 2
    return tuple(found) if any(found) else None


def _falls(z: Doubles, *, first: bool) -> Doubles:
    """By how much the squared error of rounded means z (n,), summed, in steps, falls for each dither from −½ on."""
    added, left = (_ADDED, _LEFT) if first else (0.0, 0.0)
    errors = []
    for part in range(-DITHERS // 2, DITHERS // 2):
        moved = z + (added - part / DITHERS)
        errors.append(float(np.square(moved - np.rint(moved) - left).sum()))
    found: Doubles = errors[DITHERS // 2] - np.array(errors)
    return found


def means(level: Level, wide: Mirrored) -> tuple[Doubles, float]:
    """The means (P, n) that the first inner step asks for, of some rows of cells all over the picture, and how many
    there are of each of these."""
    cells, spacing, params = wide.space.cells, level.spec.spacing, tensors(level.first_step)
    every = max(1, math.prod(cells) // _CELLS)
    bands = range(0, cells[0], _ROWS * every)
    parts = []
    for start in bands:
        rows = start, min(start + _ROWS, cells[0])
        spans = [(s * a, s * (b + 1)) for (a, b), s in zip((rows, (0, cells[1])), spacing, strict=True)]
        parts.append(_asked(level, params, wide.part(spans)))
    found = np.concatenate([part.reshape(len(part), -1) for part in parts], 1)
    return found, math.prod(cells) / found.shape[1]


def _asked(level: Level, params: dict[str, Tensor], samples: Tensor) -> Doubles:
    """The means (P, *cells) of samples (P, *(s·cells + s))."""
    spec, gains = level.spec, torch.exp2(params["log_gain"][:, 0])
    size = 1, 1, *(2 * s for s in spec.spacing)
    kernels = [params[f"analysis.{plane.functions}"][0].reshape(size) for plane in spec.planes]
    with torch.inference_mode():
        found = [F.conv2d(x[None, None], k, stride=spec.spacing)[0, 0] for x, k in zip(samples, kernels, strict=True)]
        return np.asarray((torch.stack(found) * gains[:, None, None]).numpy(), np.float64)
