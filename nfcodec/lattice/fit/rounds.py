"""Further inner steps: change single symbols by ±1 wherever that lowers D + λR, and keep what truly did.

For every symbol the gain of a change is estimated from the gradient of the error through D and the trunk, half the
curvature, the exact difference in table bits, and what the change does to the bits of the symbols that are predicted
from this one. The best are changed at once; of a set that raises the true cost a third is tried.
After the first, a round is confined to the blocks of cells from which most is expected. Where samples are filtered
after decoding (Y), the second round and all after it leave to Y what it restores, the third where looks count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.entropy import logistic
from nfcodec.lattice.code import LARGEST_SYMBOL, RegionSymbols, region_bits
from nfcodec.lattice.filtering import SIDE
from nfcodec.lattice.fit.blocks import BLOCK, Blocks, best_holding, pooled, spread
from nfcodec.lattice.fit.heads import Chosen, Place, choose
from nfcodec.lattice.fit.looks import WORTH, Looks
from nfcodec.lattice.fit.outlook import Look, Outlook
from nfcodec.lattice.fit.through import Passed, Through
from nfcodec.lattice.fit.tiles import tiles_around
from nfcodec.lattice.fit.twin import Beside, FloatPrior, float_params
from nfcodec.lattice.fit.window import Canvas, Window, own_samples, sample_weights
from nfcodec.lattice.given import Given
from nfcodec.lattice.init import Level
from nfcodec.lattice.native import PLANE_UNIT
from nfcodec.types import Bytes, Floats, Symbols

# Bits that a change must save.
_LEAST_GAIN = 0.05
# Of the promising changes, what a single round makes, and the last one of several.
_ONLY_SHARE, _LAST_SHARE = 0.75, 0.6
# From this round on Y is minded; where looks count, of which it changes less, from the other one on.
_MINDING, _MINDING_LOOKS = 2, 3
# Times relative to one look at what symbols cost: a round; coding, rendering and verification.
_ROUND, _REST = 2.5, 2.5


@dataclass(frozen=True, slots=True)
class State:
    """Symbols (P, K, *cells), what the prior says of them, the bits of each, and all bits; the squared ``error``,
    summed, what it is of: the samples that are ``left`` to show (P, *samples), or what these ask for (P, K, *cells)
    where steps say what is seen; what ``passed`` through D; and the ``heads`` of Y that blocks shall use, default the
    first."""

    symbols: Symbols
    look: Look
    each: Floats
    bits: float
    error: float
    left: Tensor
    passed: Passed
    heads: Bytes | None = None

    def cost(self, trade: float) -> float:
        """bits + error/λ."""
        return self.bits + self.error / trade


class Problem:
    """One region: its window, its target, and λ (squared error summed over the samples per bit), ``thrift`` times the
    usual one. ``given``: what the prior is told beside symbols."""

    def __init__(
        self, level: Level, window: Window, plain: Tensor, *, quality: int, planes: int, trade: float,
        thrift: float = 1.0, given: Given | None = None,
    ) -> None:  # fmt: skip
        self.given = given
        self.level, self.quality, self.planes, self.trade = level, quality, planes, trade
        self.canvas = Canvas(level, window.outer)
        # Samples that only this region reaches are the signal's own.
        own, spacing = own_samples(window, level.spec.spacing), level.spec.spacing
        self._own = (slice(None), *own)
        squares = _squares(own, tuple(window.samples.shape[1:]), spacing)
        self._filtered = (slice(None), *squares)
        there = level.filter and all(part.start < part.stop for part in squares)
        self._place = _place(squares, tuple(plain.shape[2:]), spacing) if there else None
        self.target, self.weight = self._target(window, plain)
        self._added: Tensor | None = None
        # Of the views of Y one will do: the others change little, and each takes as long.
        self._filter = level.filter and replace(level.filter, views=1)
        self.through = Through(level, quality)
        shape = tuple(plain.shape[2:])
        self.outlook = Outlook(level.prior, shape, planes)
        self._known: tuple[Symbols, Floats] | None = None
        self.twin, self.twin_params = FloatPrior(level.prior.order, shape, 1), float_params(level.prior)
        functions = torch.stack([self.canvas.of_plane(p) for p in range(len(level.spec.planes))])
        alone, sizes = (..., *(None,) * level.spec.axes), level.steps(quality)
        self.looks = None if level.masking is None else Looks(level, window, worth=WORTH / thrift)
        if self.looks is None:
            self.curvature = (np.square(sizes) * functions.square().sum(2).numpy())[alone]
        else:
            self.curvature = self.trade * self.looks.curvature(functions, sizes)

    def _target(self, window: Window, plain: Tensor) -> tuple[Tensor, Tensor]:
        """What the canvas shall show, and the weight (*samples) of its samples."""
        share = self.canvas(plain.flatten(0, 1))
        share[self._own] = window.samples[self._own]
        return share, sample_weights(window, self.level.spec.spacing)

    def _sizes(self, symbols: Symbols) -> Floats:
        """Step sizes, which rounds leave as they are: they keep the means that these depend on."""
        if self._known is None or not np.array_equal(self._known[0], symbols[0, 0]):
            self._known = symbols[0, 0].copy(), self.level.sizes(symbols, self.quality).astype(np.float32)
        return self._known[1]

    def _error(self, shown: Tensor, symbols: Symbols) -> tuple[Tensor, float]:
        """What an error is of, and the squared error, summed, of what is ``shown``, which is lost; where steps say what
        is seen, what it would be worth as much as."""
        left = shown.sub_(self.target)
        if self.looks is None:
            return left, float(left.square().mul_(self.weight).sum())
        asked = self.looks.asked(left.mul_(self.weight > 0), torch.from_numpy(self._sizes(symbols)))
        return asked, float(self.trade * self.looks.bits(asked))

    def _towards(self, state: State) -> Tensor:
        """Slopes (P·K, *cells) of the error towards the last layers."""
        if self.looks is None:
            return self.canvas.towards((2.0 * state.left).mul_(self.weight))
        slopes = self.looks.slopes(state.left, torch.from_numpy(self._sizes(state.symbols)))
        return self.canvas.towards(slopes.mul_(self.weight > 0).mul_(self.trade))

    def state(self, symbols: Symbols, before: State | None = None) -> State:
        """Measure ``symbols``. Of cells whose contexts are the same as in the state ``before``, nothing is predicted
        again."""
        region = RegionSymbols(symbols, self.quality, self.planes, self.given)
        if before is None:
            look = self.outlook.look(region)
        else:
            changed = symbols != before.symbols
            reach = 2 if changed[:, 0].any() else 1
            tiles = tiles_around(pooled(changed.any((0, 1)), BLOCK) > 0, symbols.shape[2:], BLOCK, reach)
            look = self.outlook.look(region, before.look, tiles)
        each = region_bits(look.prediction, symbols)
        with torch.no_grad():
            shown, passed = self.through.forward(symbols, self._sizes(symbols), self.canvas)
            left, error = self._error(shown, symbols)
        bits = float(each[: self.planes].sum(dtype=np.float64))
        return State(symbols, look, each, bits, error, left, passed, before.heads if before else None)

    def minding(self, state: State) -> State:
        """The state by what is missing after Y, with the heads that suit it; its part is taken to stay as it is, from
        now on."""
        if self._filter is None or self._place is None:
            return state
        with torch.no_grad():
            shown = self._shown(state)
            if self._added is not None:
                self.target[self._filtered] += self._added
            chosen = self._chosen(shown[self._filtered], self.target[self._filtered])
            self._added = torch.from_numpy(chosen.added)
            self.target[self._filtered] -= self._added
            left, error = self._error(shown, state.symbols)
        return replace(state, left=left, error=error, heads=chosen.heads)

    def _chosen(self, shown: Tensor, wanted: Tensor) -> Chosen:
        assert self._filter is not None
        assert self._place is not None
        planes, quality = shown.numpy().astype(np.float64) / PLANE_UNIT, self.quality - self.level.finer
        if self.looks is not None or self._filter.heads == 1:  # squared errors are no guide to looks
            return Chosen(None, ((self._filter(planes, quality) - planes) * PLANE_UNIT).astype(np.float32))
        return choose(
            self._filter, planes, (wanted - shown).numpy(), self.weight[self._filtered[1:]].numpy(), self._place,
            quality=quality, trade=self.trade,
        )  # fmt: skip

    def _shown(self, state: State) -> Tensor:
        if self.looks is None:
            return state.left + self.target
        return self.through.forward(state.symbols, self._sizes(state.symbols), self.canvas)[0]

    def slope(self, state: State) -> Floats:
        """Gradient of the error to every symbol, from that to the last layers back through D."""
        with torch.no_grad():
            towards = self._towards(state)
        return self.through.slopes(state.passed, state.symbols, self._sizes(state.symbols), towards)

    def later_bits(self, state: State, context: Blocks | None = None) -> Floats:
        """Slope of the bits of all symbols that are predicted from a symbol; ``context``: of its blocks alone."""
        tiles = None if context is None else tiles_around(context, state.symbols.shape[2:], BLOCK, 1)
        found = self.outlook.slope(state.look, tiles)
        means = torch.from_numpy(state.symbols[None, :, 0].astype(np.float32))
        hats = torch.from_numpy(self.level.hats(self.quality))[None]
        found[:, 0] += self.twin.means_slope(self.twin_params, means, hats, Beside(self.given))[0].numpy()
        return found


def _squares(own: tuple[slice, ...], size: tuple[int, ...], spacing: tuple[int, ...]) -> list[slice]:
    """Those of the samples ``own`` of a window of ``size`` that are whole squares of Y in the picture."""
    found = []
    for part, n, s in zip(own, size, spacing, strict=True):
        first, last, _ = part.indices(n)
        start, stop = -(-(first - s // 2) // SIDE) * SIDE, (last - s // 2) // SIDE * SIDE
        found.append(slice(start + s // 2, stop + s // 2))
    return found


def _place(own: Sequence[slice], cells: tuple[int, ...], spacing: tuple[int, ...]) -> Place:
    """Where the samples ``own`` of a window lie in its region."""
    (height, width), (down, across) = cells, spacing
    first = [part.start - s // 2 for part, s in zip(own, spacing, strict=True)]
    return Place((first[0], first[1]), (height, width), (down, across))


def proposals(
    problem: Problem, state: State, context: Blocks | None = None
) -> tuple[npt.NDArray[np.int8], Floats]:  # fmt: skip
    """For every symbol of the ``context`` the better of ±1, and the cost (bits) that it is expected to save."""
    prediction = state.look.prediction
    total = problem.slope(state)
    total /= problem.trade
    total += problem.later_bits(state, context)
    curvature = np.broadcast_to(problem.curvature / problem.trade, total.shape)
    hopeful = np.zeros(total.shape, bool)
    for plane in range(problem.planes):  # one at a time, for the memory
        # No change saves more than all bits of its symbol, and what the error and later symbols lose.
        most = np.abs(total[plane]) - curvature[plane] + state.each[plane]
        hopeful[plane] = most > _LEAST_GAIN
    if problem.level.masking is not None:
        hopeful[0, 0] = False  # the steps of all around it would change
    if context is not None:
        hopeful &= spread(context, BLOCK, total.shape[2:])
    at = hopeful.nonzero()
    q, base, scale = state.symbols[at], (prediction.mean[at] + 4) >> 3, prediction.scale[at]
    fraction = prediction.mean[at] - 8 * base
    kept = state.each[at].astype(np.float64) - curvature[at]
    gains = [kept - logistic.bits(q + side - base, scale, fraction) - side * total[at] for side in (-1, 1)]
    best, move = np.zeros(total.shape, np.float32), np.zeros(total.shape, np.int8)
    best[at] = np.maximum(np.maximum(*gains), 0.0)
    move[at] = np.where(gains[1] > gains[0], 1, -1)
    return move, best


def refine(
    problem: Problem, symbols: Symbols, rounds: int, *, held: float = 1.0, deadline: float | None = None
) -> State:  # fmt: skip
    """The best state after at most ``rounds``; never worse than ``symbols``, by what is missing after Y, as soon as
    that is minded.

    Blocks are ranked anew in every round by the fall of the cost that was last expected of them, and the next round is
    confined to the best ones that together hold the share ``held`` of it. No round begins that would leave too little
    time until ``deadline`` (monotonic) to code the region and to check it.
    """
    began = time.monotonic()
    state, context, scores = problem.state(symbols), None, np.zeros(0)
    look = time.monotonic() - began
    round_time, rest = _ROUND * look, _REST * look
    minding = _MINDING if problem.looks is None else _MINDING_LOOKS
    for number, share in enumerate(shares(rounds), 1):
        began = time.monotonic()
        if deadline is not None and began + round_time + rest > deadline:
            break
        if number >= minding and problem.level.filter:
            state, context = problem.minding(state), None
        move, gain = proposals(problem, state, context)
        better = _changed(problem, state, move, gain, share)
        if better is None:
            break
        fall = pooled(gain.sum((0, 1)), BLOCK)
        scores = fall if context is None else np.where(context, fall, scores)
        state, context = better, best_holding(scores, held)
        round_time = time.monotonic() - began
    return state


def _changed(
    problem: Problem, state: State, move: npt.NDArray[np.int8], gain: Floats, share: float
) -> State | None:  # fmt: skip
    """The state after the best ``share`` of the promising changes, or of a third or a ninth of these; None where none
    of them is better."""
    hopeful = np.flatnonzero(gain > _LEAST_GAIN)
    order = hopeful[np.argsort(-gain.ravel()[hopeful], kind="stable")]
    for part in (share, share / 3, share / 9) if len(order) else ():
        take = order[: max(1, int(len(order) * part))]
        changed = state.symbols.copy()
        changed.ravel()[take] += move.ravel()[take]
        # A change by one may leave the range that the format holds.
        np.clip(changed, -LARGEST_SYMBOL, LARGEST_SYMBOL, out=changed)
        trial = problem.state(changed, state)
        if trial.cost(problem.trade) < state.cost(problem.trade):
            return trial
    return None


def shares(rounds: int) -> list[float]:
    """Which of the promising changes each round makes, the best ones: all, since later rounds can take back what was
    too much; the last one fewer."""
    if rounds == 1:
        return [_ONLY_SHARE]
    return [1.0] * (rounds - 1) + [_LAST_SHARE]
