"""Meta-SparseINR (Lee et al. 2021, §3) for the trunk of a lattice: gradual magnitude pruning inside meta-training.

The trunk is shared by all signals, so one mask serves them all; what it loses, D and the first step learn to do
without while they are trained.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nfcodec.lattice.train.config import PruneConfig

Params = dict[str, Tensor]
PRUNED = ("trunk.1.weight", "trunk.2.weight")


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
