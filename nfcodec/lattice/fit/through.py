"""Slopes back through D: from those towards the last layers to those towards symbols, some rows of cells at a time.

What autograd keeps of D takes half a gigabyte for a region of 128 × 128 cells; D sees few cells around each, so that
rows of cells can go through it one after the other.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nfcodec.arrays import Array
from nfcodec.lattice import restore
from nfcodec.lattice.init import Level
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import restored
from nfcodec.types import Floats, Symbols

# Cells that go through D at once.
_CELLS = 1 << 12


def layer_slopes(level: Level, symbols: Symbols, quality: int, towards: Tensor) -> Floats:
    """Slopes (P, K, *cells) of what has the slopes ``towards`` (P·K, *cells) the last layers that symbols make, for a
    level whose D holds tensors."""
    cells = symbols.shape[2:]
    halo = 1 + len(level.restore.blocks)  # of the means around, and of every block
    sizes = level.sizes(symbols, quality).astype(np.float32)
    rows = max(1, _CELLS // int(np.prod(cells[1:])))
    found = np.zeros(symbols.shape, np.float32)
    for start in range(0, cells[0], rows):
        stop = min(start + rows, cells[0])
        seen = slice(max(0, start - halo), min(stop + halo, cells[0]))
        own = slice(start - seen.start, stop - seen.start)
        part = sizes[:, :, seen] if sizes.ndim > 2 else sizes
        with torch.enable_grad():
            q = torch.from_numpy(symbols[:, :, seen].astype(np.float32)).requires_grad_(True)
            (slope,) = torch.autograd.grad(_layers(level, q, quality, part)[:, own], q, towards[:, start:stop])
        found[:, :, seen] += slope.numpy()
    return found


def _layers(level: Level, q: Tensor, quality: int, sizes: Floats) -> Tensor:
    """Last layers (P·K, *cells) of symbols of these sizes."""
    given: list[Array] = [restore.quality_row(quality), sizes]
    given += [] if level.offset is None else [level.offset.astype(np.float32)]
    layers: Tensor = restored(level.restore, q, *map(torch.from_numpy, given)) * WEIGHT_UNIT
    return layers
