"""Meta-training with one fixed inner rate, as the papers have it, and how adapted fields are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from results import say
from torch import Tensor

from benchmarks.seeds.domains import Domain
from nfcodec.modules.fit.inner import InnerLoop, descend, module_loss, step_gradient
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.maml import Bootstrap, Learner, outer_loss
from nfcodec.modules.train.sparse import full_mask
from nfcodec.modules.train.start import init_params
from nfcodec.train.checkpoint import grouped, moments, read_state, restore_moments, write_state

Params = dict[str, Tensor]
Loss = Callable[[Learner, Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """One way to meta-train: ``steps`` K inner steps of SGD at ``rate`` on the best share ``gamma``, with Fisher
    weights ``rho``; ``boot`` L further steps at five times the rate make a target that weighs ``weight``. ``outer``
    steps of Adam at ``lr`` (falling to zero over the second half), gradients clipped to norm 1."""

    steps: int = 4
    gamma: float = 1.0
    boot: int = 0
    weight: float = 100.0
    rho: float = 0.0
    rate: float = 1e-2
    outer: int = 250
    batch: int = 2
    lr: float = 1e-3

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the result file."""
        return asdict(self)

    @property
    def loop(self) -> InnerLoop:
        """The inner loop."""
        return InnerLoop(self.steps, self.gamma, rho=self.rho)


def learner_of(spec: FieldSpec, theta: Params, rate: float) -> Learner:
    """A learner with one step size for all weights."""
    log_rate = {n: torch.full_like(t, rate).log().detach() for n, t in theta.items()}
    return Learner(spec, theta, log_rate, full_mask({n: t.detach() for n, t in theta.items()}))


def signal_loss(domain: Domain, recipe: Recipe) -> Loss:
    """The outer loss of MAML and GradNCP on whole signals."""
    boot = Bootstrap(recipe.boot, 5.0, recipe.weight if recipe.boot else 0.0)
    return lambda learner, targets: outer_loss(learner, domain.coords, targets, recipe.loop, boot)[0]


def meta_train(
    domain: Domain, recipe: Recipe, seed: int, checkpoint: Path, loss: Loss | None = None, *, every: int = 50
) -> Params:
    """θ0 after ``recipe.outer`` steps; goes on from ``checkpoint``. ``loss`` of one signal, or that of the recipe."""
    theta = init_params(domain.spec, torch.Generator().manual_seed(seed))
    leaves = {n: t.requires_grad_() for n, t in theta.items()}
    optimizer = torch.optim.Adam(list(leaves.values()), lr=recipe.lr)
    at = _resume(checkpoint, leaves, optimizer, recipe)
    loss = loss or signal_loss(domain, recipe)
    learner = learner_of(domain.spec, leaves, recipe.rate)
    while at < recipe.outer:
        optimizer.param_groups[0]["lr"] = recipe.lr * min(1.0, 2.0 * (1.0 - at / recipe.outer))
        optimizer.zero_grad()
        # One signal after another: the gradient of the batch, with the graph of a single one in memory.
        for target in domain.batch(seed, at, recipe.batch).split(1):
            (loss(learner, target) / recipe.batch).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(leaves.values()), 1.0)
        optimizer.step()
        at += 1
        if at % every == 0 or at == recipe.outer:
            say(f"{checkpoint.stem}: outer step {at}/{recipe.outer}")
            tensors = {f"theta/{n}": t for n, t in leaves.items()} | moments(optimizer, leaves.values())
            write_state(checkpoint, tensors, {"at": at}, recipe)
    return {n: t.detach() for n, t in leaves.items()}


def _resume(checkpoint: Path, leaves: Params, optimizer: torch.optim.Optimizer, recipe: Recipe) -> int:
    if not checkpoint.exists():
        return 0
    tensors, (at,) = read_state(checkpoint, ("at",), recipe)
    groups = grouped(tensors)
    with torch.no_grad():
        for n, t in leaves.items():
            t.copy_(groups["theta"][n])
    restore_moments(optimizer, leaves.values(), groups)
    return int(at)


# -- judging ---------------------------------------------------------------------------------------------
def psnr(losses: Tensor) -> float:
    """Mean over signals (M,) of −10 log10 of their mean squared errors: samples lie in an interval of length 1."""
    return float((-10.0 * torch.log10(losses.detach().double().clamp_min(1e-12))).mean())


def expanded(theta: Params, count: int) -> Params:
    """θ0 for ``count`` signals (count, *shape), free to be adapted."""
    return {n: t.detach().expand(count, *t.shape).clone().requires_grad_() for n, t in theta.items()}


@torch.no_grad()
def clipped_loss(domain: Domain, params: Params, targets: Tensor) -> Tensor:
    """Squared error (M,) with values clipped to the legal range, as files hold them."""
    from nfcodec.modules.kinds import field_kind

    out = field_kind(domain.spec.kind).forward(domain.spec, params, domain.coords).clamp(-0.5, 0.5)
    error: Tensor = (out - targets).square().mean((1, 2))
    return error


def curve(
    domain: Domain, theta: Params, targets: Tensor, loop: InnerLoop, rate: float, at: Sequence[int]
) -> list[float]:
    """PSNR (dB) of clipped values after each number ``at`` of first-order steps of ``loop`` (whose own number of steps
    does not count)."""
    params, learner, found = expanded(theta, len(targets)), learner_of(domain.spec, theta, rate), []
    for step in range(max(at) + 1):
        if step in at:
            found.append(round(psnr(clipped_loss(domain, params, targets)), 3))
        if step < max(at):
            params = stepped(domain, params, targets, loop, learner)[0]
    return found


def stepped(
    domain: Domain, params: Params, targets: Tensor, loop: InnerLoop, learner: Learner
) -> tuple[Params, Tensor]:
    """The parameters after one first-order step, and the factors (M,) of re-scaling."""
    grads, factor = step_gradient(domain.spec, params, domain.coords, targets, loop)
    moved = descend(params, grads, learner.rate, learner.mask)
    return {n: p.detach().requires_grad_() for n, p in moved.items()}, factor


def raw_loss(domain: Domain, params: Params, targets: Tensor) -> Tensor:
    """Squared error (M,) of values that are not clipped."""
    return module_loss(domain.spec, params, domain.coords, targets)
