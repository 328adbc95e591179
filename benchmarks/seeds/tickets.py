"""Winning tickets of one picture against narrow nets (Lee et al. 2021, §5.3, Fig. 5): no gain without meta-training.

Iterative magnitude pruning with rewinding: fit the picture with Adam, remove 20 % of the weights by one threshold, put
the others back to their random beginnings, and again. The paper tells the best PSNR of a fit: its end is unsteady.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.seeds.context import Context
from benchmarks.seeds.datasets import load
from benchmarks.seeds.rows import Row, Rows, averaged
from nfcodec.modules.fit.inner import module_loss
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.config import InnerConfig, OuterConfig, RateConfig, SparseConfig, TrainConfig
from nfcodec.modules.train.loop import Trainer
from nfcodec.modules.train.sparse import Score, dense_weights, narrowed, survivors


@dataclass(frozen=True)
class Sizes:
    """``side`` of the picture; ``steps`` of Adam with ``lr`` per fit; ``rounds`` that are told, ``every`` steps the
    PSNR is measured; ``pictures`` that a row averages over."""

    side: int
    steps: int
    lr: float
    rounds: tuple[int, ...]
    every: int
    pictures: int


SIZES = {
    "small": Sizes(64, 300, 1e-3, (3, 7, 11), 20, 1),
    "medium": Sizes(128, 4_000, 3e-4, (4, 8, 11, 14), 50, 1),
    "full": Sizes(512, 50_000, 1e-4, tuple(range(1, 16)), 100, 1),
}
FIELDS = {"siren": 200, "fourier": 10}  # and their w0
# The paper's threshold on |θ|, and one on |θ| in units of what is left of its tensor.
SCORES: dict[str, Score] = {"winning-ticket": "theta", "winning-ticket, spread": "spread"}


class One:
    """Always the same pictures."""

    def __init__(self, targets: Tensor) -> None:
        self.targets = targets

    def batch(self, seed: int, step: int, modules: int) -> Tensor:  # noqa: ARG002
        """Targets (modules, N, 3)."""
        return self.targets


def config(spec: FieldSpec, sizes: Sizes, rounds: int, seed: int, score: Score = "theta") -> TrainConfig:
    """What ``nfc train`` would take: without inner steps meta-training is a plain fit."""
    return TrainConfig(
        "seeds-ticket", spec, inner=InnerConfig(0, 1.0), outer=OuterConfig(sizes.steps, 1, sizes.lr, 0.0, 0.0),
        sparse=SparseConfig(rounds, 0.2, sizes.steps, score, "masked", rewind=True), rate=RateConfig(steps=0),
        seed=seed,
    )  # fmt: skip


def best(trainer: Trainer, sizes: Sizes) -> float:
    """The best PSNR of the next fit, measured every few steps."""
    found = 0.0
    for at in range(trainer.at + sizes.every, trainer.at + sizes.steps + 1, sizes.every):
        trainer.run(until=at)
        params = {n: t.detach().unsqueeze(0) for n, t in trainer.learner.theta0.items()}
        with torch.no_grad():
            error = module_loss(trainer.config.field, params, trainer.coords, trainer.tasks.batch(0, 0, 1))
        found = max(found, -10.0 * float(torch.log10(error).mean()))
    return round(found, 3)


@dataclass(frozen=True)
class Experiment:
    """One field and seed of the table."""

    spec: FieldSpec
    sizes: Sizes
    seed: int
    picture: One
    device: str

    def weights(self) -> list[int]:
        """Weights of the dense net and after every round."""
        dense = dense_weights(self.spec)
        return [dense, *survivors(dense, max(self.sizes.rounds))]

    def ticket(self, score: Score, pruned: int) -> Row:
        """A row of one round."""
        return {"weights": self.weights()[pruned], **tickets(self, score)[pruned]}

    def narrow(self, pruned: int) -> Row:
        """A dense net of at least as many weights."""
        thin = narrowed(self.spec, self.weights()[pruned])
        trainer = Trainer(config(thin, self.sizes, 0, self.seed), self.picture, device=self.device)
        return {"weights": dense_weights(thin), "best": best(trainer, self.sizes)}


@cache
def tickets(made: Experiment, score: Score) -> list[Row]:
    """After every round, 0 is the dense net: best PSNR of a fit, and what share of each layer is left."""
    rounds = max(made.sizes.rounds)
    trainer = Trainer(config(made.spec, made.sizes, rounds, made.seed, score), made.picture, device=made.device)
    return [{"best": best(trainer, made.sizes)} | left(trainer) for _ in range(rounds + 1)]


def left(trainer: Trainer) -> Row:
    """The share of each layer's weights that is not pruned."""
    masks = [trainer.mask[t.name] for t in trainer.specs if t.role == "weight"]
    return {f"layer_{i}": round(float(m.mean()), 3) for i, m in enumerate(masks)}


def run(context: Context) -> Path:
    """The table."""
    sizes, p = SIZES[context.protocol.name], context.protocol
    rows = Rows("tickets", p, context.work, asdict(sizes))
    picture = One(load("photos", "test", sizes.side, context.data, count=1).centre(1).to(context.device))
    for field, w0 in FIELDS.items():
        spec = FieldSpec(field, 2, 3, p.width, p.depth, p.frequency(w0), 1, False, False, (sizes.side, sizes.side))
        for seed in p.other_seeds:
            made = Experiment(spec, sizes, seed, picture, context.device)
            plan = [("dense", 0, partial(made.ticket, "theta", 0))]
            for pruned in sizes.rounds:
                plan += [(name, pruned, partial(made.ticket, score, pruned)) for name, score in SCORES.items()]
                plan.append(("dense-narrow", pruned, partial(made.narrow, pruned)))
            for method, pruned, measure in plan:
                key = {"field": field, "round": pruned, "seed": seed, "method": method}
                if context.wanted(**key) or rows.has(key):
                    rows.row(key, measure)
    return rows.write(averaged(rows.rows, ("field", "method", "round", "weights"), ("best",)))
