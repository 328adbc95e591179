"""The first inner steps: the preconditioned gradient from Δ = 0, and its learned correction."""

from __future__ import annotations

import torch
from torch import Tensor

from nfcodec.lattice import restore
from nfcodec.lattice.fit.window import Canvas, Window
from nfcodec.lattice.init import Level
from nfcodec.lattice.tensors import tensors
from nfcodec.lattice.trunk import LatticeSpec, Params, cut, surround


def analysis(level: Level, window: Window) -> Tensor:
    """Last layers (3, K, h, w) of a window, by preconditioned gradient steps from zero.

    The field is linear in its last layers, so the first step is a transform of the picture, and every further one
    the transform of what is still missing. Along the sides where the picture goes on, as many rows of cells as there
    are further steps come out wrong, for want of their neighbours.
    """
    spec, params = level.spec, tensors(level.first_step)
    weights = _gradient(spec, params, window.samples) * torch.exp2(params["log_gain"])[..., None, None]
    canvas = Canvas(level, window.outer)
    half = tuple(s // 2 for s in spec.spacing)
    for gain in torch.exp2(params.get("log_again", weights.new_zeros(0))):
        extra = weights.new_zeros(spec.extra, *weights.shape[2:])
        missing = window.samples - canvas(torch.cat([weights.flatten(0, 1), extra]))
        inside = missing[:, half[0] : -half[0], half[1] : -half[1]]
        weights = weights + _gradient(spec, params, surround(inside, spec.spacing)) * gain[..., None, None]
    return weights


def _gradient(spec: LatticeSpec, params: Params, samples: Tensor) -> Tensor:
    return precondition(params, cut(samples, spec.spacing)[None])[0]


def precondition(params: Params, patches: Tensor) -> Tensor:
    """The gradient (N, 3, K, h, w) that patches (N, 3, h, w, samples) ask for, through the learned preconditioner."""
    luma = patches[:, :1] @ params["analysis.luma"].T
    chroma = patches[:, 1:] @ params["analysis.chroma"].T
    return torch.cat([luma, chroma], 1).movedim(-1, 2)


def corrected(level: Level, weights: Tensor, quality: int) -> Tensor:
    """Symbols before rounding (3, K, h, w) of the weights (3, K, h, w) of :func:`analysis`."""
    y = weights / torch.from_numpy(level.steps(quality))[:, :, None, None]
    hats = torch.from_numpy(level.hats(quality))[None]
    return correct(tensors(level.first_step), level.blocks(level.first_step, "e"), y[None], hats)[0]


def correct(params: Params, blocks: int, y: Tensor, hats: Tensor) -> Tensor:
    """Weights in steps, y (N, 3, K, h, w), shifted and drawn towards zero where that saves more bits than it costs,
    as the network "e" of ``params`` has learned."""
    out = restore.apply_net(params, "e", blocks, restore.inputs(y, hats))
    shift, zone = out.view(len(y), 2, *y.shape[1:]).unbind(1)
    drawn: Tensor = y + shift - 0.5 * torch.sigmoid(zone - 1.4) * torch.tanh(3.0 * y)
    return drawn
