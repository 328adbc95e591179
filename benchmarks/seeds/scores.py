"""How well the last layer's score knows the norm of the full gradient of a sample, and what it selects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap

from benchmarks.seeds.domains import Domain
from benchmarks.seeds.learning import Params, expanded, learner_of, stepped
from nfcodec.modules.fit.inner import InnerLoop, context_scores
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec

_SAMPLES = 512  # of a signal, whose full gradients are compared


def full_norms(spec: FieldSpec, params: Params, coords: Tensor, targets: Tensor) -> Tensor:
    """‖∇_θ ½‖e_i‖²‖ (n,) over all parameters (without a module axis) of samples at coords (n, d)."""
    kind = field_kind(spec.kind)

    def loss(theta: Params, at: Tensor, wanted: Tensor) -> Tensor:
        out = kind.forward(spec, {n: t[None] for n, t in theta.items()}, at[None, None])[0, 0]
        return 0.5 * (out - wanted).square().sum()

    grads = vmap(grad(loss), in_dims=(None, 0, 0))(params, coords, targets)
    total: Tensor = torch.stack([g.flatten(1).square().sum(1) for g in grads.values()]).sum(0).sqrt()
    return total


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's, of values without ties."""
    ranks = [np.argsort(np.argsort(x.detach().double().numpy())) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def correlations(domain: Domain, theta: Params, targets: Tensor, rate: float, steps: Sequence[int]) -> list[float]:
    """Rank correlation of score and full gradient norm after each number of plain steps, mean over signals."""
    params, learner, found = expanded(theta, len(targets)), learner_of(domain.spec, theta, rate), []
    index = torch.linspace(0, domain.coords.shape[1] - 1, _SAMPLES).long()
    for step in range(max(steps) + 1):
        if step in steps:
            found.append(round(_mean_correlation(domain, params, targets, index), 4))
        params = stepped(domain, params, targets, InnerLoop(1), learner)[0]
    return found


def _mean_correlation(domain: Domain, params: Params, targets: Tensor, index: Tensor) -> float:
    scores = context_scores(domain.spec, params, domain.coords, targets)[:, index]
    each = []
    for i, target in enumerate(targets):
        own = {n: p[i].detach() for n, p in params.items()}
        each.append(rank_correlation(scores[i], full_norms(domain.spec, own, domain.coords[0, index], target[index])))
    return float(np.mean(each))
