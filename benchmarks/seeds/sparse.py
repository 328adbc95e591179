"""Meta-SparseINR against its baselines, by weights kept (Lee et al. 2021, Fig. 2 and 3, Tab. of 5.2).

Meta-SparseINR and random pruning start from one dense meta-training and prune 20 % of what is left, round by round.
Dense-Narrow nets have at least as many weights and, as in the paper, the outer steps of the dense training alone;
"dense-narrow-equal" has as many as the sparse net of that round has had, which the paper does not try. Scratch is the
narrow net without meta-training. MAML+OneShot and MAML+IMP prune the dense meta-trained net in each signal's own fit.
All fit the same signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial
from pathlib import Path

from machine import BenchmarkError
from torch import Tensor

from benchmarks.seeds.context import Context
from benchmarks.seeds.datasets import IMAGE_SETS, Signals, load
from benchmarks.seeds.rows import Row, Rows, averaged
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.config import InnerConfig, OuterConfig, RateConfig, SparseConfig, TrainConfig
from nfcodec.modules.train.loop import Trainer
from nfcodec.modules.train.maml import Learner
from nfcodec.modules.train.per_signal import Fit, fit_signals, iterative, one_shot
from nfcodec.modules.train.sparse import Score, dense_weights, kept_weights, narrowed, survivors

STEPS = (0, 1, 2, 5, 10, 20, 30, 50, 70, 100)  # of the fit with Adam, whose PSNR a row tells


@dataclass(frozen=True)
class Sizes:
    """``rounds`` that are measured. ``retrain``: outer steps after a prune, the paper's 30,000. ``lr``: of the outer
    Adam (the paper's 1e-5 needs its 150,000 steps). ``samples``: of each picture that an outer step draws, 0: all.
    ``test``: signals that a row averages over. ``batch``, ``inner``, ``rate``, ``adam``: as in the paper."""

    rounds: tuple[int, ...]
    retrain: int
    lr: float
    samples: int
    test: int
    batch: int = 3
    inner: int = 2
    rate: float = 1e-2
    adam: float = 1e-4


SIZES = {
    "small": Sizes((8, 11, 14), 120, 3e-4, 1024, 8),
    "medium": Sizes((8, 11, 14, 17), 2_000, 1e-4, 4096, 50),
    "full": Sizes(tuple(range(1, 21)), 30_000, 1e-5, 0, 100),
}
FIRST = ("imagenette", "siren")  # data set and field; the others are the table of sets.py
VALUES = ("adam100", "sgd2")
# Methods that prune while they meta-train; the last one measures weights in units of what is left of their layer.
SCORES: dict[str, Score] = {"meta-sparse": "theta", "random": "random", "spread": "spread"}


class Drawn:
    """Crops of pictures as tasks of a trainer."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals

    def batch(self, seed: int, step: int, modules: int) -> Tensor:
        """Targets (modules, N, 3)."""
        return self.signals.batch(seed, step, modules)


@dataclass(frozen=True)
class Experiment:
    """One data set, field and seed of the table."""

    context: Context
    sizes: Sizes
    rows: Rows
    data: str
    field: str
    seed: int

    @property
    def spec(self) -> FieldSpec:
        """The papers' SIREN, without output offset, or FFN; one network for a whole picture."""
        p = self.context.protocol
        w0 = p.frequency(200) if self.field == "siren" else p.frequency(10)
        return FieldSpec(self.field, 2, 3, p.width, p.depth, w0, 1, False, False, (p.side, p.side))

    def config(self, spec: FieldSpec, outer: int, sparse: SparseConfig) -> TrainConfig:
        """What ``nfc train`` would take: MAML with one fixed inner rate, second order, neither clipped nor coded."""
        s = self.sizes
        return TrainConfig(
            f"seeds-{self.data}", spec, inner=InnerConfig(s.inner, 1.0, s.rate),
            outer=OuterConfig(outer, s.batch, s.lr, 0.0, 0.0, s.samples),
            sparse=sparse, rate=RateConfig(steps=0), seed=self.seed,
        )  # fmt: skip

    def trainer(self, config: TrainConfig, *names: object) -> tuple[Trainer, Path]:
        """A trainer where its checkpoint left off."""
        found = Trainer(config, Drawn(self.train), device=self.context.device)
        path = self.rows.checkpoint(self.data, self.field, self.seed, *names)
        if path.exists():
            found.resume(path)
        return found, path

    @cached_property
    def train(self) -> Signals:
        """Pictures to train on."""
        return load(self.data, "train", self.context.protocol.side, self.context.data)

    @cached_property
    def test(self) -> Tensor:
        """Signals (test, N, 3) that every row fits."""
        return load(self.data, "test", self.context.protocol.side, self.context.data).centre(self.sizes.test)

    @cached_property
    def dense(self) -> Trainer:
        """The dense meta-training that pruning begins with."""
        config = self.config(self.spec, self.context.protocol.outer, SparseConfig(0, base="masked"))
        trainer, path = self.trainer(config, "dense")
        trainer.run(checkpoint=path, every=60.0)
        return trainer

    def measured(self, learner: Learner, coords: Tensor, cuts: dict[int, int] | None = None) -> Row:
        """PSNR after 100 steps of Adam, and on the way; without ``cuts`` also after two of SGD."""
        targets = self.test.to(coords.device)
        fit = Fit(100, self.sizes.adam, "adam", cuts or {})
        psnr = fit_signals(learner.spec, learner.theta0, learner.mask, coords, targets, fit).psnr.mean(1)
        row: Row = {"adam100": round(float(psnr[-1]), 3)}
        if cuts is None:
            two = Fit(self.sizes.inner, self.sizes.rate, "sgd")
            found = fit_signals(learner.spec, learner.theta0, learner.mask, coords, targets, two).psnr.mean(1)
            row["sgd2"] = round(float(found[-1]), 3)
        return row | {"by_step": [round(float(psnr[i]), 2) for i in STEPS]}

    def elsewhere(self, learner: Learner, coords: Tensor, pruned: int) -> Row:
        """Cross-domain transfer: PSNR after 100 steps on the tests of the other sets, of the sparsest net of seed 0."""
        if self.field != "siren" or self.seed or pruned != max(self.sizes.rounds):
            return {}
        found: Row = {}
        for name in IMAGE_SETS:
            if name != self.data:
                signals = load(name, "test", self.context.protocol.side, self.context.data)
                targets = signals.centre(self.sizes.test).to(coords.device)
                fit = Fit(100, self.sizes.adam)
                psnr = fit_signals(learner.spec, learner.theta0, learner.mask, coords, targets, fit).psnr[-1]
                found[f"on_{name}"] = round(float(psnr.mean()), 3)
        return found

    def row(self, method: str, pruned: int, weights: int, measure: Callable[[], Row]) -> None:
        """One row of the table, if it is asked for or there already."""
        key = {"data": self.data, "field": self.field, "method": method, "round": pruned, "seed": self.seed}
        if self.context.wanted(**key) or self.rows.has(key):
            self.rows.row(key, lambda: {"weights": weights, **measure()})

    # -- methods ------------------------------------------------------------------------------------------
    def run(self, rounds: tuple[int, ...]) -> None:
        """All methods."""
        dense = dense_weights(self.spec)
        self.row("dense", 0, dense, lambda: self.measured(self.dense.learner, self.dense.coords))
        left = survivors(dense, max(rounds))
        weights = {r: left[r - 1] for r in rounds}
        for method in SCORES:
            self.sparse(method, weights)
        for pruned, kept in weights.items():
            self.narrow(pruned, kept)
            cuts = {"one-shot": one_shot(100, dense, kept), "imp": iterative(100, dense, pruned)}
            for method, cut in cuts.items():
                measure = partial(self._per_signal, cut)
                self.row(method, pruned, kept, measure)

    def sparse(self, method: str, weights: dict[int, int]) -> None:
        """Meta-SparseINR or random pruning: one training passes all rounds, from the dense one on."""
        p = self.context.protocol
        sparse = SparseConfig(max(weights), 0.2, self.sizes.retrain, SCORES[method], "masked")
        config = self.config(self.spec, p.outer, sparse)

        @cache
        def begun() -> tuple[Trainer, Path]:
            trainer, path = self.trainer(config, method)
            if trainer.at < p.outer:
                trainer.begin(self.dense)
            return trainer, path

        def measure(pruned: int) -> Row:
            trainer, path = begun()
            trainer.run(checkpoint=path, every=60.0, until=p.outer + pruned * config.sparse.steps)
            learner = trainer.learner
            if kept_weights(learner.mask, trainer.specs) != weights[pruned]:
                raise BenchmarkError(f"round {pruned} keeps other than {weights[pruned]} weights")
            share = {f"layer_{i}": round(float(learner.mask[f"{i}.weight"].mean()), 3) for i in range(p.depth + 1)}
            return share | self.measured(learner, trainer.coords) | self.elsewhere(learner, trainer.coords, pruned)

        for pruned, kept in weights.items():
            self.row(method, pruned, kept, partial(measure, pruned))

    def narrow(self, pruned: int, weights: int) -> None:
        """Dense-Narrow, twice, and Scratch of at least ``weights`` weights."""
        p = self.context.protocol
        spec = narrowed(self.spec, weights)

        def measure(method: str, outer: int) -> Row:
            trainer, path = self.trainer(self.config(spec, outer, SparseConfig(0, base="masked")), method, pruned)
            trainer.run(checkpoint=path if outer else None, every=60.0)
            found = {"width": spec.width, **self.measured(trainer.learner, trainer.coords)}
            return found | (self.elsewhere(trainer.learner, trainer.coords, pruned) if method == "dense-narrow" else {})

        equal = p.outer + pruned * self.sizes.retrain
        for method, outer in (("dense-narrow", p.outer), ("dense-narrow-equal", equal), ("scratch", 0)):
            self.row(method, pruned, dense_weights(spec), partial(measure, method, outer))

    def _per_signal(self, cuts: dict[int, int]) -> Row:
        """MAML+OneShot and MAML+IMP: the dense net, pruned in each signal's own fit."""
        return self.measured(self.dense.learner, self.dense.coords, cuts)


def run(context: Context) -> Path:
    """The table."""
    sizes = SIZES[context.protocol.name]
    rows = Rows("sparse", context.protocol, context.work, asdict(sizes))
    for seed in context.protocol.seeds:
        Experiment(context, sizes, rows, *FIRST, seed).run(sizes.rounds)
        path = written(rows)
    return path


def written(rows: Rows) -> Path:
    """The result so far."""
    return rows.write(averaged(rows.rows, ("data", "field", "method", "round", "weights"), VALUES), steps=STEPS)
