"""The two ends of a stream of symbols, and how the file's own corrections are written between them."""

from __future__ import annotations

import numpy as np

from nfcodec.dyadic.code import Expected, Sight, Tuning, Where
from nfcodec.dyadic.features import term_count
from nfcodec.entropy.coder import LAPLACE, LOGISTIC, SymbolDecoder, SymbolEncoder
from nfcodec.errors import CorruptError
from nfcodec.types import Doubles

LARGEST_WEIGHT = 127  # in 64ths
LARGEST_CHANGE = 48  # in quarters of an octave
_KIND_BITS = 2
_NONE, _CHANGE, _WEIGHTS = range(3)  # kinds of tunings
_CHANGE_ROW, _WEIGHT_ROW = 22, 26  # of the tables of nfcodec.entropy.tables


def put_tuning(encoder: SymbolEncoder, tuning: Tuning) -> None:
    """Write the tuning of a phase."""
    kind = _WEIGHTS if tuning.weights else _CHANGE if tuning.change else _NONE
    encoder.put_bits(np.array([kind]), _KIND_BITS)
    if kind != _NONE:
        encoder.put(np.array([tuning.change]), np.array([_CHANGE_ROW], np.uint8), LAPLACE)
    if kind == _WEIGHTS:
        encoder.put(np.array(tuning.weights), np.full(len(tuning.weights), _WEIGHT_ROW, np.uint8), LAPLACE)


def get_tuning(decoder: SymbolDecoder, count: int) -> Tuning:
    """Read the tuning of a phase with ``count`` terms; :class:`CorruptError` for what is not written."""
    kind = int(decoder.get_bits(1, _KIND_BITS)[0])
    if kind == _NONE:
        return Tuning()
    change = int(decoder.get(np.array([_CHANGE_ROW], np.uint8), LAPLACE)[0])
    if kind > _WEIGHTS or abs(change) > LARGEST_CHANGE or (kind == _CHANGE and not change):
        raise CorruptError(f"tuning of kind {kind} with a change of {change}")
    if kind == _CHANGE:
        return Tuning(change=change)
    weights = decoder.get(np.full(count, _WEIGHT_ROW, np.uint8), LAPLACE)
    if np.abs(weights).max() > LARGEST_WEIGHT:
        raise CorruptError(f"weights up to {np.abs(weights).max()}, {LARGEST_WEIGHT} is the largest")
    return Tuning(tuple(weights.tolist()), change)


class Taker:
    """The decoder's end."""

    def __init__(self, decoder: SymbolDecoder) -> None:
        self.decoder = decoder

    def tuned(self, sight: Sight) -> Expected:
        """See :class:`nfcodec.dyadic.code.Exchange`."""
        count = term_count(sight.number, base=sight.level.base is not None)
        return sight.expected(get_tuning(self.decoder, count) if sight.tunable else Tuning())

    def symbols(self, where: Where, expected: Expected) -> Doubles:  # noqa: ARG002 (all are read in order)
        """See :class:`nfcodec.dyadic.code.Exchange`."""
        rows, sign = expected.tables
        found = self.decoder.get(rows, LOGISTIC).astype(np.float64)
        return np.where(sign, -found, found)
