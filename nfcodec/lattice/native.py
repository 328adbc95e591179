"""The field at the samples' own positions, in whole numbers: the same on every machine, whole or in parts.

At its own size every sample sits at one of ∏ 2s places in the cells that it hears. The init holds φ at these places as
whole numbers, the *table* (F, ∏ 2s) in 2^-16; weights count 2^-16 (:mod:`nfcodec.lattice.steps`), so planes count
2^-32. All are whole numbers in float64, and :func:`check_table` proves that no sum reaches 2^53: any order of adding
gives the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.blas import single_threaded
from nfcodec.errors import CorruptError
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.steps import LARGEST_WEIGHT
from nfcodec.lattice.trunk import along, fold_border
from nfcodec.parallel import every
from nfcodec.types import Doubles, Floats, Indices, Positions, Span

TABLE_BITS = 16
PLANE_UNIT = 2.0**-32
# Planes that reach this may leave the whole numbers of float64 when they are rotated.
_LARGEST_PLANE = 1 << 47
# Rows of cells of one band, whose patches stay near the processor's cache.
_BAND_VALUES = 1 << 18
_POINTS = 1 << 10


def check_table(name: str, spec: LatticeSpec, table: npt.NDArray[np.integer[Any]], levels: int = 1) -> None:
    """Raise :class:`CorruptError` unless the table fits the spec and every sum of a rendering stays exact, that of
    so many ``levels`` of its kind, too."""
    places = int(np.prod([2 * s for s in spec.spacing]))
    if table.shape != (spec.functions, places) or table.dtype not in (np.int16, np.int32):
        raise CorruptError(f"init {name}: a table of {table.dtype} {table.shape}")
    sums = [
        np.abs(table[spec.functions_of(p)].astype(np.float64)).sum(0).max(initial=0) for p in range(len(spec.planes))
    ]
    if not 2**spec.axes * max(sums) * LARGEST_WEIGHT * levels < _LARGEST_PLANE:
        raise CorruptError(f"init {name}: sums of the table are too large to be exact")


def native_index(positions: Positions, size: int) -> Indices | None:
    """The samples (n,) that positions (n,) are the centres of; None if one is no centre within [0, ``size``)."""
    index = np.floor(positions).astype(np.int64)
    centres = np.array_equal(positions, index + 0.5)
    return index if centres and index.min(initial=0) >= 0 and index.max(initial=0) < size else None


def reached_cells(span: Span, spacing: int, cells: int) -> Span:
    """The cells along an axis that samples [start, stop) hear."""
    half = spacing // 2
    return max(0, (span[0] + half) // spacing - 1), min(cells, (span[1] - 1 + half) // spacing + 1)


@single_threaded
def render_box(
    spec: LatticeSpec, table: Doubles, layers: Floats, origin: Sequence[int], cells: tuple[int, ...],
    box: Sequence[Span],
) -> Doubles:  # fmt: skip
    """Planes (P, *n) of the samples in ``box``, one span per axis, in 2^-32.

    ``layers`` (P·K, *window) of the cells from ``origin`` on, all that the box hears (:func:`reached_cells`) or more;
    ``cells`` of the whole lattice along each axis.
    """
    out = np.empty((len(spec.planes), *(stop - start for start, stop in box)))

    def fill(rows: Span) -> None:
        blocks = [_blocks(b, s) for b, s in zip([rows, *box[1:]], spec.spacing, strict=True)]
        canvas = _canvas(spec, parts, layers, origin, blocks)
        out[:, rows[0] - box[0][0] : rows[1] - box[0][0]] = _mirrored(spec, canvas, blocks, cells, [rows, *box[1:]])

    parts = _parts(spec, table)
    every(fill, _bands(spec, cells, box))
    return out


def _blocks(span: Span, spacing: int) -> Span:
    """The blocks along an axis that samples [start, stop) lie in: b is from the middle of cell b − 1 to that of b."""
    half = spacing // 2
    return (span[0] + half) // spacing, (span[1] - 1 + half) // spacing + 1


def _bands(spec: LatticeSpec, cells: tuple[int, ...], box: Sequence[Span]) -> Iterator[Span]:
    """Rows of samples to render at once, cut where few cells are heard from both sides."""
    values = np.prod([2 * s for s in spec.spacing]) * np.prod([1, *cells[1:]])
    step = max(1, int(_BAND_VALUES / values)) * spec.spacing[0]
    start, stop = box[0]
    cuts = range((start + spec.spacing[0] // 2) // step * step + step - spec.spacing[0] // 2, stop, step)
    yield from itertools.pairwise([start, *(c for c in cuts if c > start), stop])


def _parts(spec: LatticeSpec, table: Doubles) -> list[list[Doubles]]:
    """What a block hears of the cells at its corners, for every plane: (∏ s, K) each, the last axis fastest."""
    found = []
    for plane in range(len(spec.planes)):
        own = table[spec.functions_of(plane)].reshape(-1, *(n for s in spec.spacing for n in (2, s)))
        # The first cell along an axis reaches a block with its second half.
        corners = itertools.product((1, 0), repeat=spec.axes)
        halves = [own[(slice(None), *(n for side in c for n in (side, slice(None))))] for c in corners]
        found.append([np.ascontiguousarray(half.reshape(len(own), -1).T) for half in halves])
    return found


def _canvas(
    spec: LatticeSpec, parts: list[list[Doubles]], layers: Floats, origin: Sequence[int], blocks: Sequence[Span]
) -> Doubles:  # fmt: skip
    """The samples (P, *samples) of blocks, of last layers (P·K, *cells) of the cells from ``origin`` on.

    What all blocks hear at one corner is a slice of the flat array of cells, of which nothing needs to be copied.
    """
    count = [stop - start for start, stop in blocks]
    steps = [math.prod(n + 1 for n in count[axis + 1 :]) for axis in range(len(count))]
    flat = _corners(layers, origin, blocks, sum(steps[1:]))
    places = [sum(itertools.compress(steps, corner)) for corner in itertools.product((0, 1), repeat=len(count))]
    out = np.empty((len(parts), *(n for pair in zip(count, spec.spacing, strict=True) for n in pair)))
    whole = count[0] * steps[0]
    total, room = (np.empty((math.prod(spec.spacing), whole)) for _ in range(2))
    for plane, own in enumerate(parts):
        heard = flat[spec.weights_of(plane)]
        for i, (part, place) in enumerate(zip(own, places, strict=True)):
            np.matmul(part, heard[:, place : place + whole], out=room if i else total)
            total = np.add(total, room, out=total) if i else total
        # The last blocks of rows are none.
        there: tuple[Any, ...] = (..., *map(slice, count))
        found = total.reshape(*spec.spacing, count[0], *(n + 1 for n in count[1:]))[there]
        out[plane] = found.transpose([n for axis in range(spec.axes) for n in (spec.axes + axis, axis)])
    return out.reshape(len(parts), *(n * s for n, s in zip(count, spec.spacing, strict=True)))


def _corners(layers: Floats, origin: Sequence[int], blocks: Sequence[Span], more: int) -> Doubles:
    """The last layers (P·K, cells) of the cells at the corners of blocks, zeros where there are none, and ``more``
    zeros behind them."""
    shape = [stop - start + 1 for start, stop in blocks]
    flat = np.zeros((len(layers), math.prod(shape) + more))
    there = [(max(a - 1, o), min(b, o + n)) for (a, b), o, n in zip(blocks, origin, layers.shape[1:], strict=True)]
    to = (slice(a - start + 1, b - start + 1) for (a, b), (start, _) in zip(there, blocks, strict=True))
    at = (slice(a - o, b - o) for (a, b), o in zip(there, origin, strict=True))
    flat[:, : math.prod(shape)].reshape(-1, *shape)[(slice(None), *to)] = layers[(slice(None), *at)]
    return flat


def _mirrored(
    spec: LatticeSpec, canvas: Doubles, blocks: Sequence[Span], cells: tuple[int, ...], box: Sequence[Span]
) -> Doubles:  # fmt: skip
    """The samples of a box on a canvas of blocks, mirrored where the lattice ends."""
    for axis, (block, wanted, s, n) in enumerate(zip(blocks, box, spec.spacing, cells, strict=True), 1):
        before, after = (s // 2 if block[0] == 0 else 0), (s // 2 if block[1] > n else 0)
        canvas = fold_border(canvas, axis, before, after) if before or after else canvas
        origin = block[0] * s - s // 2 + before
        canvas = along(canvas, axis, wanted[0] - origin, wanted[1] - origin)
    return canvas


def render_points(
    spec: LatticeSpec, table: Doubles, weights_at: Callable[[Indices], Floats], cells: tuple[int, ...], index: Indices
) -> Doubles:  # fmt: skip
    """Planes (P, n) of scattered samples ``index`` (n, d), in 2^-32. ``weights_at`` gives the last layers (n, P·K) of
    cells (n, d)."""
    parts = [index[i : i + _POINTS] for i in range(0, len(index), _POINTS)]
    found = [_points(spec, table, weights_at, cells, p) for p in parts]
    return np.concatenate([np.empty((len(spec.planes), 0)), *found], 1)


def _points(
    spec: LatticeSpec, table: Doubles, weights_at: Callable[[Indices], Floats], cells: tuple[int, ...], index: Indices
) -> Doubles:  # fmt: skip
    total = np.zeros((len(spec.planes), len(index)))
    for corner in itertools.product((0, 1), repeat=spec.axes):
        heard, place = [], np.zeros(len(index), np.int64)
        for axis, (side, s, n) in enumerate(zip(corner, spec.spacing, cells, strict=True)):
            cell, at = _heard(index[:, axis], side, s, n)
            heard.append(cell)
            place = place * (2 * s) + at
        layers = weights_at(np.stack(heard, 1)).astype(np.float64).reshape(len(index), len(spec.planes), spec.bases)
        for plane in range(len(spec.planes)):
            total[plane] += (layers[:, plane] * table[spec.functions_of(plane)][:, place].T).sum(1)
    return total


def _heard(sample: Indices, side: int, spacing: int, cells: int) -> tuple[Indices, Indices]:
    """Of the two cells that samples hear along an axis, that on one side, and the sample's place in it; a border cell
    serves for its mirrored copy."""
    half = spacing // 2
    cell = (sample + half) // spacing - 1 + side
    place = sample + half - cell * spacing
    real = np.clip(cell, 0, cells - 1)
    if (real == cell).all():
        return real, place
    return real, np.where(real == cell, place, 2 * spacing - 1 - place)
