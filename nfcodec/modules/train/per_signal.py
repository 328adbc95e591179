"""Fit each signal by itself from a common start: how Lee et al. (2021, §5) compare inits, and their per-signal pruning.

Adam is elementwise, so a batch of signals (M, *shape) is M fits that know nothing of each other. A prune is given by
the weights that survive it; it takes the smallest |θ| of one signal over all of its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from nfcodec.modules.fit.inner import Tensors, gradients_and_loss, module_loss
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.sparse import survivors


@dataclass(frozen=True, slots=True)
class Fit:
    """``steps`` of ``optimizer`` at ``rate``; ``cuts``: weights that survive the prune before a step, by step.

    The papers' evaluations are ``Fit(100, 1e-4, "adam")`` and ``Fit(2, 1e-2, "sgd")`` (Lee et al. 2021, §5.1, Fig. 3).
    """

    steps: int = 100
    rate: float = 1e-4
    optimizer: Literal["adam", "sgd"] = "adam"
    cuts: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fitted:
    """``params`` (M, *shape) and ``mask`` (M, *shape) at the end; ``psnr`` (steps + 1, M) before every step and after
    the last one, of float outputs, neither clamped nor rounded, with peak 1."""

    params: dict[str, Tensor]
    mask: dict[str, Tensor]
    psnr: Tensor


def one_shot(steps: int, weights: int, kept: int) -> dict[int, int]:
    """MAML+OneShot (Lee et al. 2021, §5.1): one prune to ``kept`` of ``weights`` in the middle of the fit."""
    return {steps // 2: kept} if kept < weights else {}


def iterative(steps: int, weights: int, rounds: int, fraction: float = 0.2) -> dict[int, int]:
    """MAML+IMP (Lee et al. 2021, §5.1): ``rounds`` prunes of ``fraction``, every steps/(rounds + 1) steps.

    More rounds than steps share their steps; the last prune there counts.
    """
    kept = survivors(weights, rounds, fraction)
    return {steps * (i + 1) // (rounds + 1): n for i, n in enumerate(kept)}


def fit_signals(spec: FieldSpec, theta0: Tensors, mask: Tensors, coords: Tensor, targets: Tensor, fit: Fit) -> Fitted:
    """Fit M signals, targets (M, N, c) at coords (1, N, d), from θ0 ⊙ M on the mask's support; biases always move."""
    count = len(targets)
    own = {n: m.expand(count, *m.shape).clone() for n, m in mask.items()}
    params = {n: (t.detach() * own[n]).requires_grad_() for n, t in theta0.items()}
    leaves = list(params.values())
    if fit.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(leaves, lr=fit.rate)
    else:
        optimizer = torch.optim.SGD(leaves, lr=fit.rate)
    losses = []
    for step in range(fit.steps):
        if step in fit.cuts:
            own = pruned_each(spec, params, own, fit.cuts[step])
        grads, loss = gradients_and_loss(spec, params, coords, targets)
        for name, leaf in params.items():
            leaf.grad = grads[name] * own[name]
        optimizer.step()
        with torch.no_grad():
            for name, leaf in params.items():  # Adam's moments would go on moving what was just pruned
                leaf *= own[name]
        losses.append(loss)
    final = {n: p.detach() for n, p in params.items()}
    with torch.no_grad():
        losses.append(module_loss(spec, final, coords, targets))
    return Fitted(final, own, -10.0 * torch.log10(torch.stack(losses)))


@torch.no_grad()
def pruned_each(spec: FieldSpec, params: Tensors, mask: Tensors, kept: int) -> dict[str, Tensor]:
    """Masks (M, *shape) with the ``kept`` largest |θ| of each signal, of those alive; also applied to ``params``."""
    names = [t.name for t in field_kind(spec.kind).tensors(spec) if t.role == "weight"]
    size = torch.cat([(params[n].abs() * mask[n]).flatten(1) for n in names], 1)
    alive = torch.cat([mask[n].flatten(1) for n in names], 1)
    best = torch.where(alive > 0, size, -torch.ones_like(size)).topk(kept, dim=1).indices
    flat = torch.zeros_like(size).scatter(1, best, 1.0) * alive
    out = dict(mask)
    for name, part in zip(names, torch.split(flat, [mask[n][0].numel() for n in names], dim=1), strict=True):
        out[name] = part.reshape(mask[name].shape)
        params[name].mul_(out[name])
    return out
