"""The encoder's end of the stream: symbols from samples, and the tuning that saves most.

Weights come from least squares over what a decoder knows at that point. A sample with a large scale is expected to be
far off, so its error counts less: the sum of squared errors in units of their scales is what a code with these scales
pays for.
"""

from __future__ import annotations

import numpy as np

from nfcodec.dyadic.code import Expected, Sight, Tuning, Where
from nfcodec.dyadic.exchange import LARGEST_WEIGHT, put_tuning
from nfcodec.dyadic.features import WEIGHT_UNIT
from nfcodec.entropy import logistic
from nfcodec.entropy.coder import LOGISTIC, SymbolEncoder
from nfcodec.types import Doubles, Ints

_RIDGE = 1e-3
_TRIED = range(-10, 11)  # changes of scales, in quarters of an octave
_TRIAL = 4096  # samples on which these are tried
_BITS_PER_WEIGHT, _BITS_PER_CHANGE = 5.5, 4.5


class Giver:
    """Codes ``planes`` (N, h, w), in units. ``tune``: look for tunings."""

    def __init__(self, planes: Doubles, encoder: SymbolEncoder, *, tune: bool = True) -> None:
        self.planes, self.encoder, self.tune = planes, encoder, tune

    def tuned(self, sight: Sight) -> Expected:
        """See :class:`nfcodec.dyadic.code.Exchange`."""
        if not sight.tunable:
            return sight.expected(Tuning())
        tuning, expected = self._chosen(sight) if self.tune else (Tuning(), sight.expected(Tuning()))
        put_tuning(self.encoder, tuning)
        return expected

    def symbols(self, where: Where, expected: Expected) -> Doubles:
        """See :class:`nfcodec.dyadic.code.Exchange`."""
        found = self._steps(where, expected)
        rows, sign = expected.tables
        self.encoder.put(np.where(sign, -found, found).astype(np.int64), rows, LOGISTIC)
        return found

    def _steps(self, where: Where, expected: Expected) -> Doubles:
        return np.asarray(np.rint((where.of(self.planes) - expected.centre) / expected.step))

    def _chosen(self, sight: Sight) -> tuple[Tuning, Expected]:
        """The tuning that makes the phase smallest, and what is expected with it."""
        weights = fitted_weights(sight, sight.where.of(self.planes))
        options: list[tuple[float, Tuning, Expected]] = []
        for some in ((), weights) if any(weights) else ((),):
            expected = sight.expected(Tuning(some))
            found = self._steps(sight.where, expected).astype(np.int64)
            change = _best_change(found, expected)
            for tried in dict.fromkeys((0, change)):
                extra = _BITS_PER_WEIGHT * len(some) + (_BITS_PER_CHANGE if some or tried else 0.0)
                bits = _bits(found, expected.changed(tried)) + extra
                options.append((bits, Tuning(some, tried), expected.changed(tried)))
        _, tuning, expected = min(options, key=lambda option: option[0])
        return tuning, expected


def _bits(symbols: Ints, expected: Expected) -> float:
    scale = np.clip(expected.scale, 0, logistic.SCALES - 1)
    return float(logistic.bits(symbols, scale, expected.fraction).sum(dtype=np.float64))


def _best_change(symbols: Ints, expected: Expected) -> int:
    """Of all scales, as told by some of the samples."""
    some = slice(None, None, max(1, len(symbols) // _TRIAL))
    few = Expected(expected.centre[some], expected.scale[some], expected.fraction[some], expected.step)
    return min(_TRIED, key=lambda change: (_bits(symbols[some], few.changed(change)), abs(change)))


def fitted_weights(sight: Sight, wanted: Doubles) -> tuple[int, ...]:
    """Weights of the terms, in 64ths, with which predictions are nearest to the samples ``wanted`` (n,)."""
    size = len(sight.looked[0].terms)
    square, product, start = np.zeros((size, size)), np.zeros(size), 0
    for part, seen in zip(sight.looked, sight.untuned, strict=True):
        stop = start + len(part.predicted)
        scale = seen.scale + part.setting.step / 4.0
        weighted = part.terms / (2.0 * scale)
        square += weighted @ weighted.T
        product += weighted @ ((wanted[start:stop] - part.predicted) / scale)
        start = stop
    ridge = _RIDGE * (np.trace(square) / size + 1e-9)
    found = np.linalg.solve(square + ridge * np.eye(size), product)
    return tuple(np.clip(np.rint(found * WEIGHT_UNIT), -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(int).tolist())
