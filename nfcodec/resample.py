"""Reduction without aliasing: the field is sampled k times as densely as asked, then low-passed and thinned.

The filter is a Lanczos window of three lobes at the output rate. It runs over samples of the field, at
whatever density the output needs, so it is an integral over the footprint of an output sample and not a
resampled picture.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nfcodec.types import Floats

LOBES = 3


def density(scale: float) -> int:
    """Samples of the field per output sample along one axis, so that none of its detail is skipped.

    Whole reductions take the native samples themselves. At odd scales one sample per native one is not enough:
    a pattern of alternating samples beats with the grid; so half as many again.
    """
    ratio = 1.0 / scale
    if ratio <= 1.0 + 1e-9:
        return 1
    whole = round(ratio)
    return whole if abs(ratio - whole) < 1e-6 * ratio else math.ceil(1.5 * ratio)


def taps(k: int) -> int:
    """Length of the filter: odd where k is odd, so that it is centred on the k samples of an output sample."""
    return 2 * LOBES * k - k % 2


@lru_cache(maxsize=32)
def kernel(k: int) -> Floats:
    """Weights (taps,) of consecutive field samples around one output sample; they add up to one."""
    offset = (np.arange(taps(k)) - (taps(k) - 1) / 2.0) / k
    weights = np.sinc(offset) * np.sinc(offset / LOBES)
    return np.asarray(weights / weights.sum(), np.float32)


def thin(values: Floats, axis: int, k: int) -> Floats:
    """Low-pass and keep every k-th sample along ``axis``; the border repeats. Length n·k becomes n."""
    if k == 1:
        return values
    thinner = Thinner(k)
    moved = np.moveaxis(values, axis, 0)
    out = np.concatenate([thinner.push(moved), thinner.finish()])
    return np.moveaxis(out, 0, axis)


def interpolate(values: Floats, axis: int, at: npt.NDArray[np.float64]) -> Floats:
    """Values at positions ``at`` along one axis, sample i being at i + ½, by a Lanczos kernel; the border repeats.

    Exact at the samples themselves.
    """
    places, weights = _lanczos(at, values.shape[axis])
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    out = np.zeros((*values.shape[:axis], len(at), *values.shape[axis + 1 :]), np.float32)
    for place, weight in zip(places.T, weights.T, strict=True):
        out += np.take(values, place, axis) * weight.reshape(shape)
    return out


def interpolate_points(values: Floats, at: npt.NDArray[np.float64]) -> Floats:
    """Values (N, C) of a plane (h, w, C) at positions ``at`` (N, 2); as :func:`interpolate` along both axes."""
    (y, down), (x, across) = (_lanczos(at[:, axis], values.shape[axis]) for axis in (0, 1))
    return np.asarray(np.einsum("ni,nj,nijc->nc", down, across, values[y[:, :, None], x[:, None]]))


def _lanczos(at: npt.NDArray[np.float64], size: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """The samples (N, 6) of an axis of ``size`` that positions (N,) are made of, and their weights."""
    first = np.floor(at - 0.5).astype(np.int64) - (LOBES - 1)
    taps = np.arange(2 * LOBES)
    offset = (at - 0.5 - first)[:, None] - taps
    weights = np.sinc(offset) * np.sinc(offset / LOBES)
    places = np.clip(first[:, None] + taps, 0, size - 1)
    return places, (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


class Thinner:
    """:func:`thin` along the first axis of a signal that arrives in blocks."""

    def __init__(self, k: int) -> None:
        self.k = k
        self._margin = (taps(k) - k) // 2
        self._buffer: Floats | None = None
        self._last: Floats | None = None

    def push(self, rows: Floats) -> Floats:
        """Take rows (n, …), give the output rows (m, …) that they complete."""
        if self.k == 1:
            return rows
        if self._buffer is None:
            rows = np.concatenate([np.repeat(rows[:1], self._margin, 0), rows])
            self._buffer = rows[:0]
        self._last = rows[-1:]
        self._buffer = np.concatenate([self._buffer, rows])
        return self._drain()

    def finish(self) -> Floats:
        """The rows that were waiting for what follows the end."""
        if self.k == 1 or self._buffer is None or self._last is None:
            return np.zeros((0,), np.float32) if self._buffer is None else self._buffer[:0]
        self._buffer = np.concatenate([self._buffer, np.repeat(self._last, self._margin, 0)])
        return self._drain()

    def _drain(self) -> Floats:
        assert self._buffer is not None
        weights = kernel(self.k)
        ready = (len(self._buffer) - len(weights)) // self.k + 1
        if ready <= 0:
            return self._buffer[:0]
        out = np.zeros((ready, *self._buffer.shape[1:]), np.float32)
        for i, w in enumerate(weights):
            out += w * self._buffer[i : i + (ready - 1) * self.k + 1 : self.k]
        self._buffer = self._buffer[ready * self.k :]
        return out
