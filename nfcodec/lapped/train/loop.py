"""Train the prior of a lapped field: min E[R] on what the encoder quantizes, over all qualities."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from nfcodec.entropy import logistic
from nfcodec.errors import CorruptError
from nfcodec.lapped.train import model as lm
from nfcodec.lapped.train.config import LappedConfig
from nfcodec.lapped.train.tasks import Pieces
from nfcodec.lattice.train.model import Parameters
from nfcodec.train.checkpoint import grouped, moments, read_state, restore_moments, write_state
from nfcodec.train.running import NOTHING, Running, averaged, schedule, smooth

Params = dict[str, Tensor]

# What a bin is rounded down by before prices are looked at.
_DEAD = 0.12
_FORGET = 0.999
LAWS = 2


def quantized(y: Tensor, costs: Tensor, law: Tensor, scale: Tensor, trade: float) -> Tensor:
    """Magnitudes of numbers y ≥ 0 in steps: the nearest whole number, or one less where bits are dear."""
    near = torch.round(y)
    less = (near - 1.0).clamp(min=0.0)
    saved = lm.bits_of(costs, law, scale, near) - lm.bits_of(costs, law, scale, less)
    more = (y - less).square() - (y - near).square()
    return torch.where(more < trade * saved, less, near)


class LappedTrainer(Running):
    """Trains one lapped init. ``step()`` does one step; ``run()`` all of them."""

    def __init__(self, config: LappedConfig, pieces: Pieces, *, begin: Params | None = None) -> None:
        self.config, self.pieces = config, pieces
        generator = torch.Generator().manual_seed(config.seed)
        params = lm.new_params(config, generator) if begin is None else begin
        self.module = Parameters(params)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=config.outer.lr, betas=(0.9, 0.99))
        self.average = AveragedModel(self.module, avg_fn=partial(averaged, config.outer.average))
        self.costs = torch.from_numpy(lm.logistic_costs()).repeat(LAWS, 1, 1)
        # How often each magnitude came at each scale, with what the logistic densities expect as a prior.
        self.counts = 30.0 * torch.exp2(-self.costs) * torch.where(torch.arange(lm.MOST + 1) > 0, 2.0, 1.0)
        self.at, self.loss, self.error, self.bits = 0, NOTHING, NOTHING, NOTHING

    @property
    def total(self) -> int:
        """How many steps there are."""
        return self.config.outer.steps

    def step(self) -> None:
        """One step."""
        config, outer = self.config, self.config.outer
        batch = self.pieces.batch(config.seed, self.at, outer.batch)
        y, law = lm.in_steps(config, batch), torch.tensor(batch.law)
        ready, named = lm.prepared(batch, config.field.spec), self.module.named()
        with torch.no_grad():
            guess = torch.floor(y + 0.5 - _DEAD)
            scale = lm.all_scales(named, config.field.spec, guess, ready)
            q = quantized(y, self.costs, law, scale, config.law.trade)
        scale = lm.all_scales(named, config.field.spec, q, ready)
        bits = lm.bits_of(self.costs, law, scale, q)
        per_bin = bits.mean((1, 2, 3))
        loss = (per_bin / (per_bin.detach() + 0.02)).mean() + 0.3 * per_bin.mean()
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), outer.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = outer.lr * schedule(outer, self.at)
        self.optimizer.step()
        self.average.update_parameters(self.module)
        self._count(law, scale.detach(), q)
        self.loss = smooth(self.loss, float(per_bin.detach().mean()))
        self.error = smooth(self.error, float((y - q).square().mean()))
        self.bits = smooth(self.bits, float((per_bin.detach() / (per_bin.detach() + 0.02)).mean()))
        self.at += 1

    def _count(self, law: Tensor, scale: Tensor, q: Tensor) -> None:
        """Remember which magnitudes came at which scales, and renew the costs now and then."""
        row = law[:, None, None, None] * logistic.SCALES + torch.round(scale).long()
        row = row * (lm.MOST + 1) + q.clamp(max=float(lm.MOST)).long()
        found = torch.bincount(row.flatten(), minlength=self.costs.numel()).view_as(self.costs)
        self.counts = _FORGET * self.counts + found
        if self.at >= self.config.outer.tables * self.total and self.at % 50 == 0:
            self.costs = torch.stack([costs_of(c) for c in self.counts])

    def shipped(self) -> Params:
        """The averaged parameters."""
        return {n: p.detach() for n, p in self.average.module.named_parameters()}

    # -- checkpoints -------------------------------------------------------------------------------------
    def save(self, path: Path) -> None:
        """Write the whole state; a crash while writing leaves the previous file."""
        groups = {
            "params": self.module.state_dict(), "average": self.average.state_dict(),
            "tables": {"costs": self.costs, "counts": self.counts},
        }  # fmt: skip
        tensors = {f"{g}/{n}": t for g, group in groups.items() for n, t in group.items()}
        tensors |= moments(self.optimizer, self.module.parameters())
        numbers = {"at": self.at, "loss": self.loss, "error": self.error, "bits": self.bits}
        write_state(path, tensors, numbers, self.config)

    def resume(self, path: Path) -> None:
        """Go on from :meth:`save`; the config must be the one that made the checkpoint."""
        tensors, numbers = read_state(path, ("at", "loss", "error", "bits"), self.config)
        groups = grouped(tensors)
        try:
            self.module.load_state_dict(groups["params"], strict=True)
            self.average.load_state_dict(groups["average"], strict=True)
            self.costs, self.counts = groups["tables"]["costs"], groups["tables"]["counts"]
        except (KeyError, RuntimeError) as error:
            raise CorruptError(f"cannot resume from {path}: {error}") from error
        restore_moments(self.optimizer, self.module.parameters(), groups)
        self.at, self.loss, self.error, self.bits = numbers


def costs_of(counts: Tensor) -> Tensor:
    """Bits of magnitudes (SCALES, MOST + 1), sign included, by how often they came: smoothed by the logistic densities
    where little was seen."""
    expected = torch.exp2(-torch.from_numpy(lm.logistic_costs())) * torch.where(torch.arange(lm.MOST + 1) > 0, 2.0, 1.0)
    mixed = counts + 200.0 * expected + 1e-3
    bits = -torch.log2(mixed / mixed.sum(1, keepdim=True))
    bits[:, 1:] += 1.0
    return bits.float()
