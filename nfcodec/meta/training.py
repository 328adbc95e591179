"""The trainer that a config asks for, and the init that it ends in."""

from __future__ import annotations

from pathlib import Path

from nfcodec.fields.init import Init
from nfcodec.lattice.init import LatticeInit
from nfcodec.meta.config import TrainConfig
from nfcodec.meta.export import export
from nfcodec.meta.lattice_config import LatticeConfig
from nfcodec.meta.lattice_export import export_lattice
from nfcodec.meta.lattice_tasks import load_crops
from nfcodec.meta.lattice_train import LatticeTrainer
from nfcodec.meta.tasks import load_tasks
from nfcodec.meta.train import Trainer


def new_trainer(config: TrainConfig | LatticeConfig, folder: Path, *, device: str = "cpu") -> Trainer | LatticeTrainer:
    """A trainer at step 0, with the media of ``folder`` in memory."""
    if isinstance(config, LatticeConfig):
        return LatticeTrainer(config, load_crops(folder, config.data, config.outer), device=device)
    return Trainer(config, load_tasks(folder, config.field, config.data), device=device)


def finished(trainer: Trainer | LatticeTrainer) -> Init | LatticeInit:
    """The init of a trainer that has run to its end."""
    if isinstance(trainer, Trainer):
        return export(trainer)
    detail = trainer.detail_trainer().trained() if trainer.config.detail.steps else None
    return export_lattice(trainer.model, trainer.shipped(), name=trainer.config.id, detail=detail)
