"""Parts of a region that are looked at one after the other: strips of rows of cells, or tiles around some blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nfcodec.types import Indices, Shape

_Bools = npt.NDArray[np.bool_]

# Of a region: where tiles are more, looking at it as a whole takes no longer.
_MOST_IN_TILES = 0.5
# Cells of one part, whose activations stay in the processor's cache.
_MOST_CELLS = 1 << 10
_BYTE = 8  # rows of a strip are a multiple, and so are the cells of all strips but the last


@dataclass(frozen=True, eq=False)
class Tiles:
    """Parts of ``size`` of a region of ``shape`` cells: their first cells ``corners`` (n, d). They may overlap.
    ``strip``: the flat cells of a tile of whole rows that is one of a region's strips."""

    shape: Shape
    size: Shape
    corners: Indices
    strip: slice | None = None

    @cached_property
    def cells(self) -> Indices:
        """Flat positions (n · ∏ size,) of their cells in the region."""
        at = self.places
        found: Indices = np.ravel_multi_index(tuple(at), self.shape).ravel()
        return found

    @property
    def whole(self) -> bool:
        """Whether the only tile is the region."""
        return self.size == self.shape

    @cached_property
    def selected(self) -> Indices | slice:
        """:attr:`cells`; of a strip, a slice that copies nothing."""
        return self.cells if self.strip is None else self.strip

    @cached_property
    def once(self) -> _Bools:
        """(n · ∏ size,): which of the cells have not been in a tile before."""
        found = np.zeros(len(self.cells), bool)
        found[np.unique(self.cells, return_index=True)[1]] = True
        return found

    @cached_property
    def parts(self) -> list[Tiles]:
        """The same tiles, some after the other; a region as strips of rows."""
        if not self.whole:
            count = max(1, _MOST_CELLS // math.prod(self.size))
            groups = (self.corners[i : i + count] for i in range(0, len(self.corners), count))
            return [Tiles(self.shape, self.size, group) for group in groups]
        return list(self._strips())

    def _strips(self) -> Iterator[Tiles]:
        height, rest = self.shape[0], self.shape[1:]
        row = math.prod(rest)
        rows = max(1, _MOST_CELLS // _BYTE // row) * _BYTE
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            corner = np.array([[start, *(0 for _ in rest)]], np.intp)
            yield Tiles(self.shape, (stop - start, *rest), corner, slice(start * row, stop * row))

    @property
    def places(self) -> Indices:
        """Positions (d, n, *size) of their cells."""
        local = np.indices(self.size)[:, None]
        found: Indices = local + self.corners.T.reshape(len(self.shape), -1, *(1 for _ in self.shape))
        return found


def tiles_of(shape: Shape) -> Tiles:
    """A region as one tile."""
    return Tiles(shape, shape, np.zeros((1, len(shape)), np.intp))


def tiles_around(chosen: _Bools, shape: Shape, block: int, margin: int) -> Tiles:
    """Tiles of the ``chosen`` (*blocks) of ``block`` cells along each axis, with ``margin`` cells around; one tile
    where they would be most of the region."""
    size = tuple(min(block + 2 * margin, n) for n in shape)
    corners = np.argwhere(chosen) * block - margin
    if not len(corners) or len(corners) * math.prod(size) > _MOST_IN_TILES * math.prod(shape):
        return tiles_of(shape)
    return Tiles(shape, size, np.clip(corners, 0, np.subtract(shape, size)))
