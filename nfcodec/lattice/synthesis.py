"""From the symbols of a region to the last layers of its cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.lattice import restore
from nfcodec.lattice.init import Level
from nfcodec.lattice.tensors import tensors


def last_layers(level: Level, symbols: Tensor, quality: int) -> Tensor:
    """W̃ (N, P·K + extra, *cells) of symbols (N, P, K, *cells): dequantized, and D's correction in units of the
    steps."""
    k3 = level.spec.coded
    hats = torch.from_numpy(level.hats(quality)).to(symbols).expand(len(symbols), -1)
    size = torch.as_tensor(level.steps(quality))
    blocks = level.blocks(level.restore, "d")
    out = restore.apply_net(tensors(level.restore), "d", blocks, restore.inputs(symbols, hats))
    plain = symbols.flatten(1, 2) + out[:, :k3]
    extra = out[:, k3:] * size[0].mean()
    return torch.cat([plain * size.reshape(1, -1, *(1,) * level.spec.axes), extra], 1)


def region_layers(level: Level, symbols: npt.NDArray[np.int32], quality: int) -> Tensor:
    """W̃ (P·K + extra, *cells) of the symbols (P, K, *cells) of one region."""
    with torch.no_grad():
        return last_layers(level, torch.from_numpy(symbols.astype(np.float32))[None], quality)[0]
