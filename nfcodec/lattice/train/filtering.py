"""Train Y, the filter after rendering (:mod:`nfcodec.lattice.filtering`), in the whole numbers that decode.

Pictures are files of the encoder, at qualities of their own; Y learns what their samples lack before it. Each of its
networks is trained alone, on its part of the range of qualities and a little more. Everything else of an init stays as
it is.
"""

from __future__ import annotations

import math
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
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.restore import LARGEST_ACTIVATION, LARGEST_OUTPUT, LARGEST_STREAM, SLOPE, STREAM, UNIT, Restore
from nfcodec.lattice.stored import LatticeField
from nfcodec.lattice.train.averaged import AveragedRunning, in_corner
from nfcodec.lattice.train.export import whole_steps
from nfcodec.lattice.train.heads import Blocks
from nfcodec.lattice.train.whole import restore_shapes, whole_arrays, whole_layer
from nfcodec.train.running import NOTHING, averaged, cosine, smooth
from nfcodec.types import Bytes, Floats

Params = dict[str, Tensor]
Whole = npt.NDArray[np.int16]

PLANE_BITS = 13  # of coded pictures in memory
# Parameters count as if inputs, activations and outputs were units of the quality, which are near 1.
_ACTIVATION = 10.0
# A share of the error that its unit says counts as if it were there: PSNR of flat parts does not count alone.
_LEAST_ERROR = 0.05
# Squares of a block along each axis, near enough for all spacings, and by how much each step changes the shares of the
# heads. What neighbours tell halves the bits that it takes to say which head a block uses.
_BLOCK, _FOLLOW, _SAID = 16, 0.01, 0.5
# What the first head leaves counts everywhere, too: it serves files that tell no heads.
_FIRST = 0.3
_TURNS = 8
# Batches whose blocks heads are parted by.
_PARTED_BY = 200


