"""The first inner steps: the preconditioned gradient from Δ = 0, and its learned correction."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nfcodec.lattice import restore
from nfcodec.lattice.fit.window import Canvas, Window
from nfcodec.lattice.init import Level
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.tensors import tensors
from nfcodec.lattice.trunk import Params, cut, surround


def analysis(level: Level, window: Window) -> Tensor:
    """Last layers (P, K, *cells) of a window, by preconditioned gradient steps from zero; see :func:`descend`.

    Along the sides where the signal goes on, as many rows of cells as there are further steps come out wrong, for want
    of their neighbours.
    """
    canvas, spacing = Canvas(level, window.outer), level.spec.spacing
    native = tuple(slice(s // 2, -(s // 2)) for s in spacing)

    def missing(weights: Tensor) -> Tensor:
        left = window.samples - canvas(weights[0].flatten(0, 1))
        return cut(surround(left[(slice(None), *native)], spacing), spacing)[None]

    return descend(level.spec, tensors(level.first_step), cut(window.samples, spacing)[None], missing)[0]


def descend(
    spec: LatticeSpec, params: Params, patches: Tensor, missing: Callable[[Tensor], Tensor]
) -> Tensor:  # fmt: skip
    """Last layers (N, P, K, *cells) for patches (N, P, *cells, samples) of planes, by preconditioned gradient steps.

    The field is linear in its last layers, so the first step is a transform of the signal, and every further one the
    transform of the patches that are still ``missing`` with the weights so far.
    """
    alone = (..., *(None,) * spec.axes)
    weights = precondition(spec, params, patches) * torch.exp2(params["log_gain"])[alone]
    for gain in torch.exp2(params.get("log_again", weights.new_zeros(0))):
        weights = weights + precondition(spec, params, missing(weights)) * gain[alone]
    return weights


def precondition(spec: LatticeSpec, params: Params, patches: Tensor) -> Tensor:
    """The gradient (N, P, K, *cells) that patches (N, P, *cells, samples) ask for, through the learned
    preconditioner."""
    planes = enumerate(spec.planes)
    found = [patches[:, i] @ params[f"analysis.{plane.functions}"].T for i, plane in planes]
    return torch.stack(found, 1).movedim(-1, 2)


def corrected(level: Level, weights: Tensor, quality: int) -> Tensor:
    """Symbols before rounding (P, K, *cells) of the weights (P, K, *cells) of :func:`analysis`."""
    y = weights / torch.from_numpy(level.steps(quality))[(..., *(None,) * level.spec.axes)]
    hats = torch.from_numpy(level.hats(quality))[None]
    return correct(tensors(level.first_step), level.blocks(level.first_step, "e"), y[None], hats)[0]


def correct(params: Params, blocks: int, y: Tensor, hats: Tensor) -> Tensor:
    """Weights in steps, y (N, P, K, *cells), shifted and drawn towards zero where that saves more bits than it costs,
    as the network "e" of ``params`` has learned."""
    out = restore.apply_net(params, "e", blocks, restore.inputs(y, hats))
    shift, zone = out.reshape(len(y), 2, *y.shape[1:]).unbind(1)
    return y + shift - 0.5 * torch.sigmoid(zone - 1.4) * torch.tanh(3.0 * y)
