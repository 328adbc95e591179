"""The prior of residuals alone: what it is told of predictions is learned on encodings that are kept.

Symbols stay as they are, so the loss is what they cost, by the float twin; the square root of a picture's bits is what
counts, such that pictures of few bits are not lost among those of many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nfcodec.errors import InputError
from nfcodec.lattice.fit.twin import Beside, FloatPrior, float_params, network_names
from nfcodec.lattice.given import NOTHING, Given, Told
from nfcodec.lattice.init import Level
from nfcodec.lattice.order import order_of
from nfcodec.lattice.prior import Prior
from nfcodec.lattice.space import Box
from nfcodec.lattice.train.export import whole_network
from nfcodec.moving.given import given_of, told
from nfcodec.moving.init import MovingInit
from nfcodec.moving.picture import Canvas
from nfcodec.moving.train.clips import Predicted, drawn, encoded
from nfcodec.moving.train.config import ClipConfig, PriorLoop
from nfcodec.train.checkpoint import grouped, moments, restore_moments
from nfcodec.train.running import averaged, cosine
from nfcodec.train.signals import Clip
from nfcodec.types import Mask, Symbols

Params = dict[str, Tensor]
_PICKS = 0x70  # of the seed
_FEW = 100.0  # bits that count as a picture of next to none
_CLIP = 1.0
_WARMUP = 30.0
_FIRST, _TOLD = ".0.weight", ".0.told"


@dataclass(frozen=True)
class Kept:
    """An encoding: ``symbols`` int16 (P, K, h, w) of all cells, which of them (h, w) are ``coded``, what the prior is
    ``given``, and the ``quality``."""

    symbols: Symbols
    coded: Mask
    given: Given
    quality: int


def kept(init: MovingInit, level: Level, one: Predicted, cells: tuple[int, int]) -> Kept | None:
    """What is learned from a picture, on a canvas of ``cells``; None where nothing is coded."""
    motion, symbols = one.frame.motion, one.frame.symbols
    if symbols is None:
        return None
    found = Canvas(init, one.planes.shape[1:], len(one.planes)).cells(motion)
    whole = Box(-1, (0, 0), found.coded.shape)
    given = given_of(level, one.expected, motion, found.coded, whole, one.frame.quality)
    wide = np.zeros((*symbols.shape[:2], *cells), np.int16)
    wide[found.box.cells] = symbols
    more = [(0, n - m) for n, m in zip(cells, whole.shape, strict=True)]
    each, cell = (
        np.pad(a.reshape(*a.shape[:-1], *whole.shape), [(0, 0)] * (a.ndim - 1) + more).reshape(*a.shape[:-1], -1)
        for a in (given.each, given.cell)
    )
    return Kept(wide, np.pad(found.coded, more), Given(each, cell), one.frame.quality)


def encodings(init: MovingInit, clips: Sequence[Clip], config: ClipConfig, loop: PriorLoop, seed: int) -> list[Kept]:
    """Encodings of parts of all clips, at random places and qualities."""
    random, spacing = np.random.default_rng((seed, _PICKS)), init.residuals.spec.spacing
    cells = -(-config.height // spacing[0]), -(-config.width // spacing[1])

    def every() -> Iterator[Kept | None]:
        for _ in range(loop.encodings):
            for clip in clips:
                for one in encoded(init, *drawn(clip, config, random)):
                    yield kept(init, init.residuals, one, cells)

    found = [one for one in every() if one is not None]
    if not found:
        raise InputError("the clips leave no residuals to learn a prior from")
    return found


class PriorTrainer:
    """Trains the prior of a level on encodings; as the last stage of a training, see
    :class:`~nfcodec.lattice.train.loop.Stage`."""

    def __init__(self, level: Level, pictures: Sequence[Kept], loop: PriorLoop, *, seed: int) -> None:
        self.spec, self.pictures, self.loop, self.seed = level.spec, pictures, loop, seed
        self.told = told(level.spec)
        self.twin = FloatPrior(order_of(level.spec), pictures[0].coded.shape, loop.batch)
        self.params = _split(level.prior, self.told)
        self.average = {n: p.clone() for n, p in self.params.items()}
        self._leaves()

    def _leaves(self) -> None:
        for p in self.params.values():
            p.requires_grad_()
        new, old = ([p for n, p in self.params.items() if n.endswith(_TOLD) == is_new] for is_new in (True, False))
        groups = [{"params": new, "base": self.loop.lr}, {"params": old, "base": self.loop.lr * self.loop.share}]
        self.optimizer = torch.optim.Adam(groups, lr=self.loop.lr, betas=(0.9, 0.99))

    def batch(self, at: int) -> list[Kept]:
        """The pictures of step ``at``."""
        epoch, first = divmod(at * self.loop.batch, max(self.loop.batch, len(self.pictures)))
        order = np.random.default_rng((self.seed, _PICKS, epoch)).permutation(len(self.pictures))
        return [self.pictures[order[(first + i) % len(order)]] for i in range(self.loop.batch)]

    def bits(self, params: Params, pictures: Sequence[Kept]) -> Tensor:
        """Bits (N,) of the symbols of pictures."""
        given = Given(*(np.concatenate([getattr(p.given, n) for p in pictures], -1) for n in ("each", "cell")))
        coded = torch.from_numpy(np.concatenate([p.coded.ravel() for p in pictures]))
        symbols = torch.from_numpy(np.stack([p.symbols for p in pictures])).float()
        hats = torch.from_numpy(np.stack([Level.hats(p.quality) for p in pictures]))
        return self.twin.bits(joined(params), symbols, hats, symbols, Beside(given, coded))

    def step(self, at: int, hurry: float = 0.0) -> float:
        """Step number ``at``; returns the mean bits of its pictures. ``hurry``: the share of the time that is over."""
        bits = self.bits(self.params, self.batch(at))
        loss = (bits / torch.sqrt(bits.detach() + _FEW)).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.params.values(), _CLIP)
        for group in self.optimizer.param_groups:
            now = max(at, int(hurry * self.loop.steps))
            group["lr"] = group["base"] * cosine(now, self.loop.steps, warmup=_WARMUP)
        self.optimizer.step()
        with torch.no_grad():
            for name, mean in self.average.items():
                mean.copy_(averaged(self.loop.average, mean, self.params[name], at))
        return float(bits.detach().mean())

    def trained(self) -> Prior:
        """The prior as it is now, in whole numbers."""
        params = {n: p.detach() for n, p in joined(self.average).items()}
        names = network_names(order_of(self.spec))
        groups, means = (tuple(whole_network(params, name) for name in some) for some in names)
        return Prior(self.spec, groups, means, self.told)

    def state(self) -> Params:
        """Everything that training goes on from, as named tensors."""
        own = {f"x/{n}": p for n, p in self.params.items()} | {f"mean/{n}": p for n, p in self.average.items()}
        return own | moments(self.optimizer, self._ordered())

    def _ordered(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def restore(self, state: Params) -> None:
        """The inverse of :meth:`state`."""
        groups = grouped(state)
        self.params = {n: groups["x"][n].clone() for n in self.params}
        self.average = {n: groups["mean"][n].clone() for n in self.average}
        self._leaves()
        restore_moments(self.optimizer, self._ordered(), groups)


def _split(prior: Prior, what: Told) -> Params:
    """The parameters of a prior, those for what it is told apart; zeros where it was told nothing."""
    params, sizes = {}, dict(zip(sum(network_names(prior.order), []), sum(prior.sizes, []), strict=True))
    for name, value in float_params(prior).items():
        params[name] = value
        if name.endswith(_FIRST):
            network = name.removesuffix(_FIRST)
            inputs, symbols = sizes[network]
            first = inputs - prior.told.inputs(symbols)
            new = value.new_zeros(len(value), what.inputs(symbols))
            params[network + _TOLD] = new if prior.told == NOTHING else value[:, first:].clone()
            params[name] = value[:, :first].clone()
    return params


def joined(params: Params) -> Params:
    """Parameters as the twin takes them."""
    found = {n: p for n, p in params.items() if not n.endswith(_TOLD)}
    for name in [n.removesuffix(_TOLD) for n in params if n.endswith(_TOLD)]:
        found[name + _FIRST] = torch.cat([params[name + _FIRST], params[name + _TOLD]], 1)
    return found


def untold(prior: Prior) -> Prior:
    """A prior without the inputs for what it was told."""
    both = (prior.groups, prior.order.groups), (prior.means, prior.order.means)
    groups, means = (
        tuple(n.only(np.arange(inputs)) for n, (inputs, _) in zip(some, of, strict=True)) for some, of in both
    )
    return Prior(prior.spec, groups, means)
