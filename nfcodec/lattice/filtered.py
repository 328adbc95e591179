"""The samples of one picture filtered by Y, wherever they are asked for: see :mod:`nfcodec.lattice.filtering`.

Between the samples what Y adds fades as X comes in (:func:`nfcodec.lattice.enlarge.share`), so that the field stays one
function of coordinates; where X counts in full, as in all samples of twice the size, Y has no part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nfcodec.lattice.enlarge import share
from nfcodec.lattice.filtering import SampleFilter
from nfcodec.lattice.native import PLANE_UNIT
from nfcodec.lattice.trunk import along
from nfcodec.recent import Recent
from nfcodec.types import Doubles, Floats, Indices, Positions, Span

# Scattered samples take the planes of the squares that they lie in; 1.5 MB each.
_TILE = 128
_TILES_KEPT = 16


class Filtered:
    """What Y makes of the samples of a picture of ``size`` (height, width), whole squares, at a quality; ``coded``
    gives its whole planes (P, h, w) on a grid of samples, in 2^-32."""

    def __init__(
        self, found: SampleFilter, quality: int, size: tuple[int, int], coded: Callable[[list[Indices]], Doubles]
    ) -> None:  # fmt: skip
        self._filter, self._quality, self._size, self._coded = found, quality, size, coded
        self._tiles: Recent[Doubles] = Recent(_TILES_KEPT)

    def grid(self, index: list[Indices]) -> Doubles:
        """Whole planes (P, n_0, n_1) on a grid of samples in ascending order, filtered, in 2^-32."""
        spans = self._spans(index)
        found = self._filter(self._coded([np.arange(a, b) for a, b in spans]), self._quality)
        for axis, (i, (start, _)) in enumerate(zip(index, spans, strict=True), 1):
            first, stop = int(i[0]) - start, int(i[-1]) + 1 - start
            found = along(found, axis, first, stop) if stop - first == len(i) else found.take(i - start, axis)
        return found

    def near(self, positions: list[Positions]) -> Floats | None:
        """What Y adds (P, n_0, n_1) on a grid of native positions; None where that is nothing."""
        weights = [1.0 - share(p) for p in positions]
        rows, columns = at = [np.flatnonzero(w) for w in weights]
        if not len(rows) or not len(columns):
            return None
        places = [_owners(p[i], n) for p, i, n in zip(positions, at, self._size, strict=True)]
        index = [np.arange(p.min(), p.max() + 1) for p in places]
        down, across = (p - i[0] for p, i in zip(places, index, strict=True))
        added = self.grid(index) - self._coded(index)
        out = np.zeros((len(added), *(len(p) for p in positions)), np.float32)
        weight = weights[0][rows][:, None] * weights[1][columns]
        out[:, rows[:, None], columns] = added[:, down[:, None], across] * (PLANE_UNIT * weight)
        return out

    def added(self, index: Indices) -> Doubles:
        """What Y adds to whole planes (P, N) at scattered samples (N, 2), in 2^-32: exact."""
        out = np.zeros((self._filter.planes, len(index)))
        columns = -(-self._size[1] // _TILE)
        owner = index[:, 0] // _TILE * columns + index[:, 1] // _TILE
        for tile in np.unique(owner).tolist():
            mine = owner == tile
            y, x = index[mine].T % _TILE
            out[:, mine] = self._tiles.get(tile, self._tile)[:, y, x]
        return out

    def near_points(self, positions: Positions) -> Floats:
        """What Y adds (P, N) at native positions (N, 2) in the picture."""
        weight = np.prod(1.0 - share(positions), axis=1)
        at = np.flatnonzero(weight)
        out = np.zeros((self._filter.planes, len(positions)), np.float32)
        index = np.stack([_owners(p, n) for p, n in zip(positions[at].T, self._size, strict=True)], 1)
        out[:, at] = self.added(index) * (PLANE_UNIT * weight[at])
        return out

    def _tile(self, tile: int) -> Doubles:
        corner = np.multiply(divmod(tile, -(-self._size[1] // _TILE)), _TILE)
        index = [np.arange(c, min(c + _TILE, n)) for c, n in zip(corner.tolist(), self._size, strict=True)]
        return self.grid(index) - self._coded(index)

    def _spans(self, index: list[Indices]) -> list[Span]:
        """The samples that Y sees to filter a grid."""
        pairs = zip(index, self._size, strict=True)
        return [self._filter.grown((int(i[0]), int(i[-1]) + 1), n) for i, n in pairs]


def _owners(positions: Positions, size: int) -> Indices:
    """The samples that positions (n,) of an axis of ``size`` samples lie in."""
    return np.clip(np.floor(positions).astype(np.int64), 0, size - 1)
