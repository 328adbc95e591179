"""Finds the blocks whose quarters go with their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nfcodec.moving.fit.prices import Prices
from nfcodec.moving.fit.search import BlockSearch, error_bits
from nfcodec.moving.motion import BLOCK, BOTH, PARTS
from nfcodec.moving.parts import BESIDE, BESIDE_CONTEXT, OWN, QUARTERS, Unlike, touched
from nfcodec.types import Bytes, Doubles, Floats, Indices

_HALF = BLOCK // 2
# Of the errors that quarters save: windows that overlap have saved some of them already.
_SHARE = np.float32(0.7)
# The quarters that touch the block above, below, to the left and to the right; the first two go across.
_SIDES = (((0, 1), 0), ((2, 3), 0), ((0, 2), 1), ((1, 3), 1))


def quarters(found: Sequence[BlockSearch], modes: Indices, vectors: Indices, prices: Prices) -> Bytes:
    """What the quarters (n, 4) of blocks with modes (n,) and vectors (2, n, 2) go with."""
    search, split = _QuarterSearch(found, modes, vectors), np.zeros((len(modes), QUARTERS), np.uint8)
    unlike = Unlike.of(modes, vectors, found[0].wanted.shape)
    mine = np.flatnonzero(unlike.any)
    yes, no = (price[PARTS + unlike.contexts()] for price in (prices.yes, prices.no))
    own = search.errors(mine, mine)
    hopeful = own.sum(1) > yes[mine] - no[mine]
    mine, own = mine[hopeful], own[hopeful]
    costs = search.otherwise(mine, own, unlike.at(mine)) + _bits(unlike.at(mine), prices)
    saved = own.sum(1) - costs.min(2).sum(1) - yes[mine] + no[mine]
    split[mine[saved > 0]] = costs.argmin(2)[saved > 0]
    return split


def _bits(unlike: Unlike, prices: Prices) -> Doubles:
    """What it costs to say what quarters (n, 4, 3) go with."""
    contexts, could = PARTS + unlike.quarter_contexts(), unlike.around.any(2)
    which = [unlike.free * price[PARTS + BESIDE_CONTEXT] for price in (prices.no, prices.yes)]
    return np.stack([could * prices.no[contexts], *(prices.yes[contexts] + w for w in which)], -1)


class _QuarterSearch:
    """What quarters cost, with motion that was decided for whole blocks."""

    def __init__(self, found: Sequence[BlockSearch], modes: Indices, vectors: Indices) -> None:
        self.found, self.modes, self.vectors = found, modes, vectors
        self.near = touched(*found[0].wanted.shape)

    def otherwise(self, mine: Indices, own: Floats, unlike: Unlike) -> Floats:
        """The errors of quarters (n, 4, 3) of blocks ``mine`` (n,), for all that they can go with, infinite for the
        rest."""
        errors = np.full((*own.shape, 3), np.inf, np.float32)
        errors[..., OWN] = own
        for touching, side in _SIDES:
            there = np.flatnonzero(unlike.around[:, touching[0], side])
            found = self.errors(self.near[mine[there], touching[0], side], mine[there])
            for quarter in touching:
                errors[there, quarter, 1 + side] = found[:, quarter]
        errors[unlike.around.all(2) & ~unlike.between, BESIDE] = np.inf
        return errors

    def errors(self, source: Indices, at: Indices) -> Floats:
        """What the quarters (n, 4) of blocks ``at`` (n,) cost with the motion of ``source`` (n,)."""
        off, modes = -self.found[0].wanted.blocks[at], self.modes[source]
        for reference, one in enumerate(self.found):
            mine = np.flatnonzero((modes == reference) | (modes == BOTH))
            shown = one.shown.quarters(self.vectors[reference, source[mine]], one.corners[at[mine]])
            shown *= np.where(modes[mine] == BOTH, np.float32(0.5), np.float32(1))[:, None]
            off[mine] += shown
        parts = off.reshape(-1, 2, _HALF, 2, _HALF).swapaxes(2, 3).reshape(-1, QUARTERS, _HALF * _HALF)
        return error_bits(parts, self.found[0].trade) * _SHARE
