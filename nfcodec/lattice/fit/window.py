"""What a region is fitted to: its samples, and half a spacing of what lies around it.

The field of a region overlaps that of its neighbours by half a spacing on each side. While a region is adapted
alone its neighbours are taken to reproduce the picture: in the overlap the region is fitted to its own share of
the linear analysis, which is what the neighbours leave to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.lattice.init import Level
from nfcodec.lattice.native import TABLE_BITS
from nfcodec.lattice.regions import Layout, Region
from nfcodec.lattice.trunk import LatticeSpec, by_plane, overlap, surround

Sides = tuple[bool, bool, bool, bool]


def mirrored(planes: Tensor, layout: Layout, spacing: tuple[int, ...]) -> Tensor:
    """Planes (3, H, W) as (3, s·h + s, s·w + s): the last samples repeated up to whole cells, then mirrored."""
    below, right = (n * s - m for n, s, m in zip(layout.cells, spacing, planes.shape[1:], strict=True))
    wide: Tensor = surround(F.pad(planes, (0, right, 0, below), mode="replicate"), spacing)
    return wide


@dataclass(frozen=True)
class Window:
    """One region to adapt. ``samples`` (3, s·h + s, s·w + s): the picture around it. ``inside`` (s·h, s·w): 1 for
    samples of the picture, 0 for what only fills the last cells. ``outer``: top, bottom, left, right borders of
    the region that are borders of the picture, where the field is mirrored."""

    samples: Tensor
    inside: Tensor
    outer: Sides


def cut_window(
    wide: Tensor, shape: tuple[int, ...], layout: Layout, region: Region, spacing: tuple[int, ...]
) -> Window:
    """The window of a region in the :func:`mirrored` planes of a picture of ``shape`` samples."""
    s = spacing
    rows = slice(s[0] * region.top, s[0] * (region.bottom + 1))
    columns = slice(s[1] * region.left, s[1] * (region.right + 1))
    y = torch.arange(s[0] * region.top, s[0] * region.bottom) < shape[0]
    x = torch.arange(s[1] * region.left, s[1] * region.right) < shape[1]
    outer = (
        region.top == 0, region.bottom == layout.cells[0], region.left == 0, region.right == layout.cells[1],
    )  # fmt: skip
    return Window(wide[:, rows, columns], (y[:, None] & x[None]).float(), outer)


class Canvas:
    """Renders the last layers of a region on its native samples and half a spacing around, each plane apart.

    What falls outside the picture is mirrored back and its place left empty.
    """

    def __init__(self, level: Level, outer: Sides) -> None:
        self.spec: LatticeSpec = level.spec
        functions = torch.from_numpy(level.table.astype(np.float32) * np.float32(2.0**-TABLE_BITS))
        self.first, self.others = by_plane(level.spec, functions)
        self.outer = outer

    def __call__(self, weights: Tensor) -> Tensor:
        """(3, s·h + s, s·w + s) of last layers (3·K, h, w)."""
        k = self.spec.bases
        luma = weights[:k].movedim(0, -1) @ self.first
        chroma = weights[k : 3 * k].view(2, k, *weights.shape[1:]).movedim(1, -1) @ self.others
        return self._mirror(overlap(torch.cat([luma[None], chroma]), self.spec.spacing))

    def _mirror(self, canvas: Tensor) -> Tensor:
        for axis, half in ((1, self.spec.spacing[0] // 2), (2, self.spec.spacing[1] // 2)):
            n = canvas.shape[axis]
            before, after = self.outer[2 * axis - 2], self.outer[2 * axis - 1]
            head, first, middle, last, tail = torch.split(canvas, [half, half, n - 4 * half, half, half], axis)
            if before:
                first, head = first + head.flip(axis), torch.zeros_like(head)
            if after:
                last, tail = last + tail.flip(axis), torch.zeros_like(tail)
            canvas = torch.cat([head, first, middle, last, tail], axis)
        return canvas
