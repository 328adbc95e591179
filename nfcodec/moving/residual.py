"""What the prediction misses, on a lattice of cells: symbols of the blocks that have any, to a stream and to planes.

Symbols are coded on the smallest box of blocks that holds all coded ones, as a region of the lattice whose other cells
are zero and are neither coded nor corrected by D.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nfcodec.blas import single_threaded
from nfcodec.entropy import logistic
from nfcodec.entropy.adaptive import Counts, Stream
from nfcodec.errors import CorruptError
from nfcodec.lattice.code import LARGEST_SYMBOL
from nfcodec.lattice.given import Given
from nfcodec.lattice.init import Level
from nfcodec.lattice.mosaic import Mosaic
from nfcodec.lattice.neighbourhood import Neighbourhood
from nfcodec.lattice.passes import Step, coded_order, expected
from nfcodec.lattice.space import Box
from nfcodec.lattice.sparse import cell_layers, render_cells
from nfcodec.moving.motion import BLOCK, FINE
from nfcodec.types import Doubles, Indices, Mask, Symbols

# How far from a cell symbols can be that change its last layer: differences of means, and two layers of D.
_HALO = 3
_COARSE = 15  # of 64 symbols


@dataclass(frozen=True, slots=True)
class Cells:
    """Which cells of a picture are coded: ``coded`` bool (h, w), and the ``box`` of all coded blocks."""

    coded: Mask
    box: Box

    @classmethod
    def of(cls, blocks: Mask, shape: tuple[int, int], spacing: tuple[int, ...]) -> Cells:
        """The cells of a picture of ``shape`` samples, whose ``blocks`` (h, w) are coded; at least one is."""
        counts = [-(-n // s) for n, s in zip(shape, spacing, strict=True)]
        for axis, s in enumerate(spacing):
            blocks = np.repeat(blocks, BLOCK // s, axis)
        cells = blocks[: counts[0], : counts[1]]
        spans = [np.flatnonzero(cells.any(1 - axis)) for axis in (0, 1)]
        start, stop = (tuple(int(s[i]) + more for s in spans) for i, more in ((0, 0), (-1, 1)))
        return cls(cells, Box(-1, start, stop))

    @property
    def inside(self) -> Mask:
        """Which cells of the box are coded."""
        inside: Mask = self.coded[self.box.cells]
        return inside


@single_threaded
def exchange(
    stream: Stream, level: Level, wanted: Symbols | None, cells: Cells, *, quality: int, planes: int,
    counts: Counts | None, given: Given | None = None,
) -> Symbols:  # fmt: skip
    """Write the symbols int32 (P, K, h, w) of the box of ``cells`` that are ``wanted``, or read them. Those of cells
    that are not coded, and of planes from ``planes`` on, are zero. With ``counts`` a flag says whether there are
    :func:`fine` ones. ``given``: what the prior is told of the cells of the box."""
    prior, order = level.prior, level.prior.order
    inside = cells.inside
    mosaic = Mosaic((inside.shape,), order).coded(inside)
    symbols = np.zeros((order.planes, order.spec.bases, math.prod(inside.shape)), np.int32)
    known = Neighbourhood(mosaic, planes=planes, qualities=np.array([quality]), given=given)
    wanted = None if wanted is None else wanted.reshape(symbols.shape)
    some = counts is None or planes == 1 or _told(stream, wanted, counts)
    for layer in range(len(order.spec.layers)):
        for step in coded_order(mosaic, planes, layer):
            if not len(step.cells) or (not some and step.plane and step.low >= coarse(order.spec.bases)):
                continue
            base, fraction, scale = expected(step, prior, known)
            rows, negative = logistic.rows_of(scale, fraction)
            told = None if wanted is None else _signed(_of_step(wanted, step) - base, negative)
            values = _signed(stream.symbols(told, rows), negative) + base
            if np.abs(values).max(initial=0) > LARGEST_SYMBOL:
                raise CorruptError(f"symbols up to {np.abs(values).max()} leave ±{LARGEST_SYMBOL}")
            found = values.reshape(-1, len(step.cells))
            symbols[step.plane][step.low : step.high, step.cells.flat] = found
            step.remember(known, found)
    if counts is not None and some and planes > 1 and not fine(symbols):
        raise CorruptError("a residual without the fine symbols that it tells of")
    return symbols.reshape(*symbols.shape[:2], *inside.shape)


def coarse(bases: int) -> int:
    """How many symbols of a plane behind the first are left where no fine ones are coded: about those of half its
    size, which is what most clips have."""
    return -(-_COARSE * bases // 64)


def fine(symbols: Symbols) -> bool:
    """Whether planes behind the first have symbols (P, K, …) of high frequency."""
    return bool(symbols[1:, coarse(symbols.shape[1]) :].any())


def _told(stream: Stream, wanted: Symbols | None, counts: Counts) -> bool:
    given = None if wanted is None else np.array([fine(wanted)])
    return bool(stream.flags(given, np.array([FINE]), counts)[0])


def _of_step(symbols: Symbols, step: Step) -> Indices:
    found: Indices = symbols[step.plane, step.low : step.high].take(step.cells.flat, axis=1).ravel().astype(np.int64)
    return found


def _signed(values: Indices, negative: Mask) -> Indices:
    return np.where(negative, -values, values)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a residual adds: whole ``planes`` (P, h, w) in 2^-32, from the sample (``top``, ``left``) on."""

    planes: Doubles
    top: int
    left: int


@single_threaded
def rendered(level: Level, symbols: Symbols, cells: Cells, quality: int, shape: tuple[int, int]) -> Shown:
    """What the symbols (P, K, h, w) of the box of ``cells`` add to a picture of ``shape`` samples."""
    spec, counts, box = level.spec, cells.coded.shape, cells.box
    start = tuple(max(0, a - _HALO) for a in box.start)
    wide = Box(-1, start, tuple(min(n, b + _HALO) for b, n in zip(box.stop, counts, strict=True)))
    padded = np.zeros((*symbols.shape[:2], *wide.shape), np.int32)
    padded[box.within(wide)] = symbols
    layers = cell_layers(level, padded, quality, cells.coded[wide.cells])
    ends = tuple((a == 0, b == n) for a, b, n in zip(box.start, box.stop, counts, strict=True))
    planes = render_cells(spec, level.table.astype(np.float64), layers, cells.inside, ends)
    corner = [s * a - (0 if first else s // 2) for a, s, (first, _) in zip(box.start, spec.spacing, ends, strict=True)]
    top, left = corner
    return Shown(planes[:, : shape[0] - top, : shape[1] - left], top, left)
