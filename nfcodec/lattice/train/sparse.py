"""Meta-SparseINR (Lee et al. 2021, §3) for a lattice: one mask for all signals, found inside meta-training.

:class:`TrunkPruning` thins the trunk's layers, more and more of them between two outer steps; what it loses, D and the
first step learn to do without. :class:`SparseRounds` is the paper's loop: a share of the survivors goes by one global
threshold over everything that encoder and decoder share but the prior, the rest trains on, and again.
"""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.train.config import PruneConfig, SparseConfig

Params = dict[str, Tensor]
PRUNED = ("trunk.1.weight", "trunk.2.weight")
# The weights of the trunk, of D (before its rounding) and of the correction, and the preconditioner's; no biases.
_SPARSE = {
    "inner": re.compile(r"\d+\.(trunk\.[12]|(d|e)\..+)\.weight"),
    "networks": re.compile(r"\d+\.(trunk|d|e)\..+\.weight"),
    "all": re.compile(r"\d+\.((trunk|d|e)\..+\.weight|analysis\.\d+)"),
}


def pruned(name: str) -> bool:
    """Whether a parameter is one of those that lose weights."""
    return name.endswith(PRUNED)


class TrunkPruning:
    """Zeroes the smallest weights of the trunk's layers, more and more of them between two outer steps."""

    def __init__(self, config: PruneConfig, steps: int) -> None:
        self.config = config
        self.first, self.last = config.start * steps, config.stop * steps
        self._kept: dict[str, Tensor] = {}

    def share(self, step: int) -> float:
        """What part of each layer is to be gone at ``step``: fast at first, slowly at the end (a cubic)."""
        if step <= self.first:
            return 0.0
        left = max(0.0, 1.0 - (step - self.first) / max(self.last - self.first, 1.0))
        return self.config.share * (1.0 - left**3)

    @torch.no_grad()
    def remember(self, params: Params) -> None:
        """What is zero now was pruned."""
        self._kept = {name: p != 0 for name, p in params.items() if pruned(name)}

    def zeros(self) -> dict[str, Tensor]:
        """What has been pruned, by name."""
        return {name: ~kept for name, kept in self._kept.items()}

    @torch.no_grad()
    def apply(self, params: Params, step: int) -> None:
        """Prune what is due after outer step ``step``; the optimizer's momentum does not revive what is gone."""
        if not self._kept:
            self.remember(params)
        for name, kept in self._kept.items():
            params[name].mul_(kept)
            count = int(self.share(step) * kept.numel())
            if count and step % self.config.every == 0:
                smallest = params[name].abs().flatten().argsort(stable=True)[:count]
                kept.view(-1)[smallest] = False
                params[name].mul_(kept)


def sparse(name: str, scope: str) -> bool:
    """Whether a parameter is one of those that :class:`SparseRounds` prunes."""
    return _SPARSE[scope].fullmatch(name) is not None


class SparseRounds:
    """Algorithm 1 of Meta-SparseINR: ``rounds`` times a share of the surviving weights goes, by magnitude and one
    threshold over all tensors or at random, at evenly spaced of the outer ``steps``, the first of them included."""

    def __init__(self, config: SparseConfig, steps: int, seed: int) -> None:
        self.config, self.every, self.seed = config, max(1, steps // max(1, config.rounds)), seed
        self._kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def remember(self, params: Params) -> None:
        """What is zero now was pruned."""
        if self.config.rounds:
            scope = self.config.scope
            self._kept = {name: p != 0 for name, p in params.items() if sparse(name, scope)}

    def zeros(self) -> dict[str, Tensor]:
        """What has been pruned, by name."""
        return {name: ~kept for name, kept in self._kept.items()}

    @torch.no_grad()
    def apply(self, params: Params, step: int) -> None:
        """Prune what is due after outer step ``step``; what is gone stays gone."""
        self._mask(params)
        if self._kept and step % self.every == 0 and step // self.every < self.config.rounds:
            self._prune(params, step)
            self._mask(params)

    def _mask(self, params: Params) -> None:
        for name, kept in self._kept.items():
            params[name].mul_(kept)

    def _prune(self, params: Params, step: int) -> None:
        sizes = [params[n].detach().abs().flatten() for n in self._kept]
        if self.config.unit == "spread":
            sizes = [s / s[s > 0].square().mean().sqrt().clamp(min=1e-12) for s in sizes]
        if self.config.choice == "random":
            random = np.random.default_rng((self.seed, 0x5A2, step))
            sizes = [torch.from_numpy(random.random(s.numel(), np.float32)).to(s.device) + 1.0 for s in sizes]
        left = torch.cat([kept.flatten() for kept in self._kept.values()])
        score = torch.where(left, torch.cat(sizes), torch.inf)
        gone = score.argsort(stable=True)[: int(self.config.share * int(left.sum()))]
        left[gone] = False
        parts = torch.split(left, [s.numel() for s in sizes])
        self._kept = {n: part.view_as(k) for (n, k), part in zip(self._kept.items(), parts, strict=True)}
