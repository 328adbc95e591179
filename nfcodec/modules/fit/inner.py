"""Inner steps: gradient descent on many modules at once (Finn et al. 2017; Tack et al. 2023, Alg. 2).

Everything is functional and free of in-place updates, so the same code serves the encoder (first order) and
meta-training (second order, ``create_graph``). Losses are per module and added up before the gradient, hence
no module sees another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.modules.fit.context import gather, scores, top_context, top_frames
from nfcodec.modules.fit.fisher import information, sample_weights
from nfcodec.modules.kinds import field_kind, samples_at_once
from nfcodec.modules.spec import FieldSpec

Tensors = Mapping[str, Tensor]

# Samples that the scorer looks at in one go: its features then stay within tens of megabytes at any resolution.
_SCORED = 1 << 15


def as_tensors(arrays: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, Tensor]:
    """The arrays of an init as tensors, which share their memory."""
    return {n: torch.from_numpy(a) for n, a in arrays.items()}


@dataclass(frozen=True, slots=True)
class InnerLoop:
    """``steps`` K; ``gamma`` share of the context kept in each step; ``rescale``: take the full-context
    gradient, scaled to the norm of the pruned one (test-time form of GradNCP), instead of the pruned one.
    ``rho`` in [0, 1]: how far samples are weighted by their Fisher information (:mod:`~nfcodec.modules.fit.fisher`);
    0 is the plain squared error."""

    steps: int
    gamma: float = 1.0
    rescale: bool = False
    rho: float = 0.0


def module_loss(
    spec: FieldSpec, params: Tensors, coords: Tensor, targets: Tensor, *, rho: float = 0.0
) -> Tensor:  # fmt: skip
    """Squared error (M,) of targets (M, N, c), mean over samples with Fisher weights ``rho``, over ``spec.channels``.

    A signal with fewer channels than the field (grey in an opponent field) uses the first c outputs; dividing
    by the field's own channel count keeps the gradient of those outputs, hence the learned step sizes, right.
    """
    kind = field_kind(spec.kind)
    phi = kind.features(spec, params, coords)
    error = kind.head(spec, params, phi)[..., : targets.shape[-1]] - targets
    squares = error.square().sum(-1)
    if rho > 0:
        squares = squares * sample_weights(information(error, phi), rho)
    loss: Tensor = squares.mean(-1) / spec.channels
    return loss


def gradients(
    spec: FieldSpec, params: Tensors, coords: Tensor, targets: Tensor, *, create_graph: bool = False, rho: float = 0.0
) -> dict[str, Tensor]:
    """∇ of each module's own loss with respect to its own parameters (M, *shape).

    Parameters must require grad. Never update them with ``.data``: that silently turns MAML into plain training.
    """
    return gradients_and_loss(spec, params, coords, targets, create_graph=create_graph, rho=rho)[0]


def gradients_and_loss(
    spec: FieldSpec, params: Tensors, coords: Tensor, targets: Tensor, *, create_graph: bool = False, rho: float = 0.0
) -> tuple[dict[str, Tensor], Tensor]:
    """:func:`gradients`, and the losses (M,) of the same forward pass without a graph."""
    loss = module_loss(spec, params, coords, targets, rho=rho)
    grads = torch.autograd.grad(loss.sum(), list(params.values()), create_graph=create_graph)
    return dict(zip(params, grads, strict=True)), loss.detach()


@torch.no_grad()
def select_context(spec: FieldSpec, params: Tensors, coords: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Indices (M, ⌊γN⌋) of the context at the current parameters: one forward pass without a graph."""
    frame = samples_at_once(spec)
    if frame > 1:
        kind = field_kind(spec.kind)
        phi = kind.features(spec, params, coords)
        return top_frames(kind.head(spec, params, phi)[..., : targets.shape[-1]] - targets, phi, gamma, frame)
    return top_context(context_scores(spec, params, coords, targets), gamma)


