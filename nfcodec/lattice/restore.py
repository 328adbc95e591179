"""D: the network in weight space that predicts what quantization removed from the last layers.

Works on a lattice of cells: inputs are the symbols of each cell (companded), the differences of its means to its
eight neighbours and the quality; its output is added to the dequantized last layers, in units of their steps.
"""

from __future__ import annotations

from collections.abc import Mapping

from nfcodec.arrays import Array, namespace
from nfcodec.lattice.convolution import filtered, repeated

Params = Mapping[str, Array]


def net_shapes(inputs: int, width: int, outputs: int, blocks: int, prefix: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a network of ``blocks`` residual 3 × 3 layers of ``width`` channels."""
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}.in.weight": (width, inputs), f"{prefix}.in.bias": (width,)}
    for i in range(blocks):
        shapes |= {f"{prefix}.{i}.weight": (width, width, 3, 3), f"{prefix}.{i}.bias": (width,)}
    return shapes | {f"{prefix}.out.weight": (outputs, width), f"{prefix}.out.bias": (outputs,)}


def apply_net(params: Params, prefix: str, blocks: int, x: Array) -> Array:
    """(N, outputs, h, w) of inputs (N, inputs, h, w): 1 × 1, residual 3 × 3 layers with the border repeated, 1 × 1."""
    xp = namespace(x)
    h = filtered(x, params[f"{prefix}.in.weight"][:, :, None, None], params[f"{prefix}.in.bias"])
    for i in range(blocks):
        h = h + filtered(xp.maximum(h, 0.1 * h), params[f"{prefix}.{i}.weight"], params[f"{prefix}.{i}.bias"])
    h = xp.maximum(h, 0.1 * h)
    return filtered(h, params[f"{prefix}.out.weight"][:, :, None, None], params[f"{prefix}.out.bias"])


def compand(x: Array) -> Array:
    """sign(x) · log2(1 + |x|)."""
    xp = namespace(x)
    return xp.sign(x) * xp.log2(1.0 + xp.abs(x))


def inputs(symbols: Array, hats: Array) -> Array:
    """Inputs (N, C, h, w) of symbols (N, planes, K, h, w) and quality features (N, Q) that sum to 1.

    Their order: symbols 1 … K − 1 of every plane, companded; differences of the means to those of the eight
    neighbours, neighbour by neighbour, companded, the border repeated; the quality features, alike in all cells.
    """
    xp, (n, _, _, h, w) = namespace(symbols), symbols.shape
    means = symbols[:, :, 0]
    wide = repeated(repeated(means, -2, 1), -1, 1)
    around = [
        wide[:, :, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] - means
        for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
    ]  # fmt: skip
    rest = [compand(symbols[:, :, 1:]).reshape((n, -1, h, w)), compand(xp.concat(around, axis=1))]
    quality = xp.broadcast_to(hats[:, :, None, None], (*hats.shape, h, w))
    return xp.concat([*rest, quality], axis=1)


def input_count(bases: int, qualities: int, planes: int = 3) -> int:
    """C, the channels of :func:`inputs`, for K = ``bases`` symbols per plane and Q = ``qualities``."""
    return planes * (bases - 1 + 8) + qualities
