"""The geometry of one level of a lattice: what encoder, decoder and training are built from, all of it in the init.

A level is a lattice of cells over d axes. Each cell has K = ``bases`` symbols in every plane, lowest frequency first;
number 0 is the mean (DC) of the cell. The means are coded before all others, coarse to fine over the lattice; the rest
in ``passes``, and these in up to three ``layers`` (:class:`~nfcodec.lattice.order.Order` has what follows from that).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from nfcodec.errors import CorruptError
from nfcodec.limits import DEFAULT_LIMITS, Limits

Pass = tuple[int, int, int]

MOST_AXES = 3
MOST_LAYERS = 3


@dataclass(frozen=True, slots=True)
class Plane:
    """One output of the field: its ``name``, and which of the trunk's sets of K ``functions`` it is made of."""

    name: str
    functions: int = 0


OPPONENT = (Plane("luma", 0), Plane("red-blue", 1), Plane("magenta-green", 1))
MID_SIDE = (Plane("mid", 0), Plane("side", 1))
PLAIN = (Plane("plain", 0),)

# Where passes begin and end in a plane of 64 bases; for other counts these are scaled. The first plane goes by the fine
# list, all others by the coarse one, and a layer holds what lies below one number of LAYER_ENDS in all planes.
_FINE, _COARSE, _LAYER_ENDS = (1, 3, 6, 10, 15, 28, 43, 64), (1, 6, 15, 64), (6, 15, 64)
_REGIONS = {1: (4096,), 2: (128, 128), 3: (8, 32, 32)}


