"""The field at the samples' own positions, in whole numbers: the same on every machine, whole or in parts.

At its own size every sample sits at one of ∏ 2s places in the cells that it hears. The init holds φ at these places as
whole numbers, the *table* (F, ∏ 2s) in 2^-16; weights count 2^-16 (:mod:`nfcodec.lattice.steps`), so planes count
2^-32. All are whole numbers in float64, and :func:`check_table` proves that no sum reaches 2^53: any order of adding
gives the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nfcodec.errors import CorruptError
from nfcodec.lattice.steps import LARGEST_WEIGHT
from nfcodec.lattice.trunk import LatticeSpec, along, by_plane, fold_border, overlap
from nfcodec.parallel import ordered_map
from nfcodec.types import Doubles, Floats, Indices, Positions, Span

TABLE_BITS = 16
PLANE_UNIT = 2.0**-32
# Planes that reach this may leave the whole numbers of float64 when they are rotated.
_LARGEST_PLANE = 1 << 47
# Rows of cells of one band, whose patches stay near the processor's cache.
_BAND_VALUES = 1 << 18
_POINTS = 1 << 10


def check_table(name: str, spec: LatticeSpec, table: npt.NDArray[np.integer]) -> None:
    """Raise :class:`CorruptError` unless the table fits the spec and every sum of a rendering stays exact."""
    places = int(np.prod([2 * s for s in spec.spacing]))
    if table.shape != (spec.functions, places) or table.dtype not in (np.int16, np.int32):
        raise CorruptError(f"init {name}: a table of {table.dtype} {table.shape}")
    sums = [np.abs(part.astype(np.float64)).sum(0).max(initial=0) for part in by_plane(spec, table)]
    if not 2**spec.axes * max(sums) * LARGEST_WEIGHT < _LARGEST_PLANE:
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


def render_box(
    spec: LatticeSpec, table: Doubles, layers: Floats, origin: Sequence[int], cells: tuple[int, ...],
    box: Sequence[Span],
) -> Doubles:  # fmt: skip
    """Planes (P, *n) of the samples in ``box``, one span per axis, in 2^-32.

    ``layers`` (P·K, *window) of the cells from ``origin`` on, all that the box hears (:func:`reached_cells`) or more;
    ``cells`` of the whole lattice along each axis.
    """
    out = np.empty((spec.planes, *(stop - start for start, stop in box)))

    def fill(rows: Span) -> None:
        part = [rows, *box[1:]]
        spans = [reached_cells(b, s, n) for b, s, n in zip(part, spec.spacing, cells, strict=True)]
        at = [slice(a - o, b - o) for (a, b), o in zip(spans, origin, strict=True)]
        canvas = _canvas(spec, table, layers[(slice(None), *at)])
        out[:, rows[0] - box[0][0] : rows[1] - box[0][0]] = _mirrored(spec, canvas, spans, cells, part)

    for _ in ordered_map(fill, _bands(spec, cells, box)):
        pass
    return out


def _bands(spec: LatticeSpec, cells: tuple[int, ...], box: Sequence[Span]) -> Iterator[Span]:
    """Rows of samples to render at once, cut where few cells are heard from both sides."""
    values = np.prod([2 * s for s in spec.spacing]) * np.prod([1, *cells[1:]])
    step = max(1, int(_BAND_VALUES / values)) * spec.spacing[0]
    start, stop = box[0]
    cuts = range((start + spec.spacing[0] // 2) // step * step + step - spec.spacing[0] // 2, stop, step)
    yield from itertools.pairwise([start, *(c for c in cuts if c > start), stop])


def _canvas(spec: LatticeSpec, table: Doubles, layers: Floats) -> Doubles:
    """All that cells with last layers (P·K, *cells) reach: (P, *samples)."""
    sets = by_plane(spec, table)
    split = layers.reshape(spec.planes, spec.bases, *layers.shape[1:])
    patches = [np.moveaxis(own, 0, -1).astype(np.float64) @ sets[min(p, 1)] for p, own in enumerate(split)]
    canvas: Doubles = overlap(np.stack(patches), spec.spacing)
    return canvas


def _mirrored(
    spec: LatticeSpec, canvas: Doubles, spans: Sequence[Span], cells: tuple[int, ...], box: Sequence[Span]
) -> Doubles:  # fmt: skip
    """The samples of a box on a canvas of the cells ``spans``, mirrored where the lattice ends."""
    for axis, (span, wanted, s, n) in enumerate(zip(spans, box, spec.spacing, cells, strict=True), 1):
        before, after = (s // 2 if span[0] == 0 else 0), (s - s // 2 if span[1] == n else 0)
        canvas = fold_border(canvas, axis, before, after) if before or after else canvas
        origin = span[0] * s - (0 if before else s // 2)
        canvas = along(canvas, axis, wanted[0] - origin, wanted[1] - origin)
    return canvas


def render_points(
    spec: LatticeSpec, table: Doubles, weights_at: Callable[[Indices], Floats], cells: tuple[int, ...], index: Indices
) -> Doubles:  # fmt: skip
    """Planes (P, n) of scattered samples ``index`` (n, d), in 2^-32. ``weights_at`` gives the last layers (n, P·K) of
    cells (n, d)."""
    parts = [index[i : i + _POINTS] for i in range(0, len(index), _POINTS)]
    return np.concatenate([np.empty((spec.planes, 0)), *(_points(spec, table, weights_at, cells, p) for p in parts)], 1)


def _points(
    spec: LatticeSpec, table: Doubles, weights_at: Callable[[Indices], Floats], cells: tuple[int, ...], index: Indices
) -> Doubles:  # fmt: skip
    sets = by_plane(spec, table)
    total = np.zeros((spec.planes, len(index)))
    for corner in itertools.product((0, 1), repeat=spec.axes):
        heard, place = [], np.zeros(len(index), np.int64)
        for axis, (side, s, n) in enumerate(zip(corner, spec.spacing, cells, strict=True)):
            cell, at = _heard(index[:, axis], side, s, n)
            heard.append(cell)
            place = place * (2 * s) + at
        layers = weights_at(np.stack(heard, 1)).astype(np.float64).reshape(len(index), spec.planes, spec.bases)
        for plane in range(spec.planes):
            total[plane] += (layers[:, plane] * sets[min(plane, 1)][:, place].T).sum(1)
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
