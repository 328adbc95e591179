"""The first inner step: the preconditioned gradient at Δ = 0, and its learned correction."""

from __future__ import annotations

import torch
from torch import Tensor

from nfcodec.adapt.lattice.window import Window
from nfcodec.fields import weight_net
from nfcodec.fields.lattice import cut
from nfcodec.lattice.init import LatticeInit, Params


def analysis(init: LatticeInit, window: Window) -> Tensor:
    """Last layers (3, K, h, w) that the gradient at Δ = 0 asks for, times the learned step sizes of the weights.

    The field is linear in its last layers, so this is the transform of the picture.
    """
    parts = cut(window.samples, init.spec.spacing)
    luma = parts[:1] @ init.first_step["analysis.luma"].T
    chroma = parts[1:] @ init.first_step["analysis.chroma"].T
    gain = torch.exp2(init.first_step["log_gain"])
    return torch.cat([luma, chroma]).movedim(-1, 1) * gain[:, :, None, None]


def corrected(init: LatticeInit, weights: Tensor, quality: int) -> Tensor:
    """Symbols before rounding (3, K, h, w) of the weights (3, K, h, w) of :func:`analysis`."""
    y = weights / init.steps(quality)[:, :, None, None]
    return correct(init.first_step, init.blocks(init.first_step, "e"), y[None], init.hats(quality)[None])[0]


def correct(params: Params, blocks: int, y: Tensor, hats: Tensor) -> Tensor:
    """Weights in steps, y (N, 3, K, h, w), shifted and drawn towards zero where that saves more bits than it costs,
    as the network "e" of ``params`` has learned."""
    out = weight_net.apply_net(params, "e", blocks, weight_net.inputs(y, hats))
    shift, zone = out.view(len(y), 2, *y.shape[1:]).unbind(1)
    return y + shift - 0.5 * torch.sigmoid(zone - 1.4) * torch.tanh(3.0 * y)
