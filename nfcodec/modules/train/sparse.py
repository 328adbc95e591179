"""Meta-SparseINR (Lee et al. 2021, §3): one mask for all signals, by rounds of global magnitude pruning.

Two scores share the loop: |θ| of the meta-learned weights (the paper), and the sensitivity-weighted size of
the deltas E|Δ|·sqrt(F), for a mask that limits what is sent rather than what exists (the authors'
own future work: sparse differences from a dense shared model).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from nfcodec.errors import OptionError
from nfcodec.modules.fit.inner import Tensors
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec, TensorSpec

Score = Literal["theta", "spread", "delta", "random"]


def full_mask(theta: Tensors) -> dict[str, Tensor]:
    """All ones."""
    return {n: torch.ones_like(t) for n, t in theta.items()}


def shifts_mask(theta: Tensors, specs: tuple[TensorSpec, ...]) -> dict[str, Tensor]:
    """Ones for the biases of hidden layers, zeros elsewhere: shift modulations (Dupont et al. 2022, §2.2)."""
    last = specs[-1].name
    hidden = {t.name for t in specs if t.role == "bias" and t.name != last}
    return {n: torch.ones_like(t) if n in hidden else torch.zeros_like(t) for n, t in theta.items()}


def kept_weights(mask: Tensors, specs: tuple[TensorSpec, ...]) -> int:
    """Surviving weights; biases are never pruned and never counted (Lee et al. 2021, §3)."""
    return sum(int(mask[t.name].sum()) for t in specs if t.role == "weight")


def survivors(weights: int, rounds: int, fraction: float = 0.2) -> list[int]:
    """Weights left after each of ``rounds``: n − ⌊fraction·n⌋. Of the papers' 197,888 that are 17,000 after 11 rounds,
    8,704 after 14 and 6,964 after 15 (Lee et al. 2021, Fig. 2)."""
    left = []
    for _ in range(rounds):
        weights -= int(fraction * weights)
        left.append(weights)
    return left


def dense_weights(spec: FieldSpec) -> int:
    """Weights of a whole network, without biases: 3w² + 5w for pictures in colour and four sine layers of w units."""
    return sum(math.prod(t.shape) for t in field_kind(spec.kind).tensors(spec) if t.role == "weight")


def narrowed(spec: FieldSpec, weights: int) -> FieldSpec:
    """Dense-Narrow (Lee et al. 2021, §5.1): the narrowest network of at least ``weights`` weights."""
    step = 16 if spec.kind == "nerv" else 2  # Fourier features come in pairs, stems of NeRV in sixteenths
    for width in range(step, spec.width + 1, step):
        if dense_weights(narrow := replace(spec, width=width)) >= weights:
            return narrow
    return spec


def prune(mask: Tensors, score: Tensors, specs: tuple[TensorSpec, ...], fraction: float) -> dict[str, Tensor]:
    """Remove ``int(fraction · survivors)`` weights of lowest score, by one threshold over all tensors.

    Pruned weights never come back; biases are untouched. ``fraction`` counts survivors, not all weights, so
    passing a cumulative fraction would compound.
    """
    if not 0.0 <= fraction < 1.0:
        raise OptionError(f"pruned fraction {fraction} is outside [0, 1)")
    names = [t.name for t in specs if t.role == "weight"]
    flat_mask = torch.cat([mask[n].reshape(-1) for n in names]).bool()
    flat_score = torch.cat([score[n].reshape(-1) for n in names])
    count = int(fraction * int(flat_mask.sum()))
    alive = torch.nonzero(flat_mask).squeeze(1)
    order = torch.argsort(flat_score[alive], stable=True)
    flat_mask[alive[order[:count]]] = False
    parts = torch.split(flat_mask, [mask[n].numel() for n in names])
    out = dict(mask)
    out.update({n: p.reshape(mask[n].shape).to(mask[n].dtype) for n, p in zip(names, parts, strict=True)})
    return out


def magnitude(theta: Tensors) -> dict[str, Tensor]:
    """The paper's score: |θ| of the meta-learned weights."""
    return {n: t.detach().abs() for n, t in theta.items()}


def spread_score(theta: Tensors, mask: Tensors) -> dict[str, Tensor]:
    """|θ| in units of the root mean square of what is left of its tensor.

    The paper's one threshold compares layers by the units of their weights: the first layer of a SIREN begins with
    weights w0·sqrt(fan_in/6)/2 times as large as those of the others and is kept nearly whole, whatever it is worth.
    """
    left = {n: (t.detach() * mask[n]).norm() / mask[n].sum().sqrt() for n, t in theta.items()}
    return {n: t.detach().abs() / left[n].clamp_min(1e-30) for n, t in theta.items()}


def random_score(theta: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
    """The random-pruning baseline."""
    return {n: torch.rand(t.shape, generator=generator).to(t) for n, t in theta.items()}


def apply_mask(theta: Tensors, mask: Tensors) -> dict[str, Tensor]:
    """θ ⊙ M: pruned weights become exactly zero."""
    return {n: t * mask[n] for n, t in theta.items()}
