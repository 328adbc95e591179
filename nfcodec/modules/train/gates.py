"""Gates on deltas: which weights a signal may change at all, learned with an L0 penalty (MSCN, Schwarz & Teh 2022, §3).

The update of a signal is θ0 + z ⊙ Δ. Each gate z is a hard concrete variable (Louizos et al. 2018, §2.2): a sigmoid
stretched beyond [0, 1] and clipped, so that it is exactly zero with a probability that has a gradient. Here all signals
share their gates, unlike in MSCN, where the inner loop adapts them too: a file could not afford its own mask, and gates
that are a signal's own are what zeros of its quantized deltas are already.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nfcodec.modules.fit.inner import Tensors
from nfcodec.modules.spec import TensorSpec

TEMPERATURE, LOW, HIGH = 2.0 / 3.0, -0.1, 1.1  # β, γ and ζ of Louizos et al., as they recommend
BEGIN = 2.0  # log α at first: nearly all gates are open


def first_gates(theta: Tensors, specs: tuple[TensorSpec, ...]) -> dict[str, Tensor]:
    """log α of every weight; biases have no gates."""
    return {t.name: torch.full_like(theta[t.name].detach(), BEGIN) for t in specs if t.role == "weight"}


def drawn(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Gates for uniform numbers in (0, 1) of the same shape; differentiable in log α."""
    noise = uniform.log() - torch.log1p(-uniform)
    return _stretched(torch.sigmoid((noise + log_alpha) / TEMPERATURE))


def settled(log_alpha: Tensor) -> Tensor:
    """Gates without noise."""
    return _stretched(torch.sigmoid(log_alpha))


def _stretched(s: Tensor) -> Tensor:
    return (s * (HIGH - LOW) + LOW).clamp(0.0, 1.0)


def probability(log_alpha: Tensor) -> Tensor:
    """Of a gate to be more than zero."""
    return torch.sigmoid(log_alpha - TEMPERATURE * math.log(-LOW / HIGH))


def open_share(gates: Tensors) -> Tensor:
    """The expected share of gates that are not zero: the L0 penalty, scaled to [0, 1]."""
    return torch.cat([probability(g).reshape(-1) for g in gates.values()]).mean()


def gated(mask: Tensors, gates: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
    """The mask with drawn gates in the place of ones."""
    out = dict(mask)
    for name, log_alpha in gates.items():
        uniform = torch.rand(log_alpha.shape, generator=generator).clamp(1e-6, 1.0 - 1e-6).to(log_alpha)
        out[name] = mask[name] * drawn(log_alpha, uniform)
    return out
