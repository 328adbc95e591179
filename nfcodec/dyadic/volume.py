"""Arrays of one to three axes as planes: a line is a plane of one row, a volume a chain of planes.

The planes of a volume become known from coarse to fine, too: the first, then those half-way between two known ones, all
of a spacing side by side. What lies between known planes is a second prediction of all its samples, beside that from
their neighbours in the plane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nfcodec.dyadic.code import Exchange, Scheme, walk
from nfcodec.dyadic.init import DyadicInit
from nfcodec.dyadic.order import spacings
from nfcodec.types import Doubles, Indices, Mask

ExchangeOf = Callable[[Indices], Exchange]


def as_planes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Planes, rows and columns of an array."""
    return (*(1,) * (3 - len(shape)), *shape)  # type: ignore[return-value]


def decode_planes(init: DyadicInit, scheme: Scheme, coded: Mask, exchange_of: ExchangeOf) -> Doubles:
    """Values (N, h, w) of all samples that are ``coded`` (N, h, w), in units; ``exchange_of`` says where symbols of
    some of the planes come from or go to."""
    values = np.empty(coded.shape)
    for planes, t in _order(len(coded)):
        base = _between(values, planes, t) if t else None
        found = walk(init, scheme, base, coded[planes], exchange_of(planes))
        # What is not coded is expected like what is around it in the chain.
        values[planes] = np.where(coded[planes], found, scheme.top // 2 if base is None else base)
    return values


def _order(count: int) -> Iterator[tuple[Indices, int]]:
    """Planes that are coded side by side, and how far those lie from the known ones; 0 for the first plane."""
    yield np.zeros(1, np.int64), 0
    for t in spacings(count):
        yield np.arange(t, count, 2 * t), t


def _between(values: Doubles, planes: Indices, t: int) -> Doubles:
    """Interpolation along the chain, by cubic polynomials where four planes are known, in whole units."""
    after, beyond = planes + t < len(values), planes + 3 * t < len(values)
    cubic = beyond & (planes >= 3 * t)
    base = values[planes - t]
    base[after] = (base[after] + values[planes[after] + t]) / 2.0
    inner, outer = planes[cubic], 3 * t
    base[cubic] = (18.0 * base[cubic] - values[inner - outer] - values[inner + outer]) / 16.0
    return np.rint(base)
