"""A lattice seen through its first layers, as previews need it.

From a quarter of the size on, a lattice shows hardly more than its first layer holds, as a JPEG reader takes the lowest
frequencies of its blocks: the other layers are not even read, the weight network is left out, and the functions of the
trunk are averaged once instead of the samples. Halves can be made so, too, of two layers, where a sample may be off
by a little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from nfcodec.blas import single_threaded
from nfcodec.families import Box, Preview
from nfcodec.lattice.init import Level
from nfcodec.lattice.order import LAYERS, PASSES
from nfcodec.lattice.regions import Layout
from nfcodec.lattice.synthesis import to_values
from nfcodec.lattice.trunk import by_plane, render, table
from nfcodec.signal import SignalInfo
from nfcodec.types import Floats, Span

# The first layer of a lattice is too coarse for more than a quarter of the size.
LEAST_PREVIEW = 4
# Rows of cells that are rendered at once.
_BAND = 128


class Seen(Protocol):
    """What a preview asks of the lattice of a file."""

    level: Level
    layout: Layout
    info: SignalInfo

    @property
    def covered(self) -> bool:
        """Whether anything lies over the lattice."""
        ...

    def lowest(self, rows: Span, columns: Span, bases: int, layers: int) -> Floats:
        """Last layers (3·bases, …) of the cells [rows) × [columns) from the first layers alone."""
        ...


@dataclass(frozen=True, slots=True)
class _Rough:
    """A lattice seen through its first ``layers``, as means over ``side`` × ``side`` samples."""

    field: Seen
    side: int
    layers: int

    @property
    def bases(self) -> int:
        """Symbols per plane in these layers: the lowest ones."""
        return max(high for _, _, high in PASSES[: LAYERS[self.layers - 1][1]])

    @property
    def per_cell(self) -> tuple[int, int]:
        """Means along each side of a cell."""
        tall, wide = self.field.level.spec.spacing
        return tall // self.side, wide // self.side


@single_threaded
def preview(field: Seen, step: int, box: Box, *, rough: bool) -> Preview | None:
    """Means of a box that starts at multiples of ``step``; None where the whole field is needed."""
    seen = _seen(field, step, rough=rough)
    return None if seen is None else Preview(_preview(seen, box), seen.side)


def _seen(field: Seen, step: int, *, rough: bool) -> _Rough | None:
    """The least of a lattice that shows means over ``step`` samples; None where the whole field is needed."""
    if len(set(field.level.spec.spacing)) > 1 or field.covered:
        return None
    half = field.level.spec.spacing[0] // 2
    if half >= LEAST_PREVIEW and step % half == 0:
        return _Rough(field, half, 1)
    quarter = half // 2
    return _Rough(field, quarter, 2) if rough and quarter >= 2 and step % quarter == 0 else None


def _preview(seen: _Rough, box: Box) -> Floats:
    """Values (⌈h/side⌉, ⌈w/side⌉, C) of a box that starts at multiples of the side."""
    field, side, (tall, wide) = seen.field, seen.side, seen.field.level.spec.spacing
    (x, y, width, height), (rows, columns) = box, field.layout.cells
    # A mean is reached by its own cell and by the next one on that side.
    first = max(0, y // tall - 1), max(0, x // wide - 1)
    stop = min(rows, -(-(y + height) // tall) + 1), min(columns, -(-(x + width) // wide) + 1)
    weights = field.lowest((first[0], stop[0]), (first[1], stop[1]), seen.bases, seen.layers)
    values = [to_values(planes, field.info.channels) for planes in _bands(seen, weights)]
    top, left = (n // side - m * f for n, m, f in zip((y, x), seen.per_cell, first, strict=True))
    bottom, right = top - (-height // side), left - (-width // side)
    return np.asarray(np.concatenate(values)[top:bottom, left:right], np.float32)


def _bands(seen: _Rough, weights: Floats) -> Iterator[Floats]:
    """Planes (3, m·rows, m·columns), m means per cell, of last layers (3·bases, h, w), some rows of cells at a time."""
    few, functions = replace(seen.field.level.spec, bases=seen.bases), _mean_functions(seen)
    dense = seen.per_cell[0]
    for start in range(0, weights.shape[1], _BAND):
        stop = min(start + _BAND, weights.shape[1])
        above, below = max(0, start - 1), min(weights.shape[1], stop + 1)
        planes = render(few, weights[None, :, above:below], functions, seen.per_cell)[0]
        yield planes[:, dense * (start - above) : dense * (stop - above)]


def _mean_functions(seen: _Rough) -> Floats:
    """The lowest functions of the trunk (2·bases, ∏ 2·per_cell) averaged over the squares."""
    spec, (high, wide) = seen.field.level.spec, seen.per_cell
    whole = table(spec, seen.field.level.trunk, spec.spacing)
    parts = [t[: seen.bases] for t in by_plane(spec, whole)[: spec.tables]]
    squares = np.concatenate(parts).reshape(-1, 2 * high, seen.side, 2 * wide, seen.side)
    return np.asarray(squares.mean((2, 4)).reshape(len(squares), -1), np.float32)
