"""D: the network in weight space that predicts what quantization removed from the last layers.

Works on a lattice of cells: inputs are the symbols of each cell (companded), the differences of its means to its
eight neighbours and the quality; its output is added to the dequantized last layers, in units of their steps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Params = dict[str, Tensor]


def net_shapes(inputs: int, width: int, outputs: int, blocks: int, prefix: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a network of ``blocks`` residual 3 × 3 layers of ``width`` channels."""
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}.in.weight": (width, inputs), f"{prefix}.in.bias": (width,)}
    for i in range(blocks):
        shapes |= {f"{prefix}.{i}.weight": (width, width, 3, 3), f"{prefix}.{i}.bias": (width,)}
    return shapes | {f"{prefix}.out.weight": (outputs, width), f"{prefix}.out.bias": (outputs,)}


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


def input_count(bases: int, qualities: int, planes: int = 3) -> int:
    """C, the channels of :func:`inputs`, for K = ``bases`` symbols per plane and Q = ``qualities``."""
    return planes * (bases - 1 + 8) + qualities