@torch.no_grad()
def context_scores(spec: FieldSpec, params: Tensors, coords: Tensor, targets: Tensor) -> Tensor:
    """Scores R (M, N) of all samples, a stretch of them at a time, so that only a stretch of features is ever held."""
    kind, size = field_kind(spec.kind), max(1, _SCORED // len(targets))
    parts = []
    for some, wanted in zip(torch.split(coords, size, 1), torch.split(targets, size, 1), strict=True):
        phi = kind.features(spec, params, some)
        parts.append(scores(kind.head(spec, params, phi)[..., : targets.shape[-1]] - wanted, phi))
    return torch.cat(parts, 1)


def global_norm(grads: Tensors) -> Tensor:
    """Norm (M,) over all tensors of each module."""
    return torch.stack([g.flatten(1).square().sum(1) for g in grads.values()]).sum(0).sqrt()


def rescale_factor(high: Tensors, full: Tensors) -> Tensor:
    """‖g_high‖ / (‖g_full‖ + 1e-16) per module (M,), a constant for autograd (Tack et al. 2023, Alg. 2)."""
    return (global_norm(high) / (global_norm(full) + 1e-16)).detach()


def _scaled(grads: Tensors, factor: Tensor) -> dict[str, Tensor]:
    return {n: g * factor.reshape(-1, *[1] * (g.dim() - 1)) for n, g in grads.items()}


def step_gradient(
    spec: FieldSpec, params: Tensors, coords: Tensor, targets: Tensor, loop: InnerLoop, *, create_graph: bool = False
) -> tuple[dict[str, Tensor], Tensor]:
    """The gradient of one inner step and the re-scaling factor (M,) that was applied (1 where none was)."""
    ones = torch.ones(targets.shape[0], dtype=targets.dtype, device=targets.device)
    if loop.gamma >= 1.0:
        return gradients(spec, params, coords, targets, create_graph=create_graph, rho=loop.rho), ones
    index = select_context(spec, params, coords, targets, loop.gamma)
    some, wanted = gather(coords, index), gather(targets, index)
    high = gradients(spec, params, some, wanted, create_graph=create_graph, rho=loop.rho)
    if not loop.rescale:
        return high, ones
    full = gradients(spec, params, coords, targets, create_graph=create_graph, rho=loop.rho)
    factor = rescale_factor(high, full)
    return _scaled(full, factor), factor


def descend(params: Tensors, grads: Tensors, rate: Tensors, mask: Tensors) -> dict[str, Tensor]:
    """θ ← θ − M ⊙ α ⊙ g with a learned step size α per weight (Meta-SGD); masked weights never move."""
    return {n: p - (rate[n] * mask[n]) * grads[n] for n, p in params.items()}


def adapt(
    spec: FieldSpec,
    theta0: Tensors,
    rate: Tensors,
    mask: Tensors,
    coords: Tensor,
    targets: Tensor,
    loop: InnerLoop,
    *,
    create_graph: bool = False,
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """K inner steps from θ0 on targets (M, N, c) at coords (1, N, d).

    Returns the adapted parameters (M, *shape) and the re-scaling factor (M,) of every step. The context is
    chosen anew in every step (Tack et al. 2023, §3.1).
    """
    params = begin(theta0, len(targets), create_graph=create_graph)
    return adapt_from(spec, params, rate, mask, coords, targets, loop, create_graph=create_graph)


def begin(theta0: Tensors, modules: int, *, create_graph: bool = False) -> dict[str, Tensor]:
    """θ0 for so many modules (M, *shape): views of the meta-parameters with a graph, leaves of their own without."""
    params = {n: t.expand(modules, *t.shape) for n, t in theta0.items()}
    return params if create_graph else {n: t.detach().clone().requires_grad_() for n, t in params.items()}


def adapt_from(
    spec: FieldSpec, params: Tensors, rate: Tensors, mask: Tensors, coords: Tensor, targets: Tensor, loop: InnerLoop, *,
    create_graph: bool = False,
) -> tuple[dict[str, Tensor], list[Tensor]]:  # fmt: skip
    """As :func:`adapt`, from parameters (M, *shape) of each module's own."""
    moved = dict(params)
    factors: list[Tensor] = []
    for _ in range(loop.steps):
        grads, factor = step_gradient(spec, moved, coords, targets, loop, create_graph=create_graph)
        moved = descend(moved, grads, rate, mask)
        if not create_graph:
            moved = {n: p.detach().requires_grad_() for n, p in moved.items()}
        factors.append(factor)
    return moved, factors
