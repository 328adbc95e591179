"""The training loop behind ``nfc train``: dense meta-training, pruning rounds, rate-aware training, export.

The whole state is a handful of tensors and integers, saved as safetensors; batch i is a function of the seed
and i. So a run that was interrupted and resumed ends in the same init as one that was not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nfcodec.coords import module_coords
from nfcodec.errors import CorruptError
from nfcodec.modules.fit.context import gather
from nfcodec.modules.fit.inner import InnerLoop, adapt
from nfcodec.modules.init import QUALITY_ANCHORS
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.train.config import TrainConfig
from nfcodec.modules.train.continual import head_only, segments_of, sequence_loss
from nfcodec.modules.train.gates import first_gates, gated, open_share, settled
from nfcodec.modules.train.maml import Bootstrap, Learner, outer_loss
from nfcodec.modules.train.rate_loss import (
    RateState,
    first_state,
    flatten,
    floor_fisher,
    rate_loss,
    sensitivity,
    unflatten,
)
from nfcodec.modules.train.sparse import (
    Score,
    apply_mask,
    full_mask,
    magnitude,
    prune,
    random_score,
    shifts_mask,
    spread_score,
)
from nfcodec.modules.train.start import init_params
from nfcodec.modules.train.tasks import Tasks
from nfcodec.train.checkpoint import grouped, moments, read_state, restore_moments, write_state
from nfcodec.train.running import NOTHING, Running, smooth

FISHER_EVERY = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of outer steps [start, stop): ``kind`` "psnr", "gates" or "rate"; ``prune``: a round precedes it."""

    kind: str
    start: int
    stop: int
    prune: bool = False


def plan(config: TrainConfig) -> list[Stage]:
    """Dense training, gates, a pruning round and retraining for each round, then rate-aware training."""
    lengths = [("psnr", config.outer.steps, False)]
    lengths += [("gates", config.gates.steps, False)] * (config.gates.steps > 0)
    lengths += [("psnr", config.sparse.steps, True)] * config.sparse.rounds
    lengths += [("rate", config.rate.steps, False)]
    stages, at = [], 0
    for kind, steps, pruned in lengths:
        stages.append(Stage(kind, at, at + steps, pruned))
        at += steps
    return stages


def first_params(config: TrainConfig) -> dict[str, Tensor]:
    """The random parameters that a config's seed begins with."""
    return init_params(config.field, torch.Generator().manual_seed(config.seed))


