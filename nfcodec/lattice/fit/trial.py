"""What parts of a picture cost after the first steps: to choose how its lattice is used without coding all of it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.fit.adapt import Plan, region_weights
from nfcodec.lattice.fit.coded import LevelFit
from nfcodec.lattice.fit.dither import best_dither
from nfcodec.lattice.fit.first_step import corrected, rounded
from nfcodec.lattice.fit.rounds import Problem
from nfcodec.lattice.fit.window import Mirrored, cut_window
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.space import Space
from nfcodec.types import Floats

# Samples along each side of a part, how much of a picture there is for each along an axis, and the most along one.
_SIDE, _FOR_EACH, _MOST = 256, 440, 4


class Parts:
    """Parts of a picture: all of a small one, a third of one of half a million samples, 16 of a large one."""

    def __init__(self, values: Floats) -> None:
        """``values`` (h, w, C), of which ``share`` is in parts."""
        spans = [_spans(n) for n in values.shape[:2]]
        self._parts = [torch.from_numpy(np.ascontiguousarray(values[y, x])) for y, x in itertools.product(*spans)]
        self.share = sum(part[..., 0].numel() for part in self._parts) / math.prod(values.shape[:2])
        self._costs = dict[tuple[float, ...], float]()

    def mirrored(self, init: LatticeInit) -> list[Mirrored]:
        """What the level of an init is to show of each."""
        spec, offset = init.levels[0].spec, offset_of("image")
        spaces = (Space.of(tuple(part.shape[:2]), spec) for part in self._parts)
        planes = (init.planes.to_planes(part, offset) for part in self._parts)
        return [Mirrored(own, space, spec.spacing) for own, space in zip(planes, spaces, strict=True)]

    def cost(self, init: LatticeInit, quality: int) -> float:
        """Bits and error/λ of all parts after the first steps, at a ``quality`` of the steps."""
        key = quality, *init.levels[0].spec.spacing, *(init.turn or ())
        if key not in self._costs:
            fit = LevelFit(init, 0, self._parts[0].shape[-1])
            self._costs[key] = math.fsum(_cost(fit, wide, quality) for wide in self.mirrored(init))
        return self._costs[key]


def _spans(length: int) -> list[slice]:
    """Where parts lie along an axis: each in the middle of its stretch."""
    count, side = min(_MOST, max(1, round(length / _FOR_EACH))), min(_SIDE, length)
    starts = (int((2 * i + 1) * length / (2 * count) - side / 2) for i in range(count))
    return [slice(start, start + side) for start in starts]


def _cost(fit: LevelFit, wide: Mirrored, quality: int) -> float:
    plan, space, shape = Plan.of(quality, 1), wide.space, tuple(wide.planes.shape[1:])
    level = fit.init.dithered(best_dither(fit, wide, plan), quality).levels[0]
    weights: Tensor = region_weights(level, wide, shape, space, space.whole)
    window = cut_window(wide, shape, space, space.whole, level.spec.spacing)
    with torch.inference_mode():
        symbols = rounded(corrected(level, weights, quality), 0.0)
    symbols[fit.planes :] = 0
    trade = plan.trade(fit.init)
    problem = Problem(level, window, weights.clone(), quality=quality, planes=fit.planes, trade=trade)
    return problem.state(symbols).cost(trade)
