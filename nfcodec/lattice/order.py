"""What each symbol of a lattice is predicted from: phases, neighbours and context features, integers only.

A *region* is a box of cells. The symbols of its cells are ordered by frequency (:attr:`Order.frequencies`); number 0 is
the mean. The means are coded first, coarse to fine over the lattice (:mod:`nfcodec.lattice.mosaic`), then the other
symbols in the passes of the spec, low to high frequency, each in 2^d phases: cells whose coordinates are even or odd
alike (a checkerboard of d axes). All of this follows from the spec, here and nowhere else, for the coder and for
training; it is part of the format, since the networks were trained with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from nfcodec.errors import CorruptError
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.types import Ints

Offset = tuple[int, ...]

QUALITY_LEVELS = 8
MOST_QUALITY = 100
LARGEST_FEATURE = 127
HAT = 16
LEVEL_CLASSES = 4

# A neighbour is off the cell along at most so many axes: with three axes all 26 would be too many inputs.
_AXES_AWAY = 2


@lru_cache(maxsize=1)
def companded() -> npt.NDArray[np.int16]:
    """T[n] = round(16 · log2(1 + n)) for magnitudes 0 … 255, at most 127; int16 (256,).

    In whole numbers: (1 + n)^32 has ⌊32 · log2(1 + n)⌋ + 1 bits, and half of that is the rounded value.
    """
    return np.array([min(((1 + n) ** 32).bit_length() // 2, LARGEST_FEATURE) for n in range(256)], np.int16)


@lru_cache(maxsize=1)
def _compand_table() -> npt.NDArray[np.int16]:
    """Features of the symbols −255 … 255."""
    return np.concatenate([-companded()[:0:-1], companded()])


def compand(symbols: Ints) -> npt.NDArray[np.int16]:
    """Symbols as features: sign(q) · T[min(|q|, 255)], within ±127."""
    features: npt.NDArray[np.int16] = _compand_table().take(np.minimum(np.maximum(symbols, -255), 255) + 255)
    return features


@lru_cache(maxsize=101)
def quality_features(quality: int) -> npt.NDArray[np.int16]:
    """Quality 0 … 100 as hat functions over ``QUALITY_LEVELS`` anchors: (8,), two neighbours share 16."""
    t = (quality * HAT * (QUALITY_LEVELS - 1) + 50) // 100
    hats: npt.NDArray[np.int16] = np.maximum(0, HAT - np.abs(t - HAT * np.arange(QUALITY_LEVELS))).astype(np.int16)
    hats.flags.writeable = False
    return hats


# -- offsets ---------------------------------------------------------------------------------------------
def _box(reach: Iterable[int], axes: int, kept: Callable[[Offset], bool] = lambda _: True) -> tuple[Offset, ...]:
    return tuple(o for o in itertools.product(tuple(reach), repeat=axes) if kept(o))


def _away(offset: Offset) -> int:
    """Along how many axes an offset leads away."""
    return sum(o != 0 for o in offset)


def _distance(offset: Offset) -> int:
    return sum(map(abs, offset))


def _odd(offset: Offset) -> frozenset[int]:
    return frozenset(i for i, o in enumerate(offset) if o % 2)


def _coarser(odd_axes: frozenset[int], odd: int) -> bool:
    """Whether a cell with these odd axes comes before cells with ``odd`` of them."""
    return not odd_axes or len(odd_axes) > odd


@dataclass(frozen=True, slots=True)
class MeanClass:
    """Cells of one distance t whose coordinates, in units of t, are odd along ``odd`` axes.

    ``offsets``, in units of t, of the neighbours that their means are predicted from, the ``nearest`` first.
    """

    odd: int
    offsets: tuple[Offset, ...]
    nearest: int

    def known(self, odd_axes: frozenset[int]) -> npt.NDArray[np.bool_]:
        """Which of the neighbours (n,) of a cell with these odd axes come before it. Up to two axes: all of them."""
        return np.array([_coarser(odd_axes ^ _odd(o), self.odd) for o in self.offsets])


def _mean_class(axes: int, odd: int) -> MeanClass:
    """Neighbours of cells with ``odd`` odd axes: nearest first, at most three t away along an axis."""
    if odd == axes:
        wide = _box((-3, -1, 1, 3), axes, lambda o: axes < 3 or sum(abs(x) == 3 for x in o) < 2)
        near = [o for o in wide if max(map(abs, o)) == 1]
        return MeanClass(odd, (*near, *(o for o in wide if o not in near)), len(near))
    if axes < 3:
        near = [o for axis in range(axes) for o in _box((-1, 0, 1), axes, lambda o: _distance(o) == 1) if o[axis]]
        return MeanClass(odd, (*near, *_box(range(-3, 4), axes, lambda o: _distance(o) == 3)), len(near))
    places = [frozenset(s) for s in itertools.combinations(range(axes), odd)]
    found = _box((-1, 0, 1), axes, lambda o: any(o) and any(_coarser(s ^ _odd(o), odd) for s in places))
    found = tuple(sorted(found, key=lambda o: (_distance(o), o)))
    return MeanClass(odd, found, sum(_distance(o) <= odd for o in found))


# -- the order of a spec ---------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Order:
    """The coded order of one level and the features of its networks. Use :func:`order_of`."""

    spec: LatticeSpec

    @property
    def axes(self) -> int:
        """Number of axes d."""
        return self.spec.axes

    @property
    def planes(self) -> int:
        """Planes of the field, P."""
        return len(self.spec.planes)

    @cached_property
    def phases(self) -> tuple[Offset, ...]:
        """The parities of coordinates, in coded order: with two axes (0,0), (1,1), (0,1), (1,0). Later phases see
        earlier ones among their neighbours."""
        return tuple(sorted(itertools.product((0, 1), repeat=self.axes), key=lambda p: (sum(p) % 2, p)))

    @cached_property
    def block(self) -> tuple[Offset, ...]:
        """Offsets of a cell and its neighbours: 3 with one axis, 9 with two, 19 with three."""
        return _box((-1, 0, 1), self.axes, lambda o: _away(o) <= _AXES_AWAY)

    @cached_property
    def near(self) -> tuple[Offset, ...]:
        """:attr:`block` without the cell itself."""
        return tuple(o for o in self.block if any(o))

    @cached_property
    def ring(self) -> tuple[Offset, ...]:
        """Offsets at which means are compared with that of the cell: 4 with one axis, 24 with two, 60 with three."""
        return _box(range(-2, 3), self.axes, lambda o: any(o) and _away(o) <= _AXES_AWAY)

    @cached_property
    def close(self) -> tuple[int, ...]:
        """Which offsets of :attr:`ring` are neighbours."""
        return tuple(i for i, o in enumerate(self.ring) if max(map(abs, o)) == 1)

    @cached_property
    def frequencies(self) -> tuple[Offset, ...]:
        """The frequency along each axis of the symbols of a plane: by their sum, then by the first one, and so on. Sums
        are of cycles per sample, so that axes of unlike spacing compare."""
        spacing, unit = self.spec.spacing, math.lcm(*self.spec.spacing)
        every = itertools.product(*map(range, spacing))
        found = sorted(every, key=lambda f: (sum(u * unit // s for u, s in zip(f, spacing, strict=True)), f))
        if len(found) < self.spec.bases:
            raise CorruptError(f"{self.spec.bases} bases of cells of {len(found)} samples")
        return tuple(found[: self.spec.bases])

    @cached_property
    def mean_classes(self) -> tuple[MeanClass, ...]:
        """The classes of cells in the order in which their means are coded at each distance: with two axes *diagonal*
        and *edge* cells, one class with one axis."""
        return tuple(_mean_class(self.axes, odd) for odd in range(self.axes, 0, -1))

    @cached_property
    def known_mask(self) -> npt.NDArray[np.bool_]:
        """(phases, near): whether that neighbour was coded in an earlier phase of the same pass."""
        rank = {phase: i for i, phase in enumerate(self.phases)}
        rows = [
            [rank[tuple((p + o) % 2 for p, o in zip(phase, offset, strict=True))] < rank[phase] for offset in self.near]
            for phase in self.phases
        ]
        return np.array(rows)

    def layer(self, number: int) -> range:
        """The passes of a layer; the means come before those of the first."""
        return range(self.spec.layers[number - 1] if number else 0, self.spec.layers[number])

    def others(self, plane: int) -> tuple[int, ...]:
        """All planes but one."""
        return tuple(p for p in range(self.planes) if p != plane)

    def known_before(self, number: int, plane: int) -> int:
        """Symbols [0, n) of ``plane`` that are known before pass ``number``."""
        return max([high for p, _, high in self.spec.passes[:number] if p == plane], default=1)

    def feature_count(self, number: int) -> int:
        """Inputs of the network of pass ``number``."""
        plane, low, high = self.spec.passes[number]
        own = len(self.block) * (low - 1) + len(self.near) * (high - low) + len(self.ring)
        others = sum(len(self.close) + self.known_before(number, p) - 1 for p in self.others(plane))
        return own + others + QUALITY_LEVELS + len(self.phases)

    def mean_feature_count(self, plane: int, kind: int = 0) -> int:
        """Inputs of the network for the means of ``plane`` in cells of class ``kind``."""
        neighbours = len(self.mean_classes[kind].offsets)
        return neighbours * (plane + 1) + plane + LEVEL_CLASSES + QUALITY_LEVELS

    def phase_cells(self, phase: int) -> tuple[slice, ...]:
        """The cells of a phase along each axis."""
        return tuple(slice(p, None, 2) for p in self.phases[phase])

    @property
    def groups(self) -> list[tuple[int, int]]:
        """(inputs, symbols) of the network of every pass."""
        return [(self.feature_count(i), high - low) for i, (_, low, high) in enumerate(self.spec.passes)]

    @property
    def means(self) -> list[tuple[int, int]]:
        """(inputs, symbols) of the networks for the means: plane by plane, class by class."""
        classes = range(len(self.mean_classes))
        return [(self.mean_feature_count(p, c), 1) for p in range(self.planes) for c in classes]


@lru_cache(maxsize=32)
def order_of(spec: LatticeSpec) -> Order:
    """The order of a spec; worked out once."""
    return Order(spec)
