"""The order in which the samples of a plane become known, and which of them a network sees.

At spacing t the samples at multiples of 2t are known. Three *phases* make known the others at multiples of t: those
between four diagonal neighbours, then those of the even rows, then those of the odd rows, which have eight neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

Offset = tuple[int, int]

MARGIN = 3  # the farthest neighbour along an axis, in units of t
_DIAGONAL: tuple[Offset, ...] = ((1, 1), (1, -1), (3, 1), (1, 3), (3, -1), (1, -3), (3, 3), (3, -3))
_AXIAL: tuple[Offset, ...] = ((0, 1), (1, 0), (0, 3), (3, 0), (1, 2), (1, -2), (2, 1), (2, -1))
NEAREST = 2  # so many pairs come first
RING = slice(4, 8)  # pairs that lie farther off


@dataclass(frozen=True, slots=True)
class Phase:
    """Samples at ``start`` + 2i, in units of t, and the *pairs* of their neighbours: each offset stands for itself and
    its opposite, whose mean is a prediction that is right for planes."""

    start: Offset
    pairs: tuple[Offset, ...]

    @property
    def diagonal(self) -> bool:
        """Whether the nearest neighbours are diagonal ones."""
        return self.start == (1, 1)

    @property
    def nearest(self) -> tuple[Offset, ...]:
        """The four nearest neighbours."""
        return both(self.pairs[:NEAREST])

    @property
    def ring(self) -> tuple[Offset, ...]:
        """Eight neighbours that lie farther off."""
        return both(self.pairs[RING])


def both(pairs: tuple[Offset, ...]) -> tuple[Offset, ...]:
    """The neighbours of pairs, one by one."""
    return tuple(o for y, x in pairs for o in ((y, x), (-y, -x)))


PHASES: tuple[Phase, ...] = (
    Phase((1, 1), _DIAGONAL), Phase((0, 1), _AXIAL), Phase((1, 0), (*_AXIAL, (1, 1), (1, -1))),
)  # fmt: skip


def spacings(length: int) -> list[int]:
    """t of every level of an axis of so many samples, coarse to fine; none for one sample."""
    found = [1]
    while 2 * found[-1] < length:
        found.append(2 * found[-1])
    return found[::-1] if length > 1 else []
