"""Adapt one region: the first step, then as many further ones as the effort buys."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nfcodec.lattice.fit.first_step import analysis, corrected, rounded
from nfcodec.lattice.fit.rounds import Problem, refine
from nfcodec.lattice.fit.window import Mirrored, Window, cut_window
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.space import Box, Space
from nfcodec.types import Bytes, Symbols

# Rounds of efforts 1…9, and the share of the expected gain that the context of every round but the first must hold.
ROUNDS = (0, 1, 2, 2, 3, 4, 5, 6, 12)
# Of pictures whose squared errors alone count, for which more of them pay.
ROUNDS_FOR_ERRORS = (0, 1, 2, 3, 5, 6, 7, 8, 12)
HELD = (1.0, 1.0, 0.8, 0.9, 0.95, 0.98, 0.98, 1.0, 1.0)
# The rounding that goes with an e-fold λ: the changes after the first step then ask for the same as the rounding.
_ROUNDING_OF_TRADE = 0.15


@dataclass(frozen=True, slots=True)
class Plan:
    """How to adapt: ``quality`` 0 … 100; ``rounds`` of changes after the first step, whose contexts hold the share
    ``held`` of what is expected of them; ``rounding``: by how much
    symbols are drawn towards zero before rounding, in steps, which raises λ to match (fine control of the rate);
    ``deadline``: monotonic time after which no new round begins; ``dither``: of the grids of means
    (:mod:`nfcodec.lattice.fit.dither`)."""

    quality: int
    rounds: int
    rounding: float = 0.0
    deadline: float | None = None
    held: float = 1.0
    dither: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls, quality: int, effort: int, *, rounding: float = 0.0, deadline: float | None = None,
        for_errors: bool = False,
    ) -> Plan:  # fmt: skip
        """The plan of an effort 1 … 9; ``for_errors``: of a picture whose squared errors alone count."""
        rounds = (ROUNDS_FOR_ERRORS if for_errors else ROUNDS)[effort - 1]
        return cls(quality, rounds, rounding, deadline, HELD[effort - 1])

    def trade(self, init: LatticeInit) -> float:
        """λ of the planes: squared error per bit."""
        return init.plane_trade(self.quality) * self.thrift

    @property
    def thrift(self) -> float:
        """How much more a bit counts for the sake of a target."""
        return math.exp(self.rounding / _ROUNDING_OF_TRADE)


@dataclass(frozen=True, slots=True)
class Adapted:
    """Symbols (P, K, *cells) of a region, and the ``heads`` (h, w) of Y that its blocks use, default the first."""

    symbols: Symbols
    heads: Bytes | None = None


def region_weights(
    level: Level, wide: Tensor | Mirrored, shape: tuple[int, ...], space: Space, region: Box
) -> Tensor:  # fmt: skip
    """The first steps' last layers (P, K, *cells) of a region in the mirrored planes ``wide`` of a picture of ``shape``
    samples: the same as if the whole picture were one region."""
    around = space.around(region, level.inner_steps - 1)
    with torch.inference_mode():
        weights = analysis(level, cut_window(wide, shape, space, around, level.spec.spacing))
    return weights[region.within(around)]


def adapt_region(
    level: Level, window: Window, weights: Tensor, plan: Plan, *, planes: int, trade: float
) -> Adapted:  # fmt: skip
    """What a window becomes, from its :func:`region_weights`; symbols of planes that are not used are zero. ``trade``:
    λ of planes."""
    with torch.inference_mode():
        symbols = rounded(corrected(level, weights, plan.quality, plan.rounding), plan.rounding)
    symbols[planes:] = 0
    if not plan.rounds:
        return Adapted(symbols)
    problem = Problem(
        level, window, weights.clone(), quality=plan.quality, planes=planes, trade=trade, thrift=plan.thrift
    )
    del window, weights  # tens of megabytes
    found = refine(problem, symbols, plan.rounds, held=plan.held, deadline=plan.deadline)
    return Adapted(found.symbols, found.heads)
