"""Meta-train a lattice init: min E[D + λR] over everything that encoder and decoder share.

One step encodes a batch as the encoder does at effort 1 (first step, rounding), charges it by the float twin of the
integer prior, renders it as the decoder does, and follows the gradient of the whole. Rounding passes gradients
straight through. After these outer steps what is trained is frozen, and X is fitted to it.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from nfcodec.errors import CorruptError, OptionError
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.train import model as lm
from nfcodec.lattice.train.bootstrap import Teacher
from nfcodec.lattice.train.config import LatticeConfig, OuterLoop
from nfcodec.lattice.train.enlarge import DetailTrainer
from nfcodec.lattice.train.halves import Tuned
from nfcodec.lattice.train.looks import SHARED, points_lost
from nfcodec.lattice.train.sparse import SparseRounds, TrunkPruning
from nfcodec.lattice.train.start import start_analysis, start_trunk
from nfcodec.lattice.train.tasks import Batch, Pieces
from nfcodec.train.checkpoint import grouped, moments, read_state, restore_moments, write_state
from nfcodec.train.running import NOTHING, Running, averaged, schedule, smooth

Params = dict[str, Tensor]

# Learning rates relative to ``lr``: what has a meaning from the start moves slowly.
_RATES = (("trunk", 0.1), ("analysis", 0.1), ("log_step", 3.0), ("masking", 3.0),
          ("log_gain", 1.0), ("d.", 0.5), ("e.", 0.5))  # fmt: skip


def rate_of(name: str) -> float:
    """The learning rate of a parameter, "level.…", relative to the global one."""
    name = name.partition(".")[2]
    return next((r for prefix, r in _RATES if name.startswith(prefix)), 1.0)


def objective(outer: OuterLoop, out: lm.Outcome, quality: Tensor) -> Tensor:
    """Mean of R + D/λ, relative to the usual rate of each quality so that none dominates."""
    trade = outer.trade * outer.span ** (quality / 100.0)
    cost = out.bpp + (out.error + outer.double * out.double) / trade
    return (cost * usual_share(quality)).mean()


def usual_share(quality: Tensor) -> Tensor:
    """One over the usual rate (N,) of qualities, in bits per sample."""
    return 1.0 / (0.05 * 50.0 ** (quality / 100.0))


class Stage(Protocol):
    """What is trained after the outer steps."""

    def step(self, at: int, hurry: float = 0.0) -> float:
        """Step number ``at``; returns the loss. ``hurry``: the share of the time that is over."""
        ...

    def trained(self) -> Any:
        """What it has made so far."""
        ...

    def state(self) -> Params:
        """Everything that training goes on from, as named tensors."""
        ...

    def restore(self, state: Params) -> None:
        """The inverse of :meth:`state`."""
        ...


class LatticeTrainer(Running):
    """Meta-trains one lattice init. ``step()`` does one step; ``run()`` all of them. ``begin``: parameters to go on
    from instead of those of a lapped transform. ``teacher``: of the bootstrapped target, where the config has one."""

    def __init__(
        self, config: LatticeConfig, pieces: Pieces, *, device: str = "cpu", begin: Params | None = None,
        teacher: Teacher | None = None,
    ) -> None:  # fmt: skip
        if config.bootstrap.rounds and teacher is None:
            raise OptionError("bootstrap needs an init to go on from, which teaches")
        self.teacher = teacher
        self.config, self.pieces, self.device = config, pieces, torch.device(device)
        self.model = lm.LatticeModel.of(config)
        self._begin = begin
        self.whole: LatticeInit | None = None  # the init whose perceptual tune is trained
        self.average: AveragedModel | None = None
        self.at, self.loss, self.error, self.bits = 0, NOTHING, NOTHING, NOTHING
        self.detail: Stage | None = None
        self.kept_detail: Params = {}  # X of the init to go on from, where none is trained
        self.tunes: tuple[Tuned, ...] = ()  # of an init to go on from of which X alone is trained
        crop = (config.outer.crop,) * config.field.axes
        self.priors = self.model.priors(crop, config.outer.batch, device=self.device)
        self.pruning = TrunkPruning(config.prune, config.outer.steps)
        self.sparse = SparseRounds(config.sparse, config.outer.steps, config.seed)

    @property
    def total(self) -> int:
        """Outer steps, then those of X."""
        return self.config.outer.steps + self.config.detail.steps

    def start(self) -> None:
        """Fit the classical basis, or take what there is to go on from."""
        generator = torch.Generator().manual_seed(self.config.seed)
        params = lm.new_params(self.model, generator)
        for i, spec in enumerate(self.model.specs if self._begin is None else ()):
            basis = start_trunk(spec, generator, self.config.outer.fit) | start_analysis(spec)
            params |= {f"{i}.{name}": p for name, p in basis.items()}
        self._take(params if self._begin is None else _fitting(self._begin, params))

    def _take(self, params: Params) -> None:
        """Train these parameters."""
        lr, keep = self.config.outer.lr, self.config.outer.average
        # As checkpoints hold them: sums of the last digits depend on how numbers lie in memory.
        self.module = lm.Parameters({n: p.contiguous() for n, p in params.items()}).to(self.device)
        groups = [{"params": [p], "base": lr * self._rate(n)} for n, p in self.module.named().items()]
        self.optimizer = torch.optim.Adam(groups, lr=lr, betas=(0.9, 0.99))
        self.average = AveragedModel(self.module, avg_fn=partial(averaged, keep))
        # What is zero at the start stays zero: an init to go on from keeps its mask.
        self.pruning.remember(self.params)
        self.sparse.remember(self.params)

    def _rate(self, name: str) -> float:
        taught = self.config.bootstrap
        if name.endswith(".offset"):
            return self.config.offset.rate
        if self._shares and name.partition(".")[2].startswith(SHARED):
            return 0.0
        return taught.rate if taught.rounds and ".e." in name else rate_of(name)

    @property
    def _shares(self) -> bool:
        """Whether another tune has the same trunk and tables, which stay as they are."""
        return self.config.perception.share > 0 or (self.whole is not None and self.whole.perceptual is not None)

    @property
    def _taught(self) -> bool:
        """Whether the step that is due has a bootstrapped target."""
        taught = self.config.bootstrap
        return taught.rounds > 0 and self.at % taught.every == 0

    @property
    def _number(self) -> int:
        """The number of the batch of the step that is due."""
        taught = self.config.bootstrap
        return self.at % (taught.ring * taught.every) if taught.ring and self._taught else self.at

    @property
    def params(self) -> Params:
        """The parameters by name."""
        return self.module.named()

    # -- steps -------------------------------------------------------------------------------------------
    def step(self) -> None:
        """One step of the stage that is due."""
        if self.average is None:
            self.start()
        if self.at < self.config.outer.steps:
            self._outer_step()
        else:
            self._detail_step()
        self.at += 1

    def _outer_step(self) -> None:
        outer = self.config.outer
        batch = self._batch()
        out = lm.forward(self.model, self.params, self.priors, batch.values, batch.quality, batch.larger)
        loss = objective(outer, out, batch.quality)
        if self._taught:
            loss = loss + self._lacking(batch, out)
        if self.config.perception.share:
            loss = self._looking(batch, out)
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), outer.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * schedule(outer, max(self.at, int(self.hurry * outer.steps)))
        self.optimizer.step()
        self.pruning.apply(self.params, self.at)
        self.sparse.apply(self.params, self.at)
        self._remember(float(loss.detach()), out)

    def _lacking(self, batch: Batch, out: lm.Outcome) -> Tensor:
        """What the first steps lack of the bootstrapped target, in the units of the objective."""
        assert self.teacher is not None
        config, [coded] = self.config.bootstrap, out.levels
        qualities = [int(q) for q in batch.quality]
        planes, name = self.model.to_planes(batch.values), f"{self.config.seed}-{self._number}"
        lesson = self.teacher.lesson(planes, qualities, name, again=config.ring > 0)
        off = lesson.distance(config.form, coded.y, coded.sizes) / math.prod(batch.values.shape[2:])
        return config.weight * (off * usual_share(batch.quality)).mean()

    def _looking(self, batch: Batch, out: lm.Outcome) -> Tensor:
        """Mean of R + D, each relative to the usual rate, with a share of D by how well the batch looks."""
        perception, quality = self.config.perception, batch.quality
        lost = points_lost(perception, out.shown, batch.values, quality)
        cost = (out.bpp + (1.0 - perception.share) * out.error / self.model.trade_off(quality)) * usual_share(quality)
        return (cost + perception.share * lost).mean()

    def _batch(self) -> Batch:
        outer = self.config.outer
        double = outer.double_every > 0 and self._number % outer.double_every == 0
        batch = self.pieces.batch(self.config.seed, self._number, outer.batch, double=double)
        larger = None if batch.larger is None else batch.larger.to(self.device)
        return Batch(batch.values.to(self.device), batch.quality.to(self.device), larger)

    def _remember(self, loss: float, out: lm.Outcome) -> None:
        assert self.average is not None
        self.average.update_parameters(self.module)
        self.loss = smooth(self.loss, loss)
        self.error = smooth(self.error, float(out.error.detach().mean()))
        self.bits = smooth(self.bits, float(out.bpp.detach().mean()))

    def shipped(self) -> Params:
        """The averaged parameters on the CPU; what was pruned is exactly zero in them."""
        assert self.average is not None
        kept = dict(self.average.module.named_parameters())
        zero = self.pruning.zeros() | self.sparse.zeros()
        found = {n: p.masked_fill(zero[n], 0.0) if n in zero else p for n, p in kept.items()}
        return {n: p.detach().cpu() for n, p in found.items()}

    def detail_trainer(self) -> Stage:
        """Trains X for what the outer steps ended in."""
        if self.detail is None:
            tunes, config = self.tunes or (Tuned(self.model, self.shipped()),), self.config.detail
            self.detail = DetailTrainer(tunes, self.pieces, config, seed=self.config.seed, device=self.device)
        return self.detail

    def _detail_step(self) -> None:
        at = self.at - self.config.outer.steps
        hurry = self.hurry if self.tunes or not self.config.outer.steps else 0.0
        self.loss = smooth(self.loss, self.detail_trainer().step(at, hurry))

    # -- checkpoints --------------------------------------------------------------------------------------
    def save(self, path: Path) -> None:
        """Write the whole state; a crash while writing leaves the previous file."""
        assert self.average is not None
        groups = {"params": self.module.state_dict(), "average": self.average.state_dict()}
        if self.detail is not None:
            groups["detail"] = self.detail.state()
        tensors = {f"{g}/{n}": t for g, group in groups.items() for n, t in group.items()}
        tensors |= moments(self.optimizer, self.module.parameters())
        numbers = {"at": self.at, "loss": self.loss, "error": self.error, "bits": self.bits}
        write_state(path, tensors, numbers, self.config)

    def resume(self, path: Path) -> None:
        """Go on from :meth:`save`; the config must be the one that made the checkpoint."""
        tensors, numbers = read_state(path, ("at", "loss", "error", "bits"), self.config)
        groups = grouped(tensors)
        generator = torch.Generator().manual_seed(self.config.seed)
        blank = lm.new_params(self.model, generator)
        for i, spec in enumerate(self.model.specs):
            more = {n: torch.zeros(s) for n, s in spec.shapes().items()} | start_analysis(spec)
            blank |= {f"{i}.{name}": p for name, p in more.items()}
        blank |= {n: p for n, p in groups.get("params", {}).items() if n.endswith((".offset", ".masking"))}
        self._take(blank)
        assert self.average is not None
        try:
            self.module.load_state_dict(groups["params"], strict=True)
            self.average.load_state_dict(groups["average"], strict=True)
        except (KeyError, RuntimeError) as error:
            raise CorruptError(f"cannot resume from {path}: {error}") from error
        self.pruning.remember(self.params)
        self.sparse.remember(self.params)
        restore_moments(self.optimizer, self.module.parameters(), groups)
        self.at, self.loss, self.error, self.bits = numbers
        if "detail" in groups:
            self.detail_trainer().restore(groups["detail"])


def _fitting(begin: Params, new: Params) -> Params:
    """Parameters to go on from, where they are those of the config; :class:`OptionError` otherwise."""
    begin = {n: p for n, p in new.items() if n.endswith(".offset")} | begin
    new = new | {n: p for n, p in begin.items() if n.endswith(".masking")}
    wanted = {n: tuple(p.shape) for n, p in new.items()}
    wrong = [n for n, shape in wanted.items() if n not in begin or tuple(begin[n].shape) != shape]
    if wrong:
        raise OptionError(f"the init to go on from has other networks than the config: {wrong[0]} does not fit")
    return begin


@torch.no_grad()
def evaluate(
    model: lm.LatticeModel, params: Params, images: list[npt.NDArray[np.uint8]], qualities: tuple[int, ...]
) -> list[tuple[int, float, float]]:
    """(quality, mean bits per pixel, mean PSNR) over whole pictures of equal size, from the model's own entropy."""
    rgb = torch.stack([torch.from_numpy(i.astype(np.float32) / 255.0).permute(2, 0, 1) for i in images])
    priors = model.priors(tuple(rgb.shape[2:]), len(images))
    rows = []
    for q in qualities:
        out = lm.forward(model, params, priors, rgb, torch.full((len(images),), float(q)))
        rows.append((q, float(out.bpp.mean()), float((-10 * torch.log10(out.error)).mean())))
    return rows
