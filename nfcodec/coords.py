"""Where the samples of an output grid fall in the modules of a field.

A signal of shape (n_0, …) is cut into modules of ``tile`` samples along each axis, the last one possibly
reaching past the end. Positions are continuous, in native samples: sample i has its centre at i + ½. Module
m of an axis owns positions [m·t, (m+1)·t) and sees them as [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def modules_per_axis(shape: tuple[int, ...], tile: tuple[int, ...]) -> tuple[int, ...]:
    """How many modules cover each axis."""
    return tuple(-(-n // t) for n, t in zip(shape, tile, strict=True))


def module_coords(tile: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Native sample centres of one module: (N, axes) in [-1, 1], row-major, computed in float64."""
    axes = [(2.0 * np.arange(t) + 1.0) / t - 1.0 for t in tile]
    grid = np.meshgrid(*axes, indexing="ij")
    return np.stack(grid, -1).reshape(-1, len(tile)).astype(np.float32)


def sample_positions(start: float, stop: float, n: int) -> npt.NDArray[np.float64]:
    """Centres of n equal cells of [start, stop), in native sample positions (n,)."""
    return start + (np.arange(n, dtype=np.float64) + 0.5) * ((stop - start) / n)


@dataclass(frozen=True, slots=True)
class AxisPlan:
    """One axis of an output grid, grouped by module.

    ``first``: index of the first module that is touched; ``local``: (k, c) coordinates in [-1, 1] for k
    consecutive modules, padded to the largest count c; ``index``: (n,) where each output sample stands in
    the flattened (k·c) array.
    """

    first: int
    local: npt.NDArray[np.float32]
    index: npt.NDArray[np.int64]


def plan_axis(positions: npt.NDArray[np.float64], tile: int, modules: int) -> AxisPlan:
    """Group increasing ``positions`` (n,) by the module that owns them; those outside go to the nearest."""
    owner = np.clip(np.floor(positions / tile).astype(np.int64), 0, modules - 1)
    first = int(owner[0])
    row = owner - first
    counts = np.bincount(row)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    column = np.arange(len(positions)) - starts[row]
    local = np.zeros((len(counts), int(counts.max())), np.float32)
    local[row, column] = 2.0 * (positions - owner * tile) / tile - 1.0
    return AxisPlan(first, local, row * local.shape[1] + column)
