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
from nfcodec.modules.train.sparse import dense_weights, narrowed, survivors


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


class One:
    """Always the same pictures."""

    def __init__(self, targets: Tensor) -> None:
        self.targets = targets

    def batch(self, seed: int, step: int, modules: int) -> Tensor:  # noqa: ARG002
        """Targets (modules, N, 3)."""
        return self.targets


def config(spec: FieldSpec, sizes: Sizes, rounds: int, seed: int) -> TrainConfig:
    """What ``nfc train`` would take: without inner steps meta-training is a plain fit."""
    return TrainConfig(
        "seeds-ticket", spec, inner=InnerConfig(0, 1.0), outer=OuterConfig(sizes.steps, 1, sizes.lr, 0.0, 0.0),
        sparse=SparseConfig(rounds, 0.2, sizes.steps, "theta", "masked", rewind=True), rate=RateConfig(steps=0),
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


def run(context: Context) -> Path:
    """The table."""
    sizes, p = SIZES[context.protocol.name], context.protocol
    rows = Rows("tickets", p, context.work, asdict(sizes))
    picture = One(load("photos", "test", sizes.side, context.data, count=1).centre(1).to(context.device))
    for field, w0 in FIELDS.items():
        spec = FieldSpec(field, 2, 3, p.width, p.depth, p.frequency(w0), 1, False, False, (sizes.side, sizes.side))
        left = [dense_weights(spec), *survivors(dense_weights(spec), max(sizes.rounds))]
        for seed in p.other_seeds:
            if not context.wanted(field=field, seed=seed):
                continue

            @cache
            def ticket(spec: FieldSpec = spec, seed: int = seed) -> dict[int, float]:
                trainer = Trainer(config(spec, sizes, max(sizes.rounds), seed), picture, device=context.device)
                return {r: best(trainer, sizes) for r in range(max(sizes.rounds) + 1)}

            def narrow(pruned: int, spec: FieldSpec = spec, seed: int = seed, left: list[int] = left) -> Row:
                thin = narrowed(spec, left[pruned])
                trainer = Trainer(config(thin, sizes, 0, seed), picture, device=context.device)
                return {"weights": dense_weights(thin), "best": best(trainer, sizes)}

            def found(pruned: int, left: list[int] = left, ticket=ticket) -> Row:  # type: ignore[no-untyped-def]
                return {"weights": left[pruned], "best": ticket()[pruned]}

            for pruned in (0, *sizes.rounds):
                key = {"field": field, "round": pruned, "seed": seed}
                rows.row({**key, "method": "winning-ticket" if pruned else "dense"}, partial(found, pruned))
                if pruned:
                    rows.row({**key, "method": "dense-narrow"}, partial(narrow, pruned))
    return rows.write(averaged(rows.rows, ("field", "method", "round", "weights"), ("best",)))
