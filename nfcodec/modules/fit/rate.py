"""Rates as training and the encoder's estimates take them."""

from __future__ import annotations

import torch
from torch import Tensor


def laplace_bits(x: Tensor, log_scale: Tensor) -> Tensor:
    """−log2 of the probability that a Laplace variable of scale exp(log_scale) falls within ±½ of x.

    Exact in the tails: a clamped probability has no gradient there and freezes outliers.
    """
    b = log_scale.clamp(-3.5, 9.0).exp()
    a = x.abs()
    tail = -0.6931472 - (a - 0.5) / b + torch.log(-torch.expm1(-1.0 / b))
    inside = 1.0 - 0.5 * (torch.exp(-(0.5 - a).clamp_min(0.0) / b) + torch.exp(-(0.5 + a) / b))
    return -torch.where(a > 0.5, tail, torch.log(inside.clamp_min(1e-9))) / 0.6931472
