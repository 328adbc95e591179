"""The lattice while it is trained: one dictionary of parameters, the encoder's first step, the float prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.adapt.lattice.first_step import correct, precondition
from nfcodec.coding import context
from nfcodec.fields import weight_net
from nfcodec.fields.lattice import LatticeSpec, render, table, unfold
from nfcodec.fields.values import opponent_matrix
from nfcodec.meta.lattice_config import NetworkConfig

Params = dict[str, Tensor]

# On photographs quality 0 comes out near 0.05 bits per pixel, 100 above 2.5, and each step in between adds alike.
LAMBDA_0 = 5.6e-2
LAMBDA_SPAN = 5e-4
_LN2 = math.log(2.0)
ACTIVATION_TOP = 255.0 / 16.0


@dataclass(frozen=True, slots=True)
class LatticeModel:
    """What is trained: the field and the networks around it."""

    spec: LatticeSpec = LatticeSpec()
    networks: NetworkConfig = NetworkConfig()


def trade_off(quality: Tensor) -> Tensor:
    """λ: squared error per bit and pixel."""
    return LAMBDA_0 * LAMBDA_SPAN ** (quality / 100.0)


def hats(quality: Tensor) -> Tensor:
    """Quality features (N, 8) that sum to 1, as :func:`nfcodec.coding.context.quality_features` / 16."""
    rows = [context.quality_features(int(q)) for q in quality]
    return torch.from_numpy(np.stack(rows)).to(quality.device).float() / 16.0


def new_params(model: LatticeModel, generator: torch.Generator) -> Params:
    """Networks that change nothing yet: D and the step's network put out zeros."""
    spec = model.spec
    n = weight_net.input_count(spec.bases, context.QUALITY_LEVELS)
    shapes = weight_net.net_shapes(n, model.networks.d_width, 3 * spec.bases + spec.extra, model.networks.d_blocks, "d")
    shapes |= weight_net.net_shapes(n, model.networks.e_width, 6 * spec.bases, model.networks.e_blocks, "e")
    for i, (_, low, high) in enumerate(context.PASSES):
        shapes |= _prior_shapes(f"p.{i}", context.feature_count(i), model.networks.hidden, 2 * (high - low))
    for plane in range(context.PLANES):
        for kind in ("diagonal", "edge"):
            shapes |= _prior_shapes(
                f"m.{plane}.{kind}", context.mean_feature_count(plane), model.networks.mean_hidden, 2
            )
    params = {}
    for name, shape in shapes.items():
        fan = math.prod(shape[1:])
        zero = name.endswith("bias") or ".out." in name
        params[name] = torch.zeros(shape) if zero else torch.randn(shape, generator=generator) * (1.5 / fan) ** 0.5
    middle = trade_off(torch.linspace(0, 100, context.QUALITY_LEVELS))
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
        extra = weights.new_zeros(len(weights), spec.extra, *weights.shape[3:])
        shown = render(spec, torch.cat([weights.flatten(1, 2), extra], 1), functions, spec.spacing)
        weights = weights + _gradient(spec, params, planes - shown) * gain[..., None, None]
    return weights


def _gradient(spec: LatticeSpec, params: Params, planes: Tensor) -> Tensor:
    patches = unfold(planes.flatten(0, 1), spec.spacing)
    return precondition(params, patches.view(len(planes), 3, *patches.shape[1:]))


def synthesis(model: LatticeModel, params: Params, symbols: Tensor, h: Tensor) -> Tensor:
    """Last layers W̃ (N, 3·K + extra, h, w) of symbols (N, 3, K, h, w): dequantized, plus D."""
    size = steps(params, h)[..., None, None]
    out = weight_net.apply_net(params, "d", model.networks.d_blocks, weight_net.inputs(symbols, h))
    k3 = 3 * model.spec.bases
    weights = (symbols * size).flatten(1, 2) + out[:, :k3] * size.flatten(1, 2)
    extra = out[:, k3:] * size[:, 0].mean(1, keepdim=True)
    return torch.cat([weights, extra], 1)


