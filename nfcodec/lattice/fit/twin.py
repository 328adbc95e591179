"""The integer prior's twin in floats, for what needs slopes: training, and the encoder's look at later symbols.

Rates that are written or compared never come from here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.lattice.given import Given
from nfcodec.lattice.mosaic import MeanPass, Mosaic
from nfcodec.lattice.order import LEVEL_CLASSES, Offset, Order
from nfcodec.lattice.prior import Network, Prior

Params = dict[str, Tensor]

_LN2 = math.log(2.0)
ACTIVATION_TOP = 255.0 / 16.0
# Units of the integer networks' outputs: means in eighths, scales in quarter octaves from 2^(-18/4) on.
MEAN_UNIT, SCALE_UNIT, SCALE_ZERO = 8.0, 4.0, 18.0
LAYER_NAMES = ("0", "1", "out")


def network_names(order: Order) -> tuple[list[str], list[str]]:
    """What the networks of groups and of means are called among parameters, in the order of the integer prior."""
    return [f"p.{i}" for i in range(len(order.groups))], [f"m.{i}" for i in range(len(order.means))]


def float_params(prior: Prior) -> Params:
    """The parameters whose rounding the integer prior is."""
    groups, means = network_names(prior.order)
    pairs = [*zip(groups, prior.groups, strict=True), *zip(means, prior.means, strict=True)]
    return {f"{name}.{key}": t for name, network in pairs for key, t in _float_network(network).items()}


def _float_network(network: Network) -> Params:
    """Features and activations count sixteenths, so weights between them keep their unit and biases lose it."""
    out = {}
    for name, layer in zip(LAYER_NAMES, network.layers, strict=True):
        whole = np.ldexp(1.0, -layer.shift)
        unit = np.full(len(layer.bias), 16.0)
        zero = np.zeros(len(layer.bias))
        if name == "out":
            half = len(unit) // 2
            unit[:half], unit[half:], zero[half:] = MEAN_UNIT, SCALE_UNIT, SCALE_ZERO
        inputs = 16.0 / unit
        out[f"{name}.weight"] = torch.from_numpy((layer.weight * (whole * inputs)[:, None]).astype(np.float32))
        out[f"{name}.bias"] = torch.from_numpy(((layer.bias * whole - zero) / unit).astype(np.float32))
    return out


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
    """Whole numbers, companded in sixteenths as the integer features are. The slope is that between the next whole
    numbers on both sides: what a symbol can change by."""
    size = x.abs()
    rounded = torch.sign(x) * (torch.round(16.0 * torch.log2(1.0 + size)).clamp(max=127.0) / 16.0)
    if not x.requires_grad:
        return rounded
    at = size.detach()
    slope = torch.where(at < 1.0, 1.0, 0.5 * torch.log2((2.0 + at) / at.clamp(min=1.0)))
    return rounded.detach() + slope * (x - x.detach())


@dataclass(frozen=True)
class Beside:
    """What bits depend on beside symbols: what a prior is ``given`` of all cells (N·cells) of a batch, and which of
    them are ``coded`` (N·cells,), bool; None for all."""

    given: Given | None = None
    coded: Tensor | None = None

    def kept(self, cells: Tensor) -> Tensor:
        """Those of flat ``cells`` (n,) that are coded."""
        return cells if self.coded is None else cells[self.coded[cells]]

    def rows(self, plane: int, low: int, high: int, cells: Tensor) -> list[Tensor]:
        """What networks see behind the features of context, for flat ``cells`` (n,)."""
        if self.given is None:
            return []
        return [torch.from_numpy(self.given.rows(plane, low, high, cells.cpu().numpy())).to(cells.device) / 16.0]


ALONE = Beside()


class FloatPrior:
    """The context prior in floats: bits of every symbol of a batch, a pass at a time.

    A symbol's bits have two slopes: towards the symbol itself, which goes to a second argument ``y``, and towards the
    symbols that it is predicted from, where these ask for one. Training takes the first alone; the encoder takes the
    second of means, and that of all other symbols from :mod:`nfcodec.lattice.fit.outlook`.
    """

    def __init__(
        self, order: Order, shape: tuple[int, ...], batch: int, *, device: torch.device | str = "cpu"
    ) -> None:  # fmt: skip
        self.order, self.shape, self.batch = order, shape, batch
        number = {phase: i for i, phase in enumerate(order.phases)}
        parities = np.indices(shape).reshape(order.axes, -1).T % 2
        of_cell = torch.tensor([number[tuple(p)] for p in parities.tolist()]).repeat(batch)
        self.phase = F.one_hot(of_cell, len(order.phases)).T.float().to(device)
        self.known = torch.from_numpy(order.known_mask)[of_cell].T.float().to(device)
        self.means: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        passes = Mosaic([shape], order).mean_passes
        for kind in sorted({p.kind for p in passes}):
            self.means[kind] = self._of_class([p for p in passes if p.kind == kind], device)

    def _of_class(self, passes: list[MeanPass], device: torch.device | str) -> tuple[Tensor, Tensor, Tensor]:
        """Cells (n,), neighbours (n, m) and distances, one hot, of all means of a class."""
        cells = torch.from_numpy(np.concatenate([p.cells.flat for p in passes]))
        near = torch.from_numpy(np.concatenate([p.neighbours for p in passes]))
        level = torch.cat([torch.full((len(p.cells),), p.level) for p in passes])
        return cells.to(device), near.to(device), F.one_hot(level, LEVEL_CLASSES).T.float().to(device)

    def _shifted(self, planes: Tensor, offsets: tuple[Offset, ...], reach: int) -> Tensor:
        """(offsets, channels, N·cells) of planes (channels, N, *cells); zero outside."""
        wide = F.pad(planes, (reach,) * (2 * len(self.shape)))
        rest = slice(None), slice(None)
        rows = [
            wide[(*rest, *(slice(reach + o, reach + o + n) for o, n in zip(offset, self.shape, strict=True)))]
            for offset in offsets
        ]
        return torch.stack(rows).flatten(2)

    def bits(self, params: Params, symbols: Tensor, h: Tensor, y: Tensor, beside: Beside = ALONE) -> Tensor:
        """Bits (N,) of symbols (N, P, K, *cells) at quality features h (N, 8)."""
        return torch.stack(list(self._parts(params, symbols, h, y, beside))).sum(0)

    def means_slope(self, params: Params, means: Tensor, h: Tensor, beside: Beside = ALONE) -> Tensor:
        """How the bits of all means change with each of ``means`` (N, P, *cells) that others are predicted from."""
        q = means.detach().flatten(2).clone().requires_grad_(True)
        with torch.enable_grad():
            bits = torch.stack(list(self._mean_parts(params, q, h, q.detach(), beside))).sum()
            (slope,) = torch.autograd.grad(bits, q)
        return slope.reshape(means.shape)

    def _parts(self, params: Params, symbols: Tensor, h: Tensor, y: Tensor, beside: Beside = ALONE) -> Iterator[Tensor]:
        yield from self._mean_parts(params, symbols[:, :, 0].flatten(2), h, y[:, :, 0].flatten(2), beside)
        yield from self._group_parts(params, symbols, h, y, beside)

    def _by_signal(self, bits: Tensor, cells: Tensor) -> Tensor:
        """Sums (N,) of bits (n, m) of flat ``cells`` (m,)."""
        return bits.new_zeros(self.batch).index_add(0, cells // math.prod(self.shape), bits.sum(0))

    def _mean_parts(
        self, params: Params, means: Tensor, h: Tensor, y: Tensor, beside: Beside = ALONE
    ) -> Iterator[Tensor]:  # fmt: skip
        """Bits (N,) of the means (N, P, cells), class by class and plane by plane."""
        classes = self.order.mean_classes
        for kind, (cells, near, level) in self.means.items():
            nearest = classes[kind].nearest
            present = (near >= 0).float()
            around = means[:, :, near.clamp(min=0)]
            count = present[:, :nearest].sum(1)
            total_near = (around[..., :nearest] * present[:, :nearest]).sum(-1)
            bases = torch.floor((2 * total_near + count) / (2 * count).clamp(min=1))
            diffs = _companded((around - bases[..., None]) * present)
            centre = means[:, :, cells] - bases
            static = [level.repeat(1, self.batch), h.T.repeat_interleave(len(cells), 1)]
            first = torch.arange(self.batch, device=cells.device) * math.prod(self.shape)
            every = (first[:, None] + cells).flatten()
            kept = None if beside.coded is None else beside.coded[every]
            flat = every if kept is None else every[kept]
            here = slice(None) if kept is None else kept
            for plane in range(self.order.planes):
                rows = [diffs[:, plane].permute(2, 0, 1).flatten(1)]
                for p in range(plane):
                    rows += [diffs[:, p].permute(2, 0, 1).flatten(1), _companded(centre[:, p]).flatten()[None]]
                x = torch.cat([torch.cat([*rows, *static])[:, here], *beside.rows(plane, 0, 1, flat)])
                mean, scale = _network(params, f"m.{len(classes) * plane + kind}", x)
                v = centre[:, plane].flatten()[None, here]
                target = (y[:, plane][:, cells] - bases[:, plane]).flatten()[None, here]
                yield self._by_signal(_bits(v, mean, scale, target), flat)

    def _group_parts(
        self, params: Params, symbols: Tensor, h: Tensor, y: Tensor, beside: Beside = ALONE
    ) -> Iterator[Tensor]:  # fmt: skip
        """Bits (N,) of every pass over the symbols but the means."""
        order, n, area = self.order, self.batch, math.prod(self.shape)
        first = symbols.movedim(0, 2)
        by_symbol = _companded(first)
        block = [self._shifted(by_symbol[p, 1:], order.block, 1) for p in range(order.planes)]
        means = symbols[:, :, 0].transpose(0, 1)
        inside = self._shifted(torch.ones_like(means), order.ring, 2)
        diffs = _companded((self._shifted(means, order.ring, 2) - means.flatten(1)) * inside)
        static = torch.cat([h.T.repeat_interleave(area, 1), self.phase])
        here = order.block.index((0,) * order.axes)
        near, close = [i for i in range(len(order.block)) if i != here], list(order.close)
        flat, y_flat = first.flatten(2), y.movedim(0, 2).flatten(2)
        cells = beside.kept(torch.arange(n * area, device=symbols.device))
        at = slice(None) if beside.coded is None else cells
        static, known = static[:, at], self.known[:, at]
        for i, (plane, low, high) in enumerate(order.spec.passes):
            rows = [block[plane][:, : low - 1][..., at].flatten(0, 1)]
            rows.append((block[plane][near, low - 1 : high - 1][..., at] * known[:, None]).flatten(0, 1))
            rows.append(diffs[:, plane][:, at])
            others = order.others(plane)
            rows += [diffs[close, p][:, at] for p in others]
            rows += [block[p][here, : order.known_before(i, p) - 1][:, at] for p in others]
            x = torch.cat([*rows, static, *beside.rows(plane, low, high, cells)])
            mean, scale = _network(params, f"p.{i}", x)
            bits = _bits(flat[plane, low:high][:, at], mean, scale, y_flat[plane, low:high][:, at])
            yield self._by_signal(bits, cells)


def _bits(v: Tensor, mean: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    """Bits of rounded symbols ``v``; towards ``y`` their slope is that between the two nearest integers."""
    v = v.detach()
    bits = log_mass(v, mean, scale)
    if not y.requires_grad:
        return bits
    with torch.no_grad():
        side = torch.where(y >= v, 1.0, -1.0)
        slope = (log_mass(v + side, mean, scale) - bits) * side
    through = slope * y
    return bits + (through - through.detach())
