"""Blocks: the squares of samples that are either of the lattice or of the overlay."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

BLOCK = 16
# Photographs have 200 and more colours in 256 samples, drawings with soft edges rarely 60.
_FEW = 64


def _padded(plane: npt.NDArray[Any], *, mode: Any) -> npt.NDArray[Any]:
    """Whole blocks (rows, columns, BLOCK²) of a plane (h, w)."""
    tall, wide = (-n % BLOCK for n in plane.shape)
    plane = np.pad(plane, ((0, tall), (0, wide)), mode=mode)
    rows, columns = (n // BLOCK for n in plane.shape)
    return plane.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows, columns, BLOCK * BLOCK)


def packed(samples: Bytes) -> npt.NDArray[np.int32]:
    """One number per colour (h, w) of samples (h, w, C)."""
    wide = samples.astype(np.int32)
    return wide[..., 0] if wide.shape[-1] == 1 else wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def even_blocks(samples: Bytes) -> Mask:
    """Which blocks (rows, columns) of samples (h, w, C) have few colours."""
    ordered = np.sort(_padded(packed(samples), mode="edge"), axis=-1)
    few: Mask = (np.diff(ordered, axis=-1) != 0).sum(-1) < _FEW
    return few


def blocky(blocks: Mask, shape: tuple[int, int]) -> Mask:
    """The samples (h, w) of blocks."""
    return grown(blocks, BLOCK)[: shape[0], : shape[1]]


def grown(plane: npt.NDArray[Any], times: int) -> npt.NDArray[Any]:
    """Every entry of a plane repeated along both axes."""
    return plane.repeat(times, 0).repeat(times, 1)


def per_block(plane: Doubles) -> Doubles:
    """Sums (rows, columns) over the blocks of a plane (h, w)."""
    sums: Doubles = _padded(plane, mode="constant").sum(-1)
    return sums
