"""The training side of lapped fields."""

from __future__ import annotations

import numpy as np

from nfcodec.errors import OptionError
from nfcodec.lapped.init import LappedInit
from nfcodec.lapped.train.config import TABLES, LappedConfig, read_config
from nfcodec.lapped.train.export import export, params_of
from nfcodec.lapped.train.loop import LappedTrainer
from nfcodec.lapped.train.tasks import Pieces
from nfcodec.train.signals import Folders, load_signals
from nfcodec.types import Floats

# Batches, and stretches in each, that tables and corrections are counted on.
_COUNTED, _BATCH = 60, 8

__all__ = ["TABLES", "finished", "new_trainer", "read_config"]


def new_trainer(
    config: LappedConfig, folder: Folders, *, device: str = "cpu", begin: LappedInit | None = None
) -> LappedTrainer:  # fmt: skip
    """A trainer at step 0, with the recordings of ``folder`` in memory. ``begin``: the init to go on from, whose
    geometry must be that of the config (:class:`OptionError`)."""
    if device != "cpu":
        raise OptionError(f"device {device!r}: lapped fields are trained on the processor")
    if begin is not None and begin.spec != config.field.spec:
        raise OptionError(f"init {begin.id} has another geometry than the config")
    signals: list[Floats] = [np.asarray(s, np.float32) for s in load_signals(folder, config.data)]
    return LappedTrainer(config, Pieces(signals, config), begin=None if begin is None else params_of(begin))


def finished(trainer: LappedTrainer) -> LappedInit:
    """The init of a trainer that has run to its end."""
    config = trainer.config
    later = (trainer.pieces.batch(config.seed, config.outer.steps + i, _BATCH) for i in range(_COUNTED))
    return export(config, trainer.shipped(), trainer.counts, later)