class Trainer(Running):
    """Meta-trains one init. ``step()`` does one outer step; ``run()`` all of them."""

    def __init__(self, config: TrainConfig, tasks: Tasks, *, device: str = "cpu") -> None:
        self.config, self.tasks, self.device = config, tasks, torch.device(device)
        kind = field_kind(config.field.kind)
        self.specs = kind.tensors(config.field)
        self.theta0 = {n: t.to(self.device) for n, t in first_params(config).items()}
        self.log_rate = {n: torch.full_like(t, config.inner.rate).log() for n, t in self.theta0.items()}
        whole = config.sparse.moves == "all"
        self.mask = full_mask(self.theta0) if whole else shifts_mask(self.theta0, self.specs)
        self.gates = first_gates(self.theta0, self.specs) if config.gates.steps else {}
        self.coords = torch.from_numpy(module_coords(config.field.tile)).unsqueeze(0).to(self.device)
        self.stages = plan(config)
        self.at = 0
        self.state: RateState | None = None
        self._leaves()
        self.loss, self.error, self.bits = NOTHING, NOTHING, NOTHING

    # -- state -------------------------------------------------------------------------------------------
    def _leaves(self) -> None:
        for t in self.theta0.values():
            t.requires_grad_()
        for t in self.log_rate.values():  # MAML as published has one fixed rate, and pays for no gradient of it
            t.requires_grad_(self.config.outer.lr_rate > 0.0)
        for t in self.gates.values():
            t.requires_grad_()
        rates = (self.theta0, self.config.outer.lr), (self.log_rate, self.config.outer.lr_rate)
        groups = [{"params": list(group.values()), "lr": lr} for group, lr in rates]
        if self.gates:
            groups.append({"params": list(self.gates.values()), "lr": self.config.gates.lr})
        self.optimizer = torch.optim.Adam(groups)

    @property
    def total(self) -> int:
        """Outer steps of the whole plan."""
        return self.stages[-1].stop

    @property
    def learner(self) -> Learner:
        """The current meta-parameters."""
        theta = apply_mask(self.theta0, self.mask) if self.config.sparse.base == "masked" else self.theta0
        return Learner(self.config.field, theta, self.log_rate, self.mask)

    @property
    def loop(self) -> InnerLoop:
        """The inner loop that is trained for."""
        return InnerLoop(self.config.inner.steps, self.config.inner.gamma, rho=self.config.inner.rho)

    def begin(self, dense: Trainer) -> None:
        """Take over a dense training with the same data and seed that has ended, instead of repeating its steps."""
        with torch.no_grad():
            for name, t in self.theta0.items():
                t.copy_(dense.theta0[name])
        self.at = dense.total
        self._leaves()

    # -- steps -------------------------------------------------------------------------------------------
    def step(self) -> None:
        """One outer step: prune if a stage asks for it, meta-gradient, clip, Adam."""
        stage = next(s for s in self.stages if s.start <= self.at < s.stop)
        for s in self.stages:  # all of them: rounds without retraining start where the next stage does
            if s.prune and s.start == self.at:
                self._prune()
        self._schedule(stage)
        targets = self._batch(self.at)
        self.optimizer.zero_grad()
        loss = self._rate_step(targets, stage) if stage.kind == "rate" else self._psnr_step(targets, stage)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.outer.clip > 0.0:
            torch.nn.utils.clip_grad_norm_(self._all_leaves(), self.config.outer.clip)
        self.optimizer.step()
        self.loss = smooth(self.loss, float(loss.detach()))
        self.at += 1
        if stage.kind == "gates" and self.at == stage.stop:
            self._close_gates()

    def _batch(self, step: int) -> Tensor:
        return self.tasks.batch(self.config.seed, step, self.config.outer.batch).to(self.device)

    def _schedule(self, stage: Stage) -> None:
        done = (self.at - stage.start) / (stage.stop - stage.start)
        outer: Any = self.config.rate if stage.kind == "rate" else self.config.outer
        fall = 1.0 if stage.kind != "rate" else min(1.0, 2.0 * (1.0 - done) + 1e-3)
        for group, lr in zip(self.optimizer.param_groups, (outer.lr, outer.lr_rate), strict=False):
            group["lr"] = lr * fall

    def _psnr_step(self, targets: Tensor, stage: Stage) -> Tensor:
        outer, learner = self.config.outer, self.learner
        boot = Bootstrap(outer.bootstrap_steps, outer.bootstrap_rate, outer.bootstrap_weight)
        coords, targets = self._drawn(targets)
        if stage.kind == "gates":
            draw = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.at)
            learner = replace(learner, mask=gated(self.mask, self.gates, draw))
        if self.config.continual.segments > 1:
            loss, losses = self._sequence_loss(learner, targets)
        else:
            loss, losses = outer_loss(learner, coords, targets, self.loop, boot)
        self.error = smooth(self.error, float(losses.mean()))
        return loss + self.config.gates.weight * open_share(self.gates) if stage.kind == "gates" else loss

    def _sequence_loss(self, learner: Learner, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss after the segments of every module were learned one after another."""
        continual = self.config.continual
        learner = head_only(learner) if continual.adapts == "head" else learner
        segments = segments_of(self.config.field.tile, continual.segments)
        return sequence_loss(learner, self.coords, targets, self.loop, list(segments))

    @torch.no_grad()
    def _close_gates(self) -> None:
        """Gates that settle at zero leave the mask; the others, where they are below one, become part of the rates."""
        for name, log_alpha in self.gates.items():
            z = settled(log_alpha)
            self.mask[name] = self.mask[name] * (z > 0)
            self.log_rate[name] += torch.where(z > 0, z, torch.ones_like(z)).log()

    def _drawn(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (M or 1, n, d) and targets (M, n, c) of the samples of this step: an unbiased share of them."""
        n, total = self.config.outer.samples, targets.shape[1]
        if not 0 < n < total:
            return self.coords, targets
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.at)
        index = torch.rand((len(targets), total), generator=generator).topk(n, dim=1).indices.to(self.device)
        return gather(self.coords, index), gather(targets, index)

    def _rate_step(self, targets: Tensor, stage: Stage) -> Tensor:
        if self.state is None or (self.at - stage.start) % FISHER_EVERY == 0:
            self._measure(targets)
        assert self.state is not None
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.at)
        anchor = int(torch.randint(0, len(QUALITY_ANCHORS), (), generator=generator))
        noise = (torch.rand((len(targets), self.state.fisher.numel()), generator=generator) - 0.5).to(self.device)
        coarsest = self.config.rate.coarsest
        result = rate_loss(self.learner, self.coords, targets, self.loop, self.state, coarsest, anchor, noise)
        self.state = result.state
        samples = targets.shape[1]
        self.error = smooth(self.error, float(result.error.mean()) / samples / self.config.field.channels)
        self.bits = smooth(self.bits, float(result.bits.mean()) / samples)
        return result.total

    def _measure(self, targets: Tensor) -> None:
        params, _ = adapt(
            self.config.field, _detached(self.learner.start), _detached(self.learner.rate), self.mask,
            self.coords, targets, self.loop,
        )  # fmt: skip
        generator = torch.Generator().manual_seed(self.at)
        fisher = sensitivity(self.config.field, params, self.coords, generator)
        fisher = floor_fisher(fisher, [t.numel() for t in self.theta0.values()])
        if self.state is None:
            deltas = flatten(params).detach() - flatten(self.learner.start).detach()
            self.state = first_state(fisher, deltas, self.config.rate.coarsest)
        else:
            mixed = (0.7 * self.state.fisher.log() + 0.3 * fisher.log()).exp()
            self.state = replace(self.state, fisher=mixed)

    def _prune(self) -> None:
        sparse = self.config.sparse
        self.mask = prune(self.mask, self._scores(sparse.score), self.specs, sparse.fraction)
        if sparse.rewind:
            begin = first_params(self.config)
            with torch.no_grad():
                for name, t in self.theta0.items():
                    t.copy_(begin[name])
        # The reference code begins pruning with a new Adam and keeps it for all rounds; a rewound network starts anew.
        dense = self.config.outer.steps + self.config.gates.steps
        if sparse.rewind or (sparse.base == "masked" and self.at == dense):
            self._leaves()

    def _scores(self, score: Score) -> dict[str, Tensor]:
        if score == "theta":
            return magnitude(self.theta0)
        if score == "spread":
            return spread_score(self.theta0, self.mask)
        if score == "random":
            seed = self.config.seed * 1_000_003 + self.at
            return random_score(self.theta0, torch.Generator().manual_seed(seed))
        return self._delta_scores()

    def _delta_scores(self) -> dict[str, Tensor]:
        """E|Δ|·sqrt(F) over eight fresh batches: what a weight's change does to the signal."""
        total: Tensor | float = 0.0
        for i in range(8):
            targets = self._batch(10_000_000 + self.at + i)
            params, _ = adapt(
                self.config.field, _detached(self.learner.start), _detached(self.learner.rate), self.mask,
                self.coords, targets, self.loop,
            )  # fmt: skip
            fisher = sensitivity(self.config.field, params, self.coords, torch.Generator().manual_seed(i), 4)
            total = total + (flatten(params) - flatten(self.learner.start)).abs().mean(0).detach() * fisher.sqrt()
        assert isinstance(total, Tensor)
        return {n: t[0] for n, t in unflatten(total.unsqueeze(0), self.theta0).items()}

    # -- checkpoints --------------------------------------------------------------------------------------
    def save(self, path: Path) -> None:
        """Write the whole state; a crash while writing leaves the previous file."""
        tensors = {f"{g}/{n}": t for g, group in self._groups().items() for n, t in group.items()}
        tensors |= moments(self.optimizer, self._all_leaves())
        numbers = {"at": self.at, "loss": self.loss, "error": self.error, "bits": self.bits}
        write_state(path, tensors, numbers, self.config)

    def _all_leaves(self) -> list[Tensor]:
        return [*self.theta0.values(), *self.log_rate.values(), *self.gates.values()]

    def _groups(self) -> dict[str, dict[str, Tensor]]:
        groups = {"theta0": self.theta0, "log_rate": self.log_rate, "mask": self.mask}
        if self.gates:
            groups["gates"] = self.gates
        if self.state is not None:
            groups["state"] = {"fisher": self.state.fisher, "log_scale": self.state.log_scale}
        return groups

    def resume(self, path: Path) -> None:
        """Go on from :meth:`save`; the config must be the one that made the checkpoint."""
        tensors, numbers = read_state(path, ("at", "loss", "error", "bits"), self.config)
        try:
            self._restore(tensors)
        except (KeyError, ValueError) as error:
            raise CorruptError(f"cannot resume from {path}: {error} is missing or wrong") from error
        self.at, self.loss, self.error, self.bits = numbers

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        groups = grouped({n: t.to(self.device) for n, t in tensors.items()})
        for t in self.specs:
            for group in ("theta0", "log_rate", "mask"):
                if groups[group][t.name].shape != t.shape:
                    raise ValueError(f"{group}/{t.name}")
        # In the order of the specs: the optimizer knows its leaves by their number.
        self.theta0, self.log_rate, self.mask = (
            {t.name: groups[group][t.name] for t in self.specs} for group in ("theta0", "log_rate", "mask")
        )
        self.gates = {n: groups["gates"][n] for n in self.gates}
        if "state" in groups:
            self.state = RateState(groups["state"]["fisher"], groups["state"]["log_scale"])
        self._leaves()
        restore_moments(self.optimizer, self._all_leaves(), groups)


def _detached(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: t.detach() for n, t in tensors.items()}
