"""The outer loop: encode drawn fields with the networks as they are, and teach these what would have been cheaper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nfcodec.dyadic.code import SERIES, Expected, Scheme, Sight, Tuning, walk
from nfcodec.dyadic.features import UNIT, Seen, inputs
from nfcodec.dyadic.fit.giver import Giver, fitted_weights
from nfcodec.dyadic.order import PHASES
from nfcodec.dyadic.train.config import DyadicConfig
from nfcodec.dyadic.train.fields import moving, plain, rough
from nfcodec.dyadic.train.model import loss_of, new_networks, whole_init
from nfcodec.entropy.coder import SymbolEncoder
from nfcodec.train.checkpoint import grouped, moments, read_state, restore_moments, write_state
from nfcodec.train.running import NOTHING, Running, smooth
from nfcodec.types import Doubles, Mask

Samples = list[list[Tensor]]  # of each phase: features, distances, scales, whole, weights
_NUMBERS = ("at", "loss", "bits")
_MOST_SAMPLES = 2500  # of a phase of a field
_MOST_WEIGHT = 20.0
_TUNED = 0.5  # of the fields are coded with weights of their own
_OVERHEAD = 200  # bytes that every file costs beside its symbols


@dataclass(frozen=True, slots=True)
class Task:
    """Planes (1, h, w) in units, what is expected of them or None, and how they are rounded."""

    planes: Doubles
    base: Doubles | None
    coded: Mask
    scheme: Scheme


class _Watching(Giver):
    """Encodes, and keeps what the networks saw."""

    def __init__(self, task: Task, *, tune: bool) -> None:
        super().__init__(task.planes, SymbolEncoder(), tune=tune)
        self.whole = task.scheme.whole
        self.seen: list[list[tuple[Seen, Doubles, int]]] = [[] for _ in PHASES]

    def _chosen(self, sight: Sight) -> tuple[Tuning, Expected]:
        """Weights are taken in any case: networks should learn what to make of them."""
        tuning = Tuning(fitted_weights(sight, sight.where.of(self.planes)))
        return tuning, sight.expected(tuning)

    def tuned(self, sight: Sight) -> Expected:
        """Keep what is known, with what is to be found out."""
        start, found, step = 0, sight.where.of(self.planes), sight.scheme.setting(sight.level.t).step
        weights = fitted_weights(sight, found) if self.tune and sight.tunable else ()
        for part in sight.seen(Tuning(weights)):
            stop = start + len(part.scale)
            self.seen[sight.number].append((part, found[start:stop], step))
            start = stop
        return super().tuned(sight)


def draw_task(r: np.random.Generator, side: int) -> Task:
    """A field to learn from."""
    height, width = (int(2 ** r.uniform(3.5, np.log2(side))) for _ in range(2))
    if r.random() < 0.08:
        height, width = 1, int(2 ** r.uniform(5, 13))
    share = 10 ** (r.uniform(-5, -1.5) if r.random() < 0.6 else r.uniform(-3.2, -1.7))
    kind = r.random()
    field, base = moving(r, height, width) if kind < 0.25 else (plain(r, height, width), None)
    step = 2 * share * (np.ptp(field) + 1e-12)
    if 0.25 <= kind < 0.35 and height > 1:
        base = rough(r, field, step)
    steps = max(1, int(np.ceil(1 / (2 * share))))
    low = field.min()
    planes = np.clip((field - low) / step, 0, steps) * UNIT
    whole = r.random() < 0.15
    planes = np.rint(planes / UNIT) * UNIT if whole else planes
    expected = None if base is None else np.rint((base - low) / step * UNIT)[None]
    coded = np.ones((1, height, width), bool)
    if r.random() < 0.08:
        coded[0] = plain(r, height, width) > 0
    scheme = Scheme(steps, int(r.integers(len(SERIES))), whole, (r.random() < 0.1, r.random() < 0.1))
    return Task(planes[None], expected, coded, scheme)


class DyadicTrainer(Running):
    """Trains the networks of all phases at once."""

    def __init__(self, config: DyadicConfig) -> None:
        torch.manual_seed(config.seed)
        self.config, self.at = config, 0
        self.loss = self.error = self.bits = NOTHING
        self.networks = new_networks(config.field.first, config.field.second)
        self._leaves = [p for n in self.networks for p in n.parameters()]
        self._adam = torch.optim.Adam(self._leaves, config.outer.lr)
        self._kept: list[Samples] = []

    @property
    def total(self) -> int:
        """Rounds."""
        return self.config.outer.steps

    def step(self) -> None:
        """Draw and encode fields, then learn from them and from those of the rounds before."""
        outer = self.config.outer
        r = np.random.default_rng([self.config.seed, self.at])
        self._kept = [*self._kept, self._encoded(r)][-outer.keep :]
        phases = [[torch.cat(parts) for parts in zip(*(k[i] for k in self._kept), strict=True)] for i in range(3)]
        for group in self._adam.param_groups:
            group["lr"] = outer.lr * max(0.01, 1.0 - self.at / self.total)
        torch.manual_seed(self.config.seed * 1_000_003 + self.at)
        for _ in range(outer.updates):
            self._update(phases)
        self.at += 1

    def _update(self, phases: Samples) -> None:
        total, bits = torch.zeros(()), 0.0
        for network, samples in zip(self.networks, phases, strict=True):
            if not len(samples[1]):  # lines alone have been drawn so far
                continue
            chosen = torch.randint(0, len(samples[1]), (self.config.outer.batch,))
            loss, told = loss_of(network, [s[chosen] for s in samples])
            total, bits = total + loss, bits + float(told) / len(phases)
        self._adam.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self.loss, self.bits = smooth(self.loss, float(total.detach())), smooth(self.bits, bits)

    def _encoded(self, r: np.random.Generator) -> Samples:
        init = whole_init(self.config.id, self.networks)
        parts: list[Samples] = []
        for _ in range(self.config.outer.fields):
            task = draw_task(r, self.config.outer.side)
            watching = _Watching(task, tune=r.random() < _TUNED)
            walk(init, task.scheme, task.base, task.coded, watching)
            size = len(watching.encoder.finish()) + _OVERHEAD
            weight = min(_MOST_WEIGHT, task.planes.size / size / 8)
            parts.append([_samples(r, i, seen, task.scheme, weight) for i, seen in enumerate(watching.seen)])
        return [[torch.cat(p) for p in zip(*(part[i] for part in parts), strict=True)] for i in range(len(PHASES))]

    # -- checkpoints -------------------------------------------------------------------------------------
    def save(self, path: Path) -> None:
        """Write networks, moments and numbers; what was seen lately is drawn anew."""
        tensors = {f"net/{i}": p.detach() for i, p in enumerate(self._leaves)} | moments(self._adam, self._leaves)
        write_state(path, tensors, {"at": self.at, "loss": self.loss, "bits": self.bits}, self.config)

    def resume(self, path: Path) -> None:
        """Go on from :meth:`save`."""
        tensors, (self.at, self.loss, self.bits) = read_state(path, _NUMBERS, self.config)
        groups = grouped(tensors)
        with torch.no_grad():
            for i, leaf in enumerate(self._leaves):
                leaf.copy_(groups["net"][str(i)])
        restore_moments(self._adam, self._leaves, groups)


def _samples(
    r: np.random.Generator, number: int, seen: list[tuple[Seen, Doubles, int]], scheme: Scheme, weight: float
) -> list[Tensor]:  # fmt: skip
    """Some of what the network of phase ``number`` saw of a field."""
    if not seen:
        return [torch.zeros((0, inputs(number)), dtype=torch.int8), *(torch.zeros(0) for _ in range(4))]
    features = np.concatenate([s.features for s, _, _ in seen], 1)
    distance = np.concatenate([(x - s.predicted) / step for s, x, step in seen])
    scale = np.concatenate([s.scale / step for s, _, step in seen])
    total = len(scale)
    chosen = r.permutation(total)[:_MOST_SAMPLES]
    weights = np.full(len(chosen), weight * total / max(1, len(chosen)))
    numbers = (distance[chosen], scale[chosen], np.full(len(chosen), float(scheme.whole)), weights)
    return [torch.from_numpy(features[:, chosen].T.copy()), *(torch.from_numpy(n.astype(np.float32)) for n in numbers)]
