"""The training side of moving pictures: residuals of clips, then the lattice's own training on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from nfcodec import zoo
from nfcodec.errors import OptionError
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.train.export import export_lattice, params_of
from nfcodec.lattice.train.loop import LatticeTrainer
from nfcodec.moving.init import MovingInit
from nfcodec.moving.train.clips import none, residuals
from nfcodec.moving.train.config import TABLES, MovingConfig, read_config
from nfcodec.moving.train.prior import PriorTrainer, encodings, untold
from nfcodec.train.signals import Clip, load_signals

__all__ = ["TABLES", "finished", "new_trainer", "read_config"]


class ResidualTrainer(LatticeTrainer):
    """Trains D, the correction, the steps and the prior of residuals; the trunk and the preconditioner are those of
    ``start_init`` and stay."""

    start_init: MovingInit
    clips: Sequence[Clip]
    moving: MovingConfig

    def _rate(self, name: str) -> float:
        return 0.0 if ".trunk." in name or ".analysis." in name else super()._rate(name)

    def detail_trainer(self) -> PriorTrainer:
        """Trains the prior for what the outer steps ended in, on encodings that are made first."""
        if not isinstance(self.detail, PriorTrainer):
            init, config = self.learned(), self.moving
            found = encodings(init, self.clips, config.clips, config.prior, config.seed)
            self.detail = PriorTrainer(init.residuals, found, config.prior, seed=config.seed)
        return self.detail

    def learned(self) -> MovingInit:
        """The init as the outer steps have made it; where there are none, as it began."""
        start, config = self.start_init, self.moving
        if not config.outer.steps:
            return replace(start, id=config.id, sha256=b"")
        trained = export_lattice(self.model, self.shipped(), name=config.id, modality="video").levels[0]
        level = replace(trained, trunk=start.residuals.trunk, table=start.residuals.table, offset=None)
        return replace(start, id=config.id, residuals=level, sha256=b"")


def plain_init(config: MovingConfig, pictures: LatticeInit) -> MovingInit:
    """An init whose residuals have the networks of pictures."""
    level = replace(pictures.levels[0], offset=None)
    init = MovingInit(config.id, "video", pictures, level, config.field.frames, b"")
    init.validate()
    return init


def new_trainer(
    config: MovingConfig, folder: Path, *, device: str = "cpu", begin: MovingInit | None = None
) -> ResidualTrainer:  # fmt: skip
    """A trainer at step 0, with residuals of the clips of ``folder`` in memory: they are encoded first, which takes
    minutes. ``begin``: the init to go on from."""
    pictures = zoo.load(config.field.pictures)
    if not isinstance(pictures, LatticeInit):
        raise OptionError(f"init {pictures.id} is of the field {pictures.kind}, pictures need a lattice")
    start = begin or plain_init(config, pictures)
    clips = load_signals(folder, config.data)
    tasks = residuals(start, clips, config) if config.outer.steps else none(config, start)
    prior = replace(start.residuals, prior=untold(start.residuals.prior))
    level = replace(start.pictures, levels=(prior,))
    trainer = ResidualTrainer(config.lattice(start.pictures), tasks, device=device, begin=_params(level))
    trainer.start_init, trainer.clips, trainer.moving = start, clips, config
    return trainer


def _params(init: LatticeInit) -> dict[str, Tensor]:
    """What training goes on from; an init of a single inner step has no gains for further ones."""
    spec = init.levels[0].spec
    return {"0.log_again": torch.zeros(0, len(spec.planes), spec.bases), **params_of(init)}


def finished(trainer: ResidualTrainer) -> MovingInit:
    """The init of a trainer that has run to its end."""
    init = trainer.learned()
    if trainer.moving.prior.steps:
        init = replace(init, residuals=replace(init.residuals, prior=trainer.detail_trainer().trained()))
    init.validate()
    return init
