"""The training side of fields of independent modules."""

from __future__ import annotations

from pathlib import Path

from nfcodec.modules.train.config import TABLES, TrainConfig, read_config
from nfcodec.modules.train.export import export as finished
from nfcodec.modules.train.loop import Trainer
from nfcodec.modules.train.tasks import load_tasks

__all__ = ["TABLES", "finished", "new_trainer", "read_config"]


def new_trainer(config: TrainConfig, folder: Path, *, device: str = "cpu") -> Trainer:
    """A trainer at step 0, with the media of ``folder`` in memory."""
    return Trainer(config, load_tasks(folder, config.field, config.data), device=device)
