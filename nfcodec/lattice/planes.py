"""Between the values of a signal and the planes of a lattice: opponent colours, mid and side, or plain values.

All rotations are orthonormal: squared errors of planes are those of values. A signal of one channel in a set for
several counts as so many equal ones, so that it needs the first plane alone, and an error of its samples counts as
often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nfcodec.arrays import Array, device, namespace
from nfcodec.errors import CorruptError
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.rotations import whole_turn
from nfcodec.signal import Modality

_R2, _R3, _R6 = math.sqrt(2.0), math.sqrt(3.0), math.sqrt(6.0)


@dataclass(frozen=True, slots=True)
class PlaneSet:
    """``names`` of the planes, and the rotation ``rows`` (P, C) from values to planes."""

    names: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]

    @property
    def channels(self) -> int:
        """Channels of a signal that uses all planes."""
        return len(self.rows[0])

    def takes(self, channels: int) -> bool:
        """Whether signals of so many channels have these planes."""
        return channels in (1, self.channels)

    def coded(self, channels: int) -> int:
        """How many of the planes a signal of ``channels`` uses, the first ones; the others are zero."""
        return len(self.rows) if channels == self.channels else 1

    def unit(self, channels: int) -> float:
        """The squared error of planes, summed, that goes with a squared error of 1 of the values, summed."""
        return self.channels / channels

    def to_planes(self, values: Array, offset: float) -> Array:
        """Planes (P, …) of values (…, C), which ``offset`` is taken from first."""
        xp = namespace(values)
        values = xp.moveaxis(values - offset, -1, 0)
        if len(values) != self.channels:
            first = values * math.sqrt(self.channels)
            return xp.concat([first, *([xp.zeros_like(first)] * (len(self.rows) - 1))], axis=0)
        return self._rotated(values, self.rows)

    def to_values(self, planes: Array, channels: int, offset: float) -> Array:
        """Values (…, channels) of planes (P, …); the inverse of :meth:`to_planes`."""
        xp = namespace(planes)
        if channels != self.channels:
            return planes[0][..., None] / math.sqrt(self.channels) + offset
        columns = tuple(zip(*self.rows, strict=True))
        return xp.moveaxis(self._rotated(planes, columns), 0, -1) + offset

    def turned(self, turn: tuple[int, ...] | None) -> PlaneSet:
        """Three planes turned by the rotation of :func:`nfcodec.rotations.whole_turn`; itself for None."""
        if turn is None:
            return self
        rows = whole_turn(turn) @ np.array(self.rows) * 2.0**-16
        return PlaneSet(self.names, tuple(tuple(map(float, row)) for row in rows))

    def _rotated(self, x: Array, rows: tuple[tuple[float, ...], ...]) -> Array:
        matrix = namespace(x).asarray(rows, dtype=x.dtype, device=device(x))
        return (matrix @ x.reshape((len(x), -1))).reshape((len(rows), *x.shape[1:]))


OPPONENT_SET = PlaneSet(
    ("luma", "red-blue", "magenta-green"),
    ((1 / _R3, 1 / _R3, 1 / _R3), (1 / _R2, 0.0, -1 / _R2), (1 / _R6, -2 / _R6, 1 / _R6)),
)
MID_SIDE_SET = PlaneSet(("mid", "side"), ((1 / _R2, 1 / _R2), (1 / _R2, -1 / _R2)))
PLAIN_SET = PlaneSet(("plain",), ((1.0,),))
SETS = (OPPONENT_SET, MID_SIDE_SET, PLAIN_SET)


def planes_of(specs: Sequence[LatticeSpec]) -> PlaneSet:
    """The planes of all levels of a lattice, by their names; :class:`CorruptError` for others than are known."""
    names = {p.name for spec in specs for p in spec.planes}
    for known in SETS:
        if set(known.names) == names:
            return known
    raise CorruptError(f"planes {', '.join(sorted(names))} are not known here")


def places(spec: LatticeSpec, planes: PlaneSet) -> list[int]:
    """Which of the planes those of a level are; :class:`CorruptError` unless they rise."""
    found = [planes.names.index(p.name) for p in spec.planes]
    if found != sorted(found):
        raise CorruptError(f"the planes {', '.join(p.name for p in spec.planes)} of a level are not in order")
    return found


def offset_of(modality: Modality) -> float:
    """The value that a lattice without symbols shows: silence, or the middle between black and white."""
    return 0.0 if modality == "audio" else 0.5
