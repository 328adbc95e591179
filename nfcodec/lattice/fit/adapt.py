"""Adapt one region: the first step, then as many further ones as the effort buys."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.code import LARGEST_SYMBOL
from nfcodec.lattice.fit.first_step import analysis, corrected
from nfcodec.lattice.fit.rounds import Problem, refine
from nfcodec.lattice.fit.window import Window, cut_window
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.space import Box, Space
from nfcodec.types import Symbols

# Rounds of efforts 1…9.
ROUNDS = (0, 1, 2, 2, 3, 4, 6, 8, 12)
# The effort from which rounds look ahead: two that do save more than eight that do not.
_AHEAD = 4
# The rounding that goes with an e-fold λ: the changes after the first step then ask for the same as the rounding.
_ROUNDING_OF_TRADE = 0.15


@dataclass(frozen=True, slots=True)
class Plan:
    """How to adapt: ``quality`` 0 … 100; ``rounds`` of changes after the first step; ``rounding``: by how much
    symbols are drawn towards zero before rounding, in steps, which raises λ to match (fine control of the rate);
    ``deadline``: monotonic time after which no new round begins; ``ahead``: rounds also weigh what a change does to
    the bits of later symbols."""

    quality: int
    rounds: int
    rounding: float = 0.0
    deadline: float | None = None
    ahead: bool = False

    @classmethod
    def of(cls, quality: int, effort: int, *, rounding: float = 0.0, deadline: float | None = None) -> Plan:
        """The plan of an effort 1 … 9."""
        return cls(quality, ROUNDS[effort - 1], rounding, deadline, effort >= _AHEAD)


    def trade(self, init: LatticeInit) -> float:
        """λ of the planes: squared error per bit."""
        return init.plane_trade(self.quality) * math.exp(self.rounding / _ROUNDING_OF_TRADE)


def rounded(y: Tensor, rounding: float) -> Symbols:
    """The nearest integers of ``y`` after drawing it towards zero; ties to even."""
    drawn = torch.sign(y) * (y.abs() - rounding).clamp(min=0.0) if rounding else y
    return torch.round(drawn).clamp(-LARGEST_SYMBOL, LARGEST_SYMBOL).to(torch.int32).numpy()


def region_weights(
    level: Level, wide: Tensor, shape: tuple[int, ...], space: Space, region: Box
) -> Tensor:  # fmt: skip
    """The first steps' last layers (P, K, *cells) of a region in the mirrored planes ``wide`` of a picture of ``shape``
    samples: the same as if the whole picture were one region."""
    around = space.around(region, level.inner_steps - 1)
    with torch.inference_mode():
        weights = analysis(level, cut_window(wide, shape, space, around, level.spec.spacing))
    return weights[region.within(around)]


def adapt_region(
    level: Level, window: Window, weights: Tensor, plan: Plan, *, planes: int, trade: float
) -> Symbols:  # fmt: skip
    """Symbols (P, K, *cells) of a window, from its :func:`region_weights`; those of planes that are not used are zero.
    ``trade``: λ of planes."""
    with torch.inference_mode():
        symbols = rounded(corrected(level, weights, plan.quality), plan.rounding)
    symbols[planes:] = 0
    if not plan.rounds:
        return symbols
    problem = Problem(
        level, window, weights.clone(), quality=plan.quality, planes=planes, trade=trade, ahead=plan.ahead
    )  # fmt: skip
    # A change by one may leave the range that the format holds.
    found = refine(problem, symbols, plan.rounds, deadline=plan.deadline).symbols
    return np.clip(found, -LARGEST_SYMBOL, LARGEST_SYMBOL)
