"""What lies between samples: cubic polynomials through four of them along each axis (Lagrange)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nfcodec.types import Doubles, Indices, Ints, Positions

_TAPS = 4


@dataclass(frozen=True, slots=True)
class Axis:
    """Along one axis, for n positions: the samples ``places`` (n, 4) and their ``weights`` (n, 4), and the ``nearest``
    sample (n,). ``exact``: all positions are centres of samples."""

    places: Indices
    weights: Doubles
    nearest: Indices
    exact: bool

    @classmethod
    def of(cls, positions: Positions, size: int, *, wrap: bool) -> Axis:
        """Of native ``positions`` (sample i is at i + ½) on an axis of ``size`` samples; beyond the border the samples
        there go on, or those of the other side where it ``wrap``s."""
        at = positions - 0.5 if wrap else np.clip(positions - 0.5, 0.0, size - 1.0)
        low = np.floor(at)
        share = (at - low)[:, None]
        first = low.astype(np.int64)[:, None] + np.arange(-1, _TAPS - 1)
        t = share[:, 0]
        weights = np.stack(
            [
                -t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2, -(t + 1) * t * (t - 2) / 2,
                (t + 1) * t * (t - 1) / 6,
            ], 1,
        )  # fmt: skip
        nearest = _within(np.floor(at + 0.5).astype(np.int64), size, wrap=wrap)
        return cls(_within(first, size, wrap=wrap), weights, nearest, bool((share == 0).all()))

    @property
    def span(self) -> tuple[int, int]:
        """The first sample that is needed and one past the last."""
        places = self.nearest if self.exact else self.places
        return int(places.min()), int(places.max()) + 1

    @property
    def whole_span(self) -> tuple[int, int]:
        """As :attr:`span`, for all four samples of each position."""
        return int(min(self.places.min(), self.nearest.min())), int(max(self.places.max(), self.nearest.max())) + 1

    def shifted(self, first: int) -> Axis:
        """The same with samples counted from ``first`` on."""
        return replace(self, places=np.maximum(self.places - first, 0), nearest=self.nearest - first)


def _within(index: Indices, size: int, *, wrap: bool) -> Indices:
    """Samples beyond the border are those at it or, where the axis wraps, on the other side."""
    return index % size if wrap else np.clip(index, 0, size - 1)


def interpolated(
    samples: Ints, axes: Sequence[Axis], numbers: Callable[[Ints], Doubles], written: Callable[[Doubles], Ints]
) -> Ints:  # fmt: skip
    """Samples (n_0, …) on a grid. ``numbers`` makes numbers of samples, NaN of masked ones, ``written`` the reverse."""
    if all(axis.exact for axis in axes):
        for i, axis in enumerate(axes):
            samples = _taken(samples, axis.nearest, i)
        return samples
    values, nearest = numbers(samples), samples
    unknown = np.isnan(values)
    values = np.where(unknown, 0.0, values)
    touched: np.ndarray = unknown
    for i, axis in enumerate(axes):
        values, touched, nearest = _along(values, touched, nearest, axis, i)
    return np.where(touched, nearest, written(values)) if unknown.any() else written(values)


def scattered(samples: Ints, axes: Sequence[Axis], numbers: Callable[[Ints], Doubles]) -> Doubles:
    """Numbers (N,) at N points, each of which has a position on every axis; NaN where the nearest sample is missing."""
    d = len(axes)
    index = tuple(axis.places.reshape(-1, *(_TAPS if j == i else 1 for j in range(d))) for i, axis in enumerate(axes))
    around = numbers(samples[index])
    for axis in reversed(axes):
        around = np.where((axis.weights == 0).reshape(len(around), *(1,) * (around.ndim - 2), _TAPS), 0.0, around)
        around = (around * axis.weights.reshape(len(around), *(1,) * (around.ndim - 2), _TAPS)).sum(-1)
    nearest = numbers(samples[tuple(axis.nearest for axis in axes)])
    return np.where(np.isnan(around), nearest, around)


def _along(
    values: Doubles, touched: np.ndarray, nearest: Ints, axis: Axis, i: int
) -> tuple[Doubles, np.ndarray, Ints]:  # fmt: skip
    shape = [-1 if j == i else 1 for j in range(values.ndim)]
    parts = [np.take(values, axis.places[:, k], i) * axis.weights[:, k].reshape(shape) for k in range(_TAPS)]
    marks = [np.take(touched, axis.places[:, k], i) & (axis.weights[:, k] != 0).reshape(shape) for k in range(_TAPS)]
    return np.sum(parts, 0), np.any(marks, 0), np.take(nearest, axis.nearest, i)


def _taken(samples: Ints, index: Indices, axis: int) -> Ints:
    """The samples of an index, without a copy where they follow one another."""
    start = int(index[0]) if len(index) else 0
    if np.array_equal(index, np.arange(start, start + len(index))):
        return samples[(slice(None),) * axis + (slice(start, start + len(index)),)]
    return np.take(samples, index, axis)
