"""The training side of dyadic fields."""

from __future__ import annotations

from nfcodec.dyadic.init import DyadicInit
from nfcodec.dyadic.train.config import TABLES, DyadicConfig, read_config
from nfcodec.dyadic.train.loop import DyadicTrainer
from nfcodec.dyadic.train.model import whole_init
from nfcodec.errors import OptionError
from nfcodec.train.signals import Folders

__all__ = ["TABLES", "finished", "new_trainer", "read_config"]


def new_trainer(
    config: DyadicConfig, folder: Folders, *, device: str = "cpu", begin: DyadicInit | None = None
) -> DyadicTrainer:  # fmt: skip
    """A trainer at step 0. It draws all fields itself: nothing in ``folder`` is read, and ``device`` is unused."""
    del folder, device
    if begin is not None:
        raise OptionError(f"init {begin.id}: training of the field {begin.kind} starts from nothing")
    return DyadicTrainer(config)


def finished(trainer: DyadicTrainer) -> DyadicInit:
    """The init of a trainer that has run to its end."""
    return whole_init(trainer.config.id, trainer.networks)
