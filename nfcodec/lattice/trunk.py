"""The lattice field: overlapping cells that share one SIREN trunk and own their last layer.

A lattice of cells with spacing s covers the domain; cell i spans [s·i, s·i + s) along each axis and is heard half
a spacing further on each side. With φ the trunk, t ∈ [−1, 1]^d the position inside the cell's reach and W_c the
cell's last layer,

    f(x) = Σ_{cells c that reach x} W_c · φ(t_c(x))

Beyond the border of the lattice the field is mirrored: what a border cell reaches outside is folded back. On a
regular grid whose samples repeat from cell to cell φ is a fixed table and rendering is one matrix product and a
fold (:func:`render`); it can be differentiated. :mod:`nfcodec.lattice.anywhere` renders at any position.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, device, namespace
from nfcodec.lattice.spec import LatticeSpec

Params = dict[str, Array]
Floats = npt.NDArray[np.float64]


def trunk(spec: LatticeSpec, params: Mapping[str, Array], where: Array) -> Array:
    """Functions (F, P) at positions (P, d) inside a cell's reach, [−1, 1]; they vanish at its border."""
    xp = namespace(where)
    hidden = xp.sin(where @ (spec.w0 * params["trunk.0.weight"].T) + params["trunk.0.bias"])
    hidden = xp.sin(hidden @ params["trunk.1.weight"].T + params["trunk.1.bias"])
    fourth = (where * where) ** 2
    window = xp.prod(1.0 - fourth * fourth, axis=1)
    return params["trunk.2.weight"] @ (hidden * window[:, None]).T


def reach_positions(samples: int) -> Floats:
    """Where ``samples`` regular samples of one cell's reach lie: (samples,) in (−1, 1)."""
    return (2.0 * np.arange(samples) + 1.0) / samples - 1.0


def table(spec: LatticeSpec, params: Mapping[str, Array], per_cell: tuple[int, ...]) -> Array:
    """Functions (F, ∏ 2·per_cell) on the regular grid with ``per_cell`` samples per spacing along each axis, even."""
    grid = np.meshgrid(*(reach_positions(2 * n) for n in per_cell), indexing="ij")
    like = params["trunk.0.weight"]
    places = np.stack([g.ravel() for g in grid], 1)
    where = namespace(like).asarray(places, dtype=like.dtype, device=device(like))
    return trunk(spec, params, where)


def overlap(patches: Array, per_cell: tuple[int, ...]) -> Array:
    """Add up overlapping patches (N, *cells, ∏ 2·per_cell): (N, *(cells + 1)·per_cell), all that they reach."""
    xp, d = namespace(patches), len(per_cell)
    lead, cells = patches.shape[0], patches.shape[1:-1]
    shape = (lead, *(m for n, p in zip(cells, per_cell, strict=True) for m in (n + 1, p)))
    out = xp.zeros(shape, dtype=patches.dtype, device=device(patches))
    split = patches.reshape((lead, *cells, *(m for p in per_cell for m in (2, p))))
    order = (0, *itertools.chain.from_iterable((1 + a, 1 + d + a) for a in range(d)))
    for corner in itertools.product((0, 1), repeat=d):
        part = split[(..., *itertools.chain.from_iterable((side, slice(None)) for side in corner))]
        target = [slice(None)]
        for side, n in zip(corner, cells, strict=True):
            target += [slice(side, side + n), slice(None)]
        out[tuple(target)] += xp.permute_dims(part, order)
    return out.reshape((lead, *((n + 1) * p for n, p in zip(cells, per_cell, strict=True))))


def fold(patches: Array, per_cell: tuple[int, ...]) -> Array:
    """Add up overlapping patches (N, *cells, ∏ 2·per_cell): values (N, *cells·per_cell), mirrored at the border."""
    out = overlap(patches, per_cell)
    for axis, p in enumerate(per_cell):
        out = fold_border(out, axis + 1, p // 2, p - p // 2)
    return out


def along(x: Array, axis: int, start: int, stop: int) -> Array:
    """A view of what lies in [start, stop) along one axis."""
    return x[(*(slice(None),) * axis, slice(start, stop))]


def fold_border(canvas: Array, axis: int, before: int, after: int) -> Array:
    """Mirror what lies outside along one axis back inside and drop it there: ``before`` samples at the start,
    ``after`` at the end."""
    xp, n = namespace(canvas), canvas.shape[axis]
    inside = along(canvas, axis, before, n - after) + 0  # a copy
    m = n - before - after
    if before:
        view = along(inside, axis, 0, before)
        view += xp.flip(along(canvas, axis, 0, before), axis=axis)
    if after:
        view = along(inside, axis, m - after, m)
        view += xp.flip(along(canvas, axis, n - after, n), axis=axis)
    return inside


def surround(values: Array, per_cell: tuple[int, ...]) -> Array:
    """Values (N, *cells·per_cell) with half a spacing more on each side, mirrored."""
    xp = namespace(values)
    for axis, p in enumerate(per_cell, 1):
        n = values.shape[axis]
        head = xp.flip(along(values, axis, 0, p // 2), axis=axis)
        tail = xp.flip(along(values, axis, n - (p - p // 2), n), axis=axis)
        values = xp.concat([head, values, tail], axis=axis)
    return values


def cut(values: Array, per_cell: tuple[int, ...]) -> Array:
    """What each cell reaches: patches (N, *cells, ∏ 2·per_cell) of values (N, *(cells + 1)·per_cell)."""
    xp, lead = namespace(values), values.shape[0]
    cells = tuple(n // p - 1 for n, p in zip(values.shape[1:], per_cell, strict=True))
    for axis, p in enumerate(per_cell, 1):
        n = values.shape[axis]
        blocks = values.reshape((*values.shape[:axis], n // p, p, *values.shape[axis + 1 :]))
        both = [along(blocks, axis, 0, n // p - 1), along(blocks, axis, 1, n // p)]
        # (…, cells, 2 p, …) with the samples moved behind everything, axis by axis.
        values = xp.moveaxis(xp.concat(both, axis=axis + 1), axis + 1, -1)
    return values.reshape((lead, *cells, math.prod(2 * p for p in per_cell)))


def unfold(values: Array, per_cell: tuple[int, ...]) -> Array:
    """The transpose of :func:`fold`: patches (N, *cells, ∏ 2·per_cell) of values (N, *cells·per_cell)."""
    return cut(surround(values, per_cell), per_cell)


def plane_patches(spec: LatticeSpec, weights: Array, functions: Array) -> Array:
    """What every cell adds to its reach, plane by plane: (N, P, *cells, ∏ 2·per_cell) of last layers (N, P·K, *cells)
    and a table of the trunk."""
    xp, planes = namespace(weights), range(len(spec.planes))
    own = [xp.moveaxis(weights[:, spec.weights_of(p)], 1, -1) for p in planes]
    return xp.stack([o @ functions[spec.functions_of(p)] for p, o in zip(planes, own, strict=True)], axis=1)


def render(spec: LatticeSpec, weights: Array, functions: Array, per_cell: tuple[int, ...]) -> Array:
    """Planes (N, P, *samples) from last layers (N, P·K, *cells) and a table of the trunk."""
    patches = plane_patches(spec, weights, functions)
    planes = fold(patches.reshape((-1, *patches.shape[2:])), per_cell)
    return planes.reshape((*patches.shape[:2], *planes.shape[1:]))
