"""The lattice while it is trained: its parameters, and the loss of a batch. What encoder and decoder compute, their own
functions compute here, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nfcodec.entropy.rounding import floor
from nfcodec.lattice import order, restore, steps
from nfcodec.lattice.context import Context
from nfcodec.lattice.fit.first_step import Pruning, correct, descend
from nfcodec.lattice.fit.scores import sample_norms
from nfcodec.lattice.fit.twin import FloatPrior, network_names
from nfcodec.lattice.init import Level, correction_shapes
from nfcodec.lattice.masking import activity, plain_means
from nfcodec.lattice.order import order_of
from nfcodec.lattice.planes import PlaneSet, offset_of, places, planes_of
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import restored
from nfcodec.lattice.train.config import LatticeConfig, NetworkConfig
from nfcodec.lattice.train.whole import restore_shapes, whole_restore
from nfcodec.lattice.trunk import render, table, unfold

Params = dict[str, Tensor]


class Parameters(nn.Module):
    """Parameters by dotted names, so that states are loaded strictly and averaged as of any module."""

    def __init__(self, named: Params) -> None:
        super().__init__()
        for name, value in sorted(named.items()):
            *path, last = name.split(".")
            module: nn.Module = self
            for part in path:
                if part not in module._modules:
                    module.add_module(part, nn.Module())
                module = module.get_submodule(part)
            module.register_parameter(last, nn.Parameter(value.detach().clone()))

    def named(self) -> Params:
        """All of them by name."""
        return dict(self.named_parameters())


def of_level(params: Params, number: int) -> Params:
    """The parameters of one level, which are called "number.…"."""
    prefix = f"{number}."
    return {name.removeprefix(prefix): p for name, p in params.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class LatticeModel:
    """What is trained: the levels of the field, the networks around them, and λ = trade · span^(quality / 100), squared
    error of a sample per bit and sample. ``offset``: the value of a lattice without symbols. ``context`` of the inner
    steps after the first one. ``learns_base``: whether W0 is learned."""

    specs: tuple[LatticeSpec, ...]
    networks: NetworkConfig
    trade: float
    span: float
    offset: float
    context: Context = Context()
    learns_base: bool = False

    @classmethod
    def of(cls, config: LatticeConfig) -> LatticeModel:
        """The model of a config."""
        outer, offset = config.outer, offset_of(config.data.modality)
        learns = config.offset.rate > 0
        return cls(config.field.levels, config.networks, outer.trade, outer.span, offset, config.context, learns)

    @property
    def planes(self) -> PlaneSet:
        """The planes of its signals."""
        return planes_of(self.specs)

    def trade_off(self, quality: Tensor) -> Tensor:
        """λ: squared error per bit and sample."""
        return self.trade * self.span ** (quality / 100.0)

    def to_planes(self, values: Tensor) -> Tensor:
        """Planes (N, P, *n) of values (N, C, *n)."""
        planes: Tensor = self.planes.to_planes(values.movedim(1, -1), self.offset)
        return planes.movedim(0, 1)

    def priors(self, shape: tuple[int, ...], batch: int, *, device: torch.device | str = "cpu") -> list[FloatPrior]:
        """The priors of all levels for batches of signals of ``shape``."""
        cells = [tuple(n // s for n, s in zip(shape, spec.spacing, strict=True)) for spec in self.specs]
        both = zip(self.specs, cells, strict=True)
        return [FloatPrior(order_of(spec), c, batch, device=device) for spec, c in both]


def hats(qualities: list[int], device: torch.device) -> Tensor:
    """Quality features (N, 8) that sum to 1."""
    return torch.stack([torch.from_numpy(Level.hats(q)) for q in qualities]).to(device)


# -- new parameters --------------------------------------------------------------------------------------
def new_params(model: LatticeModel, generator: torch.Generator) -> Params:
    """Networks that change nothing yet: D and the step's network put out zeros."""
    levels = [_new_level(model, spec, generator) for spec in model.specs]
    return {f"{i}.{name}": p for i, params in enumerate(levels) for name, p in params.items()}


