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
from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.lattice.spec import LatticeSpec
from nfcodec.parallel import ordered_map

Params = dict[str, Tensor]
Floats = npt.NDArray[np.float64]
_WINDOW_POWER = 8
# Points of one evaluation stay near the processor's cache.
BATCH_POINTS = 1 << 12


def trunk(spec: LatticeSpec, params: Params, where: Tensor) -> Tensor:
    """Functions (F, P) at positions (P, d) inside a cell's reach, [−1, 1]; they vanish at its border."""
    hidden = torch.addmm(params["trunk.0.bias"], where, spec.w0 * params["trunk.0.weight"].T).sin()
    hidden = torch.addmm(params["trunk.1.bias"], hidden, params["trunk.1.weight"].T).sin()
    window = (1.0 - where**_WINDOW_POWER).prod(1)
    return params["trunk.2.weight"] @ (hidden * window[:, None]).T


def reach_positions(samples: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Where ``samples`` regular samples of one cell's reach lie: (samples,) in (−1, 1)."""
    return (2.0 * torch.arange(samples, dtype=torch.float64) + 1.0).div(samples).sub(1.0).to(dtype)


def table(spec: LatticeSpec, params: Params, per_cell: tuple[int, ...]) -> Tensor:
    """Functions (F, ∏ 2·per_cell) on the regular grid with ``per_cell`` samples per spacing along each axis, even."""
    dtype = params["trunk.0.weight"].dtype
    grid = torch.meshgrid(*(reach_positions(2 * n, dtype) for n in per_cell), indexing="ij")
    return trunk(spec, params, torch.stack([g.reshape(-1) for g in grid], 1))


class Tables:
    """Tables of trunks, kept from one rendering to the next: the ``keep`` latest of them.

    A trunk is told from another by its dictionary of parameters, which must not change.
    """

    def __init__(self, keep: int = 8) -> None:
        self.keep = keep
        self._kept: OrderedDict[tuple[int, tuple[bytes, ...]], tuple[Params, Tensor]] = OrderedDict()

    def table(self, spec: LatticeSpec, params: Params, offsets: tuple[Floats, ...]) -> Tensor:
        """Functions (F, *m) of a trunk on the product of ``offsets`` (m_i,), one array per axis."""
        # The entry holds ``params``: as long as it is kept, no other dictionary can have the same id.
        key = id(params), tuple(o.tobytes() for o in offsets)
        entry = self._kept.pop(key, None) or (params, evaluate(spec, params, offsets, each=ordered_map))
        self._kept[key] = entry
        while len(self._kept) > self.keep:
            self._kept.popitem(last=False)
        return entry[1]


def evaluate(
    spec: LatticeSpec, params: Params, offsets: tuple[Floats, ...],
    *, each: Callable[[Callable[[int], Tensor], range], Iterable[Tensor]] = map,
) -> Tensor:  # fmt: skip
    """Functions (F, *m) of the trunk on the product of ``offsets`` (m_i,), without gradients; ``each`` maps over
    batches. Axes after those of the lattice have one offset."""
    like = params["trunk.0.weight"]
    axes = [torch.from_numpy(o).to(like) for o in offsets[: spec.axes]]
    total = math.prod(len(a) for a in axes)

    def batch(first: int) -> Tensor:
        index = torch.arange(first, min(first + BATCH_POINTS, total), device=like.device)
        places = torch.unravel_index(index, tuple(len(a) for a in axes))
        with torch.no_grad():
            return trunk(spec, params, torch.stack([a[i] for a, i in zip(axes, places, strict=True)], 1))

    out = like.new_empty((spec.functions, total))
    starts = range(0, total, BATCH_POINTS)
    for first, values in zip(starts, each(batch, starts), strict=True):
        out[:, first : first + values.shape[1]] = values
    return out.reshape(spec.functions, *(len(o) for o in offsets))


def of_plane(spec: LatticeSpec, functions: Tensor, plane: int) -> Tensor:
    """Those of the functions (F, …) that a plane is made of: (K, …), and for the first one the extra ones too."""
    return torch.cat([functions[shared] for _, shared in spec.parts(plane)])


def overlap(patches: Tensor, per_cell: tuple[int, ...]) -> Tensor:
    """Add up overlapping patches (N, *cells, ∏ 2·per_cell): (N, *(cells + 1)·per_cell), all that they reach."""
    d = len(per_cell)
    cells = patches.shape[1:-1]
    out = patches.new_zeros(patches.shape[0], *(m for n, p in zip(cells, per_cell, strict=True) for m in (n + 1, p)))
    split = patches.reshape(*patches.shape[: d + 1], *(m for p in per_cell for m in (2, p)))
    for corner in itertools.product((0, 1), repeat=d):
        part = split
        for axis in reversed(range(d)):
            part = part.select(d + 1 + 2 * axis, corner[axis])
        order = [0, *itertools.chain.from_iterable((1 + a, 1 + d + a) for a in range(d))]
        target = out
        for axis, side in enumerate(corner):
            target = target.narrow(1 + 2 * axis, side, cells[axis])
        target += part.permute(order)
    return out.reshape(patches.shape[0], *((n + 1) * p for n, p in zip(cells, per_cell, strict=True)))


def fold(patches: Tensor, per_cell: tuple[int, ...]) -> Tensor:
    """Add up overlapping patches (N, *cells, ∏ 2·per_cell): values (N, *cells·per_cell), mirrored at the border."""
    out = overlap(patches, per_cell)
    for axis, p in enumerate(per_cell):
        out = _fold_border(out, axis + 1, p // 2, p - p // 2)
    return out


def _fold_border(canvas: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Mirror what lies outside along one axis back inside and drop it there."""
    n = canvas.shape[axis]
    inside = canvas.narrow(axis, before, n - before - after).clone()
    inside.narrow(axis, 0, before).add_(canvas.narrow(axis, 0, before).flip(axis))
    m = inside.shape[axis]
    inside.narrow(axis, m - after, after).add_(canvas.narrow(axis, n - after, after).flip(axis))
    return inside


def surround(values: Tensor, per_cell: tuple[int, ...]) -> Tensor:
    """Values (N, *cells·per_cell) with half a spacing more on each side, mirrored."""
    for axis, p in enumerate(per_cell):
        before, n = p // 2, values.shape[axis + 1]
        head = values.narrow(axis + 1, 0, before).flip(axis + 1)
        tail = values.narrow(axis + 1, n - (p - before), p - before).flip(axis + 1)
        values = torch.cat([head, values, tail], axis + 1)
    return values


def cut(values: Tensor, per_cell: tuple[int, ...]) -> Tensor:
    """What each cell reaches: patches (N, *cells, ∏ 2·per_cell) of values (N, *(cells + 1)·per_cell)."""
    for axis, p in enumerate(per_cell):
        values = values.unfold(axis + 1, 2 * p, p)
    return values.reshape(*values.shape[: len(per_cell) + 1], math.prod(2 * p for p in per_cell))


def unfold(values: Tensor, per_cell: tuple[int, ...]) -> Tensor:
    """The transpose of :func:`fold`: patches (N, *cells, ∏ 2·per_cell) of values (N, *cells·per_cell)."""
    return cut(surround(values, per_cell), per_cell)


def plane_patches(spec: LatticeSpec, weights: Tensor, functions: Tensor) -> Tensor:
    """What every cell adds to its reach, plane by plane: (N, P, *cells, ∏ 2·per_cell) of last layers (N, P·K + extra,
    *cells) and a table of the trunk."""
    found = []
    for plane in range(len(spec.planes)):
        own = torch.cat([weights[:, part] for part, _ in spec.parts(plane)], 1)
        found.append(own.movedim(1, -1) @ of_plane(spec, functions, plane))
    return torch.stack(found, 1)


def render(spec: LatticeSpec, weights: Tensor, functions: Tensor, per_cell: tuple[int, ...]) -> Tensor:
    """Planes (N, P, *samples) from last layers (N, P·K + extra, *cells) and a table of the trunk."""
    patches = plane_patches(spec, weights, functions)
    planes = fold(patches.flatten(0, 1), per_cell)
    return planes.reshape(*patches.shape[:2], *planes.shape[1:])
