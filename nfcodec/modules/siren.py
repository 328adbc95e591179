"""SIREN: a coordinate network with sine activations (Sitzmann et al. 2020, §3).

Layer l computes h_l = sin(w0 · (h_{l-1} W_l + b_l)); the last layer is linear. Every function takes
parameters with a leading module axis, so that many modules are evaluated in one batched product.
Weights are stored (fan_in, fan_out), the transpose of ``torch.nn.Linear``.
"""

from __future__ import annotations

from nfcodec.arrays import Array, namespace
from nfcodec.modules.spec import FieldSpec, Params, TensorSpec


def tensors(spec: FieldSpec) -> tuple[TensorSpec, ...]:
    """The parameter tensors in their coded order: weight and bias of each layer, first to last."""
    fans = [spec.axes, *[spec.width] * spec.depth, spec.channels]
    out: list[TensorSpec] = []
    for i, (fan_in, fan_out) in enumerate(zip(fans[:-1], fans[1:], strict=True)):
        out.append(TensorSpec(f"{i}.weight", (fan_in, fan_out), "weight"))
        out.append(TensorSpec(f"{i}.bias", (fan_out,), "bias"))
    return tuple(out)


def features(spec: FieldSpec, params: Params, coords: Array) -> Array:
    """Penultimate features φ (M, N, width) of coords (M or 1, N, axes) in [-1, 1]."""
    h, sin = coords * spec.coord_scale, namespace(coords).sin
    for i in range(spec.depth):
        h = sin(spec.w0 * affine(params, i, h))
    return h


def head(spec: FieldSpec, params: Params, phi: Array) -> Array:
    """Raw outputs (M, N, channels) from features (M, N, width): the linear last layer, no offset."""
    return affine(params, spec.depth, phi)


def affine(params: Params, layer: int, x: Array) -> Array:
    """h W_l + b_l of a layer: (M, N, fan_out) from (M or 1, N, fan_in)."""
    return x @ params[f"{layer}.weight"] + params[f"{layer}.bias"][:, None]


def forward(spec: FieldSpec, params: Params, coords: Array) -> Array:
    """Raw outputs (M, N, channels) of the modules at coords (M or 1, N, axes)."""
    return head(spec, params, features(spec, params, coords))