def log_mass(v: Tensor, mean: Tensor, log2_scale: Tensor) -> Tensor:
    """−log2 P of integers under a logistic density integrated over ±½; exact in the far tails."""
    inverse = torch.exp2(-log2_scale)
    d = (v - mean).abs()
    low, high = (d - 0.5) * inverse, (d + 0.5) * inverse
    nats = F.softplus(low) + F.softplus(-high) - torch.log(-torch.expm1(-inverse))
    return nats / _LN2


def _network(params: Params, prefix: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """Means and log2 scales (n, cells) of features (F, cells)."""
    for layer in ("0", "1"):
        x = torch.addmm(params[f"{prefix}.{layer}.bias"][:, None], params[f"{prefix}.{layer}.weight"], x)
        x = x.clamp(0.0, ACTIVATION_TOP)
        x = x + (torch.round(x * 16.0) / 16.0 - x).detach()
    out = torch.addmm(params[f"{prefix}.out.bias"][:, None], params[f"{prefix}.out.weight"], x)
    mean, scale = out.chunk(2)
    return mean.clamp(-15.8, 15.8), scale.clamp(-4.5, 7.25)


def _companded(x: Tensor) -> Tensor:
    return torch.sign(x) * (torch.round(16.0 * torch.log2(1.0 + x.abs())).clamp(max=127.0) / 16.0)


class FloatPrior:
    """The context prior in floats: bits of every symbol of a batch, all passes at once.

    Features are constants (no gradient flows to the neighbours).
    """

    def __init__(self, shape: tuple[int, int], batch: int, *, device: torch.device | str = "cpu") -> None:
        h, w = shape
        self.shape, self.batch = shape, batch
        phase = {p: i for i, p in enumerate(context.PHASES)}
        of_cell = torch.tensor([phase[y % 2, x % 2] for y in range(h) for x in range(w)]).repeat(batch)
        self.phase = F.one_hot(of_cell, 4).T.float().to(device)
        self.known = torch.from_numpy(context.known_mask())[of_cell].T.float().to(device)
        self.means: dict[bool, tuple[Tensor, Tensor, Tensor]] = {}
        levels = context.mean_levels(shape)
        for edge in (False, True):
            parts = [p for p in levels if p.edge == edge]
            cells = torch.from_numpy(np.concatenate([p.cells for p in parts]))
            near = torch.from_numpy(np.concatenate([p.neighbours for p in parts]))
            level = torch.cat([torch.full((len(p.cells),), p.level) for p in parts])
            of_level = F.one_hot(level, context.LEVEL_CLASSES).T.float()
            self.means[edge] = cells.to(device), near.to(device), of_level.to(device)

    def _shifted(self, planes: Tensor, offsets: tuple[tuple[int, int], ...], reach: int) -> Tensor:
        """(offsets, channels, N·cells) of planes (channels, N, h, w); zero outside."""
        h, w = self.shape
        wide = F.pad(planes, (reach,) * 4)
        rows = [wide[:, :, reach + dy : reach + dy + h, reach + dx : reach + dx + w] for dy, dx in offsets]
        return torch.stack(rows).flatten(2)

    def mean_bits(self, params: Params, means: Tensor, h: Tensor, y: Tensor) -> Tensor:
        """Bits (N,) of the means (N, 3, cells); the rate's gradient goes to ``y`` of the same shape."""
        total = means.new_zeros(self.batch)
        for edge, (cells, near, level) in self.means.items():
            present = (near >= 0).float()
            around = means[:, :, near.clamp(min=0)]
            count = present[:, : context.NEAREST].sum(1)
            total_near = (around[..., : context.NEAREST] * present[:, : context.NEAREST]).sum(-1)
            bases = torch.floor((2 * total_near + count) / (2 * count).clamp(min=1))
            diffs = _companded((around - bases[..., None]) * present)
            centre = means[:, :, cells] - bases
            static = [
                level.repeat(1, self.batch).mul(1.0),
                h.T.repeat_interleave(len(cells), 1),
            ]
            for plane in range(context.PLANES):
                rows = [diffs[:, plane].permute(2, 0, 1).flatten(1)]
                for p in range(plane):
                    rows += [diffs[:, p].permute(2, 0, 1).flatten(1), _companded(centre[:, p]).flatten()[None]]
                x = torch.cat([*rows, *static])
                mean, scale = _network(params, f"m.{plane}.{'edge' if edge else 'diagonal'}", x)
                v = centre[:, plane].flatten()[None]
                target = (y[:, plane][:, cells] - bases[:, plane]).flatten()[None]
                total = total + _bits(v, mean, scale, target).view(self.batch, -1).sum(1)
        return total

    def bits(self, params: Params, symbols: Tensor, h: Tensor, y: Tensor) -> Tensor:
        """Bits (N,) of symbols (N, 3, K, h, w); the rate's gradient goes to ``y`` of the same shape."""
        n, area = self.batch, self.shape[0] * self.shape[1]
        total = self.mean_bits(params, symbols[:, :, 0].flatten(2), h, y[:, :, 0].flatten(2))
        by_symbol = _companded(symbols).permute(1, 2, 0, 3, 4)
        nine = [self._shifted(by_symbol[p, 1:], context.NINE, 1) for p in range(3)]
        means = symbols[:, :, 0].transpose(0, 1)
        raw = torch.cat([self._shifted(means, context.RING, 2)])
        inside = self._shifted(torch.ones_like(means), context.RING, 2)
        diffs = _companded((raw - means.flatten(1)) * inside)
        close = [i for i, o in enumerate(context.RING) if max(map(abs, o)) == 1]
        static = torch.cat([h.T.repeat_interleave(area, 1), self.phase])
        eight = [i for i, o in enumerate(context.NINE) if o != (0, 0)]
        flat = symbols.permute(1, 2, 0, 3, 4).flatten(2)
        y_flat = y.permute(1, 2, 0, 3, 4).flatten(2)
        for i, (plane, low, high) in enumerate(context.PASSES):
            rows = [nine[plane][:, : low - 1].flatten(0, 1)]
            rows.append((nine[plane][eight, low - 1 : high - 1] * self.known[:, None]).flatten(0, 1))
            rows.append(diffs[:, plane])
            others = [p for p in range(3) if p != plane]
            rows += [diffs[close, p] for p in others]
            rows += [nine[p][4, : context.known_before(i, p) - 1] for p in others]
            mean, scale = _network(params, f"p.{i}", torch.cat([*rows, static]))
            part = _bits(flat[plane, low:high], mean, scale, y_flat[plane, low:high])
            total = total + part.view(high - low, n, area).sum((0, 2))
        return total


def _bits(v: Tensor, mean: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    """Bits of rounded symbols ``v``; towards ``y`` their slope is that between the two nearest integers."""
    bits = log_mass(v, mean, scale)
    if not y.requires_grad:
        return bits
    with torch.no_grad():
        side = torch.where(y >= v, 1.0, -1.0)
        slope = (log_mass(v + side, mean, scale) - bits) * side
    through = slope * y
    return bits + (through - through.detach())


@dataclass(frozen=True, slots=True)
class Outcome:
    """Per picture (N,): squared error of the native render, of the double one (or zeros), and bits per pixel."""

    error: Tensor
    double: Tensor
    bpp: Tensor


def to_planes(rgb: Tensor) -> Tensor:
    """Opponent planes (N, 3, H, W) of RGB (N, 3, H, W) in [0, 1]."""
    return torch.einsum("ij,njhw->nihw", opponent_matrix().to(rgb), rgb - 0.5)


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
    weights = synthesis(model, params, through, h)
    out = render(model.spec, weights, functions, spacing)
    error = (out - planes).square().mean((1, 2, 3))
    double = torch.zeros_like(error)
    if larger is not None:
        twice = tuple(2 * s for s in spacing)
        fine = render(model.spec, weights, table(model.spec, params, twice), twice)
        double = (fine - to_planes(larger)).square().mean((1, 2, 3))
    return Outcome(error, double, bits / (rgb.shape[-1] * rgb.shape[-2]))