def _new_level(model: LatticeModel, spec: LatticeSpec, generator: torch.Generator) -> Params:
    params = {}
    for name, shape in network_shapes(model.networks, spec).items():
        fan = math.prod(shape[1:])
        zero = name.endswith("bias") or ".out." in name
        params[name] = torch.zeros(shape) if zero else torch.randn(shape, generator=generator) * (1.5 / fan) ** 0.5
    gains = len(spec.planes), spec.bases
    step = 0.5 * torch.log2(26.0 * 0.5 * model.trade_off(torch.linspace(0, 100, order.QUALITY_LEVELS)))
    params["log_step"] = step[:, None, None].repeat(1, *gains)
    params["log_gain"] = torch.zeros(gains)
    params["log_again"] = torch.zeros(model.networks.inner_steps - 1, *gains)
    if model.learns_base:
        params["offset"] = torch.zeros(gains)
    return params


def network_shapes(networks: NetworkConfig, spec: LatticeSpec) -> dict[str, tuple[int, ...]]:
    """The tensors of D, of the correction and of the prior of a level."""
    n = restore.input_count(len(spec.planes), spec.bases, spec.axes)
    shapes = restore_shapes(n, networks.d_width, spec.coded, networks.d_blocks, spec.axes)
    shapes |= correction_shapes(spec, networks.e_width, networks.e_blocks)
    found = order_of(spec)
    groups, means = network_names(found)
    for name, (inputs, symbols) in zip(groups, found.groups, strict=True):
        shapes |= _prior_shapes(name, inputs, networks.hidden, 2 * symbols)
    for name, (inputs, symbols) in zip(means, found.means, strict=True):
        shapes |= _prior_shapes(name, inputs, networks.mean_hidden, 2 * symbols)
    return shapes


def _prior_shapes(prefix: str, inputs: int, hidden: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.0.weight": (hidden, inputs), f"{prefix}.0.bias": (hidden,),
        f"{prefix}.1.weight": (hidden, hidden), f"{prefix}.1.bias": (hidden,),
        f"{prefix}.out.weight": (outputs, hidden), f"{prefix}.out.bias": (outputs,),
    }  # fmt: skip


# -- the loss --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Outcome:
    """Per signal (N,): squared error of the native render, of the double one (or zeros), and bits per sample; what
    became of it in each level; and what is shown, as values (N, C, *n)."""

    error: Tensor
    double: Tensor
    bpp: Tensor
    levels: tuple[Coded, ...]
    shown: Tensor


@dataclass(frozen=True, slots=True)
class Coded:
    """A batch in one level: its symbols (N, P, K, *cells), the numbers ``y`` that were rounded to them, the last layers
    (N, P·K, *cells) that a decoder makes of them, and the steps (N, P, K) or (N, P, K, *cells)."""

    symbols: Tensor
    y: Tensor
    layers: Tensor
    sizes: Tensor


