"""Training to look well: where it starts, and what it asks for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.lattice import order
from nfcodec.lattice.init import Level
from nfcodec.lattice.order import order_of
from nfcodec.lattice.steps import OCTAVE
from nfcodec.lattice.train.config import PerceptionConfig
from nfcodec.lattice.train.perception import score

# The rest of the training keeps these as they are: both tunes share them.
SHARED = ("trunk", "analysis")


def points_lost(config: PerceptionConfig, shown: Tensor, values: Tensor, quality: Tensor) -> Tensor:
    """What lacks to a perfect score (N,), in e-folds of the rate at qualities (N,)."""
    slope = config.slope_low + (config.slope_high - config.slope_low) * quality / 100.0
    return (100.0 - score(*(_colours(x) for x in (values, shown)))) / slope


def _colours(values: Tensor) -> Tensor:
    """Values (N, 3, H, W) of those with one or three channels."""
    return values.expand(-1, 3, -1, -1)


def started(config: PerceptionConfig, level: Level) -> dict[str, Tensor]:
    """Steps and masking of a level whose perceptual tune is not trained yet."""
    log_step = level.log_step.astype(np.float64) / OCTAVE
    shape = log_step.shape
    found = _finer(config, log_step)
    sums = np.array(order_of(level.spec).frequencies).sum(1)
    found += np.log2(1.0 + (config.highest - 1.0) * sums / sums.max())
    found[:, 1:] += np.log2(config.chroma)
    gains = np.full(shape, config.masking)
    gains[:, :, 0] = 0.0
    return {"log_step": _float(found), "masking": _float(gains)}


def _finer(config: PerceptionConfig, log_step: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Steps of the anchors (8, …) at higher qualities; those beyond 100 go on as they did before it."""
    at = np.linspace(0.0, 100.0, order.QUALITY_LEVELS)
    wanted = at + config.finer_low + (config.finer_high - config.finer_low) * at / 100.0
    flat = log_step.reshape(len(at), -1)
    slopes = (flat[-1] - flat[-2]) / (at[-1] - at[-2])
    inside = np.stack([np.interp(np.minimum(wanted, 100.0), at, column) for column in flat.T], 1)
    beyond = np.maximum(wanted - 100.0, 0.0)[:, None] * slopes
    found: npt.NDArray[np.float64] = (inside + beyond).reshape(log_step.shape)
    return found


def _float(values: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
