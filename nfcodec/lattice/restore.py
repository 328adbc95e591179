"""D: the network in weight space that predicts what quantization removed from the last layers.

Works on a lattice of cells: inputs are the symbols of each cell (companded), the differences of its means to its
eight neighbours and the quality; its output is added to the dequantized last layers, in units of their steps.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

Params = dict[str, Tensor]


def net_shapes(
    inputs: int, width: int, outputs: int, blocks: int, prefix: str, axes: int = 2
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a network of ``blocks`` residual 3^d layers of ``width`` channels."""
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}.in.weight": (width, inputs), f"{prefix}.in.bias": (width,)}
    for i in range(blocks):
        shapes |= {f"{prefix}.{i}.weight": (width, width, *(3,) * axes), f"{prefix}.{i}.bias": (width,)}
    return shapes | {f"{prefix}.out.weight": (outputs, width), f"{prefix}.out.bias": (outputs,)}


def apply_net(params: Params, prefix: str, blocks: int, x: Tensor) -> Tensor:
    """(N, outputs, *cells) of inputs (N, inputs, *cells): a layer on each cell alone, residual 3^d layers with the
    border repeated, a layer on each cell alone."""
    axes = x.ndim - 2
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    alone = (..., *(None,) * axes)
    h = convolve(x, params[f"{prefix}.in.weight"][alone], params[f"{prefix}.in.bias"])
    for i in range(blocks):
        wide = F.pad(F.leaky_relu(h, 0.1), (1, 1) * axes, mode="replicate")
        h = h + convolve(wide, params[f"{prefix}.{i}.weight"], params[f"{prefix}.{i}.bias"])
    h = F.leaky_relu(h, 0.1)
    return convolve(h, params[f"{prefix}.out.weight"][alone], params[f"{prefix}.out.bias"])


def compand(x: Tensor) -> Tensor:
    """sign(x) · log2(1 + |x|)."""
    return torch.sign(x) * torch.log2(1.0 + x.abs())


def inputs(symbols: Tensor, hats: Tensor) -> Tensor:
    """Inputs (N, C, *cells) of symbols (N, P, K, *cells) and quality features (N, Q) that sum to 1.

    Their order: symbols 1 … K − 1 of every plane, companded; differences of the means to those of the neighbours,
    neighbour by neighbour, companded, the border repeated; the quality features, alike in all cells.
    """
    cells = symbols.shape[3:]
    means = symbols[:, :, 0]
    wide = F.pad(means, (1, 1) * len(cells), mode="replicate")
    around = [
        wide[(slice(None), slice(None), *(slice(o, o + n) for o, n in zip(offset, cells, strict=True)))] - means
        for offset in itertools.product(range(3), repeat=len(cells)) if any(o != 1 for o in offset)
    ]  # fmt: skip
    rest = [compand(symbols[:, :, 1:]).flatten(1, 2), compand(torch.cat(around, 1))]
    return torch.cat([*rest, hats[(..., *(None,) * len(cells))].expand(-1, -1, *cells)], 1)


def input_count(planes: int, bases: int, axes: int, qualities: int) -> int:
    """C, the channels of :func:`inputs`, for K = ``bases`` symbols per plane and Q = ``qualities``."""
    neighbours: int = 3**axes - 1
    return planes * (bases - 1 + neighbours) + qualities
