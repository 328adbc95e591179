"""The samples of one picture filtered by Y, wherever they are asked for: see :mod:`nfcodec.lattice.filtering`.

Between the samples counts what Lanczos' kernel of three lobes makes of what Y adds to them (:mod:`nfcodec.resample`),
so that the field stays one function of coordinates; X sees the filtered samples, and adds to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nfcodec.lattice.filtering import SampleFilter
from nfcodec.lattice.native import PLANE_UNIT
from nfcodec.lattice.trunk import along
from nfcodec.recent import Recent
from nfcodec.resample import LOBES, interpolate, interpolate_points
from nfcodec.types import Bytes, Doubles, Floats, Indices, Positions, Span

# Scattered samples take the planes of the squares that they lie in; 1.7 MB each.
_TILE = 128
_TILES_KEPT = 16


def seen(positions: list[Positions], size: tuple[int, ...], margin: int = LOBES) -> list[Span]:
    """The samples that count for a grid of native positions in a picture of ``size``: so many on each side."""
    pairs = zip(positions, size, strict=True)
    return [(max(0, int(p[0]) - margin), min(n, int(p[-1]) + margin + 1)) for p, n in pairs]


@dataclass(frozen=True)
class Window:
    """Planes (P, h, w) of the samples from ``start`` on as Y leaves them, and what it ``added`` to them."""

    start: tuple[int, int]
    planes: Floats
    added: Floats

    def part(self, spans: list[Span]) -> Floats:
        """Planes (P, n_0, n_1) of the samples in ``spans``, which are among these."""
        rows, columns = (slice(a - c, b - c) for (a, b), c in zip(spans, self.start, strict=True))
        return self.planes[:, rows, columns]

    def between(self, positions: list[Positions]) -> Floats:
        """What Y adds (P, n_0, n_1) on a grid of native positions, whose samples (:func:`seen`) are among these."""
        found, stops = self.added, self.added.shape[1:]
        for axis, (where, start, n) in enumerate(zip(positions, self.start, stops, strict=True), 1):
            first, last = int(where[0]) - start - LOBES, int(where[-1]) - start + LOBES + 1
            part = slice(max(0, first), min(n, last))
            found = interpolate(along(found, axis, part.start, part.stop), axis, where - start - part.start)
        return found


class Filtered:
    """What Y makes of the samples of a picture of ``size`` (height, width), whole squares, at a quality; ``coded``
    gives its whole planes (P, h, w) on a grid of samples, in 2^-32; ``heads`` those of the squares in spans of it."""

    def __init__(
        self, found: SampleFilter, quality: int, size: tuple[int, int], coded: Callable[[list[Indices]], Doubles],
        heads: Callable[[list[Span]], Bytes | None],
    ) -> None:  # fmt: skip
        self._filter, self._quality, self._size, self._coded, self._heads = found, quality, size, coded, heads
        self._tiles: Recent[Doubles] = Recent(_TILES_KEPT)

    def grid(self, index: list[Indices]) -> Doubles:
        """Whole planes (P, n_0, n_1) on a grid of samples in ascending order, filtered, in 2^-32."""
        spans = self._spans([(int(i[0]), int(i[-1]) + 1) for i in index])
        found = self._filter(self._coded([np.arange(a, b) for a, b in spans]), self._quality, self._heads(spans))
        for axis, (i, (start, _)) in enumerate(zip(index, spans, strict=True), 1):
            first, stop = int(i[0]) - start, int(i[-1]) + 1 - start
            found = along(found, axis, first, stop) if stop - first == len(i) else found.take(i - start, axis)
        return found

    def window(self, spans: list[Span]) -> Window:
        """The samples in ``spans``, before and after."""
        around = self._spans(spans)
        index = [np.arange(a, b) for a, b in around]
        coded = self._coded(index)
        found = self._filter(coded, self._quality, self._heads(around))
        coded = np.subtract(found, coded, out=coded)
        rows, columns = (slice(a - i[0], b - i[0]) for (a, b), i in zip(spans, index, strict=True))
        planes, added = (_unit(x[:, rows, columns]) for x in (found, coded))
        return Window((spans[0][0], spans[1][0]), planes, added)

    def added(self, index: Indices) -> Doubles:
        """What Y adds to whole planes (P, N) at scattered samples (N, 2), in 2^-32: exact."""
        out = np.zeros((self._filter.planes, len(index)))
        for mine, tile, start in self._tiled(index):
            y, x = (index[mine] - start).T
            out[:, mine] = tile[:, y, x]
        return out

    def points(self, positions: Positions) -> Floats:
        """What Y adds (P, N) at native positions (N, 2) in the picture."""
        out = np.zeros((self._filter.planes, len(positions)), np.float32)
        owners = np.minimum(positions.astype(np.int64), np.array(self._size) - 1)
        for mine, tile, start in self._tiled(owners):
            out[:, mine] = interpolate_points(_unit(tile).transpose(1, 2, 0), positions[mine] - start).T
        return out

    def _tiled(self, index: Indices) -> Iterator[tuple[npt.NDArray[np.bool_], Doubles, Indices]]:
        """Which of the samples (N, 2) lie in a tile, what Y adds to it and to the samples around it, and the first of
        those; tile by tile."""
        columns = -(-self._size[1] // _TILE)
        owner = index[:, 0] // _TILE * columns + index[:, 1] // _TILE
        for tile in np.unique(owner).tolist():
            yield owner == tile, self._tiles.get(tile, self._tile), np.array([a for a, _ in self._around(tile)])

    def _around(self, tile: int) -> list[Span]:
        """The samples of a tile and those that count between them."""
        corner = np.multiply(divmod(tile, -(-self._size[1] // _TILE)), _TILE)
        return seen([np.array([c, c + _TILE - 1]) for c in corner], self._size)

    def _tile(self, tile: int) -> Doubles:
        index = [np.arange(a, b) for a, b in self._around(tile)]
        return self.grid(index) - self._coded(index)

    def _spans(self, spans: list[Span]) -> list[Span]:
        """The samples that Y sees to filter those in ``spans``."""
        return [self._filter.grown(span, n) for span, n in zip(spans, self._size, strict=True)]


def _unit(whole: Doubles) -> Floats:
    """Planes as floats."""
    return (whole * PLANE_UNIT).astype(np.float32)
