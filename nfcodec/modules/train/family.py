"""The training side of fields of independent modules."""

from __future__ import annotations

from nfcodec.errors import OptionError
from nfcodec.modules.init import Init
from nfcodec.modules.train.config import TABLES, TrainConfig, read_config
from nfcodec.modules.train.export import export as finished
from nfcodec.modules.train.loop import Trainer
from nfcodec.modules.train.tasks import load_tasks
from nfcodec.train.signals import Folders

__all__ = ["TABLES", "finished", "new_trainer", "read_config"]


def new_trainer(
    config: TrainConfig, folder: Folders, *, device: str = "cpu", begin: Init | None = None
) -> Trainer:  # fmt: skip
    """A trainer at step 0, with the media of ``folder`` in memory; modules are always trained from nothing."""
    if begin is not None:
        raise OptionError(f"init {begin.id}: training of the field {begin.kind} starts from nothing")
    return Trainer(config, load_tasks(folder, config.field, config.data), device=device)
