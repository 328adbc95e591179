"""What a picture shows between its samples: a second, uncoded lattice of spacing one.

Every sample is a cell of it that owns four weights, one for each point a quarter of a spacing off its centre; the
functions are the tents of linear interpolation between these points. A small convolutional network X reads the
weights off the picture at its own size (sub-pixel convolution, Shi et al. 2016), so they cost no bits, and the
picture at its own size stays as it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Params = dict[str, Tensor]
Floats = npt.NDArray[np.float64]

_MEAN = 4  # half the side of the square whose mean is taken off first
_BLOCKS = 2
REACH = _MEAN + 2 + _BLOCKS + 1  # samples that X sees on each side


def detail_shapes(width: int, qualities: int) -> dict[str, tuple[int, ...]]:
    """Tensors of X with ``width`` channels; biases follow the quality."""
    shapes: dict[str, tuple[int, ...]] = {"in.weight": (width, 1, 5, 5), "in.bias": (qualities, width)}
    for i in range(_BLOCKS):
        shapes |= {f"{i}.weight": (width, width, 3, 3), f"{i}.bias": (qualities, width)}
    return shapes | {"out.weight": (4, width, 3, 3), "out.bias": (4,)}


def _filtered(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution that keeps the size; the border is repeated."""
    margin = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (margin,) * 4, mode="replicate"), weight, bias)


def detail(params: Params, plane: Tensor, hats: Tensor) -> Tensor:
    """Weights (N, 1, 2H, 2W), in place, of planes (N, 1, H, W) at a quality with features (Q,)."""
    mean = F.avg_pool2d(F.pad(plane, (_MEAN,) * 4, mode="replicate"), 2 * _MEAN + 1, 1)
    h = F.leaky_relu(_filtered(plane - mean, params["in.weight"], hats @ params["in.bias"]), 0.1)
    for i in range(_BLOCKS):
        h = h + F.leaky_relu(_filtered(h, params[f"{i}.weight"], hats @ params[f"{i}.bias"]), 0.1)
    return F.pixel_shuffle(_filtered(h, params["out.weight"], params["out.bias"]), 2)


def between(weights: Tensor, origin: tuple[int, int], positions: list[Floats]) -> Tensor:
    """The detail on the grid of native positions, from weights (2H, 2W) of the samples from ``origin`` on."""
    for axis, (first, where) in enumerate(zip(origin, positions, strict=True)):
        n = weights.shape[axis]
        at = np.clip(2.0 * (where - first) - 0.5, 0, n - 1)
        low = np.minimum(at.astype(np.int64), n - 2)
        share = torch.from_numpy((at - low).astype(np.float32)).reshape((-1, 1) if axis == 0 else (1, -1))
        below = weights.index_select(axis, torch.from_numpy(low))
        above = weights.index_select(axis, torch.from_numpy(low + 1))
        weights = below + share * (above - below)
    return weights
