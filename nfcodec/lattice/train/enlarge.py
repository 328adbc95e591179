"""Train what a lattice shows between its samples (:mod:`nfcodec.lattice.enlarge`).

Pictures are halved, encoded by the first steps at random qualities, enlarged again and compared with their originals
(:mod:`nfcodec.lattice.train.halves`). Rates and the picture at its own size are untouched, so everything but X is
frozen here. All tunes of an init share the weights of X; biases are of a tune.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.lattice import order
from nfcodec.lattice.enlarge import SLOPE, Functions, detail, detail_shapes
from nfcodec.lattice.train.averaged import in_corner
from nfcodec.lattice.train.config import DetailConfig
from nfcodec.lattice.train.halves import Encoded, Halves, Tuned
from nfcodec.lattice.train.model import hats
from nfcodec.lattice.train.tasks import Pieces
from nfcodec.train.checkpoint import grouped, moments, restore_moments
from nfcodec.train.running import averaged, cosine

Params = dict[str, Tensor]

_PICKS = 10_000_079  # what a step picks depends on the seed and its number, not on the pictures' own numbers
_CLIP = 1.0
_WARMUP = 50.0


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """:func:`nfcodec.lattice.convolution.filtered` as torch has it, which is several times faster with gradients."""
    wide = F.pad(x, (weight.shape[-1] // 2,) * 4, mode="replicate")
    return F.conv2d(wide, weight) + bias[..., None, None]


FUNCTIONS = Functions(convolved, partial(F.leaky_relu, negative_slope=SLOPE))


class DetailTrainer:
    """Fits X to a lattice init that stays as it is, in all its ``tunes``."""

    def __init__(
        self, tunes: Sequence[Tuned], pieces: Pieces, config: DetailConfig, *, seed: int,
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        self.config, self.seed, self.device, self.tunes = config, seed, torch.device(device), len(tunes)
        self.halves = Halves(tunes, pieces, config, seed=seed, device=self.device)
        self.planes = tunes[0].planes
        self.params = grown(self._start(), [t.detail for t in tunes])
        self.average = {n: p.clone() for n, p in self.params.items()}
        self._leaves()

    def _leaves(self) -> None:
        self.params = {n: p.detach().to(self.device).requires_grad_() for n, p in self.params.items()}
        self.average = {n: p.detach().to(self.device) for n, p in self.average.items()}
        self.optimizer = torch.optim.Adam(self.params.values(), lr=self.config.lr, betas=(0.9, 0.99))

    def _start(self) -> Params:
        generator = torch.Generator().manual_seed(self.seed)
        config, features = self.config, self.tunes * order.QUALITY_LEVELS
        shown = min(config.shown, self.planes)
        params = {}
        for name, shape in detail_shapes(config.width, config.blocks, self.planes, shown, features).items():
            zero = name.endswith("bias") or name.startswith("out.")
            # Residual layers begin at half the usual spread, so that the sum over all of them is in the range of one.
            spread = (1.5 / int(np.prod(shape[1:]))) ** 0.5 * (1.0 if name.startswith("in.") else 0.5)
            params[name] = torch.zeros(shape) if zero else torch.randn(shape, generator=generator) * spread
        return params

    def features(self, pictures: Sequence[Encoded]) -> Tensor:
        """Features (N, T·Q) of the tune and the quality of pictures."""
        own = hats([p.quality for p in pictures], self.device)
        tune = torch.tensor([p.tune for p in pictures], device=self.device)
        return (F.one_hot(tune, self.tunes)[:, :, None] * own[:, None]).flatten(1)

    def batch(self, at: int) -> tuple[list[Encoded], Tensor, Tensor]:
        """Pictures of step ``at``, and a part of each, turned: its samples (N, P, c, c) and what the field misses at
        twice the size (N, P, 2c, 2c)."""
        random = np.random.default_rng((self.seed, _PICKS, at))
        chosen = [self.halves[int(i)] for i in random.integers(len(self.halves), size=self.config.batch)]
        parts = [p.part(random, self.config.crop) for p in chosen]
        native, missing = (torch.stack(some).float().to(self.device) for some in zip(*parts, strict=True))
        return chosen, native, missing

    def loss(self, at: int) -> Tensor:
        """What X leaves of the squared error of the enlarged pictures of step ``at``, as a share of all of it: its mean
        over pictures, so that PSNR counts the same in each."""
        chosen, native, missing = self.batch(at)
        native = native.contiguous(memory_format=torch.channels_last)
        added = detail(self.params, native, self.features(chosen), FUNCTIONS)
        added = F.pad(added, (0, 0, 0, 0, 0, missing.shape[1] - added.shape[1]))
        whole = torch.tensor([p.error for p in chosen], device=self.device)
        left: Tensor = (added - missing).square().mean((1, 2, 3)) / whole
        return left.mean()

    def step(self, at: int, hurry: float = 0.0) -> float:
        """Step number ``at``; returns the loss. ``hurry``: the share of the time that is over."""
        loss = self.loss(at)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.params.values(), _CLIP)
        self.optimizer.param_groups[0]["lr"] = self.config.lr * cosine(
            max(at, int(hurry * self.config.steps)), self.config.steps, warmup=_WARMUP
        )
        self.optimizer.step()
        with torch.no_grad():
            for name, mean in self.average.items():
                mean.copy_(averaged(self.config.average, mean, self.params[name], at // 4))
        return float(loss.detach())

    def trained(self) -> list[Params]:
        """X as it is now, of each tune."""
        found = {n: p.detach().cpu().clone() for n, p in self.average.items()}
        return [{n: _of_tune(n, p, tune) for n, p in found.items()} for tune in range(self.tunes)]

    def state(self) -> Params:
        """Everything that training goes on from, as named tensors."""
        own = {f"x/{n}": p for n, p in self.params.items()} | {f"mean/{n}": p for n, p in self.average.items()}
        return own | moments(self.optimizer, self.params.values())

    def restore(self, state: Params) -> None:
        """The inverse of :meth:`state`."""
        groups = grouped(state)
        self.params = {n: groups["x"][n] for n in self.params}
        self.average = {n: groups["mean"][n] for n in self.average}
        self._leaves()
        restore_moments(self.optimizer, self.params.values(), groups)


def grown(new: Params, details: Sequence[Params]) -> Params:
    """X as it starts, ``new``, with that of an init that is no larger in its place, the same of each tune or of the
    first: what has fewer layers, channels or planes shows the same when it grows, as new layers begin near zero and
    nothing sees new channels yet."""
    first = details[0]
    if not first or any(n not in new or _larger(p, new[n]) for n, p in first.items()):
        return new

    def old(name: str) -> Tensor:
        tuned = name.endswith(".bias") and name != "out.bias"
        return torch.cat([d[name] for d in details]) if tuned else first[name]

    return {n: in_corner(old(n), p) if n in first else 0.1 * p for n, p in new.items()}


def _larger(old: Tensor, new: Tensor) -> bool:
    return any(a > b for a, b in zip(old.shape, new.shape, strict=True))


def _of_tune(name: str, value: Tensor, tune: int) -> Tensor:
    if not name.endswith(".bias") or name == "out.bias":
        return value
    return value[tune * order.QUALITY_LEVELS : (tune + 1) * order.QUALITY_LEVELS].clone()
