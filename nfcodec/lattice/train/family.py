"""The training side of the lattice."""

from __future__ import annotations

from pathlib import Path

from nfcodec.errors import OptionError
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.train.config import TABLES, LatticeConfig, read_config
from nfcodec.lattice.train.export import export_lattice, params_of
from nfcodec.lattice.train.loop import LatticeTrainer
from nfcodec.lattice.train.tasks import load_pieces

__all__ = ["TABLES", "finished", "new_trainer", "read_config"]


def new_trainer(
    config: LatticeConfig, folder: Path, *, device: str = "cpu", begin: LatticeInit | None = None
) -> LatticeTrainer:  # fmt: skip
    """A trainer at step 0, with the media of ``folder`` in memory. ``begin``: the init to go on from, whose geometry
    must be that of the config (:class:`OptionError`)."""
    params = None
    if begin is not None:
        if tuple(level.spec for level in begin.levels) != config.field.levels:
            raise OptionError(f"init {begin.id} has another geometry than the config")
        params = params_of(begin)
    return LatticeTrainer(config, load_pieces(folder, config), device=device, begin=params)


def finished(trainer: LatticeTrainer) -> LatticeInit:
    """The init of a trainer that has run to its end, with X where it was trained."""
    config = trainer.config
    detail = trainer.detail_trainer().trained() if config.detail.steps else None
    return export_lattice(
        trainer.model, trainer.shipped(), name=config.id, modality=config.data.modality, detail=detail
    )  # fmt: skip
