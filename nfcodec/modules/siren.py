"""SIREN: a coordinate network with sine activations (Sitzmann et al. 2020, §3).

Layer l computes h_l = sin(w0 · (h_{l-1} W_l + b_l)); the last layer is linear. Every function takes
parameters with a leading module axis, so that many modules are evaluated in one batched product.
Weights are stored (fan_in, fan_out), the transpose of ``torch.nn.Linear``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nfcodec.modules.spec import FieldSpec, TensorSpec

Params = Mapping[str, Tensor]


def tensors(spec: FieldSpec) -> tuple[TensorSpec, ...]:
    """The parameter tensors in their coded order: weight and bias of each layer, first to last."""
    fans = [spec.axes, *[spec.width] * spec.depth, spec.channels]
    out: list[TensorSpec] = []
    for i, (fan_in, fan_out) in enumerate(zip(fans[:-1], fans[1:], strict=True)):
        out.append(TensorSpec(f"{i}.weight", (fan_in, fan_out), "weight"))
        out.append(TensorSpec(f"{i}.bias", (fan_out,), "bias"))
    return tuple(out)


def init_bound(spec: FieldSpec, layer: int) -> float:
    """Half-width of the uniform initialization of a layer: 1/fan_in first, then sqrt(6/fan_in)/w0."""
    if layer == 0:
        return 1.0 / spec.axes
    return float((6.0 / spec.width) ** 0.5 / spec.w0)


def init_params(spec: FieldSpec, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random parameters without a module axis; biases share the bound of their weights (Sitzmann et al. 2020, §3.2)."""
    out: dict[str, Tensor] = {}
    for t in tensors(spec):
        bound = init_bound(spec, int(t.name.split(".")[0]))
        uniform = torch.rand(t.shape, generator=generator, dtype=torch.float64) * 2 - 1
        out[t.name] = (uniform * bound).to(dtype)
    return out


def features(spec: FieldSpec, params: Params, coords: Tensor) -> Tensor:
    """Penultimate features φ (M, N, width) of coords (M or 1, N, axes) in [-1, 1]."""
    modules = params["0.weight"].shape[0]
    h = coords.expand(modules, -1, -1) * spec.coord_scale
    for i in range(spec.depth):
        h = torch.baddbmm(params[f"{i}.bias"].unsqueeze(1), h, params[f"{i}.weight"])
        h = torch.sin(spec.w0 * h)
    return h


def head(spec: FieldSpec, params: Params, phi: Tensor) -> Tensor:
    """Raw outputs (M, N, channels) from features (M, N, width): the linear last layer, no offset."""
    last = spec.depth
    return torch.baddbmm(params[f"{last}.bias"].unsqueeze(1), phi, params[f"{last}.weight"])


def forward(spec: FieldSpec, params: Params, coords: Tensor) -> Tensor:
    """Raw outputs (M, N, channels) of the modules at coords (M or 1, N, axes)."""
    return head(spec, params, features(spec, params, coords))
