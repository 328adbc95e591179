"""Slopes back through D: from those towards the last layers to those towards symbols.

Written out instead of recorded by autograd, which keeps half a gigabyte for a region of 128 × 128 cells; rounding
passes slopes straight through.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.entropy.networks import Layer
from nfcodec.lattice import restore
from nfcodec.lattice.fit.tensors import Convolved
from nfcodec.lattice.init import Level
from nfcodec.types import Floats, Symbols


def layer_slopes(level: Level, symbols: Symbols, quality: int, towards: Tensor) -> Floats:
    """Slopes (P, K, *cells) of what has the slopes ``towards`` (P·K, *cells) the last layers that symbols make, for a
    level whose D holds tensors. Last layers that saturate count as if they did not."""
    sizes = torch.from_numpy(level.sizes(symbols, quality).astype(np.float32)).flatten(0, 1)
    own = towards * sizes.reshape(len(sizes), *(sizes.shape[1:] or (1,) * level.spec.axes))
    with torch.enable_grad():
        q = torch.from_numpy(symbols.astype(np.float32)).requires_grad_(True)
        seen = restore.features(q, torch.from_numpy(restore.quality_row(quality)))
        (through,) = torch.autograd.grad(seen, q, _input_slopes(level.restore, seen.detach(), own / restore.UNIT))
    found: Floats = (own.reshape(q.shape) + through).numpy()
    return found


@torch.no_grad()
def _input_slopes(d: restore.Restore, features: Tensor, towards: Tensor) -> Tensor:
    """Slopes towards the inputs (C, *cells) of D, from those towards its outputs (P·K, *cells)."""
    raw = [_alone(d.enter, features)]
    for block in d.blocks:
        stream = _clip(raw[-1])
        around = d.around(block, restore.activation(stream), features.ndim - 1)
        raw.append(stream + around.reshape(stream.shape))
    out = _alone(d.leave, restore.activation(_clip(raw[-1])))
    slopes = _back_alone(d.leave, towards * (out.abs() <= restore.LARGEST_OUTPUT)) * _activation_slopes(_clip(raw[-1]))
    for block in reversed(d.blocks):
        slopes = slopes * (raw.pop().abs() <= restore.LARGEST_STREAM)
        slopes = slopes + _back_around(block, slopes) * _activation_slopes(_clip(raw[-1]))
    return _back_alone(d.enter, slopes * (raw[-1].abs() <= restore.LARGEST_STREAM))


def _alone(layer: Layer, x: Tensor) -> Tensor:
    """A layer on each cell alone: (rows, *cells)."""
    out: Tensor = layer(x.flatten(1))
    return out.reshape(-1, *x.shape[1:])


def _back_alone(layer: Layer, slopes: Tensor) -> Tensor:
    weight: Tensor = layer.shifted[0]
    return (weight.T @ slopes.flatten(1)).reshape(-1, *slopes.shape[1:])


def _back_around(block: Layer, slopes: Tensor) -> Tensor:
    """Slopes towards the activations (width, *cells) that a block saw, the border repeated."""
    axes = slopes.ndim - 1
    kernel = Convolved.kernel(block, axes)
    wide = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1](slopes[None], kernel)[0]
    for axis in range(1, wide.ndim):
        n = wide.shape[axis]
        inner = wide.narrow(axis, 1, n - 2).clone()
        inner.narrow(axis, 0, 1).add_(wide.narrow(axis, 0, 1))
        inner.narrow(axis, n - 3, 1).add_(wide.narrow(axis, n - 1, 1))
        wide = inner
    return wide


def _clip(raw: Tensor) -> Tensor:
    return raw.clamp(-restore.LARGEST_STREAM, restore.LARGEST_STREAM)


def _activation_slopes(stream: Tensor) -> Tensor:
    """Slopes of :func:`nfcodec.lattice.restore.activation`."""
    rectified = torch.where(stream > 0, 1.0, torch.where(stream < 0, restore.SLOPE, 0.5 + 0.5 * restore.SLOPE))
    rectified = rectified.to(stream.dtype)  # plain numbers alone are of the host program's own default type
    # Below zero no stream reaches the bound.
    return rectified / restore.STREAM * (stream < restore.STREAM * (restore.LARGEST_ACTIVATION + 0.5))
