"""From the symbols of a region to the last layers of its cells, and between planes and the values of a signal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, namespace
from nfcodec.blas import single_threaded
from nfcodec.lattice import restore, steps
from nfcodec.lattice.init import Level
from nfcodec.lattice.space import strips
from nfcodec.parallel import every
from nfcodec.rotations import turned_rotation, whole_rotation
from nfcodec.types import Doubles, Floats

# What whole planes are rounded to before they are rotated, and the digits of the rotated ones.
_PLANE_BITS, _ROTATED_BITS = 20, 36
# Of a strip: threads side by side would wait for each other between shorter ones.
_CELLS = 1536


def last_layers(level: Level, symbols: Array, quality: int) -> Array:
    """W̃ (…, P·K, *cells) of symbols (…, P, K, *cells), in 2^-16: dequantized, D's correction, and W0.

    Whole numbers: of int32 exactly, in float64; of tensors, for a level whose D holds tensors
    (:func:`nfcodec.lattice.fit.tensors.on_torch`), within one of those and with gradients.
    """
    xp, axes = namespace(symbols), level.spec.axes
    lead = symbols.shape[: symbols.ndim - 2 - axes]
    given: list[Array] = [restore.quality_row(quality), _sizes(level, symbols, quality)]
    given += [] if level.offset is None else [level.offset.astype(np.float64)]
    if not isinstance(symbols, np.ndarray):
        given = [xp.asarray(x.astype(np.float32), device=symbols.device) for x in given]
    row, *rest = given
    return restored(level.restore, symbols, xp.broadcast_to(row, (*lead, len(row))), *rest)


def _sizes(level: Level, symbols: Array, quality: int) -> Doubles | Floats:
    """Step sizes (P, K), or (…, P, K, *cells) where they grow with activity."""
    if level.masking is None:
        return steps.step_sizes(level.log_step, quality)
    whole = symbols if isinstance(symbols, np.ndarray) else symbols.detach().cpu().numpy()
    shape = whole.shape[-2 - level.spec.axes :]
    found: Doubles = np.stack([level.sizes(one, quality) for one in whole.reshape(-1, *shape)])
    return found.reshape(whole.shape)


def restored(
    d: restore.Restore, symbols: Array, qualities: Array, sizes: Array, offset: Array | None = None
) -> Array:  # fmt: skip
    """W̃ (…, P·K, *cells) of symbols (…, P, K, *cells), quality features (…, Q) that sum to 16, step sizes (…, P, K) or
    (…, P, K, *cells), and W0 ``offset`` (P, K), in 2^-16."""
    lead = qualities.shape[:-1]
    axes = symbols.ndim - len(lead) - 2
    cells = symbols.shape[symbols.ndim - axes :]
    correction = d(restore.features(symbols, qualities), axes)
    alone = [1 for _ in cells]
    per_cell = sizes.ndim > len(lead) + 2
    sizes = sizes.reshape((*lead, -1, *cells) if per_cell else (*sizes.shape[:-2], -1, *alone))
    return steps.weights(
        symbols.reshape((*lead, -1, *cells)), correction, sizes,
        None if offset is None else offset.reshape((-1, *alone)),
    )  # fmt: skip


@single_threaded
def region_layers(level: Level, symbols: npt.NDArray[np.int32], quality: int) -> Floats:
    """W̃ (P·K, *cells) of the symbols (P, K, *cells) of one region: whole numbers in 2^-16, which float32 holds. The
    very numbers of :func:`last_layers`, strip by strip."""
    d, axes, cells = level.restore, level.spec.axes, symbols.shape[2:]
    sizes, alone = level.sizes(symbols, quality), (-1, *(1 for _ in cells))
    offset = None if level.offset is None else level.offset.astype(np.float64).reshape(alone)
    stream = d.through(entered(d, symbols, quality), axes)
    out = np.empty((level.spec.coded, *cells), np.float32)

    def fill(rows: slice) -> None:
        active = restore.activation(stream[:, rows])
        shape = (-1, *active.shape[1:])
        correction = d.leaving(active.reshape(len(active), -1)).reshape(shape)
        size = sizes[:, :, rows].reshape(shape) if sizes.ndim > 2 else sizes.reshape(alone)
        out[:, rows] = steps.weights(symbols[:, :, rows].reshape(shape), correction, size, offset)

    every(fill, strips(cells, _CELLS))
    return out


def entered(d: restore.Restore, symbols: npt.NDArray[np.int32], quality: int) -> Floats:
    """The first stream (width, *cells) of D for symbols (P, K, *cells), before it is clipped."""
    cells, row = symbols.shape[2:], restore.quality_row(quality)
    stream = np.empty((len(d.enter.bias), *cells), np.float32)

    def fill(rows: slice) -> None:
        start, stop = max(0, rows.start - 1), rows.stop + 1  # what is seen of the means around
        features = restore.features(symbols[:, :, start:stop], row)
        own = features[:, rows.start - start : rows.stop - start]
        stream[:, rows] = d.enter(own.reshape(len(own), -1)).reshape(len(stream), -1, *cells[1:])

    every(fill, strips(cells, _CELLS))
    return stream


@single_threaded
def whole_to_values(
    planes: Doubles, channels: int, offset: float, turn: tuple[int, ...] | None = None
) -> Floats:  # fmt: skip
    """Values (…, C) in float32 of whole planes (P, …) in 2^-32 below 2^47: rounded to 2^-20, rotated by whole numbers
    in 2^-16, and nothing else rounded but the result. ``turn``: of three planes, see
    :func:`nfcodec.rotations.whole_turn`."""
    flat = planes.reshape(len(planes), -1)
    whole = np.floor(flat * 2.0 ** (_PLANE_BITS - 32) + 0.5)
    rotation = whole_rotation(len(planes), channels) if turn is None else turned_rotation(channels, turn)
    rotated = rotation.astype(np.float64) @ whole
    rotated += offset * 2.0**_ROTATED_BITS  # 0 or a half: whole
    rotated *= 2.0**-_ROTATED_BITS
    return np.ascontiguousarray(rotated.T, np.float32).reshape(*planes.shape[1:], channels)
