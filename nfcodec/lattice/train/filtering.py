"""Train Y, the filter after rendering (:mod:`nfcodec.lattice.filtering`), in the whole numbers that decode.

Pictures are coded once as the encoder does it, at qualities of their own and with the spacing that suits them; Y learns
what decoded samples lack. Everything else of an init stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.lattice import filtering, order
from nfcodec.lattice.filtering import INPUT_UNIT, LARGEST_INPUT, QUALITY, SIDE, SampleFilter
from nfcodec.lattice.fit.first_step import analysis, corrected, rounded
from nfcodec.lattice.fit.rounds import Problem, refine
from nfcodec.lattice.fit.spacings import promising
from nfcodec.lattice.fit.window import whole_window
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.renderer import LevelRenderer
from nfcodec.lattice.restore import LARGEST_ACTIVATION, LARGEST_OUTPUT, LARGEST_STREAM, SLOPE, STREAM, UNIT, Restore
from nfcodec.lattice.space import Space
from nfcodec.lattice.train.averaged import AveragedRunning
from nfcodec.lattice.train.export import whole_steps
from nfcodec.lattice.train.whole import restore_shapes, whole_arrays, whole_layer
from nfcodec.train.running import NOTHING, averaged, cosine, smooth
from nfcodec.types import Bytes, Floats, Symbols

Params = dict[str, Tensor]
Whole = npt.NDArray[np.int16]

PLANE_BITS = 13  # of coded pictures in memory
# Parameters count as if inputs, activations and outputs were units of the quality, which are near 1.
_ACTIVATION = 10.0
# A share of the error that its unit says counts as if it were there: PSNR of flat parts does not count alone.
_LEAST_ERROR = 0.05
_TURNS = 8


@dataclass(frozen=True, slots=True)
class FilterConfig:
    """A Y of ``blocks`` layers of ``width``, and ``steps`` of Adam on ``batch`` parts of ``crop`` samples at the rate
    ``lr``, which falls to zero by a cosine over the steps or the time; ``average``: of the running mean that is kept.
    ``log_unit`` (8,): log2 of the unit at the quality anchors, about that of the root mean square error of a plane."""

    width: int = 32
    blocks: int = 5
    steps: int = 40_000
    batch: int = 8
    crop: int = 96
    lr: float = 2e-3
    average: float = 0.999
    clip: float = 1.0
    seed: int = 0
    log_unit: tuple[float, ...] = (-3.6, -4.3, -4.9, -5.45, -6.0, -6.5, -7.1, -7.75)


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """Planes (P, H, W) of an ``original`` and as they were ``decoded`` (N, P, H, W) at N ``qualities`` and the numbers
    of their ``spacings``, 0 for that of the init; in whole numbers of 2^-13."""

    original: Whole
    decoded: Whole
    qualities: tuple[int, ...]
    spacings: tuple[int, ...]

    def error(self, index: int) -> float:
        """Mean square of what is missing."""
        return float(np.square((self.original - self.decoded[index]).astype(np.float32)).mean()) * 4.0**-PLANE_BITS

    def part(self, random: np.random.Generator, index: int, size: int) -> tuple[Whole, Whole]:
        """A part (P, size, size) of the decoded picture and what it lacks, turned and mirrored; it begins where squares
        do."""
        starts = [SIDE * int(random.integers((n - size) // SIDE + 1)) for n in self.original.shape[1:]]
        at = (slice(None), *(slice(a, a + size) for a in starts))
        decoded, missing = self.decoded[index][at], self.original[at] - self.decoded[index][at]
        turns, mirrored = divmod(int(random.integers(_TURNS)), 2)
        parts = (np.rot90(part, turns, (1, 2)) for part in (decoded, missing))
        first, second = (part[:, :, ::-1] if mirrored else part for part in parts)
        return first, second


def coded(init: LatticeInit, samples: Bytes, qualities: Sequence[int], *, rounds: int) -> CodedPicture:
    """A picture (H, W, C) of 8-bit samples, its sides multiples of all spacings or cut to them, coded with so many
    ``rounds`` at some qualities, each with the spacing at which the first steps cost least."""
    planes = init.planes.to_planes(torch.from_numpy(samples.astype(np.float32) / 255.0), offset_of("image"))
    found = [_best(init, planes.contiguous(), quality, rounds) for quality in qualities]
    original = np.rint(planes.numpy() * 2.0**PLANE_BITS).astype(np.int16)
    decoded = np.stack([shown for shown, _ in found])
    return CodedPicture(original, decoded, tuple(qualities), tuple(number for _, number in found))


def _best(init: LatticeInit, planes: Tensor, quality: int, rounds: int) -> tuple[Whole, int]:
    """A decoded picture and the number of its spacing."""
    tried: list[int | None] = [None, *promising(init, planes[0], quality)]
    spacing = tried[0]
    if len(tried) > 1:
        spacing = min(tried, key=lambda s: _refined(init.at(s), planes, quality, 0)[1])
    symbols, _ = _refined(init.at(spacing), planes, quality, rounds)
    level = init.at(spacing).levels[0]
    space = Space.of(tuple(planes.shape[1:]), level.spec)
    renderer = LevelRenderer(level, space, quality + level.finer, lambda _: symbols)
    whole = renderer.whole([np.arange(n) for n in planes.shape[1:]])
    number = 0 if spacing is None else 1 + init.spacings.index(spacing)
    return np.rint(whole * 2.0 ** (PLANE_BITS - 32)).astype(np.int16), number


def _refined(init: LatticeInit, planes: Tensor, quality: int, rounds: int) -> tuple[Symbols, float]:
    """Symbols of a picture as one region, and what it costs in bits, errors included."""
    [level] = init.levels
    steps, window = quality + level.finer, whole_window(planes, level.spec)
    with torch.inference_mode():
        weights = analysis(level, window)
    symbols = rounded(corrected(level, weights, steps, 0.0), 0.0)
    trade = init.plane_trade(steps)
    problem = Problem(level, window, weights.clone(), quality=steps, planes=len(planes), trade=trade)
    state = refine(problem, symbols, rounds) if rounds else problem.state(symbols)
    return state.symbols, state.cost(trade)


# -- whole numbers ---------------------------------------------------------------------------------------
def filter_shapes(config: FilterConfig, planes: int, spacings: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of Y's parameters."""
    channels = SIDE**2 * planes
    inputs = 9 * channels + order.QUALITY_LEVELS + spacings
    return restore_shapes(inputs, config.width, channels, config.blocks, 2)


