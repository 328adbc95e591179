"""Tune D alone to what the encoder makes, in the whole numbers that decode: everything else of an init stays.

One step takes crops through the encoder (its first step, and for a share of the batches some rounds), renders the
symbols through the rounded D and follows the gradient of the error, each in units of its quality's λ. The rate is what
it was, so it has no part in this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.fit.adapt import Plan, adapt_region
from nfcodec.lattice.fit.first_step import analysis
from nfcodec.lattice.fit.window import Canvas, whole_window
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.steps import WEIGHT_UNIT, step_sizes
from nfcodec.lattice.synthesis import restored
from nfcodec.lattice.train.averaged import AveragedRunning
from nfcodec.lattice.train.tasks import Crops
from nfcodec.lattice.train.whole import numpy_restore, restore_params, whole_restore
from nfcodec.train.running import NOTHING, smooth

Params = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """``steps`` of Adam on ``batch`` crops of ``crop`` samples at rate ``lr``, in units of the spread of each tensor,
    which falls to zero by a cosine; every ``rounds_every``-th batch went through ``rounds`` rounds of the encoder.
    A share ``drawn`` of the crops comes from ``drawings`` drawn pictures. ``average``: of the running mean that is
    kept."""

    steps: int = 4000
    batch: int = 4
    crop: int = 128
    lr: float = 3e-4
    rounds_every: int = 4
    rounds: int = 2
    average: float = 0.998
    clip: float = 1.0
    drawn: float = 0.12
    drawings: int = 120
    seed: int = 0


@dataclass(frozen=True)
class Example:
    """A crop's symbols int32 (P, K, h, w), its planes (P, H, W) and its quality."""

    symbols: np.ndarray
    planes: Tensor
    quality: int


def encoded(init: LatticeInit, planes: Tensor, quality: int, rounds: int) -> Example:
    """What the encoder makes of a picture (P, H, W)."""
    [level] = init.levels
    window = whole_window(planes, level.spec)
    with torch.inference_mode():
        weights = analysis(level, window)
    plan = replace(Plan.of(quality, 1), rounds=rounds)
    symbols = adapt_region(level, window, weights, plan, planes=len(planes), trade=plan.trade(init)).symbols
    return Example(symbols, planes, quality)


def shown_errors(level: Level, params: Params, examples: Sequence[Example]) -> Tensor:
    """Mean squared errors (N,) of examples of one size, rendered through the D of ``params``."""
    symbols = torch.from_numpy(np.stack([e.symbols for e in examples]).astype(np.float32))
    rows = torch.from_numpy(np.stack([16.0 * level.hats(e.quality) for e in examples]))
    sizes = np.stack([step_sizes(level.log_step, e.quality) for e in examples]).astype(np.float32)
    offset = None if level.offset is None else torch.from_numpy(level.offset.astype(np.float32))
    layers = restored(whole_restore(params), symbols, rows, torch.from_numpy(sizes), offset) * WEIGHT_UNIT
    canvas, spacing = Canvas(level, ((True, True),) * level.spec.axes), level.spec.spacing
    native, errors = (slice(None), *(slice(s // 2, -(s // 2)) for s in spacing)), []
    for one, example in zip(layers, examples, strict=True):
        inside = canvas(one)[native]
        errors.append((inside - example.planes).square().mean())
    return torch.stack(errors)


class RestoreTuner(AveragedRunning):
    """Tunes the D of an init, beginning at ``params`` (:func:`nfcodec.lattice.train.whole.restore_shapes`)."""

    what = "D"
    config: TuneConfig

    def __init__(self, init: LatticeInit, params: Params, crops: Crops, config: TuneConfig) -> None:
        self.start_init, self.crops, self.config = init, crops, config
        [self.level] = init.levels
        sizes = restore_params(self.level.restore)
        self.sizes = {n: max(float(p.std()), 1e-3) for n, p in sizes.items()}
        self.average = {n: p.detach().clone() for n, p in params.items()}
        self.use(params)
        self.at, self.loss, self.error, self.bits = 0, NOTHING, NOTHING, NOTHING

    def use(self, params: Params) -> None:
        """Go on from these parameters."""
        self.params = {n: p.detach().clone().requires_grad_() for n, p in sorted(params.items())}
        # A weight moves in proportion to those beside it: layers have units of their own.
        groups = [{"params": [p], "size": self.sizes[n]} for n, p in self.params.items()]
        self.optimizer = torch.optim.Adam(groups, lr=self.config.lr, betas=(0.9, 0.99))

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.config.steps

    def with_restore(self, params: Params) -> LatticeInit:
        """The init with another D."""
        return replace(self.start_init, levels=(replace(self.level, restore=numpy_restore(params)),))

    def examples(self, step: int) -> list[Example]:
        """The batch of a step; it depends on the seed and on the step alone, but for what rounds made of D."""
        config = self.config
        batch = self.crops.batch(config.seed, step, config.batch, double=False)
        rounds = config.rounds if step % config.rounds_every == config.rounds_every - 1 else 0
        pairs = zip(batch.values, batch.quality, strict=True)
        return [encoded(self.start_init, self._planes(values), int(q), rounds) for values, q in pairs]

    def _planes(self, values: Tensor) -> Tensor:
        init = self.start_init
        planes: Tensor = init.planes.to_planes(values.movedim(0, -1), offset_of("image"))
        return planes

    def step(self) -> None:
        """One step of Adam."""
        examples = self.examples(self.at)
        errors = shown_errors(self.level, self.params, examples)
        with torch.no_grad():
            before = shown_errors(self.level, self.average, examples)
        # The error of the D so far as the unit: no quality and no picture dominates.
        loss = (errors / before).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.params.values()), self.config.clip)
        rate = self.config.lr * self._schedule(self.at)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["size"]
        self.optimizer.step()
        self._remember(float(loss.detach()), float(errors.detach().mean()))
        self.at += 1

    def _schedule(self, step: int) -> float:
        """A short warm-up, then a cosine to zero."""
        warm = max(1.0, 0.02 * self.config.steps)
        return min(1.0, (step + 1) / warm) * 0.5 * (1.0 + math.cos(math.pi * step / self.config.steps))

    @torch.no_grad()
    def _remember(self, loss: float, error: float) -> None:
        keep = min(self.config.average, 1.0 - 1.0 / (self.at + 1))
        self.average = {n: self.average[n].lerp(p, 1.0 - keep) for n, p in self.params.items()}
        self.loss, self.error = smooth(self.loss, loss), smooth(self.error, error)
