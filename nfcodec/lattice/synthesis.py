"""From the symbols of a region to the last layers of its cells, and between planes and the values of a signal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, device, namespace
from nfcodec.blas import single_threaded
from nfcodec.lattice import restore, steps
from nfcodec.lattice.init import Level
from nfcodec.rotations import opponent_matrix, whole_rotation
from nfcodec.types import Doubles, Floats

_ROOT3: float = 3.0**0.5
# What whole planes are rounded to before they are rotated, and the digits of the rotated ones.
_PLANE_BITS, _ROTATED_BITS = 20, 36


def last_layers(level: Level, symbols: Array, quality: int) -> Array:
    """W̃ (…, P·K, *cells) of symbols (…, P, K, *cells), in 2^-16: dequantized, and D's correction.

    Whole numbers: of int32 exactly, in float64; of tensors, for a level whose D holds tensors
    (:func:`nfcodec.lattice.tensors.on_torch`), within one of those and with gradients.
    """
    xp, axes = namespace(symbols), level.spec.axes
    lead = symbols.shape[: symbols.ndim - 2 - axes]
    row, sizes = restore.quality_row(quality), steps.step_sizes(level.log_step, quality)
    if not isinstance(symbols, np.ndarray):
        row, sizes = (xp.asarray(x.astype(np.float32), device=device(symbols)) for x in (row, sizes))
    return restored(level.restore, symbols, xp.broadcast_to(row, (*lead, len(row))), sizes)


def restored(d: restore.Restore, symbols: Array, qualities: Array, sizes: Array) -> Array:
    """W̃ (…, P·K, *cells) of symbols (…, P, K, *cells), quality features (…, Q) that sum to 16 and step sizes
    (…, P, K), in 2^-16."""
    lead = qualities.shape[:-1]
    axes = symbols.ndim - len(lead) - 2
    cells = symbols.shape[symbols.ndim - axes :]
    correction = d(restore.features(symbols, qualities), axes)
    return steps.weights(
        symbols.reshape((*lead, -1, *cells)), correction, sizes.reshape((*sizes.shape[:-2], -1, *(1 for _ in cells)))
    )


@single_threaded
def region_layers(level: Level, symbols: npt.NDArray[np.int32], quality: int) -> Floats:
    """W̃ (P·K, *cells) of the symbols (P, K, *cells) of one region: whole numbers in 2^-16, which float32 holds."""
    layers: Doubles = last_layers(level, symbols, quality)
    return layers.astype(np.float32)


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


def whole_to_values(planes: Doubles, channels: int) -> Floats:
    """Values (…, C) in float32 of whole planes (P, …) in 2^-32 below 2^47: rounded to 2^-20, rotated by whole numbers
    in 2^-16, and nothing else rounded but the result."""
    flat = planes.reshape(len(planes), -1)
    whole = np.floor(flat * 2.0 ** (_PLANE_BITS - 32) + 0.5)
    rotated = whole_rotation(len(planes), channels).astype(np.float64) @ whole
    rotated += 2.0 ** (_ROTATED_BITS - 1)
    rotated *= 2.0**-_ROTATED_BITS
    return np.ascontiguousarray(rotated.T, np.float32).reshape(*planes.shape[1:], channels)
