"""Random SIREN parameters to begin with (Sitzmann et al. 2020, §3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from nfcodec.modules.siren import tensors
from nfcodec.modules.spec import FieldSpec


def init_bound(spec: FieldSpec, layer: int) -> float:
    """Half-width of the uniform initialization of a layer: 1/fan_in first, then sqrt(6/fan_in)/w0."""
    if layer == 0:
        return 1.0 / spec.axes
    return float((6.0 / spec.width) ** 0.5 / spec.w0)


def init_params(spec: FieldSpec, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random parameters without a module axis; biases share the bound of their weights."""
    out: dict[str, Tensor] = {}
    for t in tensors(spec):
        bound = init_bound(spec, int(t.name.split(".")[0]))
        uniform = torch.rand(t.shape, generator=generator, dtype=torch.float64) * 2 - 1
        out[t.name] = (uniform * bound).to(dtype)
    return out
