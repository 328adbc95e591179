"""The lattice while it is trained: one dictionary of parameters, the encoder's first step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice import order, restore
from nfcodec.lattice.fit.first_step import correct, precondition
from nfcodec.lattice.fit.twin import FloatPrior
from nfcodec.lattice.init import correction_shapes
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import restored
from nfcodec.lattice.train.config import NetworkConfig
from nfcodec.lattice.train.whole import restore_shapes, whole_restore
from nfcodec.lattice.trunk import LatticeSpec, render, table, unfold
from nfcodec.rotations import opponent_matrix

Params = dict[str, Tensor]

# On photographs quality 0 comes out near 0.05 bits per pixel, 100 above 2.5, and each step in between adds alike.
LAMBDA_0 = 5.6e-2
LAMBDA_SPAN = 5e-4


@dataclass(frozen=True, slots=True)
class LatticeModel:
    """What is trained: the field and the networks around it."""

    spec: LatticeSpec = LatticeSpec()
    networks: NetworkConfig = NetworkConfig()


def trade_off(quality: Tensor) -> Tensor:
    """λ: squared error per bit and pixel."""
    return LAMBDA_0 * LAMBDA_SPAN ** (quality / 100.0)


def hats(quality: Tensor) -> Tensor:
    """Quality features (N, 8) that sum to 1, as :func:`nfcodec.lattice.order.quality_features` / 16."""
    rows = [order.quality_features(int(q)) for q in quality]
    return torch.from_numpy(np.stack(rows)).to(quality.device).float() / 16.0


def new_params(model: LatticeModel, generator: torch.Generator) -> Params:
    """Networks that change nothing yet: D and the step's network put out zeros."""
    spec = model.spec
    n = restore.input_count(spec.planes, spec.bases, spec.axes)
    shapes = restore_shapes(n, model.networks.d_width, spec.weights, model.networks.d_blocks, spec.axes)
    shapes |= correction_shapes(spec, model.networks.e_width, model.networks.e_blocks)
    for i, (_, low, high) in enumerate(order.PASSES):
        shapes |= _prior_shapes(f"p.{i}", order.feature_count(i), model.networks.hidden, 2 * (high - low))
    for plane in range(order.PLANES):
        for kind in ("diagonal", "edge"):
            shapes |= _prior_shapes(
                f"m.{plane}.{kind}", order.mean_feature_count(plane), model.networks.mean_hidden, 2
            )
    params = {}
    for name, shape in shapes.items():
        fan = math.prod(shape[1:])
        zero = name.endswith("bias") or ".out." in name
        params[name] = torch.zeros(shape) if zero else torch.randn(shape, generator=generator) * (1.5 / fan) ** 0.5
    middle = trade_off(torch.linspace(0, 100, order.QUALITY_LEVELS))
    step = 0.5 * torch.log2(26.0 * 0.5 * middle)
    params["log_step"] = step[:, None, None].repeat(1, 3, spec.bases)
    params["log_gain"] = torch.zeros(3, spec.bases)
    params["log_again"] = torch.zeros(model.networks.inner_steps - 1, 3, spec.bases)
    return params


def _prior_shapes(prefix: str, inputs: int, hidden: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.0.weight": (hidden, inputs), f"{prefix}.0.bias": (hidden,),
        f"{prefix}.1.weight": (hidden, hidden), f"{prefix}.1.bias": (hidden,),
        f"{prefix}.out.weight": (outputs, hidden), f"{prefix}.out.bias": (outputs,),
    }  # fmt: skip


def steps(params: Params, h: Tensor) -> Tensor:
    """Step sizes (N, 3, K) for quality features (N, 8)."""
    return torch.exp2(torch.einsum("nq,qpk->npk", h, params["log_step"]))


def analyse(spec: LatticeSpec, params: Params, planes: Tensor, functions: Tensor) -> Tensor:
    """Weights (N, 3, K, h, w) of planes (N, 3, H, W): preconditioned gradient steps from zero, ``functions`` being
    the trunk's table at the samples."""
    weights = _gradient(spec, params, planes) * torch.exp2(params["log_gain"])[..., None, None]
    for gain in torch.exp2(params["log_again"]):
        shown = render(spec, weights.flatten(1, 2), functions, spec.spacing)
        weights = weights + _gradient(spec, params, planes - shown) * gain[..., None, None]
    return weights


def _gradient(spec: LatticeSpec, params: Params, planes: Tensor) -> Tensor:
    patches = unfold(planes.flatten(0, 1), spec.spacing)
    return precondition(params, patches.view(len(planes), 3, *patches.shape[1:]))


def synthesis(params: Params, symbols: Tensor, h: Tensor) -> Tensor:
    """Last layers W̃ (N, 3·K, h, w) of symbols (N, 3, K, h, w): dequantized, plus D."""
    layers: Tensor = restored(whole_restore(params), symbols, 16.0 * h, steps(params, h)) * WEIGHT_UNIT
    return layers


@dataclass(frozen=True, slots=True)
class Outcome:
    """Per picture (N,): squared error of the native render, of the double one (or zeros), and bits per pixel."""

    error: Tensor
    double: Tensor
    bpp: Tensor


def to_planes(rgb: Tensor) -> Tensor:
    """Opponent planes (N, 3, H, W) of RGB (N, 3, H, W) in [0, 1]."""
    return torch.einsum("ij,njhw->nihw", opponent_matrix(rgb), rgb - 0.5)


def forward(
    model: LatticeModel, params: Params, prior: FloatPrior, rgb: Tensor, quality: Tensor, larger: Tensor | None = None
) -> Outcome:
    """One encoding of a batch: the first step, rounding, rate and both renders."""
    h = hats(quality)
    spacing = model.spec.spacing
    planes = to_planes(rgb)
    functions = table(model.spec, params, spacing)
    y = analyse(model.spec, params, planes, functions) / steps(params, h)[..., None, None]
    y = correct(params, model.networks.e_blocks, y, h)
    symbols = torch.round(y.detach())
    bits = prior.bits(params, symbols, h, y)
    through = symbols + (y - y.detach())
    weights = synthesis(params, through, h)
    out = render(model.spec, weights, functions, spacing)
    error = (out - planes).square().mean((1, 2, 3))
    double = torch.zeros_like(error)
    if larger is not None:
        twice = tuple(2 * s for s in spacing)
        fine = render(model.spec, weights, table(model.spec, params, twice), twice)
        double = (fine - to_planes(larger)).square().mean((1, 2, 3))
    return Outcome(error, double, bits / (rgb.shape[-1] * rgb.shape[-2]))
