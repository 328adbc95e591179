"""Which cells a step adapts: scores of cells, and the best share of their blocks (context pruning).

GradNCP (Tack et al. 2023, §3.2) ranks samples by the norm of the gradient that each makes in the last layer,
R(x) = ‖e(x)‖ ‖φ(x)‖, with e the error and φ the features. A lattice has last layers cell by cell, so it is cells that
are left out, not samples. Two forms of the score rank cells c:

- the *sample score* pooled over what the cell reaches, R_c² = Σ_x ‖e(x)‖² ‖φ(x − x_c)‖²: what the samples ask for, each
  on its own;
- the *block score* Σ_k (step_k G_ck)², with G the gradient of the error to the weights: how much the error is expected
  to fall along the gradient in units of the steps. Errors that cancel in the sum over samples vanish from it.

Both are of tensors, in batches; the encoder alone uses them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.lattice.spec import LatticeSpec


def sample_norms(spec: LatticeSpec, functions: Tensor) -> Tensor:
    """‖φ(x)‖² (P, S) of every plane at the S places of a cell, from the trunk's functions (F, S) there."""
    planes = [functions[spec.functions_of(p)].square().sum(0) for p in range(len(spec.planes))]
    return torch.stack(planes)


def sample_scores(errors: Tensor, norms: Tensor) -> Tensor:
    """R_c² (N, *cells) of the errors (N, P, *cells, S) at the samples that each cell reaches; ``norms`` (P, S) of
    :func:`sample_norms`. It is the
    sum over planes and samples of the squared norm of the gradient of ½ e(x)² to the cell's weights."""
    return torch.einsum("np...s,ps->n...", errors.square(), norms)


def block_scores(gradient: Tensor, steps: Tensor) -> Tensor:
    """Σ (step · G)² (N, *cells) over the weights of each cell, of the gradient (N, P, K, *cells) of the error to the
    weights, for step sizes (P, K) or (N, P, K); with steps of 1 the gradient may be one to symbols."""
    sizes = steps[(..., *(None,) * (gradient.ndim - 3))]
    return (gradient * sizes).square().sum((1, 2))


def best_blocks(scores: Tensor, share: float, *, side: int = 1) -> Tensor:
    """Which cells (N, *cells), bool, belong to the best ``share`` of the blocks of ``side`` cells along each axis, by
    the sum of their scores (N, *cells), none of them negative; of each signal at least one block. Blocks at the end of
    an axis may be smaller. Of equal blocks the first ones are taken."""
    cells = scores.shape[1:]
    pooled = _pooled(scores, side)
    blocks = pooled.shape[1:]
    count = max(1, math.floor(share * math.prod(blocks) + 1e-9))
    order = torch.argsort(pooled.flatten(1), dim=1, descending=True, stable=True)[:, :count]
    kept = torch.zeros(len(scores), math.prod(blocks), dtype=torch.bool, device=scores.device)
    kept = kept.scatter(1, order, torch.ones_like(order, dtype=torch.bool)).reshape(pooled.shape)
    for axis, n in enumerate(cells, 1):
        kept = kept.repeat_interleave(side, axis).narrow(axis, 0, n)
    return kept


def _pooled(scores: Tensor, side: int) -> Tensor:
    """Sums (N, *blocks) over blocks."""
    if side == 1:
        return scores
    missing = [m for n in reversed(scores.shape[1:]) for m in (0, -n % side)]
    wide = F.pad(scores, missing)
    for axis in range(1, scores.ndim):
        wide = wide.reshape(*wide.shape[:axis], -1, side, *wide.shape[axis + 1 :]).sum(axis + 1)
    return wide