def whole_filter(params: Mapping[str, Tensor], planes: int) -> Restore:
    """Y's network, whose weights are those of ``params`` rounded."""
    layers = {}
    for name in [n[2 : -len(".weight")] for n in params if n.endswith(".weight")]:
        weight, bias = params[f"d.{name}.weight"], params[f"d.{name}.bias"]
        outputs = float(UNIT) if name == "out" else STREAM * _ACTIVATION
        if name == "in":
            units = torch.full(weight.shape[1:], 1.0 / (QUALITY * order.HAT))
            units[: 9 * SIDE**2 * planes] = 1.0 / INPUT_UNIT
            layers[name] = whole_layer(weight * (outputs * units), bias * outputs, LARGEST_INPUT)
        else:
            layers[name] = whole_layer(weight * (outputs / _ACTIVATION), bias * outputs, LARGEST_ACTIVATION)
    return Restore.of(layers)


def inputs_of(samples: Tensor) -> Tensor:
    """Inputs (N, 4·P, h, w) of samples (N, P, H, W) in sixteenths of the unit, whole numbers as those of
    :class:`SampleFilter`."""
    n, planes, height, width = samples.shape
    size = height // SIDE, width // SIDE
    squares = F.pixel_unshuffle(samples, SIDE).reshape(n, planes, SIDE**2, *size)
    weights = torch.tensor(filtering.MEAN_WEIGHTS, dtype=samples.dtype)
    wide = F.pad(squares.sum(2), (len(weights) // 2,) * 4, mode="replicate").flatten(0, 1)[:, None]
    sums = F.conv2d(wide, torch.outer(weights, weights)[None, None]).reshape(n, planes, 1, *size)
    means = torch.floor(sums * 2.0**-filtering.MEAN_BITS + 0.5)
    return (squares - means).reshape(n, -1, *size).clamp(-LARGEST_INPUT, LARGEST_INPUT)


def shown(network: Restore, inputs: Tensor, told: Tensor) -> Tensor:
    """What Y adds (N, P, H, W), in units, for inputs (N, 4·P, h, w) and what it is ``told`` (N, T) of each picture.

    The network of :class:`SampleFilter` by torch's convolutions, whose sums may differ in the last place.
    """
    weight, bias = network.enter.shifted
    squares = 9 * inputs.shape[1]
    first = _convolved(inputs, weight[:, :squares]) + (told @ weight[:, squares:].T + bias.T)[:, :, None, None]
    stream = _floored(first).clamp(-LARGEST_STREAM, LARGEST_STREAM)
    for block in network.blocks:
        weight, bias = block.shifted
        around = _floored(_convolved(_activated(stream), weight, bias))
        stream = (stream + around).clamp(-LARGEST_STREAM, LARGEST_STREAM)
    weight, bias = network.leave.shifted
    out = F.conv2d(_activated(stream), weight[:, :, None, None], bias[:, 0])
    found = _floored(out).clamp(-LARGEST_OUTPUT, LARGEST_OUTPUT)
    added: Tensor = F.pixel_shuffle(found, SIDE) / UNIT
    return added


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A layer that sees 3 × 3 squares, square by square, the border repeated."""
    kernel = weight.reshape(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, None if bias is None else bias[:, 0])


class _Floor(torch.autograd.Function):
    """⌊x⌋, gradients straight through: in one step, which halves the time of training."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return torch.floor(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient


class _Activation(torch.autograd.Function):
    """:func:`nfcodec.lattice.restore.activation`, straight through within its bounds."""

    @staticmethod
    def forward(ctx: Any, stream: Tensor) -> Tensor:
        ctx.save_for_backward(stream)
        active = F.leaky_relu(stream, SLOPE).mul_(1.0 / STREAM).add_(0.5).floor_()
        return active.clamp_(-LARGEST_ACTIVATION, LARGEST_ACTIVATION)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (stream,) = ctx.saved_tensors
        slope = torch.where(stream > 0, 1.0 / STREAM, SLOPE / STREAM)
        return gradient * slope.mul_(stream < STREAM * LARGEST_ACTIVATION)


def _floored(x: Tensor) -> Tensor:
    found: Tensor = _Floor.apply(x)  # type: ignore[no-untyped-call]
    return found


def _activated(stream: Tensor) -> Tensor:
    found: Tensor = _Activation.apply(stream)  # type: ignore[no-untyped-call]
    return found


class FilterTrainer(AveragedRunning):
    """Trains a Y for an init on coded pictures."""

    what = "Y"
    config: FilterConfig

    def __init__(self, init: LatticeInit, pictures: Sequence[CodedPicture], config: FilterConfig) -> None:
        self.init, self.pictures, self.config = init, pictures, config
        self.log_unit = whole_steps(np.array(config.log_unit, np.float32))
        self.planes = len(init.planes.names)
        generator = torch.Generator().manual_seed(config.seed)
        shapes = filter_shapes(config, self.planes, len(init.spacings))
        params = {n: _start(n, shape, generator) for n, shape in shapes.items()}
        self.average = {n: p.clone() for n, p in params.items()}
        self.use(params)
        self.at, self.loss, self.error, self.bits = 0, NOTHING, NOTHING, NOTHING

    def use(self, params: Params) -> None:
        """Go on from these parameters."""
        self.params = {n: p.detach().clone().requires_grad_() for n, p in sorted(params.items())}
        self.optimizer = torch.optim.Adam(self.params.values(), lr=self.config.lr, betas=(0.9, 0.99))

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.config.steps

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inputs (N, 4·P, h, w), what Y is told (N, T), what is missing (N, P, H, W), and the squared error (N,) that
        theirs is measured by, in units."""
        random, config = np.random.default_rng((self.config.seed, step)), self.config
        rows: list[tuple[Floats, ...]] = []
        for _ in range(config.batch):
            picture = self.pictures[int(random.integers(len(self.pictures)))]
            index = int(random.integers(len(picture.qualities)))
            unit = filtering.unit(self.log_unit, picture.qualities[index])
            parts = picture.part(random, index, config.crop)
            decoded, missing = (part.astype(np.float32) * np.float32(2.0**-PLANE_BITS / unit) for part in parts)
            error = 0.5 * np.square(missing).mean() + 0.5 * picture.error(index) / unit**2 + _LEAST_ERROR
            told = filtering.told(picture.qualities[index], picture.spacings[index], len(self.init.spacings))
            rows.append((decoded, told, missing, np.asarray(error, np.float32)))
        samples, *rest = (torch.from_numpy(np.stack(some)) for some in zip(*rows, strict=True))
        return inputs_of(torch.floor(samples * INPUT_UNIT + 0.5)), rest[0], rest[1], rest[2]

    def step(self) -> None:
        """One step of Adam."""
        inputs, told, missing, errors = self.batch(self.at)
        left = (shown(whole_filter(self.params, self.planes), inputs, told) - missing).square().mean((1, 2, 3))
        loss = (left / errors).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.params.values()), self.config.clip)
        at = max(self.at, int(self.hurry * self.total))
        self.optimizer.param_groups[0]["lr"] = self.config.lr * cosine(at, self.total, warmup=200.0)
        self.optimizer.step()
        self._remember(float(loss.detach()), float((left.detach() / missing.square().mean((1, 2, 3))).mean()))
        self.at += 1

    @torch.no_grad()
    def _remember(self, loss: float, error: float) -> None:
        keep = self.config.average
        self.average = {n: averaged(keep, self.average[n], p, self.at // 20) for n, p in self.params.items()}
        self.loss, self.error = smooth(self.loss, loss), smooth(self.error, error)

    def trained(self) -> SampleFilter:
        """Y as it is now."""
        return SampleFilter(self.whole(self.average), self.log_unit)

    def whole(self, params: Params) -> Restore:
        """The network of arrays that parameters make."""
        return whole_arrays(whole_filter({n: p.detach() for n, p in params.items()}, self.planes))

    def made(self) -> LatticeInit:
        """The init with Y as it is now."""
        return with_filter(self.init, self.trained())


def _start(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Residual layers begin at less than the usual spread, and the last one near zero."""
    if name.endswith(".bias"):
        return torch.zeros(shape)
    spread = {"d.in.weight": 0.5, "d.out.weight": 0.05}.get(name, 1.0)
    return torch.randn(shape, generator=generator).mul_(spread / float(shape[1]) ** 0.5)


def with_filter(init: LatticeInit, found: SampleFilter | None) -> LatticeInit:
    """An init with this Y, the same in both tunes."""

    def one(init: LatticeInit) -> LatticeInit:
        return replace(init, levels=(*init.levels[:-1], replace(init.levels[-1], filter=found)))

    made = replace(one(init), sha256=b"", perceptual=init.perceptual and one(init.perceptual))
    made.validate()
    return made
