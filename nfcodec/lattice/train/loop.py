"""Meta-train a lattice init: min E[D + λR] over everything that encoder and decoder share.

One step encodes a batch as the encoder does at effort 1 (first step, rounding), charges it by the float twin of the
integer prior, renders it as the decoder does, and follows the gradient of the whole. Rounding passes gradients
straight through. After these outer steps what is trained is frozen, and X is fitted to it.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.errors import CorruptError
from nfcodec.lattice.fit.twin import FloatPrior
from nfcodec.lattice.order import order_of
from nfcodec.lattice.train import model as lm
from nfcodec.lattice.train.config import LatticeConfig, OuterConfig
from nfcodec.lattice.train.enlarge import DetailTrainer
from nfcodec.lattice.train.export import export_lattice
from nfcodec.lattice.train.sparse import TrunkPruning
from nfcodec.lattice.train.start import start_analysis, start_trunk
from nfcodec.lattice.train.tasks import Batch, Crops
from nfcodec.train.checkpoint import grouped, moments, read_state, restore_moments, write_state
from nfcodec.train.running import Running, smooth

Params = dict[str, Tensor]

# Learning rates relative to ``lr``: what has a meaning from the start moves slowly.
_RATES = (("trunk", 0.1), ("analysis", 0.1), ("log_step", 3.0), ("log_gain", 1.0), ("d.", 0.5), ("e.", 0.5))


def rate_of(name: str) -> float:
    """The learning rate of a parameter relative to the global one."""
    return next((r for prefix, r in _RATES if name.startswith(prefix)), 1.0)


def schedule(outer: OuterConfig, step: int) -> float:
    """Warm-up, constant, then a cosine to zero."""
    start = outer.steps * (1.0 - outer.decay)
    if step < outer.warmup:
        return (step + 1) / outer.warmup
    if step <= start:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - start) / (outer.steps - start))))


def objective(outer: OuterConfig, out: lm.Outcome, quality: Tensor) -> Tensor:
    """Mean of R + D/λ, relative to the usual rate of each quality so that none dominates."""
    share = 1.0 / (0.05 * 50.0 ** (quality / 100.0))
    cost = out.bpp + (out.error + outer.double * out.double) / lm.trade_off(quality)
    return (cost * share).mean()


class LatticeTrainer(Running):
    """Meta-trains one lattice init. ``step()`` does one step; ``run()`` all of them."""

    def __init__(self, config: LatticeConfig, crops: Crops, *, device: str = "cpu") -> None:
        self.config, self.crops, self.device = config, crops, torch.device(device)
        self.model = lm.LatticeModel(config.field, config.networks)
        self.params = lm.new_params(self.model, torch.Generator().manual_seed(config.seed))
        self.average: Params = {}
        self.at, self.loss, self.error, self.bits = 0, 0.0, 0.0, 0.0
        self.detail: DetailTrainer | None = None
        cells = tuple(config.outer.crop // s for s in config.field.spacing)
        self.prior = FloatPrior(order_of(config.field), cells, config.outer.batch, device=self.device)
        self.pruning = TrunkPruning(config.prune, config.outer.steps)

    @property
    def total(self) -> int:
        """Outer steps, then those of X."""
        return self.config.outer.steps + self.config.detail.steps

    def start(self) -> None:
        """Fit the classical basis."""
        generator = torch.Generator().manual_seed(self.config.seed)
        self.params |= start_trunk(self.model.spec, generator, self.config.outer.fit)
        self.params |= start_analysis()
        self._leaves()
        self.average = {n: p.detach().clone() for n, p in self.params.items()}

    def _leaves(self) -> None:
        lr = self.config.outer.lr
        # Sorted, as in a checkpoint: the optimizer's state goes by position.
        self.params = {n: p.detach().to(self.device).requires_grad_() for n, p in sorted(self.params.items())}
        groups = [{"params": [p], "base": lr * rate_of(n)} for n, p in self.params.items()]
        self.optimizer = torch.optim.Adam(groups, lr=lr, betas=(0.9, 0.99))

    # -- steps -------------------------------------------------------------------------------------------
    def step(self) -> None:
        """One step of the stage that is due."""
        if not self.average:
            self.start()
        if self.at < self.config.outer.steps:
            self._outer_step()
        else:
            self._detail_step()
        self.at += 1

    def _outer_step(self) -> None:
        outer = self.config.outer
        batch = self._batch()
        out = lm.forward(self.model, self.params, self.prior, batch.rgb, batch.quality, batch.larger)
        loss = objective(outer, out, batch.quality)
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.params.values()), outer.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * schedule(outer, self.at)
        self.optimizer.step()
        self.pruning.apply(self.params, self.at)
        self._remember(float(loss.detach()), out)

    def _batch(self) -> Batch:
        outer = self.config.outer
        double = outer.double_every > 0 and self.at % outer.double_every == 0
        batch = self.crops.batch(self.config.seed, self.at, outer.batch, double=double)
        larger = None if batch.larger is None else batch.larger.to(self.device)
        return Batch(batch.rgb.to(self.device), batch.quality.to(self.device), larger)

    @torch.no_grad()
    def _remember(self, loss: float, out: lm.Outcome) -> None:
        keep = min(self.config.outer.average, 1.0 - 1.0 / (self.at + 1))
        for n, p in self.params.items():
            self.average[n] = self.average[n].to(p).lerp(p, 1.0 - keep)
        self.loss = smooth(self.loss, loss)
        self.error = smooth(self.error, float(out.error.mean()))
        self.bits = smooth(self.bits, float(out.bpp.mean()))

    def shipped(self) -> Params:
        """The averaged parameters on the CPU; what was pruned is exactly zero in them."""
        return {n: (p * (self.params[n] != 0)).detach().cpu() for n, p in self.average.items()}

    def detail_trainer(self) -> DetailTrainer:
        """Trains X for what the outer steps ended in."""
        if self.detail is None:
            init = export_lattice(self.model, self.shipped(), name=self.config.id)
            self.detail = DetailTrainer(init, self.config.detail, seed=self.config.seed)
        return self.detail

    def _detail_step(self) -> None:
        detail, at = self.config.detail, self.at - self.config.outer.steps
        pair = self.crops.pairs(self.config.seed, at, detail.batch, lowest=detail.lowest)
        self.loss = smooth(self.loss, self.detail_trainer().step(pair, at))

    # -- checkpoints --------------------------------------------------------------------------------------
    def save(self, path: Path) -> None:
        """Write the whole state; a crash while writing leaves the previous file."""
        groups = {"params": self.params, "average": self.average}
        if self.detail is not None:
            groups["detail"] = self.detail.state()
        tensors = {f"{g}/{n}": t for g, group in groups.items() for n, t in group.items()}
        tensors |= moments(self.optimizer, self.params.values())
        numbers = {"at": self.at, "loss": self.loss, "error": self.error, "bits": self.bits}
        write_state(path, tensors, numbers, self.config)

    def resume(self, path: Path) -> None:
        """Go on from :meth:`save`; the config must be the one that made the checkpoint."""
        tensors, numbers = read_state(path, ("at", "loss", "error", "bits"), self.config)
        groups = grouped({n: t.to(self.device) for n, t in tensors.items()})
        expected = {n: p.shape for n, p in self.params.items()} | self.model.spec.shapes()
        for group in ("params", "average"):
            for name, shape in expected.items():
                if groups.get(group, {}).get(name, torch.empty(0)).shape != shape:
                    raise CorruptError(f"cannot resume from {path}: {group}/{name} is missing or wrong")
        self.params, self.average = groups["params"], groups["average"]
        self._leaves()
        self.pruning.remember(self.params)
        restore_moments(self.optimizer, self.params.values(), groups)
        self.at, self.loss, self.error, self.bits = numbers
        if "detail" in groups:
            self.detail_trainer().restore(groups["detail"])


@torch.no_grad()
def evaluate(
    model: lm.LatticeModel, params: Params, images: list[npt.NDArray[np.uint8]], qualities: tuple[int, ...]
) -> list[tuple[int, float, float]]:
    """(quality, mean bits per pixel, mean PSNR) over whole pictures of equal size, from the model's own entropy."""
    rgb = torch.stack([torch.from_numpy(i.astype(np.float32) / 255.0).permute(2, 0, 1) for i in images])
    shape = tuple(n // s for n, s in zip(rgb.shape[2:], model.spec.spacing, strict=True))
    prior = FloatPrior(order_of(model.spec), shape, len(images))
    rows = []
    for q in qualities:
        out = lm.forward(model, params, prior, rgb, torch.full((len(images),), float(q)))
        rows.append((q, float(out.bpp.mean()), float((-10 * torch.log10(out.error)).mean())))
    return rows
