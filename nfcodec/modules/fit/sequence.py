"""Modules that are learned one after another, each final before the next one comes (Woo et al. 2025: mod, mim)."""

from __future__ import annotations

from torch import Tensor

from nfcodec.modules.fit.inner import InnerLoop, Tensors, adapt
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec


class ModuleSequence:
    """A growing list of modules that all begin at the same θ0.

    ``theta0``, ``rate``, ``mask``: tensors without a module axis. ``loop``: the steps that a new module takes; with
    ``rho`` > 0 this is ``mim``. A module is adapted to its own segment alone and then left as it is, so learning
    another one cannot change what an earlier one says: there is no forgetting, bit for bit.
    """

    def __init__(self, spec: FieldSpec, theta0: Tensors, rate: Tensors, mask: Tensors, loop: InnerLoop) -> None:
        self.spec, self.loop = spec, loop
        self._theta0, self._rate, self._mask = theta0, rate, mask
        self._modules: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self._modules)

    def learn(self, coords: Tensor, targets: Tensor) -> int:
        """Add a module for targets (N, c) at coords (N, d); the number of the module."""
        params, _ = adapt(
            self.spec, self._theta0, self._rate, self._mask, coords[None], targets[None], self.loop
        )  # fmt: skip
        self._modules.append({n: p.detach() for n, p in params.items()})
        return len(self._modules) - 1

    def outputs(self, module: int, coords: Tensor) -> Tensor:
        """Raw outputs (N, channels) of a module at coords (N, d) of its own domain."""
        out: Tensor = field_kind(self.spec.kind).forward(self.spec, self._modules[module], coords[None])[0]
        return out
