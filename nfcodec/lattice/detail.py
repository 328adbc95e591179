"""The detail between the samples of one picture, wherever it is asked for: see :mod:`nfcodec.lattice.enlarge`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nfcodec.lattice.enlarge import between, between_points, share
from nfcodec.lattice.enlarger import Enlarger
from nfcodec.recent import Recent
from nfcodec.types import Floats, Positions, Span

# Scattered points take the weights of the squares that they lie in; 768 kB of weights each.
_TILE = 128
_TILES_KEPT = 64

Native = Callable[[list[Span]], Floats]


class Detail:
    """What X tells of a picture of ``size`` (height, width) samples, at a quality with features ``hats`` (Q,).

    ``native`` gives the planes (P, h, w) of the samples in given spans of rows and of columns, filtered if there is Y;
    X sees the first of them, ``margin`` samples on each side, and is of the first ``shown`` (S) ones.
    """

    def __init__(self, params: Mapping[str, Floats], hats: Floats, size: tuple[int, int], native: Native) -> None:
        self._enlarger, self._size, self._native = Enlarger(params, hats), size, native
        self.margin, self.shown = self._enlarger.reach + 1, self._enlarger.shown
        self._tiles: Recent[Floats] = Recent(_TILES_KEPT)

    def grid(self, positions: list[Positions], native: Native | None = None) -> Floats | None:
        """The detail (S, n_0, n_1) on a grid of native positions; None where it is zero: at the centres of samples.
        ``native``: of the samples there, where they are rendered already."""
        if not any(share(p).any() for p in positions):
            return None
        ends = [(int(p[0]), int(p[-1]) + 1) for p in positions]
        weights, origin = self._weights(ends, native or self._native)
        return between(weights, origin, positions)

    def points(self, positions: Positions) -> Floats:
        """The detail (S, N) at native positions (N, 2) in the picture."""
        out = np.zeros((self.shown, len(positions)), np.float32)
        columns = -(-self._size[1] // _TILE)
        y, x = np.minimum(positions, np.array(self._size) - 1e-6).astype(np.int64).T // _TILE
        owner = np.where(share(positions).any(1), y * columns + x, -1)
        for tile in np.unique(owner[owner >= 0]).tolist():
            mine = owner == tile
            corner = self._corner(tile)
            origin = tuple(max(0, c - 1) for c in corner)
            out[:, mine] = between_points(self._tiles.get(tile, self._tile), (origin[0], origin[1]), positions[mine])
        return out

    def _corner(self, tile: int) -> tuple[int, int]:
        y, x = divmod(tile, -(-self._size[1] // _TILE))
        return y * _TILE, x * _TILE

    def _tile(self, tile: int) -> Floats:
        starts = zip(self._corner(tile), self._size, strict=True)
        return self._weights([(c, min(c + _TILE, n)) for c, n in starts], self._native)[0]

    def _weights(self, spans: list[Span], native: Native) -> tuple[Floats, tuple[int, int]]:
        """Weights (S, 2·h, 2·w) of the samples in ``spans`` and of one more on each side, as far as the picture goes,
        and the first of these samples along both axes."""
        wide = self._grown(spans, self.margin)
        weights = self._enlarger(native(wide))
        inner = self._grown(spans, 1)
        rows, columns = (slice(2 * (a - c), 2 * (b - c)) for (a, b), (c, _) in zip(inner, wide, strict=True))
        return weights[:, rows, columns], (inner[0][0], inner[1][0])

    def _grown(self, spans: list[Span], margin: int) -> list[Span]:
        pairs = zip(spans, self._size, strict=True)
        return [(max(0, a - margin), min(n, b + margin)) for (a, b), n in pairs]
