"""Where arrays of an init become tensors: for what fits and trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.entropy.networks import Layer
from nfcodec.lattice.init import Level
from nfcodec.lattice.restore import Restore


def tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    """Named arrays as tensors that share their memory."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def on_torch(level: Level) -> Level:
    """The level with a D that takes tensors."""
    layers = {name: _layer(layer) for name, layer in level.restore.layers.items()}
    return replace(level, restore=Restore.of(layers))


def _layer(layer: Layer) -> Layer:
    return Layer(torch.from_numpy(layer.weight), torch.from_numpy(layer.bias), layer.shift)
