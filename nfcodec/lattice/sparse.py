"""The last layers of some cells of a lattice of two axes alone, and what these show.

D sees one cell further with each block, so cells far from those that are wanted need not be looked at. The numbers are
those of :func:`nfcodec.lattice.synthesis.last_layers` and :func:`nfcodec.lattice.native.render_box`, to the last one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nfcodec.lattice import restore, steps
from nfcodec.lattice.init import Level
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.trunk import along
from nfcodec.types import Doubles, Floats, Indices, Mask, Symbols

# Cells of one product, whose inputs stay near the processor's cache.
_CELLS = 512
_AROUND = tuple(itertools.product((-1, 0, 1), repeat=2))
_OWN = _AROUND.index((0, 0))


def cell_layers(level: Level, symbols: Symbols, quality: int, wanted: Mask) -> Doubles:
    """W̃ (P·K, n) in 2^-16 of the ``wanted`` cells (h, w), row by row, of the symbols (P, K, h, w) of a lattice."""
    d, reached = level.restore, [wanted]
    for _ in d.blocks:
        reached.append(widened(reached[-1]))
    features = _features(symbols, restore.quality_row(quality), np.flatnonzero(reached[-1]))
    stream = _clipped(d.enter(features), restore.LARGEST_STREAM)
    for block, wide, cells in zip(d.blocks, reached[::-1], reached[-2::-1], strict=False):
        around = _places(wide, cells)
        seen = np.ascontiguousarray(restore.activation(stream).T)
        parts = [block(seen[part].reshape(len(part), -1).T) for part in _parts(around)]
        stream = _clipped(stream[:, around[:, _OWN]] + np.concatenate(parts, 1), restore.LARGEST_STREAM)
    correction = _clipped(d.leave(restore.activation(stream)), restore.LARGEST_OUTPUT)
    return _weights(level, symbols, quality, wanted, correction)


def _weights(level: Level, symbols: Symbols, quality: int, wanted: Mask, correction: Floats) -> Doubles:
    at, sizes = np.flatnonzero(wanted), level.sizes(symbols, quality)
    flat = symbols.reshape(-1, wanted.size).take(at, axis=1)
    sizes = sizes.reshape(len(flat), -1) if level.masking is None else sizes.reshape(-1, wanted.size).take(at, axis=1)
    offset = None if level.offset is None else level.offset.astype(np.float64).reshape(-1, 1)
    found: Doubles = steps.weights(flat, correction, sizes, offset)
    return found


def widened(cells: Mask) -> Mask:
    """Cells (h, w) and all that touch them."""
    wide = np.pad(cells, 1)
    rows = wide[:-2] | wide[1:-1] | wide[2:]
    found: Mask = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return found


def _places(wide: Mask, cells: Mask) -> Indices:
    """Where the nine cells around each of the ``cells`` (h, w), the border repeated, are among the ``wide`` ones:
    (n, 9)."""
    number = np.cumsum(wide).reshape(wide.shape) - 1
    y, x = np.nonzero(cells)
    h, w = cells.shape
    return np.stack([number[np.clip(y + dy, 0, h - 1), np.clip(x + dx, 0, w - 1)] for dy, dx in _AROUND], 1)


def _parts(around: Indices) -> Iterator[Indices]:
    for start in range(0, max(1, len(around)), _CELLS):
        yield around[start : start + _CELLS]


def _features(symbols: Symbols, qualities: Floats, at: Indices) -> Floats:
    """:func:`nfcodec.lattice.restore.features` of the cells ``at`` flat places (n,): (C, n)."""
    planes, bases, h, w = symbols.shape
    flat = symbols.reshape(planes, bases, -1)
    y, x = np.divmod(at, w)
    means = flat[:, 0]
    around = [
        means[:, np.clip(y + dy, 0, h - 1) * w + np.clip(x + dx, 0, w - 1)] - means[:, at]
        for dy, dx in _AROUND if (dy, dx) != (0, 0)
    ]  # fmt: skip
    coded = flat[:, 1:].take(at, axis=2).reshape(-1, len(at))
    quality = np.broadcast_to(qualities[:, None], (len(qualities), len(at)))
    return np.concatenate([restore.compand(coded), restore.compand(np.concatenate(around)), quality])


def _clipped(x: npt.NDArray[np.float32], largest: int) -> npt.NDArray[np.float32]:
    # Faster than clip on small arrays.
    np.minimum(x, largest, out=x)
    return np.maximum(x, -largest, out=x)


def render_cells(
    spec: LatticeSpec, table: Doubles, layers: Doubles, cells: Mask, ends: tuple[tuple[bool, bool], ...]
) -> Doubles:  # fmt: skip
    """Planes (P, H, W) in 2^-32 of all that ``layers`` (P·K, n) of some ``cells`` of a box (h, w) reach: the samples of
    its cells, and half a spacing more on every side that is no end of the lattice. ``ends``: which are, by axis."""
    (h, w), (high, wide), planes = cells.shape, spec.spacing, len(spec.planes)
    canvas = np.zeros((h + 1, w + 1, planes, high, wide))
    y, x = np.nonzero(cells)
    for plane in range(planes):
        patches = layers[spec.weights_of(plane)].T @ table[spec.functions_of(plane)]
        parts = patches.reshape(-1, 2, high, 2, wide)
        for a, b in itertools.product((0, 1), repeat=2):
            canvas[y + a, x + b, plane] += parts[:, a, :, b]
    whole = canvas.transpose(2, 0, 3, 1, 4).reshape(planes, (h + 1) * high, (w + 1) * wide)
    for axis, (s, (first, last)) in enumerate(zip(spec.spacing, ends, strict=True), 1):
        whole = _folded(whole, axis, s // 2 if first else 0, s - s // 2 if last else 0)
    return whole


def _folded(canvas: Doubles, axis: int, before: int, after: int) -> Doubles:
    """:func:`nfcodec.lattice.trunk.fold_border` in place: a view of the canvas."""
    n = canvas.shape[axis]
    inside: Doubles = along(canvas, axis, before, n - after)
    if before:
        first = along(inside, axis, 0, before)
        first += np.flip(along(canvas, axis, 0, before), axis)
    if after:
        last = along(inside, axis, n - before - 2 * after, n - before - after)
        last += np.flip(along(canvas, axis, n - after, n), axis)
    return inside
