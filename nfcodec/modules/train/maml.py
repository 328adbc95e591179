"""Outer losses: MAML (Finn et al. 2017) and GradNCP (Tack et al. 2023, Alg. 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nfcodec.modules.fit.inner import InnerLoop, Tensors, adapt, descend, gradients, module_loss
from nfcodec.modules.spec import FieldSpec


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """``steps`` L further first-order steps on the full context, ``rate`` times the inner rates; the distance
    to their end weighs ``weight`` (λ). weight = 0 or steps = 0 is plain MAML."""

    steps: int = 0
    rate: float = 5.0
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Learner:
    """The meta-parameters: an initialization and a log step size per weight, with a fixed mask."""

    spec: FieldSpec
    theta0: Tensors
    log_rate: Tensors
    mask: Tensors

    @property
    def rate(self) -> dict[str, Tensor]:
        """Inner step sizes α."""
        return {n: r.exp() for n, r in self.log_rate.items()}

    @property
    def start(self) -> dict[str, Tensor]:
        """θ0 as the field sees it."""
        return dict(self.theta0)


def bootstrap_target(learner: Learner, params: Tensors, coords: Tensor, targets: Tensor, boot: Bootstrap) -> Tensors:
    """θ^boot_{K+L}: L detached steps on the full context from θ_K; a constant for autograd."""
    rate = {n: boot.rate * r.detach() for n, r in learner.rate.items()}
    current: dict[str, Tensor] = {n: p.detach().requires_grad_() for n, p in params.items()}
    for _ in range(boot.steps):
        grads = gradients(learner.spec, current, coords, targets)
        moved = descend(current, grads, rate, learner.mask)
        current = {n: p.detach().requires_grad_() for n, p in moved.items()}
    return {n: p.detach() for n, p in current.items()}


def distance(params: Tensors, target: Tensors) -> Tensor:
    """μ (M,): the unsquared global L2 distance per module, with gradient 0 at distance 0 (Tack et al. 2023, §3.2)."""
    total = torch.stack([(p - target[n]).flatten(1).square().sum(1) for n, p in params.items()]).sum(0)
    zero = total == 0
    return torch.where(zero, torch.zeros_like(total), torch.where(zero, torch.ones_like(total), total).sqrt())


def outer_loss(
    learner: Learner, coords: Tensor, targets: Tensor, loop: InnerLoop, boot: Bootstrap, *, first_order: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean over modules of L(θ_K; C_full) + λ·μ(θ_K, θ^boot), and the losses (M,) alone.

    Second order unless ``first_order``, which treats every inner gradient as a constant.
    """
    if first_order:
        params = _first_order(learner, coords, targets, loop)
    else:
        params, _ = adapt(
            learner.spec, learner.start, learner.rate, learner.mask, coords, targets, loop, create_graph=True
        )
    losses = module_loss(learner.spec, params, coords, targets)
    total = losses.mean()
    if boot.weight > 0 and boot.steps > 0:
        target = bootstrap_target(learner, params, coords, targets, boot)
        total = total + boot.weight * distance(params, target).mean()
    return total, losses.detach()


def _first_order(learner: Learner, coords: Tensor, targets: Tensor, loop: InnerLoop) -> dict[str, Tensor]:
    moved, _ = adapt(learner.spec, learner.start, learner.rate, learner.mask, coords, targets, loop)
    start = learner.start
    return {n: start[n] + (p.detach() - start[n].detach()) for n, p in moved.items()}


def meta_gradient(
    learner: Learner,
    coords: Tensor,
    targets: Tensor,
    loop: InnerLoop,
    boot: Bootstrap | None = None,
    *,
    first_order: bool = False,
    chunk: int | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """∇ of the outer loss by θ0, and the losses (M,).

    ``chunk`` accumulates over groups of modules: the same gradient, a fraction of the memory.
    """
    boot = boot or Bootstrap()
    names = list(learner.theta0)
    sums = {n: torch.zeros_like(learner.theta0[n]) for n in names}
    losses = []
    for part in torch.split(targets, chunk or len(targets)):
        total, loss = outer_loss(learner, coords, part, loop, boot, first_order=first_order)
        grads = torch.autograd.grad(total * (len(part) / len(targets)), [learner.theta0[n] for n in names])
        sums = {n: sums[n] + g for n, g in zip(names, grads, strict=True)}
        losses.append(loss)
    return sums, torch.cat(losses)
