"""Random parameters to begin with, as each field's paper draws them."""

from __future__ import annotations

import torch
from torch import Tensor

from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec, TensorSpec


def init_bound(spec: FieldSpec, layer: int) -> float:
    """Half-width of the uniform initialization of a SIREN's layer: 1/fan_in first, then sqrt(6/fan_in)/w0
    (Sitzmann et al. 2020, §3.2)."""
    if layer == 0:
        return 1.0 / spec.axes
    return float((6.0 / spec.width) ** 0.5 / spec.w0)


def _bound(spec: FieldSpec, tensor: TensorSpec, layer: int, fan_in: int) -> float:
    if spec.kind == "siren":
        return init_bound(spec, layer)  # biases share the bound of their weights
    if spec.kind == "fourier" and layer < spec.depth:
        # ReLU halves the variance of what it passes (He et al. 2015, §2.2); biases begin at zero.
        return 0.0 if tensor.role == "bias" else float((6.0 / fan_in) ** 0.5)
    return float(fan_in**-0.5)


def init_params(spec: FieldSpec, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random parameters without a module axis."""
    out: dict[str, Tensor] = {}
    fan_in = 1
    for t in field_kind(spec.kind).tensors(spec):
        fan_in = t.shape[0] if t.role == "weight" else fan_in
        uniform = torch.rand(t.shape, generator=generator, dtype=torch.float64) * 2 - 1
        out[t.name] = (uniform * _bound(spec, t, int(t.name.split(".")[0]), fan_in)).to(dtype)
    return out
