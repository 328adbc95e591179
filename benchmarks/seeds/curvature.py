"""How far inner steps are from the edge of stability: rate × the largest curvature of the loss that they descend.

Along a direction of curvature λ a step at rate α multiplies the distance to the minimum by 1 − αλ: beyond αλ = 2 it
grows.
"""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor

from benchmarks.seeds.domains import Domain
from benchmarks.seeds.learning import Params, expanded, learner_of, stepped
from nfcodec.modules.fit.context import gather
from nfcodec.modules.fit.inner import InnerLoop, module_loss, select_context
from nfcodec.modules.spec import FieldSpec

_POWERS = 15  # multiplications by the Hessian


def largest(spec: FieldSpec, params: Params, coords: Tensor, targets: Tensor) -> float:
    """The eigenvalue of largest size of one signal's Hessian at parameters (1, *shape), by power iteration; its size
    is a lower bound."""
    leaves = {n: t.detach().requires_grad_() for n, t in params.items()}
    loss = module_loss(spec, leaves, coords, targets).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
    draw = torch.Generator().manual_seed(0)
    vector = [torch.randn(t.shape, generator=draw) for t in leaves.values()]
    value = 0.0
    for _ in range(_POWERS):
        norm = torch.stack([v.square().sum() for v in vector]).sum().sqrt()
        vector = [v / norm for v in vector]
        along = torch.stack([(g * v).sum() for g, v in zip(grads, vector, strict=True)]).sum()
        product = torch.autograd.grad(along, list(leaves.values()), retain_graph=True)
        value = float(torch.stack([(h * v).sum() for h, v in zip(product, vector, strict=True)]).sum())
        vector = [h.detach() for h in product]
    return value


def edges(
    domain: Domain, theta: Params, targets: Tensor, rate: float, gamma: float, steps: int = 8
) -> dict[str, float]:
    """rate × the size of the largest curvature, mean over signals, after ``steps`` steps on contexts: of the whole
    signal (``edge``) and of the context that comes next (``edge_context``)."""
    found: dict[str, list[float]] = {"edge": [], "edge_context": []}
    learner = learner_of(domain.spec, theta, rate)
    for target in targets.split(1):
        params = expanded(theta, 1)
        for _ in range(steps):
            params, _ = stepped(domain, params, target, InnerLoop(1, gamma), learner)
        index = select_context(domain.spec, params, domain.coords, target, gamma)
        some, wanted = gather(domain.coords, index), gather(target, index)
        found["edge"].append(rate * abs(largest(domain.spec, params, domain.coords, target)))
        found["edge_context"].append(rate * abs(largest(domain.spec, params, some, wanted)))
    return {n: round(fmean(v), 2) for n, v in found.items()}
