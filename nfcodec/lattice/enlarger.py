"""X (:func:`nfcodec.lattice.enlarge.detail`) without gradients, tile by tile: memory is not what it waits for.

What is shown is the mean of what X makes of a picture and of its transpose, turned back: errors of its own that it does
not make both times are halved (Timofte et al. 2016, "enhanced prediction").

Numbers lie row by row, in a row channel by channel, as in :mod:`nfcodec.lattice.squares`: columns of samples above each
other are matrices in place, and products with them are small enough for kernels that copy nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nfcodec.lattice.enlarge import SLOPE, colourful, detail_size, less_means, reach
from nfcodec.parallel import every
from nfcodec.types import Floats, Span

# With what is seen around it 206 samples wide, and 40 · 120 · 206 is just within what those kernels take.
_TILE = 176


class Enlarger:
    """X at a quality with features ``hats`` (Q,); it sees the first of planes and adds to the first ``shown`` ones."""

    def __init__(self, params: Mapping[str, Floats], hats: Floats) -> None:
        _, blocks, self.seen, self.shown = detail_size(params)
        self.reach = reach(params)
        biases = {name: hats @ params[f"{name}.bias"] for name in ("in", *map(str, range(blocks)))}
        biases["out"] = params["out.bias"]
        self._first, *self._blocks, self._last = (_Columns.of(params[f"{n}.weight"], b) for n, b in biases.items())

    def __call__(self, planes: Floats) -> Floats:
        """Weights (S, 2H, 2W), in place, of planes (P, H, W)."""
        size = planes.shape[1:]
        out = np.empty((self.shown, 2 * size[0], 2 * size[1]), np.float32)

        def fill(corner: tuple[int, ...]) -> None:
            own = [(a, min(a + _TILE, n)) for a, n in zip(corner, size, strict=True)]
            seen = [(max(0, a - self.reach), min(n, b + self.reach)) for (a, b), n in zip(own, size, strict=True)]
            found = self._tile(planes[(slice(self.seen), *(slice(*span) for span in seen))])
            out[_twice(own, (0, 0))] = found[_twice(own, [a for a, _ in seen])]

        every(fill, itertools.product(*(range(0, n, _TILE) for n in size)))
        return out

    def _tile(self, planes: Floats) -> Floats:
        """Weights (S, 2h, 2w) of planes (P, h, w)."""
        turned = self._as_it_lies(planes.transpose(0, 2, 1)).transpose(0, 2, 1)
        return 0.5 * (self._as_it_lies(planes) + turned)

    def _as_it_lies(self, planes: Floats) -> Floats:
        x = _active(self._first(less_means(planes).transpose(1, 0, 2)))
        for layer in self._blocks:
            x += _active(layer(x))
        out = self._last(x)
        if self.shown > 1:
            out[:, 4:] *= colourful(planes[None])[0].transpose(1, 0, 2)
        height, _, width = out.shape
        return out.reshape(height, -1, 2, 2, width).transpose(1, 0, 2, 4, 3).reshape(-1, 2 * height, 2 * width)


@dataclass(frozen=True)
class _Columns:
    """A convolution by columns of samples: ``weights`` (k, F, k · C) of each, from the left; ``bias`` (F, 1)."""

    weights: Floats
    bias: Floats

    @classmethod
    def of(cls, weight: Floats, bias: Floats) -> _Columns:
        """That of a weight (F, C, k, k) and a bias (F,)."""
        parts = weight.transpose(3, 0, 2, 1).reshape(weight.shape[-1], len(weight), -1)
        return cls(np.ascontiguousarray(parts, np.float32), bias[:, None].astype(np.float32))

    def __call__(self, x: Floats) -> Floats:
        """(h, F, w) of (h, C, w); the border is repeated."""
        (height, channels, width), side = x.shape, len(self.weights)
        wide = np.pad(np.ascontiguousarray(x), ((side // 2,) * 2, (0, 0), (side // 2,) * 2), "edge")
        rows, row, one = wide.strides
        out = np.empty((height, len(self.bias), width), np.float32)
        room = np.empty_like(out)
        for i, weight in enumerate(self.weights):
            columns = np.ndarray((height, side * channels, width), np.float32, wide, i * one, (rows, row, one))
            np.matmul(weight, columns, out=room if i else out)
            out += room if i else self.bias
        return out


def _active(x: Floats) -> Floats:
    """:func:`nfcodec.lattice.enlarge.leaky`, in place."""
    np.maximum(x, SLOPE * x, out=x)
    return x


def _twice(spans: Sequence[Span], zero: Sequence[int]) -> tuple[slice, ...]:
    """Where the weights of samples in spans of rows and of columns are, among those of samples from ``zero`` on."""
    return (slice(None), *(slice(2 * (a - z), 2 * (b - z)) for (a, b), z in zip(spans, zero, strict=True)))
