"""What a prior is told of the cells of a region beside their symbols: whole numbers within ±127.

They are inputs of the networks behind the features of context (:mod:`nfcodec.lattice.neighbourhood`): of every symbol
that a network codes, the numbers of its own, map by map, then those of the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.types import Floats, Indices

Small = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Told:
    """How much a prior is told: ``each``, numbers of a symbol, and ``cell``, numbers of a cell."""

    each: int = 0
    cell: int = 0

    def inputs(self, symbols: int) -> int:
        """Further inputs of a network for so many symbols of a cell."""
        return self.each * symbols + self.cell


NOTHING = Told()


@dataclass(frozen=True, slots=True)
class Given:
    """``each`` (E, P, K, n) of the symbols and ``cell`` (C, n) of the n cells of a region, in order of the axes."""

    each: Small
    cell: Small

    @property
    def told(self) -> Told:
        """How much this is."""
        return Told(len(self.each), len(self.cell))

    def rows(self, plane: int, low: int, high: int, cells: Indices | slice) -> Floats:
        """Inputs (E·(high − low) + C, n) of the network for symbols [low, high) of a plane in flat ``cells`` (n,)."""
        own = self.each[:, plane, low:high].reshape(-1, self.each.shape[-1])
        return np.concatenate([own[:, cells], self.cell[:, cells]]).astype(np.float32)
