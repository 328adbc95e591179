"""Rate in the outer loss: an init trained for the quantizer and the prior that it will meet.

Distortion sees rounded deltas (straight-through), the rate sees additive uniform noise. Step sizes follow the
measured sensitivity, prior scales the measured magnitudes; both are running averages, not learned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nfcodec.modules.fit.inner import InnerLoop, Tensors, adapt, module_loss
from nfcodec.modules.fit.rate import laplace_bits
from nfcodec.modules.init import QUALITY_ANCHORS
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.trade import error_unit, trade_off
from nfcodec.modules.train.maml import Learner

# Natural-log shifts of the prior's scale that a module may choose among; the file format has finer ones.
CLASS_SHIFTS = (-6.0, -1.2, 0.0, 1.2)
CLASS_BITS = 2.0


def flatten(tensors: Tensors) -> Tensor:
    """(M, P) from tensors (M, *shape), (P,)-like tensors without a module axis become (1, P)."""
    first = next(iter(tensors.values()))
    modules = first.shape[0] if first.dim() > 2 else 1
    return torch.cat([t.reshape(modules, -1) for t in tensors.values()], 1)


def unflatten(flat: Tensor, like: Tensors) -> dict[str, Tensor]:
    """The inverse for (M, P); ``like`` gives names and shapes without a module axis."""
    parts = torch.split(flat, [t.numel() for t in like.values()], 1)
    return {n: p.reshape(-1, *like[n].shape) for n, p in zip(like, parts, strict=True)}


def sensitivity(
    spec: FieldSpec, params: Tensors, coords: Tensor, generator: torch.Generator, probes: int = 8
) -> Tensor:
    """Diagonal Fisher F (P,) = Σ_samples Σ_outputs (∂f/∂θ_j)², mean over modules; no labels are needed.

    Random signs s give E[(∂(s·f)/∂θ)²] = F, so a few backward passes serve for all outputs.
    """
    leaves = {n: p.detach().requires_grad_() for n, p in params.items()}
    total: Tensor | float = 0.0
    for _ in range(probes):
        out = field_kind(spec.kind).forward(spec, leaves, coords)
        sign = torch.randint(0, 2, out.shape, generator=generator).to(out) * 2 - 1
        grads = torch.autograd.grad((out * sign).sum(), list(leaves.values()))
        total = total + torch.cat([g.flatten(1) for g in grads], 1).square().mean(0) / probes
    assert isinstance(total, Tensor)
    return total


@dataclass(frozen=True, slots=True)
class RateState:
    """Running statistics: ``fisher`` (P,), ``log_scale`` (anchors, P) of the deltas in steps (natural log)."""

    fisher: Tensor
    log_scale: Tensor

    def steps(self, coarsest: float, quality: float) -> Tensor:
        """Step sizes δ (P,) at a quality."""
        return error_unit(coarsest, quality) / self.fisher.sqrt()

    def scales(self, quality: float) -> Tensor:
        """Log scales (P,), interpolated between the anchors."""
        k = min(int(quality // 25), len(QUALITY_ANCHORS) - 2)
        r = quality / 25 - k
        return (1 - r) * self.log_scale[k] + r * self.log_scale[k + 1]


def floor_fisher(fisher: Tensor, sizes: list[int]) -> Tensor:
    """Keep every weight within a factor of its tensor's mean sensitivity: dead weights get no infinite step."""
    parts = [f.clamp_min(max(1e-2 * float(f.mean()), 1e-8)) for f in torch.split(fisher, sizes)]
    return torch.cat(parts)


def first_state(fisher: Tensor, deltas: Tensor, coarsest: float) -> RateState:
    """Statistics from float deltas (M, P) alone."""
    size = deltas.abs().mean(0) * fisher.sqrt()
    scales = [(size / error_unit(coarsest, q)).clamp(0.03, 500.0).log() for q in QUALITY_ANCHORS]
    return RateState(fisher, torch.stack(scales))


def class_shifts(x: Tensor, log_scale: Tensor, mask: Tensor) -> Tensor:
    """The cheapest shift (M, 1) for every module's deltas x (M, P)."""
    with torch.no_grad():
        costs = torch.stack([(mask * laplace_bits(x, log_scale + s)).sum(1) for s in CLASS_SHIFTS])
        return torch.tensor(CLASS_SHIFTS, dtype=x.dtype, device=x.device)[costs.argmin(0)].unsqueeze(1)


def update_scales(state: RateState, q: Tensor, shift: Tensor, anchor: int, momentum: float) -> RateState:
    """Move the anchor's scales towards the magnitudes of rounded deltas q (M, P), each in units of its class."""
    used = (shift > CLASS_SHIFTS[0]).to(q.dtype)
    count = used.sum().clamp_min(1.0)
    mean = ((q.abs() * torch.exp(-shift)) * used).sum(0) / count
    log_scale = state.log_scale.clone()
    old = log_scale[anchor].exp()
    log_scale[anchor] = (momentum * old + (1 - momentum) * mean).clamp(0.02, 500.0).log()
    return replace(state, log_scale=log_scale)


@dataclass(frozen=True, slots=True)
class RateLoss:
    """One evaluation: ``total`` to differentiate; bits and squared error per module (M,); the new statistics."""

    total: Tensor
    bits: Tensor
    error: Tensor
    state: RateState


def rate_loss(
    learner: Learner, coords: Tensor, targets: Tensor, loop: InnerLoop, state: RateState, coarsest: float,
    anchor: int, noise: Tensor,
) -> RateLoss:  # fmt: skip
    """(D + λR)/Δ_q^1.5 of quantized deltas after K inner steps; ``noise`` (M, P) is uniform in ±½.

    D and λ grow as Δ_q², so the power balances the qualities: unscaled, the coarsest would drown the others;
    with a power of 1 the finest ones still lost 7 dB of reach in training (docs/training.md).
    """
    quality = float(QUALITY_ANCHORS[anchor])
    params, _ = adapt(learner.spec, learner.start, learner.rate, learner.mask, coords, targets, loop, create_graph=True)
    theta0, mask = flatten(dict(learner.start)), flatten(dict(learner.mask))
    step = state.steps(coarsest, quality)
    x = (flatten(params) - theta0) / step
    q = x + (x.round() - x).detach()
    shift = class_shifts(x, state.scales(quality), mask)
    bits = (mask * laplace_bits(x + noise, state.scales(quality) + shift)).sum(1) + CLASS_BITS
    moved = unflatten(theta0 + q * step, learner.theta0)
    samples = targets.shape[1] * learner.spec.channels
    error = module_loss(learner.spec, moved, coords, targets) * samples
    total = (error + trade_off(coarsest, quality) * bits).mean() / samples / error_unit(coarsest, quality) ** 1.5
    new = update_scales(state, q.detach(), shift, anchor, 0.98)
    return RateLoss(total, bits.detach(), error.detach(), new)
