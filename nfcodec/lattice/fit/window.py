"""What a region is fitted to: its samples, and half a spacing of what lies around it.

The field of a region overlaps that of its neighbours by half a spacing on each side. While a region is adapted
alone its neighbours are taken to reproduce the signal: in the overlap the region is fitted to its own share of
the linear analysis, which is what the neighbours leave to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.init import Level
from nfcodec.lattice.native import TABLE_BITS
from nfcodec.lattice.space import Box, Space, strips
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.trunk import cut, overlap, plane_patches, surround
from nfcodec.types import Span

# For each axis, whether the borders of a region before and behind are borders of the signal.
Sides = tuple[tuple[bool, bool], ...]


def mirrored(planes: Tensor, space: Space, spacing: tuple[int, ...]) -> Tensor:
    """Planes (P, *n) as (P, *(s·cells + s)): the last samples repeated up to whole cells, then mirrored."""
    for axis, (cells, s) in enumerate(zip(space.cells, spacing, strict=True), 1):
        missing = cells * s - planes.shape[axis]
        last = planes.narrow(axis, planes.shape[axis] - 1, 1)
        planes = torch.cat([planes, last.expand(*(missing if i == axis else -1 for i in range(planes.ndim)))], axis)
    wide: Tensor = surround(planes, spacing)
    return wide


@dataclass(frozen=True)
class Mirrored:
    """What :func:`mirrored` would make of ``planes`` (P, *n), made part by part: a large picture is held once.
    ``made``: what makes planes of such parts, where it is values (*n, C) that are held."""

    planes: Tensor
    space: Space
    spacing: tuple[int, ...]
    made: Callable[[Tensor], Tensor] | None = None

    def part(self, spans: Sequence[Span]) -> Tensor:
        """The samples in ``spans``, one for each axis, of all that there would be."""
        found = self.planes
        for axis, (span, cells, s) in enumerate(
            zip(spans, self.space.cells, self.spacing, strict=True), 0 if self.made else 1
        ):
            at = np.arange(span[0] - s // 2, span[1] - s // 2)
            at = np.where(at < 0, -1 - at, np.where(at >= cells * s, 2 * cells * s - 1 - at, at))
            at = np.minimum(at, self.planes.shape[axis] - 1)
            inside = len(at) and (np.diff(at) == 1).all()
            index = torch.from_numpy(at)
            found = found.narrow(axis, int(at[0]), len(at)) if inside else found.index_select(axis, index)
        return self.made(found) if self.made else found


@dataclass(frozen=True)
class Window:
    """One region to adapt. ``samples`` (P, *(s·cells + s)): the signal around it. ``inside`` (*s·cells): 1 for samples
    of the signal, 0 for what only fills the last cells. ``outer``: where the field is mirrored."""

    samples: Tensor
    inside: Tensor
    outer: Sides


def cut_window(
    wide: Tensor | Mirrored, shape: tuple[int, ...], space: Space, box: Box, spacing: tuple[int, ...]
) -> Window:  # fmt: skip
    """The window of a region in the :func:`mirrored` planes of a signal of ``shape`` samples."""
    spans = [(s * a, s * (b + 1)) for a, b, s in zip(box.start, box.stop, spacing, strict=True)]
    samples = wide.part(spans) if isinstance(wide, Mirrored) else _part(wide, spans)
    sides, inside = [], torch.ones(())
    for a, b, s, n, cells in zip(box.start, box.stop, spacing, shape, space.cells, strict=True):
        inside = inside[..., None] * (torch.arange(s * a, s * b) < n)
        sides.append((a == 0, b == cells))
    return Window(samples, inside, tuple(sides))


def _part(wide: Tensor, spans: Sequence[Span]) -> Tensor:
    for axis, (start, stop) in enumerate(spans, 1):
        wide = wide.narrow(axis, start, stop - start)
    return wide


def whole_window(planes: Tensor, spec: LatticeSpec) -> Window:
    """Planes (P, *n) of a signal as one region, however large."""
    shape = tuple(planes.shape[1:])
    space = Space.of(shape, spec)
    return cut_window(mirrored(planes, space, spec.spacing), shape, space, space.whole, spec.spacing)


class Canvas:
    """Renders the last layers of a region on its native samples and half a spacing around, each plane apart.

    What falls outside the signal is mirrored back and its place left empty.
    """

    def __init__(self, level: Level, outer: Sides) -> None:
        self.spec, self.outer = level.spec, outer
        self.functions = torch.from_numpy(level.table.astype(np.float32) * np.float32(2.0**-TABLE_BITS))

    def of_plane(self, plane: int) -> Tensor:
        """The coded functions (K, ∏ 2s) of a plane."""
        return self.functions[self.spec.functions_of(plane)]

    def __call__(self, weights: Tensor) -> Tensor:
        """(P, *(s·cells + s)) of last layers (P·K, *cells)."""
        return self.of_strips(weights[:, rows] for rows in strips(tuple(weights.shape[1:])))

    def of_strips(self, weights: Iterable[Tensor]) -> Tensor:
        """The same of last layers strip by strip, in order, for the memory."""
        patches = (plane_patches(self.spec, some[None], self.functions)[0] for some in weights)
        return mirror(overlap_strips(patches, self.spec.spacing), self.spec.spacing, self.outer)

    def towards(self, slopes: Tensor) -> Tensor:
        """Slopes (P·K, *cells) towards last layers, from those towards what they show (P, *(s·cells + s))."""
        functions = [self.of_plane(p) for p in range(len(self.spec.planes))]
        return weighed(continued(slopes, self.spec.spacing, self.outer), self.spec.spacing, functions).flatten(0, 1)


def weighed(samples: Tensor, spacing: tuple[int, ...], tables: Sequence[Tensor]) -> Tensor:
    """What cells reach of samples (P, *(s·cells + s)), weighed by one table (K, ∏ 2s) per plane: (P, K, *cells)."""
    s = spacing[0]
    cells = tuple(n // m - 1 for n, m in zip(samples.shape[1:], spacing, strict=True))
    out = samples.new_empty((len(tables), len(tables[0]), *cells))
    for rows in strips(cells):
        patches = cut(samples[:, s * rows.start : s * (rows.stop + 1)], spacing)
        for plane, (own, table) in enumerate(zip(patches, tables, strict=True)):
            out[plane, :, rows] = (own @ table.T).movedim(-1, 0)
    return out


def overlap_strips(patches: Iterable[Tensor], spacing: tuple[int, ...]) -> Tensor:
    """:func:`nfcodec.lattice.trunk.overlap` of patches (P, *cells, ∏ 2s) that come strip by strip: the very same sums,
    since every row of samples waits for both rows of cells that it hears."""
    parts, before, s = [], None, spacing[0]
    for some in patches:
        own = some if before is None else torch.cat([before, some], 1)
        made = overlap(own, spacing)
        parts.append(made[:, 0 if before is None else s : made.shape[1] - s])
        before, last = own[:, -1:].clone(), made[:, made.shape[1] - s :]
    return torch.cat([*parts, last], 1)


def continued(samples: Tensor, spacing: tuple[int, ...], outer: Sides) -> Tensor:
    """Samples (P, *(s·cells + s)) with those beyond the signal mirrored: the transpose of :func:`mirror`."""
    if any(map(any, outer)):
        samples = samples.clone()
    for axis, (s, sides) in enumerate(zip(spacing, outer, strict=True), 1):
        for side, (beyond, inner) in zip(sides, _ends(samples, axis, s // 2), strict=True):
            if side:
                beyond.copy_(inner.flip(axis))
    return samples


def mirror(canvas: Tensor, spacing: tuple[int, ...], outer: Sides) -> Tensor:
    """A canvas (P, *(s·cells + s)), with what falls outside the signal mirrored back and its place left empty."""
    for axis, (s, sides) in enumerate(zip(spacing, outer, strict=True), 1):
        for side, (beyond, inner) in zip(sides, _ends(canvas, axis, s // 2), strict=True):
            if side:
                inner.add_(beyond.flip(axis))
                beyond.zero_()
    return canvas


def _ends(x: Tensor, axis: int, half: int) -> list[tuple[Tensor, Tensor]]:
    """Before and behind: the outermost samples along an axis, and as many next to them."""
    n = x.shape[axis]
    starts = [(0, half), (n - half, n - 2 * half)]
    return [(x.narrow(axis, a, half), x.narrow(axis, b, half)) for a, b in starts]


def own_samples(window: Window, spacing: tuple[int, ...]) -> tuple[slice, ...]:
    """The samples of a window that only its own cells reach."""
    half = [s // 2 for s in spacing]
    sides = zip(half, window.outer, strict=True)
    return tuple(slice(h if before else 2 * h, -h if behind else -2 * h) for h, (before, behind) in sides)


def sample_weights(window: Window, spacing: tuple[int, ...]) -> Tensor:
    """The weight (*(s·cells + s)) of every sample of a window: those beyond the signal have none, those half a spacing
    around a region that of the nearest sample within."""
    weight = window.inside
    for axis, (s, sides) in enumerate(zip(spacing, window.outer, strict=True)):
        n = weight.shape[axis]
        head, tail = (weight.narrow(axis, i, 1).repeat_interleave(s // 2, axis) for i in (0, n - 1))
        parts = [head * (not sides[0]), weight, tail * (not sides[1])]
        weight = torch.cat(parts, axis)
    return weight
