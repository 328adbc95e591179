"""Where arrays of an init become tensors: for what fits and trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


def tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    """Named arrays as tensors that share their memory; tensors stay what they are."""
    return {name: torch.as_tensor(array) for name, array in arrays.items()}
