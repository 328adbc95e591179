"""Context pruning (GradNCP, Tack et al. 2023, §3.1): which coordinates teach a module the most right now."""

from __future__ import annotations

import torch
from torch import Tensor


def scores(error: Tensor, phi: Tensor) -> Tensor:
    """R (M, N) = ‖e‖ · sqrt(‖φ‖² + 1) from errors (M, N, C) and penultimate features (M, N, K).

    This is exactly the norm of e ⊗ [φ, 1], the last-layer gradient of ½‖e‖² at one sample; the outer product
    factorises, so it is never formed (it would take C·(K+1) numbers per sample).
    """
    r: Tensor = error.norm(dim=-1) * torch.sqrt(phi.square().sum(-1) + 1.0)
    return r


def context_size(gamma: float, samples: int) -> int:
    """|C_high| = ⌊γ·N⌋, at least one."""
    return max(1, int(gamma * samples))


def top_context(score: Tensor, gamma: float) -> Tensor:
    """Indices (M, ⌊γN⌋) of the highest scores (M, N) of each module. No gradient ever flows through them."""
    return score.detach().topk(context_size(gamma, score.shape[1]), dim=1).indices


def gather(x: Tensor, index: Tensor) -> Tensor:
    """Rows ``index`` (M, n) of x (M or 1, N, c): (M, n, c)."""
    full = x.expand(index.shape[0], -1, -1)
    return full.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def top_frames(error: Tensor, phi: Tensor, gamma: float, frame: int) -> Tensor:
    """Indices (M, ⌊γT⌋·``frame``) of the samples of the best frames, where a field makes whole frames of ``frame``
    samples (Tack et al. 2023, on NeRV): by √Σ‖e‖² · √Σ(‖φ‖² + 1) over a frame, which bounds the last layer's gradient
    from above."""
    modules, samples = error.shape[:2]
    size = error.square().sum(-1).reshape(modules, samples // frame, frame).sum(-1)
    known = (phi.square().sum(-1) + 1.0).expand(modules, samples).reshape(modules, samples // frame, frame).sum(-1)
    chosen = top_context((size * known).sqrt(), gamma)
    within = torch.arange(frame, device=chosen.device)
    return (chosen.unsqueeze(-1) * frame + within).flatten(1)
