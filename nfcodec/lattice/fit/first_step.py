"""The first inner steps: the preconditioned gradient from Δ = 0, and its learned correction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

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
        missing = window.samples - canvas(weights.flatten(0, 1))
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
    return correct(tensors(level.first_step), level.correction_blocks, y[None], hats)[0]


def correct(params: Params, blocks: int, y: Tensor, hats: Tensor) -> Tensor:
    """Weights in steps, y (N, 3, K, h, w), shifted and drawn towards zero where that saves more bits than it costs,
    as the network "e" of ``params`` has learned."""
    out = apply_net(params, "e", blocks, inputs(y, hats))
    shift, zone = out.view(len(y), 2, *y.shape[1:]).unbind(1)
    drawn: Tensor = y + shift - 0.5 * torch.sigmoid(zone - 1.4) * torch.tanh(3.0 * y)
    return drawn


def apply_net(params: Params, prefix: str, blocks: int, x: Tensor) -> Tensor:
    """(N, outputs, h, w) of inputs (N, inputs, h, w): 1 × 1, residual 3 × 3 layers with the border repeated, 1 × 1."""
    h = F.conv2d(x, params[f"{prefix}.in.weight"][:, :, None, None], params[f"{prefix}.in.bias"])
    for i in range(blocks):
        wide = F.pad(F.leaky_relu(h, 0.1), (1, 1, 1, 1), mode="replicate")
        h = h + F.conv2d(wide, params[f"{prefix}.{i}.weight"], params[f"{prefix}.{i}.bias"])
    h = F.leaky_relu(h, 0.1)
    return F.conv2d(h, params[f"{prefix}.out.weight"][:, :, None, None], params[f"{prefix}.out.bias"])


def compand(x: Tensor) -> Tensor:
    """sign(x) · log2(1 + |x|)."""
    return torch.sign(x) * torch.log2(1.0 + x.abs())


def inputs(symbols: Tensor, hats: Tensor) -> Tensor:
    """Inputs (N, C, h, w) of symbols (N, planes, K, h, w) and quality features (N, Q) that sum to 1.

    Their order: symbols 1 … K − 1 of every plane, companded; differences of the means to those of the eight
    neighbours, neighbour by neighbour, companded, the border repeated; the quality features, alike in all cells.
    """
    n, _, _, h, w = symbols.shape
    means = symbols[:, :, 0]
    wide = F.pad(means, (1, 1, 1, 1), mode="replicate")
    around = [
        wide[:, :, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] - means
        for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
    ]  # fmt: skip
    rest = [compand(symbols[:, :, 1:]).flatten(1, 2), compand(torch.cat(around, 1))]
    return torch.cat([*rest, hats[:, :, None, None].expand(-1, -1, h, w)], 1)
