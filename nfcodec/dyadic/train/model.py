"""The networks while they learn, what they cost, and their whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nfcodec.dyadic.features import inputs
from nfcodec.dyadic.init import LARGEST_HIDDEN, LARGEST_SHIFT, LARGEST_WIDTH, OUTPUTS, DyadicInit, Network
from nfcodec.dyadic.order import PHASES
from nfcodec.entropy.networks import EXACT, Layer
from nfcodec.entropy.networks import LARGEST_SHIFT as MOST_BITS
from nfcodec.types import Doubles

_IN = 16.0  # features count sixteenths, activations too
_SHIFTS, _WIDTHS = 128.0, 8.0  # outputs count 128ths of a scale, eighths of an octave
_BYTE, _WORD = 127, 32767
_TAIL = 1.0 / 4096.0  # of the tables of nfcodec.entropy.logistic
_LEAST, _MOST = -4.5, 7.25  # log2 of their scales


class PhaseNetwork(nn.Module):
    """One network in floats."""

    def __init__(self, features: int, first: int, second: int) -> None:
        super().__init__()
        sizes = [(features, first), (first, second), (second, OUTPUTS)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in sizes)
        with torch.no_grad():
            last = self.layers[-1]
            last.weight.mul_(0.1)  # type: ignore[operator]
            last.bias.zero_()  # type: ignore[operator]

    def forward(self, features: Tensor) -> Tensor:
        """Shifts in scales and changes in octaves (n, 2) of features (n, F)."""
        x = features / _IN
        for layer in self.layers[:-1]:
            x = layer(x).clamp(0.0, LARGEST_HIDDEN / _IN)
        out: Tensor = self.layers[-1](x)
        return out


def new_networks(first: int, second: int) -> list[PhaseNetwork]:
    """One network per phase."""
    return [PhaseNetwork(inputs(i), first, second) for i in range(len(PHASES))]


def cost(residual: Tensor, octaves: Tensor) -> Tensor:
    """Bits of steps ``residual`` (n,) from the centre in a table of scale 2^``octaves`` (n,)."""
    per_step = torch.exp2(-octaves.clamp(_LEAST, _MOST))
    size = residual.abs()

    def mass(unit: Tensor) -> Tensor:
        return torch.sigmoid((0.5 - size) * unit) - torch.sigmoid((-0.5 - size) * unit)

    return -torch.log2((1.0 - _TAIL) * mass(per_step) + _TAIL * mass(per_step / 4.0) + 2e-7)


def loss_of(network: PhaseNetwork, batch: Sequence[Tensor], pull: float = 0.5) -> tuple[Tensor, Tensor]:
    """What is minimized, and bits per sample. ``batch``: features (n, F), distance to the prediction and scale, both
    in steps (n,), whether samples are whole steps themselves (n,), weights (n,).

    Symbols are whole; the error before rounding is priced as well (``pull``), since a better centre is a better sample.
    """
    features, distance, scale, whole, weight = batch
    out = network(features.float())
    left = distance - out[:, 0] * scale
    octaves = torch.log2(scale) + out[:, 1]
    symbols = torch.where(whole > 0, left, torch.round(left).detach())
    bits = cost(symbols, octaves)
    total = weight.sum()
    priced = bits + pull * cost(left.clamp(-2000.0, 2000.0), octaves.detach())
    return (weight * priced).sum() / total, (weight * bits.detach()).sum() / total


# -- whole numbers -----------------------------------------------------------------------------------------
def _layer(weight: Doubles, bias: Doubles, unit: float, inputs_most: int, largest: int) -> Layer:
    """The nearest layer of whole numbers; outputs are in units of ``unit`` of those of the floats."""
    weight, bias = weight * unit, bias * unit
    shift = np.ones(len(bias), np.int64)
    for candidate in range(2, MOST_BITS + 1):
        scaled = np.rint(weight * 2.0**candidate)
        sums = np.abs(scaled).sum(1) * inputs_most + np.abs(bias) * 2.0**candidate + 2.0 ** (candidate - 1) + 1
        shift[(np.abs(scaled).max(1) <= largest) & (sums < EXACT - 1)] = candidate
    factor = 2.0**shift
    whole = np.clip(np.rint(weight * factor[:, None]), -largest, largest)
    return Layer(whole.astype(np.float32), np.rint(bias * factor).astype(np.float32), shift.astype(np.int32))


def whole_network(network: PhaseNetwork) -> Network:
    """The network as encoder and decoder run it."""
    pairs = [
        (la.weight.detach().double().numpy(), la.bias.detach().double().numpy())  # type: ignore[operator]
        for la in network.layers
    ]
    hidden = [_layer(w / _IN, b, _IN, n, _BYTE) for (w, b), n in zip(pairs[:-1], (127, LARGEST_HIDDEN), strict=True)]
    weight, bias = pairs[-1]
    unit = np.array([_SHIFTS, _WIDTHS])
    last = _layer(weight * unit[:, None] / _IN, bias * unit, 1.0, LARGEST_HIDDEN, _WORD)
    return Network((*hidden, last))


def whole_init(name: str, networks: Sequence[PhaseNetwork]) -> DyadicInit:
    """The init of trained networks."""
    init = DyadicInit(name, tuple(whole_network(n) for n in networks))
    init.validate()
    return init


__all__ = ["LARGEST_SHIFT", "LARGEST_WIDTH", "PhaseNetwork", "cost", "loss_of", "new_networks", "whole_init"]
