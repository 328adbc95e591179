"""Further inner steps: change single symbols by ±1 wherever that lowers D + λR, and keep what truly did.

For every symbol the gain of a change is estimated from the gradient of the error through D and the trunk, half the
curvature, the exact difference in table bits, and at high efforts what the change does to the bits of the symbols that
are predicted from this one. The best are changed at once; a set that raises the true cost is cut down to its better
half (after GradNCP's choice of context by expected improvement, carried to the deltas).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.entropy import logistic
from nfcodec.lattice.code import Prediction, RegionSymbols, predict, region_bits
from nfcodec.lattice.fit.tensors import on_torch
from nfcodec.lattice.fit.twin import FloatPrior, float_params
from nfcodec.lattice.fit.window import Canvas, Window, own_samples, sample_weights
from nfcodec.lattice.init import Level
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import last_layers
from nfcodec.types import Floats, Symbols

# Times relative to one look at what symbols cost: a first round that looks ahead; coding, rendering and verification.
_FIRST_ROUND, _REST = 5.5, 2.5


@dataclass(frozen=True, slots=True)
class State:
    """Symbols (P, K, *cells), what the prior says of them, their cost in bits (error in units of λ included)."""

    symbols: Symbols
    prediction: Prediction
    bits: float
    error: float

    def cost(self, trade: float) -> float:
        """bits + error/λ."""
        return self.bits + self.error / trade


class Problem:
    """One region: its window, its target, and λ (squared error summed over the samples per bit). ``ahead``: a change
    is also judged by the bits of later symbols, which takes as long again."""

    def __init__(
        self, level: Level, window: Window, plain: Tensor, *, quality: int, planes: int, trade: float,
        ahead: bool = False,
    ) -> None:  # fmt: skip
        self.level, self.window, self.quality, self.planes, self.trade = on_torch(level), window, quality, planes, trade
        self.canvas = Canvas(level, window.outer)
        self.target, self.weight = self._target(plain)
        shape = tuple(plain.shape[2:])
        self.later = (FloatPrior(level.prior.order, shape, 1), float_params(level.prior)) if ahead else None
        size = torch.from_numpy(level.steps(quality))
        norms = torch.stack([self.canvas.of_plane(p) for p in range(len(level.spec.planes))]).square().sum(2)
        self.curvature = (size.square() * norms)[(..., *(None,) * level.spec.axes)].numpy()

    def _target(self, plain: Tensor) -> tuple[Tensor, Tensor]:
        """What the canvas shall show, and the weight (*samples) of its samples."""
        spacing = self.level.spec.spacing
        share = self.canvas(plain.flatten(0, 1))
        # Samples that only this region reaches are the signal's own.
        own = (slice(None), *own_samples(self.window, spacing))
        share[own] = self.window.samples[own]
        return share, sample_weights(self.window, spacing)

    def error(self, symbols: Tensor) -> Tensor:
        """Squared error, summed."""
        shown = self.canvas(last_layers(self.level, symbols, self.quality) * WEIGHT_UNIT)
        return ((shown - self.target).square() * self.weight).sum()

    def state(self, symbols: Symbols) -> State:
        """Measure ``symbols``."""
        prediction = predict(self.level.prior, RegionSymbols(symbols, self.quality, self.planes))
        bits = float(region_bits(prediction, symbols)[: self.planes].sum())
        with torch.no_grad():
            error = float(self.error(torch.from_numpy(symbols.astype(np.float32))))
        return State(symbols, prediction, bits, error)

    def slope(self, symbols: Symbols) -> Floats:
        """Gradient of the error to every symbol."""
        q = torch.from_numpy(symbols.astype(np.float32)).requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.error(q), q)
        return gradient.numpy()

    def later_bits(self, symbols: Symbols) -> Floats | float:
        """Slope of the bits of all symbols that are predicted from a symbol; 0 when not asked for."""
        if self.later is None:
            return 0.0
        twin, params = self.later
        q = torch.from_numpy(symbols.astype(np.float32))[None]
        return twin.neighbours_slope(params, q, torch.from_numpy(self.level.hats(self.quality))[None])[0].numpy()


def proposals(problem: Problem, state: State) -> tuple[npt.NDArray[np.int8], Floats]:
    """For every symbol the better of ±1, and the cost (bits) that it is expected to save."""
    q, base = state.symbols, (state.prediction.mean + 4) >> 3
    fraction = state.prediction.mean - 8 * base
    slope, later = problem.slope(q), problem.later_bits(q)
    here = logistic.bits(q - base, state.prediction.scale, fraction)
    best = np.zeros(q.shape, np.float32)
    move = np.zeros(q.shape, np.int8)
    for side in (-1, 1):
        error = side * slope + problem.curvature
        there = logistic.bits(q + side - base, state.prediction.scale, fraction)
        gain = (here - there - error / problem.trade - side * later).astype(np.float32)
        better = gain > best
        best[better] = gain[better]
        move[better] = side
    best[problem.planes :] = 0.0
    move[problem.planes :] = 0
    return move, best


def refine(problem: Problem, symbols: Symbols, rounds: int, *, deadline: float | None = None) -> State:
    """The best state after at most ``rounds``; never worse than ``symbols``. No round begins that would leave too
    little time until ``deadline`` (monotonic) to code the region and to check it."""
    began = time.monotonic()
    state, share = problem.state(symbols), 0.5
    look = time.monotonic() - began
    round_time, rest = _FIRST_ROUND * look, _REST * look
    for _ in range(rounds):
        began = time.monotonic()
        if deadline is not None and began + round_time + rest > deadline:
            break
        move, gain = proposals(problem, state)
        hopeful = np.flatnonzero(gain > 0.05)
        if not len(hopeful):
            break
        order = hopeful[np.argsort(-gain.ravel()[hopeful], kind="stable")]
        take = order[: max(1, int(len(order) * share))]
        changed = state.symbols.copy()
        changed.ravel()[take] += move.ravel()[take]
        trial = problem.state(changed)
        if trial.cost(problem.trade) < state.cost(problem.trade):
            state = trial
        else:
            share /= 2.0
        round_time = time.monotonic() - began
    return state
