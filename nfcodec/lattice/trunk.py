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
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.arrays import Array, device, namespace
from nfcodec.errors import CorruptError
from nfcodec.limits import DEFAULT_LIMITS, Limits

Params = dict[str, Array]
Floats = npt.NDArray[np.float64]
Part = tuple[slice, slice]
_WINDOW_POWER = 8


@dataclass(frozen=True, slots=True)
class LatticeSpec:
    """``spacing`` s of the cells in samples, one per axis, even; ``bases`` K functions per plane; ``width`` of the two
    sine layers; ``w0``: frequency factor of the first one; ``planes``: outputs of the field, all but the first share
    functions."""

    spacing: tuple[int, ...] = (8, 8)
    bases: int = 64
    width: int = 192
    w0: float = 12.0
    planes: int = 3

    @property
    def kind(self) -> str:
        """The kind of field."""
        return "lattice"

    @property
    def axes(self) -> int:
        """Number of axes of the domain."""
        return len(self.spacing)

    @property
    def tables(self) -> int:
        """How many sets of K functions there are: one for the first plane, one for all others."""
        return min(self.planes, 2)

    @property
    def functions(self) -> int:
        """Outputs of the trunk: K of the first plane, K of the others."""
        return self.tables * self.bases

    @property
    def weights(self) -> int:
        """Numbers in the last layer of a cell: K of each plane."""
        return self.planes * self.bases

    def parts(self, plane: int) -> tuple[Part, ...]:
        """Which weights of a cell a plane uses, each range with that of the functions they multiply."""
        k = self.bases
        return ((slice(plane * k, (plane + 1) * k), slice(min(plane, 1) * k, (min(plane, 1) + 1) * k)),)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors of the trunk."""
        h = self.width
        return {
            "trunk.0.weight": (h, self.axes), "trunk.0.bias": (h,), "trunk.1.weight": (h, h), "trunk.1.bias": (h,),
            "trunk.2.weight": (self.functions, h),
        }  # fmt: skip

    def validate(self, limits: Limits = DEFAULT_LIMITS) -> None:
        """Raise :class:`CorruptError` or :class:`LimitError` when the numbers cannot describe a lattice."""
        positive = min((self.bases, self.width, self.planes, *self.spacing), default=0) >= 1
        even = all(s % 2 == 0 for s in self.spacing)
        if not (positive and even and 1 <= self.axes <= 3 and 0.0 < self.w0 < math.inf):
            raise CorruptError(f"impossible lattice spec {self}")
        limits.check("max_parameters", sum(math.prod(s) for s in self.shapes().values()), "lattice trunk")
        limits.check("max_parameters", self.functions * math.prod(2 * s for s in self.spacing), "lattice table")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; the inverse of :meth:`from_dict`."""
        return {**asdict(self), "spacing": list(self.spacing), "w0": float(self.w0)}

    @classmethod
    def from_dict(cls, data: dict[str, Any], limits: Limits = DEFAULT_LIMITS) -> LatticeSpec:
        """Read what :meth:`to_dict` wrote; unknown or missing keys and wrong types are a :class:`CorruptError`."""
        try:
            if set(data) != {f.name for f in fields(cls)}:
                raise KeyError("other keys than those of a lattice spec")
            spec = cls(**{**data, "spacing": tuple(data["spacing"])})
            whole = (spec.bases, spec.width, spec.planes, *spec.spacing)
            if {type(n) for n in whole} != {int} or type(spec.w0) is not float:
                raise TypeError("whole numbers, and one with a fraction for w0, are needed")
            spec.validate(limits)
        except (TypeError, KeyError, ValueError) as error:
            raise CorruptError(f"bad lattice spec {data!r}: {error}") from error
        return spec


def trunk(spec: LatticeSpec, params: Mapping[str, Array], where: Array) -> Array:
    """Functions (F, P) at positions (P, d) inside a cell's reach, [−1, 1]; they vanish at its border."""
    xp = namespace(where)
    hidden = xp.sin(where @ (spec.w0 * params["trunk.0.weight"].T) + params["trunk.0.bias"])
    hidden = xp.sin(hidden @ params["trunk.1.weight"].T + params["trunk.1.bias"])
    window = xp.prod(1.0 - where**_WINDOW_POWER, axis=1)
    return params["trunk.2.weight"] @ (hidden * window[:, None]).T


def reach_positions(samples: int) -> Floats:
    """Where ``samples`` regular samples of one cell's reach lie: (samples,) in (−1, 1)."""
    return (2.0 * np.arange(samples) + 1.0) / samples - 1.0


def table(spec: LatticeSpec, params: Mapping[str, Array], per_cell: tuple[int, ...]) -> Array:
    """Functions (F, ∏ 2·per_cell) on the regular grid with ``per_cell`` samples per spacing along each axis, even."""
    grid = np.meshgrid(*(reach_positions(2 * n) for n in per_cell), indexing="ij")
    like = params["trunk.0.weight"]
    where = namespace(like).asarray(np.stack([g.ravel() for g in grid], 1), dtype=like.dtype, device=device(like))
    return trunk(spec, params, where)


def by_plane(spec: LatticeSpec, functions: Array) -> tuple[Array, Array]:
    """Functions (F, …) as those of the first plane (K, …) and those of the others (K, …)."""
    return functions[: spec.bases], functions[spec.bases :]


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


def render(spec: LatticeSpec, weights: Array, functions: Array, per_cell: tuple[int, ...]) -> Array:
    """Planes (N, planes, *samples) from last layers (N, planes·K, *cells) and a table of the trunk."""
    xp = namespace(weights)
    split = weights.reshape((len(weights), spec.planes, spec.bases, *weights.shape[2:]))
    first, others = by_plane(spec, functions)
    sets = [(split[:, :1], first), (split[:, 1:], others)][: spec.tables]
    planes = []
    for own, shared in sets:
        flat = own.reshape((-1, spec.bases, *weights.shape[2:]))
        some = fold(xp.moveaxis(flat, 1, -1) @ shared, per_cell)
        planes.append(some.reshape((*own.shape[:2], *some.shape[1:])))
    return planes[0] if len(planes) == 1 else xp.concat(planes, axis=1)