def encode_level(
    model: LatticeModel, spec: LatticeSpec, params: Params, planes: Tensor, qualities: list[int]
) -> Coded:  # fmt: skip
    """One encoding of planes (N, P, *n) as at effort 1: the first steps, rounding, and D."""
    functions, groups = table(spec, params, spec.spacing), (len(planes), len(spec.planes))

    def patches(missing: Tensor) -> Tensor:
        found: Tensor = unfold(missing.flatten(0, 1), spec.spacing)
        return found.reshape(*groups, *found.shape[1:])

    def left(weights: Tensor) -> Tensor:
        return patches(planes - render(spec, weights.flatten(1, 2), functions, spec.spacing))

    factor = None if model.context.full else Pruning(model.context, sample_norms(spec, functions))
    weights = descend(spec, params, patches(planes), left, factor)
    base = params.get("offset")
    # Whole numbers of 2^-16, as an init holds them.
    offset = None if base is None else floor(base / WEIGHT_UNIT + 0.5)
    if offset is not None:
        weights = weights - (offset * WEIGHT_UNIT)[(..., *(None,) * spec.axes)]
    h = hats(qualities, planes.device)
    sizes = torch.exp2(torch.einsum("nq,qpk->npk", h, params["log_step"]))
    if "masking" in params:
        y, sizes = _masked(model, spec, params, weights, sizes, h)
    else:
        y = correct(params, model.networks.e_blocks, weights / sizes[(..., *(None,) * spec.axes)], h)
    symbols = torch.round(y.detach())
    through = symbols + (y - y.detach())
    layers: Tensor = restored(whole_restore(params), through, 16.0 * h, sizes, offset) * WEIGHT_UNIT
    return Coded(symbols, y, layers, sizes)


def _masked(
    model: LatticeModel, spec: LatticeSpec, params: Params, weights: Tensor, sizes: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Symbols before rounding (N, P, K, *cells) and their steps, which grow with activity, as
    :func:`nfcodec.lattice.fit.first_step.corrected` finds them."""
    alone = (..., *(None,) * spec.axes)
    gains = torch.einsum("nq,qpk->npk", h, params["masking"])[alone] * (torch.arange(spec.bases) > 0).to(h)[alone]
    size = sizes[:, 0, 0][alone]

    def grown(means: Tensor) -> Tensor:
        plain = plain_means(torch.round(means.detach()), size.detach())
        return sizes[alone] * torch.exp2(gains * (activity(plain, spec.axes) / steps.OCTAVE)[:, None, None])

    first = grown(weights[:, 0, 0] / size)
    y = correct(params, model.networks.e_blocks, weights / first, h)
    final = grown(y[:, 0, 0])
    return y * (first / final), final


def forward(
    model: LatticeModel, params: Params, priors: Sequence[FloatPrior], values: Tensor, quality: Tensor,
    larger: Tensor | None = None,
) -> Outcome:  # fmt: skip
    """One encoding of a batch (N, C, *n), level after level as the encoder does, and both renders."""
    planes, whole = model.to_planes(values), [int(q) for q in quality]
    shown, bits = torch.zeros_like(planes), planes.new_zeros(len(planes))
    fine, levels = None if larger is None else model.to_planes(larger), []
    for i, (spec, prior) in enumerate(zip(model.specs, priors, strict=True)):
        own, mine = places(spec, model.planes), of_level(params, i)
        found = encode_level(model, spec, mine, (planes - shown)[:, own], whole)
        levels.append(found)
        shown = shown.index_add(1, index(own, shown), shown_at(spec, mine, found.layers, 1))
        bits = bits + prior.bits(mine, found.symbols, hats(whole, planes.device), found.y)
        if fine is not None:
            fine = fine.index_add(1, index(own, fine), -shown_at(spec, mine, found.layers, 2))
    rest = tuple(range(1, planes.ndim))
    error = (shown - planes).square().mean(rest)
    double = torch.zeros_like(error) if fine is None else fine.square().mean(rest)
    back = model.planes.to_values(shown.movedim(1, 0), values.shape[1], model.offset).movedim(-1, 1)
    return Outcome(error, double, bits / math.prod(values.shape[2:]), tuple(levels), back)


def index(numbers: list[int], like: Tensor) -> Tensor:
    """Numbers as an index of torch."""
    return torch.tensor(numbers, device=like.device)


def shown_at(spec: LatticeSpec, params: Params, layers: Tensor, scale: int) -> Tensor:
    """Planes (N, P, *n) of last layers at ``scale`` times the native size."""
    per_cell = tuple(scale * s for s in spec.spacing)
    planes: Tensor = render(spec, layers, table(spec, params, per_cell), per_cell)
    return planes
