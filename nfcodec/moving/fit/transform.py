"""From what a prediction misses to symbols, and which blocks are worth any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.fit.adapt import Plan, adapt_region
from nfcodec.lattice.fit.first_step import analysis, corrected, rounded
from nfcodec.lattice.fit.rounds import Problem, refine
from nfcodec.lattice.fit.window import whole_window
from nfcodec.lattice.given import Given
from nfcodec.lattice.init import Level
from nfcodec.moving.motion import BLOCK
from nfcodec.moving.residual import coarse
from nfcodec.types import Floats, Mask, Symbols

# What symbols cost where their neighbours predict them, over what they would cost each alone.
_IN_CONTEXT = 0.7
# About what a fine symbol that is not zero costs, with the zeros around it.
_FINE_BITS = 8.0


@dataclass(frozen=True)
class Quantized:
    """``symbols`` (P, K, h, w) of all cells, and what each block (h', w') of cells would cost in bits, and gain in
    squared error over λ, both about."""

    symbols: Symbols
    bits: Floats
    gains: Floats

    @property
    def worth(self) -> Mask:
        """Which blocks save more than they cost."""
        return (self.gains > self.bits) & (self.bits > 0)


def picture_symbols(level: Level, planes: Floats, plan: Plan, *, coded: int, trade: float) -> Symbols:
    """Symbols of a picture of its own, planes (P, H, W)."""
    window = whole_window(torch.from_numpy(planes), level.spec)
    with torch.inference_mode():
        weights = analysis(level, window)
    return adapt_region(level, window, weights, plan, planes=coded, trade=trade).symbols


class Residual:
    """A residual (P, H, W) to fit, of which ``coded`` planes count, at λ = ``trade``."""

    def __init__(self, level: Level, planes: Floats, plan: Plan, *, coded: int, trade: float) -> None:
        self.level, self.plan, self.coded, self.trade = level, plan, coded, trade
        self.fine = True
        self.window = whole_window(torch.from_numpy(planes), level.spec)
        with torch.inference_mode():
            self.weights = analysis(level, self.window)

    def first(self) -> Quantized:
        """What the inner steps find."""
        level, plan = self.level, self.plan
        with torch.inference_mode():
            sizes = torch.from_numpy(level.steps(plan.quality))[..., None, None]
            symbols = rounded(corrected(level, self.weights, plan.quality), plan.rounding)
            symbols[self.coded :] = 0
            self.fine = _worth_fine(symbols, self.weights, sizes, self.trade)
            symbols = self._kept(symbols)
            return _priced(symbols, self.weights, sizes, self.trade, level.spec.spacing)

    def refined(self, symbols: Symbols, cells: Mask, given: Given | None = None) -> Symbols:
        """Symbols after the rounds of the plan; those of other ``cells`` (h, w) stay zero. ``given``: what the prior is
        told of all cells."""
        if not self.plan.rounds:
            return symbols
        problem = Problem(
            self.level, self.window, self.weights.clone(),
            quality=self.plan.quality, planes=self.coded, trade=self.trade, given=given,
        )  # fmt: skip
        found = refine(problem, symbols, self.plan.rounds, held=self.plan.held, deadline=self.plan.deadline)
        return self._kept(np.asarray(found.symbols * cells, np.int32))

    def _kept(self, symbols: Symbols) -> Symbols:
        if not self.fine:
            symbols[1:, coarse(symbols.shape[1]) :] = 0
        return symbols


def _worth_fine(symbols: Symbols, weights: Tensor, sizes: Tensor, trade: float) -> bool:
    """Whether the fine symbols of the planes behind the first save more than they cost."""
    part = slice(1, None), slice(coarse(symbols.shape[1]), None)
    w, size, q = weights[part], sizes[part], torch.from_numpy(symbols[part]).float()
    gain = float((w.square() - (w - q * size).square()).sum()) / trade
    return gain > _FINE_BITS * int(q.count_nonzero())


def _priced(symbols: Symbols, weights: Tensor, sizes: Tensor, trade: float, spacing: tuple[int, ...]) -> Quantized:
    q = torch.from_numpy(symbols).float()
    left = (weights - q * sizes).square()
    gain = (weights.square() - left).sum((0, 1)) / trade
    bits = (torch.log2(1.0 + q.abs()) * 2.0 + 2.5 * (q != 0)).sum((0, 1))
    factors = [BLOCK // s for s in spacing]
    return Quantized(symbols, _IN_CONTEXT * _pooled(bits, factors), _pooled(gain, factors))


def _pooled(x: Tensor, factors: list[int]) -> Floats:
    """Sums over blocks of cells."""
    (h, w), (fy, fx) = x.shape, factors
    wide = torch.nn.functional.pad(x, (0, -w % fx, 0, -h % fy))
    return np.asarray(wide.reshape(wide.shape[0] // fy, fy, wide.shape[1] // fx, fx).sum((1, 3)).numpy(), np.float32)
