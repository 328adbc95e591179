"""Whole numbers for D while it learns: rounded in every step, with gradients straight through (Jacob et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nfcodec.entropy.networks import Layer
from nfcodec.entropy.rounding import floor
from nfcodec.lattice.order import LARGEST_FEATURE
from nfcodec.lattice.paired import LARGEST_SUM
from nfcodec.lattice.restore import LARGEST_ACTIVATION, STREAM, UNIT, Restore

LARGEST = 127  # of a weight of 8 bits
# Parameters count as if features, activations, streams and outputs were steps and their logarithms, near 1.
_FEATURE, _ACTIVATION = 16.0, 64.0
_MOST_SHIFT = 14


def restore_shapes(inputs: int, width: int, outputs: int, blocks: int, axes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of D's parameters, whose sizes are those of a network of floats."""
    shapes: dict[str, tuple[int, ...]] = {"d.in.weight": (width, inputs), "d.in.bias": (width,)}
    for i in range(blocks):
        shapes |= {f"d.{i}.weight": (width, 3**axes * width), f"d.{i}.bias": (width,)}
    return shapes | {"d.out.weight": (outputs, width), "d.out.bias": (outputs,)}


def whole_restore(params: Mapping[str, Tensor]) -> Restore:
    """D, whose weights are those of ``params`` rounded."""
    layers = {}
    for name in [n[2 : -len(".weight")] for n in params if n.startswith("d.") and n.endswith(".weight")]:
        unit, bias_unit = _units(name)
        weight, bias = unit * params[f"d.{name}.weight"], bias_unit * params[f"d.{name}.bias"]
        layers[name] = whole_layer(weight, bias, LARGEST_FEATURE if name == "in" else LARGEST_ACTIVATION)
    return Restore.of(layers)


def _units(name: str) -> tuple[float, float]:
    """What whole weights and biases of a layer count, per unit of its parameters: outputs per input, and outputs."""
    outputs = float(UNIT) if name == "out" else STREAM * _ACTIVATION
    return outputs / (_FEATURE if name == "in" else _ACTIVATION), outputs


def restore_params(restore: Restore) -> dict[str, Tensor]:
    """The parameters whose rounding a D of whole numbers is: what training goes on from."""
    params = {}
    for name, layer in restore.layers.items():
        size, (unit, bias_unit) = np.ldexp(np.float32(1), -layer.shift), _units(name)
        params[f"d.{name}.weight"] = torch.from_numpy(layer.weight * size[:, None]) / unit
        params[f"d.{name}.bias"] = torch.from_numpy(layer.bias * size) / bias_unit
    return params


def whole_layer(weight: Tensor, bias: Tensor, largest: int) -> Layer:
    """Weights of 8 bits and, row by row, the largest shift with which they and every sum fit."""
    shift = _shifts(weight.detach(), bias.detach(), largest)
    scale = torch.ldexp(torch.ones_like(bias), shift)
    whole = floor(weight * scale[:, None] + 0.5).clamp(-LARGEST, LARGEST)
    return Layer(whole, floor(bias * scale + 0.5), shift.cpu().numpy().astype("int32"))


def _shifts(weight: Tensor, bias: Tensor, largest: int) -> Tensor:
    """Shift (rows,) of every row."""
    found = torch.ones_like(bias, dtype=torch.int32)
    for shift in range(2, _MOST_SHIFT + 1):
        scaled = torch.round(weight * 2.0**shift).abs()
        # One below the bound: rounding up here and there must not matter.
        sums = scaled.sum(1) * largest + (bias * 2.0**shift).abs() + 2.0 ** (shift - 1) + 1
        found[(scaled.amax(1) <= LARGEST) & (sums < LARGEST_SUM - 1)] = shift
    return found


def numpy_restore(params: Mapping[str, Tensor]) -> Restore:
    """The same with arrays, as an init holds it."""
    return whole_arrays(whole_restore({n: p.detach().float().cpu() for n, p in params.items()}))


def whole_arrays(restore: Restore) -> Restore:
    """A network of tensors as one of arrays."""
    layers = restore.layers
    return Restore.of({n: Layer(la.weight.numpy(), la.bias.numpy(), la.shift) for n, la in layers.items()})
