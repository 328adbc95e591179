"""From the symbols of a region to the last layers of its cells, and between planes and the values of a signal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, namespace
from nfcodec.blas import single_threaded
from nfcodec.lattice import order, restore
from nfcodec.lattice.init import Level
from nfcodec.rotations import opponent_matrix
from nfcodec.types import Floats

_ROOT3: float = 3.0**0.5


def last_layers(level: Level, symbols: Array, quality: int) -> Array:
    """W̃ (N, 3·K + extra, h, w) of symbols (N, 3, K, h, w): dequantized, and D's correction in units of the steps."""
    xp, k3 = namespace(symbols), 3 * level.spec.bases
    hats = xp.broadcast_to(xp.asarray(level.hats(quality)), (len(symbols), order.QUALITY_LEVELS))
    size = xp.asarray(level.steps(quality))
    params = {n: xp.asarray(a) for n, a in level.restore.items()}
    out = restore.apply_net(params, "d", level.blocks(level.restore, "d"), restore.inputs(symbols, hats))
    plain = symbols.reshape((len(symbols), k3, *symbols.shape[3:])) + out[:, :k3]
    extra = out[:, k3:] * xp.mean(size[0])
    return xp.concat([plain * size.reshape((1, -1, 1, 1)), extra], axis=1)


@single_threaded
def region_layers(level: Level, symbols: npt.NDArray[np.int32], quality: int) -> Floats:
    """W̃ (3·K + extra, h, w) of the symbols (3, K, h, w) of one region."""
    layers: Floats = last_layers(level, symbols.astype(np.float32)[None], quality)[0]
    return layers


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
