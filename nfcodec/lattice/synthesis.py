"""From the symbols of a region to the last layers of its cells, and between planes and the values of a signal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.fields import weight_net
from nfcodec.fields.values import opponent_matrix
from nfcodec.lattice.init import LatticeInit

Params = dict[str, Tensor]

_ROOT3: float = 3.0**0.5


def last_layers(init: LatticeInit, symbols: Tensor, quality: int) -> Tensor:
    """W̃ (N, 3·K + extra, h, w) of symbols (N, 3, K, h, w): dequantized, and D's correction in units of the steps."""
    k3 = 3 * init.spec.bases
    hats = init.hats(quality).expand(len(symbols), -1)
    size = init.steps(quality)
    blocks = init.blocks(init.restore, "d")
    out = weight_net.apply_net(init.restore, "d", blocks, weight_net.inputs(symbols, hats))
    plain = symbols.flatten(1, 2) + out[:, :k3]
    extra = out[:, k3:] * size[0].mean()
    return torch.cat([plain * size.reshape(1, -1, 1, 1), extra], 1)


def detail_layers(params: Params, init: LatticeInit, symbols: Tensor, quality: int) -> Tensor:
    """Last layers (N, E, h, w) of the detail between the samples: X's output, in units of the luma around a cell.

    X sees luma in the same unit: the same edge, fainter, gets the same detail, fainter.
    """
    luma = symbols[:, 0] * init.steps(quality)[0].reshape(1, -1, 1, 1)
    energy = luma[:, 1:].square().sum(1, keepdim=True)
    unit = (_around(energy).mean(1, keepdim=True) + init.steps(quality)[0].square().mean()).sqrt()
    differences = (_around(luma[:, :1]) - luma[:, :1]) / unit
    hats = init.hats(quality)[None, :, None, None].expand(len(symbols), -1, *symbols.shape[3:])
    x = torch.cat([luma[:, 1:] / unit, differences.clamp(-4.0, 4.0), torch.log2(unit), hats], 1)
    blocks = sum(1 for n in params if n.startswith("x.") and n.endswith(".weight")) - 2
    return weight_net.apply_net(params, "x", blocks, x) * unit


def _around(plane: Tensor) -> Tensor:
    """A plane (N, 1, h, w) at the 3 × 3 cells around each: (N, 9, h, w), the border repeated."""
    h, w = plane.shape[2:]
    wide = F.pad(plane, (1, 1, 1, 1), mode="replicate")
    return torch.cat([wide[:, :, y : y + h, x : x + w] for y in range(3) for x in range(3)], 1)


def detail_inputs(bases: int, qualities: int) -> int:
    """Input channels of X."""
    return bases - 1 + 9 + 1 + qualities


def region_layers(init: LatticeInit, symbols: npt.NDArray[np.int32], quality: int) -> Tensor:
    """W̃ (3·K + extra, h, w) of the symbols (3, K, h, w) of one region."""
    with torch.no_grad():
        return last_layers(init, torch.from_numpy(symbols.astype(np.float32))[None], quality)[0]


def to_planes(values: Tensor) -> Tensor:
    """Planes (3, …) of values (…, C) in [0, 1]; of grey ones the chroma planes are zero."""
    centred = values - 0.5
    if values.shape[-1] == 1:
        grey = centred.movedim(-1, 0) * _ROOT3
        return torch.cat([grey, torch.zeros(2, *grey.shape[1:])])
    return torch.einsum("ij,...j->i...", opponent_matrix(), centred)


def to_values(planes: Tensor, channels: int) -> Tensor:
    """Values (…, C) of planes (3, …); the inverse of :func:`to_planes`."""
    if channels == 1:
        return planes[0].unsqueeze(-1) / _ROOT3 + 0.5
    return torch.einsum("ij,i...->...j", opponent_matrix(), planes) + 0.5
