"""From coefficients to symbols: rounding that weighs every magnitude against the bits of the next smaller one.

Rate-distortion optimized quantization (Sullivan & Wiegand 1998): the error and λ times the bits, whose tables are those
that the coder will use. The scales depend on the symbols, so that it is done over and over, each time at the scales of
the symbols so far.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nfcodec.entropy.tables import TOTAL
from nfcodec.lapped.code import ChunkSymbols, chunk_scales, tops_of
from nfcodec.lapped.init import LappedInit
from nfcodec.types import Floats, Mask, Scales, Symbols

MOST = 255  # magnitudes up to here have prices; larger ones are rounded
DEAD = 0.12  # the first guess rounds down by so much more


@lru_cache(maxsize=8)
def savings(init: LappedInit, law: int) -> Floats:
    """How many bits fewer a magnitude takes if it is one less, by scale: (scales, MOST + 1), 0 for magnitude 0."""
    family = init.prior.families[law]
    rows = np.stack([_bits(family.counts(row)) for row in range(family.rows)])
    return np.concatenate([np.zeros((len(rows), 1)), np.diff(rows, axis=1)], 1).astype(np.float32)


def _bits(counts: tuple[int, ...]) -> Floats:
    """Bits of the magnitudes 0 … MOST by one table, the sign included."""
    zero, positive, escape = counts[0], np.array(counts[1:-1:2], np.float64), counts[-1]
    known = np.concatenate([[zero], positive])[: MOST + 1]
    beyond = np.arange(1, MOST + 2 - len(known))
    more = 2.0 * np.floor(np.log2(beyond)) + 2.0 - np.log2(escape / TOTAL)
    return np.concatenate([-np.log2(known / TOTAL), more])


def quantize(
    init: LappedInit, quality: int, chunk: ChunkSymbols, sizes: Floats, negative: Mask, rounds: int, *,
    dead: float = DEAD,
) -> ChunkSymbols:  # fmt: skip
    """The symbols of a chunk, given the magnitudes in steps (P, T, K) and signs of its coefficients; ``chunk`` says all
    but the symbols. ``rounds``: how often prices are looked at; before that, and with none, magnitudes are rounded down
    from half a step and ``dead`` more."""
    law = init.laws[chunk.law]
    found = np.minimum(np.floor(sizes + np.float32(0.5 - dead)), law.largest).astype(np.int32)
    for _ in range(rounds):
        if not found.any():
            break
        known = ChunkSymbols(found, chunk.splits, chunk.law, chunk.gains)
        scales = chunk_scales(init, quality, known, tops_of(found, init.spec.block))
        found = _priced(init, chunk.law, sizes, scales)
    signed = np.where(negative, -found, found)
    return ChunkSymbols(signed, chunk.splits, chunk.law, chunk.gains)


def _priced(init: LappedInit, law: int, sizes: Floats, scales: Scales) -> Symbols:
    """Magnitudes: the nearest whole number, or one less where that saves more than it costs."""
    near = np.minimum(np.rint(sizes), init.laws[law].largest).astype(np.int32)
    at = scales.astype(np.int32) * (MOST + 1) + np.minimum(near, MOST)
    saved = np.where(near <= MOST, savings(init, law).ravel().take(at), 0.0)
    # (y − (q − 1))² − (y − q)² = 1 + 2 (y − q)
    dearer = 1.0 + 2.0 * (sizes - near)
    return near - ((dearer < init.laws[law].trade * saved) & (near > 0))
