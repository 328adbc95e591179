"""Blocks: the squares of samples that are either of the lattice or of the overlay."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.types import Bytes, Doubles, Mask

BLOCK = 16
# Soft edges of drawings rarely have more colours in 256 samples. Calm parts of photographs have as few, but there
# neighbours differ by a little, where in drawings they differ by nothing or by much; a palette would make steps of
# their slopes, which the eye minds more than PSNR does.
_FEW = 64
_EQUAL, _LITTLE, _SLOPES = 0.4, 4, 0.1
_SPAN = 48


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


def even_blocks(samples: Bytes) -> tuple[Mask, Mask]:
    """Which blocks (rows, columns) of samples (h, w, C) have few colours in even areas, and which of these have edges,
    too, so that a lattice would spend bits on them."""
    blocks = _padded(packed(samples), mode="symmetric")
    few = (np.diff(np.sort(blocks, axis=-1), axis=-1) != 0).sum(-1) < _FEW
    light = _padded(samples.astype(np.int32).sum(-1), mode="symmetric")
    equal = _share(blocks, 0, 0)
    slopes = _share(light, 1, _LITTLE * samples.shape[-1])
    even: Mask = few & (equal >= _EQUAL) & (slopes <= _SLOPES)
    high, low = np.where(even, light.max(-1), 0), np.where(even, light.min(-1), 255 * samples.shape[-1])
    span = _with_next(high, np.maximum) - _with_next(low, np.minimum)
    return even, even & (span >= _SPAN * samples.shape[-1])


def _share(blocks: npt.NDArray[np.int32], least: int, most: int) -> Doubles:
    """The share of pairs of neighbours in each block that differ by ``least`` … ``most``."""
    grid = blocks.reshape(*blocks.shape[:2], BLOCK, BLOCK)
    pairs = np.abs(grid[..., 1:] - grid[..., :-1]), np.abs(grid[..., 1:, :] - grid[..., :-1, :])
    shares = [((p >= least) & (p <= most)).mean((2, 3)) for p in pairs]
    return np.asarray((shares[0] + shares[1]) / 2.0)


def _with_next(plane: npt.NDArray[Any], most: np.ufunc) -> npt.NDArray[Any]:
    """Over each block and those to the right and below: an edge may lie just between two."""
    wide = np.pad(plane, ((0, 1), (0, 1)), mode="edge")
    return np.asarray(most(most(plane, wide[:-1, 1:]), wide[1:, :-1]))


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
