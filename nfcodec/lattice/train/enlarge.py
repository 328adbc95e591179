"""Train what a lattice shows between its samples (:mod:`nfcodec.lattice.enlarge`).

Pictures are halved, encoded by the first step at a random quality, enlarged again and compared with their originals.
Rates and the picture at its own size are untouched, so everything but X is frozen here.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice import order
from nfcodec.lattice.enlarge import detail, detail_shapes
from nfcodec.lattice.fit.first_step import corrected
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import last_layers
from nfcodec.lattice.tensors import on_torch, tensors
from nfcodec.lattice.train.config import DetailConfig
from nfcodec.lattice.train.model import analyse
from nfcodec.lattice.train.tasks import Pair
from nfcodec.lattice.trunk import render, table
from nfcodec.train.checkpoint import grouped, moments, restore_moments

Params = dict[str, Tensor]


class DetailTrainer:
    """Fits X to a lattice init that stays as it is."""

    def __init__(self, init: LatticeInit, config: DetailConfig, *, seed: int) -> None:
        [level] = init.levels
        self.level, self.config, self.seed = on_torch(level), config, seed
        spec, trunk = self.level.spec, tensors(self.level.trunk)
        self.double = tuple(2 * s for s in spec.spacing)
        self.native_table = table(spec, trunk, spec.spacing)
        self.double_table = table(spec, trunk, self.double)
        self.params = self._start()
        self._leaves()

    def _leaves(self) -> None:
        self.params = {n: p.detach().requires_grad_() for n, p in self.params.items()}
        self.optimizer = torch.optim.Adam(self.params.values(), lr=self.config.lr)

    def _start(self) -> Params:
        generator = torch.Generator().manual_seed(self.seed)
        params = {}
        for name, shape in detail_shapes(self.config.width, order.QUALITY_LEVELS).items():
            zero = name.endswith("bias") or name.startswith("out.")
            fan = int(np.prod(shape[1:]))
            params[name] = torch.zeros(shape) if zero else torch.randn(shape, generator=generator) * (1.5 / fan) ** 0.5
        return params

    @torch.no_grad()
    def shown(self, small: Tensor, quality: int) -> tuple[Tensor, Tensor]:
        """The first plane of a batch as decoded, at its own size and at twice that, without the detail."""
        level, spec = self.level, self.level.spec
        weights = analyse(spec, tensors(level.first_step), small, self.native_table)
        symbols = torch.round(torch.stack([corrected(level, w, quality) for w in weights]))
        layers = last_layers(level, symbols, quality) * WEIGHT_UNIT
        native = render(spec, layers, self.native_table, spec.spacing)[:, :1]
        return native, render(spec, layers, self.double_table, self.double)[:, :1]

    def loss(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Mean squared error (N,) of the enlarged plane with and without the detail."""
        native, double = self.shown(pair.small, pair.quality)
        left = pair.large - double
        added = detail(self.params, native, torch.from_numpy(self.level.hats(pair.quality)))
        return (added - left).square().mean((1, 2, 3)), left.square().mean((1, 2, 3))

    def step(self, pair: Pair, at: int) -> float:
        """Step number ``at``; returns the error with X as a share of that without."""
        with_it, without = self.loss(pair)
        share = with_it.mean() / without.mean()
        self.optimizer.zero_grad()
        share.backward()  # type: ignore[no-untyped-call]
        self.optimizer.param_groups[0]["lr"] = self.config.lr * self._schedule(at)
        self.optimizer.step()
        return float(share.detach())

    def _schedule(self, at: int) -> float:
        """A short warm-up, then a cosine to zero."""
        warm = max(1.0, 0.05 * self.config.steps)
        return min(1.0, (at + 1) / warm) * 0.5 * (1.0 + math.cos(math.pi * at / self.config.steps))

    def trained(self) -> Params:
        """X as it is now."""
        return {n: p.detach().clone() for n, p in self.params.items()}

    def state(self) -> Params:
        """Everything that training goes on from, as named tensors."""
        return {f"x/{n}": p for n, p in self.params.items()} | moments(self.optimizer, self.params.values())

    def restore(self, state: Params) -> None:
        """The inverse of :meth:`state`."""
        groups = grouped(state)
        self.params = {n: groups["x"][n] for n in self.params}
        self._leaves()
        restore_moments(self.optimizer, self.params.values(), groups)