@dataclass(frozen=True, slots=True)
class FilterConfig:
    """A Y of ``blocks`` layers of ``width`` with ``heads`` last ones, and ``steps`` of Adam on ``batch`` parts of
    ``crop`` samples at the rate ``lr``, which falls to zero by a cosine over the steps or the time; ``average``: of the
    running mean that is kept. ``log_unit`` (8,): log2 of the unit at the quality anchors, about that of the root mean
    square error of a plane. ``qualities``: the lowest and the highest that it learns from."""

    width: int = 40
    blocks: int = 5
    heads: int = 8
    steps: int = 40_000
    batch: int = 8
    crop: int = 96
    lr: float = 2e-3
    average: float = 0.999
    clip: float = 1.0
    seed: int = 0
    qualities: tuple[int, int] = (0, order.MOST_QUALITY)
    log_unit: tuple[float, ...] = (-3.6, -4.3, -4.9, -5.45, -6.0, -6.5, -7.1, -7.75)


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """Planes (P, H, W) of an ``original`` and as they were ``decoded`` before Y at a ``quality`` and the number of a
    ``spacing``, 0 for that of the init; in whole numbers of 2^-13."""

    original: Whole
    decoded: Whole
    quality: int
    spacing: int

    @property
    def error(self) -> float:
        """Mean square of what is missing."""
        return float(np.square((self.original - self.decoded).astype(np.float32)).mean()) * 4.0**-PLANE_BITS

    def part(self, random: np.random.Generator, size: int) -> tuple[Whole, Whole]:
        """A part (P, size, size) of the decoded picture and what it lacks, turned and mirrored; it begins where squares
        do."""
        starts = [SIDE * int(random.integers((n - size) // SIDE + 1)) for n in self.original.shape[1:]]
        at = (slice(None), *(slice(a, a + size) for a in starts))
        decoded, missing = self.decoded[at], self.original[at] - self.decoded[at]
        turns, mirrored = divmod(int(random.integers(_TURNS)), 2)
        parts = (np.rot90(part, turns, (1, 2)) for part in (decoded, missing))
        first, second = (part[:, :, ::-1] if mirrored else part for part in parts)
        return first, second


def coded(field: LatticeField, samples: Bytes, spacings: Sequence[int]) -> CodedPicture | None:
    """What a file shows of a picture (H, W, C) of 8-bit samples, of even height and width; ``spacings``: of its init.
    None where an overlay shows most of it."""
    if field.covered:
        return None
    planes = field.init.planes.to_planes(samples.astype(np.float32) / np.float32(255.0), offset_of("image"))
    original = np.rint(planes * 2.0**PLANE_BITS).astype(np.int16)
    whole = field.coded_samples([np.arange(n) for n in samples.shape[:2]])
    decoded = np.rint(whole * 2.0 ** (PLANE_BITS - 32)).astype(np.int16)
    spacing = field.header.spacing
    return CodedPicture(
        original, decoded, field.header.quality, 0 if spacing is None else 1 + spacings.index(spacing)
    )  # fmt: skip


# -- whole numbers ---------------------------------------------------------------------------------------
def filter_shapes(config: FilterConfig, planes: int, spacings: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of Y's parameters."""
    channels = SIDE**2 * planes
    inputs = 9 * channels + order.QUALITY_LEVELS + spacings
    return restore_shapes(inputs, config.width, config.heads * channels, config.blocks, 2)


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
    found = (squares - means).reshape(n, -1, *size).clamp(-LARGEST_INPUT, LARGEST_INPUT)
    return found.contiguous(memory_format=torch.channels_last)  # whose convolutions take half the time


def shown(network: Restore, inputs: Tensor, told: Tensor) -> Tensor:
    """What each head of Y adds to squares (N, heads, 4·P, h, w), in units, for inputs (N, 4·P, h, w) and what it is
    ``told`` (N, T) of each picture.

    The network of :class:`SampleFilter` by torch's convolutions, whose sums may differ in the last place.
    """
    weight, bias = network.leave.shifted
    out = F.conv2d(active(network, inputs, told), weight[:, :, None, None], bias[:, 0])
    found = _floored(out).clamp(-LARGEST_OUTPUT, LARGEST_OUTPUT) / UNIT
    n, _, *size = found.shape
    return found.reshape(n, -1, inputs.shape[1], *size)


def active(network: Restore, inputs: Tensor, told: Tensor) -> Tensor:
    """The last activations (N, width, h, w), which the heads see."""
    weight, bias = network.enter.shifted
    squares = 9 * inputs.shape[1]
    first = _convolved(inputs, weight[:, :squares]) + (told @ weight[:, squares:].T + bias.T)[:, :, None, None]
    stream = _clipped(_floored(first))
    for block in network.blocks:
        weight, bias = block.shifted
        around = _floored(_convolved(_activated(stream), weight, bias))
        stream = _clipped(stream + around)
    return _activated(stream)


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
        sloped = torch.ops.aten.leaky_relu_backward(gradient, stream, SLOPE, False)  # noqa: FBT003
        bound = float(STREAM * LARGEST_ACTIVATION)
        found: Tensor = torch.ops.aten.hardtanh_backward(sloped, stream, -math.inf, bound)
        return found.mul_(1.0 / STREAM)


def _clipped(stream: Tensor) -> Tensor:
    """Within the bounds of a stream; its gradient is made in one step, unlike that of clamp."""
    return F.hardtanh(stream, -LARGEST_STREAM, LARGEST_STREAM)


def _floored(x: Tensor) -> Tensor:
    found: Tensor = _Floor.apply(x)  # type: ignore[no-untyped-call]
    return found


def _activated(stream: Tensor) -> Tensor:
    found: Tensor = _Activation.apply(stream)  # type: ignore[no-untyped-call]
    return found


class FilterTrainer(AveragedRunning):
    """Trains a network of Y for an init on coded pictures."""

    what = "Y"
    config: FilterConfig

    def __init__(self, init: LatticeInit, pictures: Sequence[CodedPicture], config: FilterConfig) -> None:
        lowest, highest = config.qualities
        self.init, self.config = init, config
        self.pictures = [picture for picture in pictures if lowest <= picture.quality <= highest]
        self.log_unit = whole_steps(np.array(config.log_unit, np.float32))
        self.planes = len(init.planes.names)
        generator = torch.Generator().manual_seed(config.seed)
        shapes = filter_shapes(config, self.planes, len(init.spacings))
        params = {n: _start(n, shape, generator) for n, shape in shapes.items()}
        self.average = {n: p.clone() for n, p in params.items()}
        self.more = {"shares": torch.full((config.heads,), 1.0 / config.heads)}
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

    def fitting(self, found: Params) -> Params:
        """Of a network of fewer channels one that shows the same: nothing sees the new ones yet, which see at random
        what others see. Of one of a single head one whose heads are parted by least squares."""
        if found.keys() != self.params.keys():
            return found
        if len(found["d.in.bias"]) < self.config.width:
            generator = torch.Generator().manual_seed(self.config.seed)
            shapes = self.params | {n: p[: len(found[n])] for n, p in self.params.items() if n.startswith("d.out")}
            found = {n: _grown(n, p, shapes[n].shape, generator) for n, p in found.items()}
        single = len(found["d.out.bias"]) == SIDE**2 * self.planes < len(self.params["d.out.bias"])
        return found | self._parted(found) if single else found

    @torch.no_grad()
    def _parted(self, found: Params) -> Params:
        """The heads that blocks of this network's activations part into."""
        network, seen = whole_filter(found, self.planes), Blocks(_BLOCK)
        for step in range(_PARTED_BY):
            inputs, told, missing, errors, _ = self.batch(step)
            seen.see(active(network, inputs, told), F.pixel_unshuffle(missing, SIDE), errors)
        weight, bias = network.leave.shifted
        first = torch.cat([weight, bias - 0.5], 1).T / UNIT
        heads = seen.parted(first, self.config.heads, torch.Generator().manual_seed(self.config.seed))
        return {"d.out.weight": heads[:, :-1].mT.flatten(0, 1) * _ACTIVATION, "d.out.bias": heads[:, -1].flatten()}

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Inputs (N, 4·P, h, w), what Y is told (N, T), what is missing (N, P, H, W), the squared error (N,) that
        theirs is measured by, and the one (N,) that a bit is worth, summed, in units."""
        random, config = np.random.default_rng((self.config.seed, step)), self.config
        rows: list[tuple[Floats, ...]] = []
        for _ in range(config.batch):
            picture = self.pictures[int(random.integers(len(self.pictures)))]
            unit = filtering.unit(self.log_unit, picture.quality)
            parts = picture.part(random, config.crop)
            decoded, missing = (part.astype(np.float32) * np.float32(2.0**-PLANE_BITS / unit) for part in parts)
            error = 0.5 * np.square(missing).mean() + 0.5 * picture.error / unit**2 + _LEAST_ERROR
            told = filtering.told(picture.quality, picture.spacing, len(self.init.spacings))
            trade = self.init.plane_trade(picture.quality) / unit**2
            rows.append((decoded, told, missing, *(np.asarray(x, np.float32) for x in (error, trade))))
        samples, *rest = (torch.from_numpy(np.stack(some)) for some in zip(*rows, strict=True))
        return inputs_of(torch.floor(samples * INPUT_UNIT + 0.5)), rest[0], rest[1], rest[2], rest[3]

    def step(self) -> None:
        """One step of Adam."""
        inputs, told, missing, errors, trades = self.batch(self.at)
        found = shown(whole_filter(self.params, self.planes), inputs, told)
        wrong = (found - F.pixel_unshuffle(missing, SIDE)[:, None]).square().sum(2)
        blocks = F.avg_pool2d(wrong, _BLOCK, ceil_mode=True) / inputs.shape[1]
        own = blocks.gather(1, self._heads(blocks.detach(), trades)[:, None])
        left, first = own.mean((1, 2, 3)), blocks[:, 0].mean((1, 2))
        loss = ((left + _FIRST * first) / errors).mean() / (1.0 + _FIRST)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.params.values()), self.config.clip)
        at = max(self.at, int(self.hurry * self.total))
        self.optimizer.param_groups[0]["lr"] = self.config.lr * cosine(at, self.total, warmup=200.0)
        self.optimizer.step()
        self._remember(float(loss.detach()), float((left.detach() / missing.square().mean((1, 2, 3))).mean()))
        self.at += 1

    def _heads(self, blocks: Tensor, trades: Tensor) -> Tensor:
        """The heads (N, h, w) that cost least for the mean squared errors of ``blocks`` (N, heads, h, w), as if bits
        were by the shares that heads had of late (entropy-constrained: Chou, Lookabaugh, Gray 1989)."""
        shares = self.more["shares"]
        bits = _SAID * -shares.clamp(min=1e-3).log2()[None, :, None, None]
        numbers = _BLOCK**2 * SIDE**2 * self.planes
        heads = (blocks + trades[:, None, None, None] * bits / numbers).argmin(1)
        now = torch.bincount(heads.ravel(), minlength=self.config.heads) / heads.numel()
        self.more = {"shares": shares.lerp(now, _FOLLOW)}
        return heads

    @torch.no_grad()
    def _remember(self, loss: float, error: float) -> None:
        keep = self.config.average
        self.average = {n: averaged(keep, self.average[n], p, self.at // 20) for n, p in self.params.items()}
        self.loss, self.error = smooth(self.loss, loss), smooth(self.error, error)

    def trained(self) -> SampleFilter:
        """A Y of this network alone, as it is now."""
        return SampleFilter((self.whole(self.average),), self.log_unit, heads=self.config.heads)

    def whole(self, params: Params) -> Restore:
        """The network of arrays that parameters make."""
        return whole_arrays(whole_filter({n: p.detach() for n, p in params.items()}, self.planes))

    def made(self) -> LatticeInit:
        """The init with this network alone as Y."""
        return with_filter(self.init, self.trained())


def _start(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Residual layers begin at less than the usual spread, and the last one near zero."""
    if name.endswith(".bias"):
        return torch.zeros(shape)
    spread = {"d.in.weight": 0.5, "d.out.weight": 0.05}.get(name, 1.0)
    return torch.randn(shape, generator=generator).mul_(spread / float(shape[1]) ** 0.5)


def _grown(name: str, old: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """A parameter of ``shape`` with an ``old`` one in its place; new rows of weights see at random."""
    squares = 9 if name.endswith(".weight") and name not in ("d.in.weight", "d.out.weight") else 1
    new = torch.zeros(shape[0], squares, math.prod(shape[1:]) // squares)
    if name.endswith(".weight"):
        new[len(old) :] = float(old.std()) * torch.randn(new[len(old) :].shape, generator=generator)
    return in_corner(old.reshape(len(old), squares, -1), new).reshape(shape)


def with_filter(init: LatticeInit, found: SampleFilter | None) -> LatticeInit:
    """An init with this Y, the same in both tunes, but with one view in the perceptual one: errors are not its aim."""

    def one(init: LatticeInit, found: SampleFilter | None) -> LatticeInit:
        return replace(init, levels=(*init.levels[:-1], replace(init.levels[-1], filter=found)))

    perceptual = init.perceptual and one(init.perceptual, found and replace(found, views=1))
    made = replace(one(init, found), sha256=b"", perceptual=perceptual)
    made.validate()
    return made
