"""D of a region, forward and back: symbols to last layers, and slopes towards these to slopes towards the symbols.

Written out instead of recorded by autograd, which keeps half a gigabyte for a region of 128 × 128 cells: what the way
back needs is kept in small numbers. Rounding passes slopes straight through. The convolutions are torch's
(:class:`~nfcodec.lattice.fit.tensors.Convolved`), hence what comes out is for estimates, not for what is decoded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.blas import single_threaded
from nfcodec.entropy.networks import Layer
from nfcodec.lattice import restore, steps
from nfcodec.lattice.fit.tensors import Convolved
from nfcodec.lattice.fit.window import Canvas
from nfcodec.lattice.init import Level
from nfcodec.lattice.space import strips
from nfcodec.lattice.synthesis import entered
from nfcodec.types import Floats, Symbols

Shorts = npt.NDArray[np.int16]

_BEYOND = restore.LARGEST_STREAM + 1


@dataclass(frozen=True, slots=True)
class Passed:
    """What the way back through D needs of the way forward: the ``streams`` (width, *cells) before they were clipped,
    as far as one beyond the bound, and which outputs (P·K, *cells) were within it."""

    streams: tuple[Shorts, ...]
    free: npt.NDArray[np.bool_]


class Through:
    """D of a level at a quality."""

    def __init__(self, level: Level, quality: int) -> None:
        self.level, self.d, self.quality = level, level.restore, quality
        blocks = [Layer(torch.from_numpy(b.weight), torch.from_numpy(b.bias), b.shift) for b in self.d.blocks]
        self._blocks = [(Convolved.kernel(b, level.spec.axes), b.shifted[1]) for b in blocks]

    # -- forward -----------------------------------------------------------------------------------------
    @torch.no_grad()
    @single_threaded
    def forward(self, symbols: Symbols, sizes: Floats, canvas: Canvas) -> tuple[Tensor, Passed]:
        """What the canvas shows of symbols (P, K, *cells) with steps ``sizes``, (P, K) or (P, K, *cells)."""
        stream, cells = entered(self.d, symbols, self.quality), symbols.shape[2:]
        kept = [_shortened(stream)]
        for kernel, bias in self._blocks:
            _clip(stream, restore.LARGEST_STREAM)
            wide = restore.repeated_border(torch.from_numpy(restore.activated(stream, len(cells))), len(cells))
            around = (F.conv1d, F.conv2d, F.conv3d)[len(cells) - 1](wide[None], kernel)[0].flatten(1)
            stream += around.add_(bias).floor_().numpy().reshape(stream.shape)
            kept.append(_shortened(stream))
        free = np.empty((self.level.spec.coded, *cells), bool)
        _clip(stream, restore.LARGEST_STREAM)
        active = restore.activated(stream, len(cells))
        del stream
        shown = canvas.of_strips(self._layers(symbols, sizes, active, free))
        return shown, Passed(tuple(kept), free)

    def _layers(
        self, symbols: Symbols, sizes: Floats, active: Floats, free: npt.NDArray[np.bool_]
    ) -> Iterator[Tensor]:  # fmt: skip
        """Strip by strip the last layers (P·K, *cells); fills in which outputs of D are ``free``."""
        lead = (-1, *(1 for _ in symbols.shape[2:]))
        base = None if self.level.offset is None else self.level.offset.astype(np.float32).reshape(lead)
        for rows in strips(symbols.shape[2:]):
            some = active[:, rows]
            out = self.d.leave(some.reshape(len(some), -1)).reshape(-1, *some.shape[1:])
            free[:, rows] = np.abs(out) <= restore.LARGEST_OUTPUT
            _clip(out, restore.LARGEST_OUTPUT)
            q = symbols[:, :, rows].astype(np.float32).reshape(out.shape)
            weights = steps.weights(q, out, _of_strip(sizes, rows, lead), base)
            yield torch.from_numpy(weights * np.float32(steps.WEIGHT_UNIT))

    # -- back --------------------------------------------------------------------------------------------
    @torch.no_grad()
    @single_threaded
    def slopes(self, passed: Passed, symbols: Symbols, sizes: Floats, towards: Tensor) -> Floats:
        """Slopes (P, K, *cells) of what has the slopes ``towards`` (P·K, *cells) the last layers that symbols make;
        ``towards`` is lost. Last layers that saturate count as if they did not."""
        found = towards.numpy()
        lead, cells = (-1, *(1 for _ in symbols.shape[2:])), symbols.shape[2:]
        stream = np.empty(passed.streams[-1].shape, np.float32)
        for rows in strips(cells):
            found[:, rows] *= _of_strip(sizes, rows, lead)
            out = found[:, rows] * np.float32(1.0 / restore.UNIT) * passed.free[:, rows]
            stream[:, rows] = _back_alone(self.d.leave, out) * _activation_slopes(passed.streams[-1][:, rows])
        kept = list(passed.streams)
        for kernel, _ in reversed(self._blocks):
            _stop(stream, kept.pop())
            around = _back_around(kernel, torch.from_numpy(stream)).numpy()
            for rows in strips(cells):
                stream[:, rows] += around[:, rows] * _activation_slopes(kept[-1][:, rows])
        _stop(stream, kept.pop())
        result = found.reshape(symbols.shape)
        self._add_inputs(result, symbols, stream)
        return result

    def _add_inputs(self, found: Floats, symbols: Symbols, stream: Floats) -> None:
        """Add the slopes towards symbols that come from those towards the first stream (width, *cells)."""
        planes, bases, *cells = symbols.shape
        offsets = [o for o in itertools.product(range(3), repeat=len(cells)) if set(o) != {1}]
        means = restore.repeated_border(symbols[:, 0], len(cells))
        wide = np.zeros((planes, *(n + 2 for n in cells)), np.float32)
        for rows in strips(tuple(cells)):
            slopes = _back_alone(self.d.enter, stream[:, rows])
            own = slopes[: planes * (bases - 1)].reshape(planes, bases - 1, *slopes.shape[1:])
            found[:, 1:, rows] += own * _compand_slopes(symbols[:, 1:, rows])
            for i, offset in enumerate(offsets):
                at = [slice(o, o + n) for o, n in zip(offset, cells, strict=True)]
                at[0] = slice(rows.start + offset[0], rows.stop + offset[0])
                first = planes * (bases - 1 + i)
                difference = means[(slice(None), *at)] - symbols[:, 0, rows]
                slope = slopes[first : first + planes] * _compand_slopes(difference)
                wide[(slice(None), *at)] += slope
                found[:, 0, rows] -= slope
        found[:, 0] += _folded(torch.from_numpy(wide)).numpy()


def _of_strip(sizes: Floats, rows: slice, lead: tuple[int, ...]) -> Floats:
    """Step sizes (P·K, *cells) of some rows, or (P·K, 1, …)."""
    if sizes.ndim == 2:
        return sizes.reshape(lead)
    some = sizes[:, :, rows]
    return some.reshape(-1, *some.shape[2:])


def _shortened(stream: Floats) -> Shorts:
    """A stream as far as one beyond its bound."""
    return np.clip(stream, -_BEYOND, _BEYOND).astype(np.int16)


def _clip(x: Floats, largest: int) -> None:
    np.clip(x, -largest, largest, out=x)


def _stop(slopes: Floats, stream: Shorts) -> None:
    """No slope goes through what was cut off."""
    for rows in strips(slopes.shape[1:]):
        slopes[:, rows] *= np.abs(stream[:, rows]) < _BEYOND


def _back_alone(layer: Layer, slopes: Floats) -> Floats:
    """Slopes towards the inputs (C, *cells) of a layer on each cell alone."""
    weight: Floats = layer.shifted[0]
    found: Floats = weight.T @ slopes.reshape(len(slopes), -1)
    return found.reshape(-1, *slopes.shape[1:])


def _back_around(kernel: Tensor, slopes: Tensor) -> Tensor:
    """Slopes towards the activations (width, *cells) that a block saw, the border repeated."""
    axes = slopes.ndim - 1
    return _folded((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1](slopes[None], kernel)[0])


def _folded(wide: Tensor) -> Tensor:
    """(…, *cells) of what has one more cell on every side, which repeats the border."""
    for axis in range(1, wide.ndim):
        n = wide.shape[axis]
        inner = wide.narrow(axis, 1, n - 2).clone()
        inner.narrow(axis, 0, 1).add_(wide.narrow(axis, 0, 1))
        inner.narrow(axis, n - 3, 1).add_(wide.narrow(axis, n - 1, 1))
        wide = inner
    return wide


def _activation_slopes(stream: Shorts) -> Floats:
    """Slopes of :func:`nfcodec.lattice.restore.activation`; 0 at its bound, which no stream below zero reaches."""
    bound = restore.STREAM * (restore.LARGEST_ACTIVATION + 0.5)
    at = np.array([restore.SLOPE, 0.5 + 0.5 * restore.SLOPE, 1.0], np.float32) / np.float32(restore.STREAM)
    rectified: Floats = np.where(stream > 0, at[2], np.where(stream < 0, at[0], at[1]))
    rectified *= stream < bound
    return rectified


@lru_cache(maxsize=1)
def _compand_table() -> Floats:
    """Slopes of :func:`nfcodec.lattice.restore.compand` at 0 … 4095."""
    with torch.enable_grad():
        x = torch.arange(4096.0, dtype=torch.float32, requires_grad=True)
        (slopes,) = torch.autograd.grad(restore.compand(x).sum(), x)
    found: Floats = slopes.numpy()
    return found


def _compand_slopes(values: Symbols) -> Floats:
    table = _compand_table()
    found: Floats = table.take(np.minimum(np.abs(values), len(table) - 1))
    return found