def usual_passes(planes: int, bases: int) -> tuple[tuple[Pass, ...], tuple[int, ...]]:
    """Passes and layers of a lattice that does not say otherwise: low frequencies first, the first plane first."""

    def scaled(cuts: tuple[int, ...]) -> list[int]:
        return sorted({max(1, round(c * bases / 64)) for c in cuts})

    passes: list[Pass] = []
    layers, low = [], 1
    for high in scaled(_LAYER_ENDS):
        for plane in range(planes):
            cuts = [c for c in scaled(_COARSE if plane else _FINE) if low <= c <= high]
            cuts = sorted({low, *cuts, high})
            passes += [(plane, a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
        layers.append(len(passes))
        low = high
    return tuple(passes), tuple(layers)


@dataclass(frozen=True, slots=True)
class LatticeSpec:
    """One level.

    ``spacing``: s of the cells in samples along each axis, even. ``planes``: outputs of the field. ``bases``: K, coded
    functions of a plane. ``passes``: (plane, first symbol, one past the last) in coded order; together they hold the
    symbols 1 … K − 1 of every plane once, each plane's in ascending order. ``layers``: the number of passes before the
    end of each layer. ``region``: cells of the largest region along each axis. ``width`` of the trunk's two sine
    layers; ``w0``: frequency factor of the first one.
    """

    spacing: tuple[int, ...] = (8, 8)
    planes: tuple[Plane, ...] = OPPONENT
    bases: int = 64
    passes: tuple[Pass, ...] = usual_passes(3, 64)[0]
    layers: tuple[int, ...] = usual_passes(3, 64)[1]
    region: tuple[int, ...] = (128, 128)
    width: int = 192
    w0: float = 12.0

    @classmethod
    def of(
        cls, *, spacing: Sequence[int] = (8, 8), planes: Sequence[Plane] = OPPONENT, bases: int | None = None,
        passes: Sequence[Pass] | None = None, layers: Sequence[int] | None = None, region: Sequence[int] | None = None,
        width: int = 192, w0: float = 12.0,
    ) -> LatticeSpec:  # fmt: skip
        """A level whose ``bases``, ``passes``, ``layers`` and ``region`` are the usual ones where they are not given:
        as many bases as samples of a cell, :func:`usual_passes`."""
        count = math.prod(spacing) if bases is None else bases
        usual = usual_passes(len(planes), count)
        return cls(
            tuple(spacing), tuple(planes), count, tuple(usual[0] if passes is None else passes),
            tuple(usual[1] if layers is None else layers),
            tuple(_REGIONS.get(len(spacing), ()) if region is None else region), width, w0,
        )  # fmt: skip

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
        """How many sets of K functions there are."""
        return max(p.functions for p in self.planes) + 1

    @property
    def functions(self) -> int:
        """Outputs of the trunk: K of every set."""
        return self.tables * self.bases

    @property
    def coded(self) -> int:
        """Symbols of one cell."""
        return len(self.planes) * self.bases

    def functions_of(self, plane: int) -> slice:
        """Which of the functions a plane is made of."""
        shared = self.planes[plane].functions
        return slice(shared * self.bases, (shared + 1) * self.bases)

    def weights_of(self, plane: int) -> slice:
        """Which numbers of a cell's last layer are those of a plane."""
        return slice(plane * self.bases, (plane + 1) * self.bases)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors of the trunk."""
        h = self.width
        return {
            "trunk.0.weight": (h, self.axes), "trunk.0.bias": (h,), "trunk.1.weight": (h, h), "trunk.1.bias": (h,),
            "trunk.2.weight": (self.functions, h),
        }  # fmt: skip

    # -- checks ------------------------------------------------------------------------------------------
    def validate(self, limits: Limits = DEFAULT_LIMITS) -> None:
        """Raise :class:`CorruptError` or :class:`LimitError` when the numbers cannot describe a lattice."""
        if not self._sizes_are_sound() or not self._planes_are_sound() or not self._passes_are_sound():
            raise CorruptError(f"impossible lattice spec {self}")
        limits.check("max_parameters", sum(math.prod(s) for s in self.shapes().values()), "lattice trunk")
        limits.check("max_parameters", self.functions * math.prod(2 * s for s in self.spacing), "lattice table")

    def _sizes_are_sound(self) -> bool:
        positive = min((self.bases, self.width, *self.spacing, *self.region), default=0) >= 1
        even = all(s % 2 == 0 for s in self.spacing)
        fit = 1 <= self.axes <= MOST_AXES and len(self.region) == self.axes
        return positive and even and fit and 0.0 < self.w0 < math.inf

    def _planes_are_sound(self) -> bool:
        """Planes have names of their own, and use all sets of functions from number 0 on."""
        names, sets = {p.name for p in self.planes}, {p.functions for p in self.planes}
        return 0 < len(self.planes) == len(names) and sets == set(range(len(sets))) and self.planes[0].functions == 0

    def _passes_are_sound(self) -> bool:
        known = [1] * len(self.planes)
        for plane, low, high in self.passes:
            if not 0 <= plane < len(known) or low != known[plane] or high <= low:
                return False
            known[plane] = high
        ends = list(self.layers)
        layers = 1 <= len(ends) <= MOST_LAYERS and ends == sorted(set(ends)) and ends[-1] == len(self.passes)
        return set(known) == {self.bases} and layers and ends[0] >= 0

    # -- JSON --------------------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; the inverse of :meth:`from_dict`."""
        return {
            "spacing": list(self.spacing), "planes": [[p.name, p.functions] for p in self.planes], "bases": self.bases,
            "passes": [list(p) for p in self.passes], "layers": list(self.layers), "region": list(self.region),
            "width": self.width, "w0": float(self.w0),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any], limits: Limits = DEFAULT_LIMITS) -> LatticeSpec:
        """Read what :meth:`to_dict` wrote; unknown or missing keys and wrong types are a :class:`CorruptError`."""
        try:
            if set(data) != {f.name for f in fields(cls)}:
                raise KeyError("other keys than those of a lattice spec")
            spec = cls(**{**data, **_tuples(data)})
            numbers = (*spec.spacing, *spec.region, *spec.layers, *(n for p in spec.passes for n in p))
            numbers += (spec.bases, spec.width, *(p.functions for p in spec.planes))
            if {type(n) for n in numbers} != {int} or type(spec.w0) is not float:
                raise TypeError("whole numbers, and one with a fraction for w0, are needed")
            if {type(p.name) for p in spec.planes} != {str}:
                raise TypeError("planes need names")
            spec.validate(limits)
        except (TypeError, KeyError, ValueError) as error:
            raise CorruptError(f"bad lattice spec {data!r}: {error}") from error
        return spec


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    """The lists of a spec as it holds them."""
    return {
        "spacing": tuple(data["spacing"]), "planes": tuple(Plane(name, number) for name, number in data["planes"]),
        "passes": tuple((plane, low, high) for plane, low, high in data["passes"]), "layers": tuple(data["layers"]),
        "region": tuple(data["region"]),
    }  # fmt: skip
