"""What trainers of one network of an init share: parameters, their running mean, and checkpoints of both."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from nfcodec.errors import CorruptError
from nfcodec.train.checkpoint import grouped, moments, read_state, read_tensors, restore_moments, write_state
from nfcodec.train.running import Running

Params = dict[str, Tensor]

_GROUPS, _NUMBERS = ("params", "average"), ("at", "loss", "error")


class AveragedRunning(Running):
    """A training of ``params`` by one ``optimizer``, whose running mean ``average`` comes out; ``what``: the name
    of the network; ``config``: what checkpoints are tied to; ``more`` that changes while it goes on."""

    what: str
    more: Mapping[str, Tensor] = MappingProxyType({})
    config: object
    params: Params
    average: Params
    optimizer: torch.optim.Optimizer

    @abstractmethod
    def use(self, params: Params) -> None:
        """Go on from these parameters, with an optimizer that has seen none of them."""

    def fitting(self, found: Params) -> Params:
        """Parameters to begin with, of those of a checkpoint."""
        return found

    def save(self, path: Path) -> None:
        """Write the whole state; a crash while writing leaves the previous file."""
        tensors = {f"{g}/{n}": t for g in _GROUPS for n, t in getattr(self, g).items()}
        tensors |= {f"more/{n}": t for n, t in self.more.items()}
        tensors |= moments(self.optimizer, self.params.values())
        write_state(path, tensors, {n: getattr(self, n) for n in _NUMBERS}, self.config)

    def begin(self, path: Path) -> None:
        """Start at the running mean of a checkpoint, of whatever config: of a network that is :meth:`fitting`."""
        found = self.fitting(grouped(read_tensors(path)).get("average", {}))
        if {n: p.shape for n, p in found.items()} != {n: p.shape for n, p in self.params.items()}:
            raise CorruptError(f"cannot begin at {path}: it is of another {self.what}")
        self.use(found)
        self.average = {n: found[n].clone() for n in self.params}

    def resume(self, path: Path) -> None:
        """Go on from :meth:`save`; the config must be the one that made the checkpoint."""
        tensors, (self.at, self.loss, self.error) = read_state(path, _NUMBERS, self.config)
        groups = grouped(tensors)
        if any(groups.get(g, {}).keys() != self.params.keys() for g in _GROUPS):
            raise CorruptError(f"cannot resume from {path}: it is of another {self.what}")
        self.use(groups["params"])
        self.average = {n: groups["average"][n] for n in self.params}
        self.more = groups.get("more", {})
        restore_moments(self.optimizer, self.params.values(), groups)


def in_corner(old: Tensor, new: Tensor) -> Tensor:
    """A ``new`` parameter with an ``old`` one that is no larger in its corner: what old channels show stays, since they
    see nothing of new ones."""
    found = new.clone()
    found[: len(old)] = 0.0
    found[tuple(slice(n) for n in old.shape)] = old
    return found
