"""The prior of a lapped field while it is trained: bits of quantized stretches, in floats.

Its networks are those of the init before their rounding: features and activations count sixteenths, activations are
rounded to these as they will be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.entropy import logistic
from nfcodec.lapped import order
from nfcodec.lapped.gains import exponents
from nfcodec.lapped.spec import LappedSpec
from nfcodec.lapped.train.config import LappedConfig
from nfcodec.lapped.train.tasks import Batch
from nfcodec.types import Floats

Params = dict[str, Tensor]

TOP = 255.0 / 16.0
SCALE_UNIT, SCALE_ZERO = 4.0, 18.0
MOST = 255  # magnitudes that the tables of training tell apart
_LN2 = math.log(2.0)


def network_name(planes: int, number: int) -> str:
    """What the network of a step is called among parameters."""
    return f"{planes}.{number}"


def new_params(config: LappedConfig, generator: torch.Generator) -> Params:
    """Networks that say the same of every bin."""
    spec, networks = config.field.spec, config.networks
    params: Params = {}
    for plane in range(spec.sets):
        for number, step in enumerate(order.ORDER):
            n = order.inputs(spec, plane > 0, step)
            sizes = (("0", networks.hidden, n), ("1", networks.second, networks.hidden))
            name = network_name(plane, number)
            for layer, rows, columns in sizes:
                weight = torch.randn(rows, columns, generator=generator) * (1.5 / columns) ** 0.5
                params |= {f"{name}.{layer}.weight": weight, f"{name}.{layer}.bias": torch.zeros(rows)}
            params[f"{name}.out.weight"] = torch.zeros(spec.block // 2, networks.second)
            params[f"{name}.out.bias"] = torch.full((spec.block // 2,), -1.0)
    return params


def scales(params: Params, name: str, x: Tensor) -> Tensor:
    """Scale indices 0 … 47 (…, n), before their rounding, of features (…, F)."""
    # Features count sixteenths: dividing the weights costs less than dividing what they meet.
    for layer, unit in (("0", 16.0), ("1", 1.0)):
        x = F.linear(x, params[f"{name}.{layer}.weight"] / unit, params[f"{name}.{layer}.bias"]).clamp(0.0, TOP)
        with torch.no_grad():
            off = x.mul(16.0).round_().mul_(1.0 / 16.0).sub_(x)
        x = x + off
    out = F.linear(x, params[f"{name}.out.weight"], params[f"{name}.out.bias"])
    return (SCALE_UNIT * out + SCALE_ZERO).clamp(0.0, logistic.SCALES - 1.0)


def logistic_costs() -> Floats:
    """Bits (SCALES, MOST + 1) of magnitudes, sign included, by the logistic densities that training begins with."""
    v = torch.arange(MOST + 1, dtype=torch.float64)[None]
    inverse = torch.exp2(-(torch.arange(logistic.SCALES, dtype=torch.float64)[:, None] - SCALE_ZERO) / SCALE_UNIT)
    low, high = (v - 0.5) * inverse, (v + 0.5) * inverse
    nats = F.softplus(low) + F.softplus(-high) - torch.log(-torch.expm1(-inverse))
    return np.asarray((nats / _LN2).clamp(max=40.0).numpy(), np.float32)


def in_steps(config: LappedConfig, batch: Batch) -> Tensor:
    """Magnitudes of bins in steps, companded by the law of each stretch: what is rounded."""
    size = batch.bins.shape[-1]
    bands, found = config.field.spec.bands_of(size), []
    for bins, gains, quality, number in zip(batch.bins, batch.gains, batch.quality, batch.law, strict=True):
        law = config.laws[number]
        found.append(law.compressed(bins, law.exponent(quality) + exponents(gains, bands, size)))
    return torch.from_numpy(np.stack(found))


@dataclass(frozen=True)
class Prepared:
    """A batch, ready for the networks: what they see of steps and of frames, by step of the order, and of blocks."""

    of_steps: tuple[Tensor, ...]
    of_frames: tuple[Tensor, ...]
    of_blocks: Tensor


def prepared(batch: Batch, spec: LappedSpec) -> Prepared:
    """What does not depend on symbols."""
    rows = [
        torch.from_numpy(np.stack([
            order.frame_features(z, s, q, law)
            for z, q, law in zip(batch.splits, batch.quality, batch.law, strict=True)
        ]))
        for s in order.ORDER
    ]
    bins = batch.bins.shape[-1]
    blocks = bins // spec.block
    levels = exponents(batch.gains, spec.bands_of(bins), bins)[..., spec.block // 2 :: spec.block] >> 5
    steps = tuple(torch.from_numpy(order.step_features(levels, s)) for s in order.ORDER)
    return Prepared(steps, tuple(rows), torch.from_numpy(np.stack([order.place_features(g) for g in range(blocks)])))


def all_scales(params: Params, spec: LappedSpec, magnitudes: Tensor, ready: Prepared) -> Tensor:
    """Scale indices (N, P, T, K) of every bin, given the magnitudes (N, P, T, K) of those before it."""
    n, planes, frames, bins = magnitudes.shape
    known = F.pad(companded(magnitudes), (order.LOWER, 0, order.REACH, order.REACH))
    out = magnitudes.new_zeros(n, planes, frames, bins // spec.block, spec.block)
    blocks = (0, bins // spec.block)
    for plane in range(planes):
        first = known[:, 0] if plane else None
        for number, step in enumerate(order.ORDER):
            windows = order.seen(known[:, plane], first, spec, step, blocks)
            x = order.features([*windows, ready.of_steps[number]], ready.of_frames[number], ready.of_blocks)
            found = scales(params, network_name(plane, number), x)
            out[:, plane, step.phase.start :: step.phase.period, :, step.parity :: 2] = found
    return out.flatten(-2)


def companded(magnitudes: Tensor) -> Tensor:
    """Features of magnitudes, as :func:`nfcodec.lapped.order.magnitudes` makes them."""
    table = torch.from_numpy(order._companded())
    return table[magnitudes.clamp(max=255.0).long()]


def bits_of(costs: Tensor, law: Tensor, scale: Tensor, magnitudes: Tensor) -> Tensor:
    """Bits of magnitudes at scale indices, between those of the tables on both sides, for the costs (LAWS, SCALES,
    MOST + 1) of the ``law`` (N,) of each stretch."""
    low = scale.detach().floor().clamp(max=logistic.SCALES - 2.0)
    row = law[:, None, None, None] * logistic.SCALES + low.long()
    at = row * (MOST + 1) + magnitudes.clamp(max=float(MOST)).long()
    flat = costs.flatten()
    below, above = flat[at], flat[at + MOST + 1]
    beyond = 2.0 * torch.log2((magnitudes - MOST).clamp(min=1.0))
    return below + (scale - low) * (above - below) + beyond
