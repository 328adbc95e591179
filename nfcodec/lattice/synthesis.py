"""From the symbols of a region to the last layers of its cells, and between planes and the values of a signal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.arrays import Array, namespace
from nfcodec.lattice import restore
from nfcodec.lattice.init import Level
from nfcodec.lattice.tensors import tensors
from nfcodec.rotations import opponent_matrix

_ROOT3: float = 3.0**0.5


def last_layers(level: Level, symbols: Tensor, quality: int) -> Tensor:
    """W̃ (N, 3·K + extra, h, w) of symbols (N, 3, K, h, w): dequantized, and D's correction in units of the steps."""
    k3 = 3 * level.spec.bases
    hats = torch.from_numpy(level.hats(quality)).expand(len(symbols), -1)
    size = torch.from_numpy(level.steps(quality))
    blocks = level.blocks(level.restore, "d")
    out = restore.apply_net(tensors(level.restore), "d", blocks, restore.inputs(symbols, hats))
    plain = symbols.flatten(1, 2) + out[:, :k3]
    extra = out[:, k3:] * size[0].mean()
    return torch.cat([plain * size.reshape(1, -1, 1, 1), extra], 1)


def region_layers(level: Level, symbols: npt.NDArray[np.int32], quality: int) -> Tensor:
    """W̃ (3·K + extra, h, w) of the symbols (3, K, h, w) of one region."""
    with torch.no_grad():
        return last_layers(level, torch.from_numpy(symbols.astype(np.float32))[None], quality)[0]


def to_planes(values: Array) -> Array:
    """Planes (3, …) of values (…, C) in [0, 1]; of grey ones the chroma planes are zero."""
    xp, centred = namespace(values), values - 0.5
    if values.shape[-1] == 1:
        grey = xp.moveaxis(centred, -1, 0) * _ROOT3
        return xp.concat([grey, 0.0 * grey, 0.0 * grey])
    return xp.moveaxis(centred @ opponent_matrix(centred).T, -1, 0)


def to_values(planes: Array, channels: int) -> Array:
    """Values (…, C) of planes (3, …); the inverse of :func:`to_planes`."""
    if channels == 1:
        return planes[0][..., None] / _ROOT3 + 0.5
    return namespace(planes).moveaxis(planes, 0, -1) @ opponent_matrix(planes) + 0.5
