"""The training side of the lattice."""

from __future__ import annotations

from pathlib import Path

from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.train.config import TABLES, LatticeConfig, read_config
from nfcodec.lattice.train.export import export_lattice
from nfcodec.lattice.train.loop import LatticeTrainer
from nfcodec.lattice.train.tasks import load_crops

__all__ = ["TABLES", "finished", "new_trainer", "read_config"]


def new_trainer(config: LatticeConfig, folder: Path, *, device: str = "cpu") -> LatticeTrainer:
    """A trainer at step 0, with the media of ``folder`` in memory."""
    return LatticeTrainer(config, load_crops(folder, config.data, config.outer), device=device)


def finished(trainer: LatticeTrainer) -> LatticeInit:
    """The init of a trainer that has run to its end, with X where it was trained."""
    detail = trainer.detail_trainer().trained() if trainer.config.detail.steps else None
    return export_lattice(trainer.model, trainer.shipped(), name=trainer.config.id, detail=detail)
