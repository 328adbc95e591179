"""Where arrays of an init become tensors: for what fits and trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.entropy.networks import Layer
from nfcodec.entropy.rounding import floor
from nfcodec.lattice.init import Level
from nfcodec.lattice.restore import Restore, repeated_border


def tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    """Named arrays as tensors that share their memory; tensors stay what they are."""
    return {name: torch.as_tensor(array) for name, array in arrays.items()}


class Convolved(Restore):
    """D on tensors by torch's convolutions: half the time of gathered products where gradients are asked for.

    Their sums are those of whole numbers as long as torch does not transform its inputs, which nothing promises: for
    estimates, not for what is decoded.
    """

    def around(self, block: Layer, active: Tensor, axes: int) -> Tensor:
        """The outputs (…, width, cells) of a block for activations (…, width, *cells)."""
        bias, kernel = block.shifted[1], self.kernel(block, axes)
        first = active.ndim - axes - 1
        wide = repeated_border(active.reshape(-1, *active.shape[first:]), axes)
        out = (F.conv1d, F.conv2d, F.conv3d)[axes - 1](wide, kernel)
        found: Tensor = floor(out.reshape(*active.shape[: first + 1], -1) + bias)
        return found

    @staticmethod
    def kernel(block: Layer, axes: int) -> Tensor:
        """The weights of a block as those of a convolution (width, width, 3, …)."""
        weight: Tensor = block.shifted[0]
        return weight.reshape(len(weight), *(3,) * axes, -1).movedim(-1, 1)


def on_torch(level: Level) -> Level:
    """The level with a D that takes tensors."""
    layers = {name: _layer(layer) for name, layer in level.restore.layers.items()}
    return replace(level, restore=Convolved.of(layers))


def _layer(layer: Layer) -> Layer:
    return Layer(torch.from_numpy(layer.weight), torch.from_numpy(layer.bias), layer.shift)
