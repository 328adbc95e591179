"""The media of a folder, in memory, as training takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nfcodec.errors import InputError, NfcError
from nfcodec.media import open_source
from nfcodec.rotations import mid_side
from nfcodec.train.settings import DataConfig
from nfcodec.types import Floats

Clip = npt.NDArray[np.uint8] | Floats
Folders = Path | Sequence[Path]


def load_signals(folder: Folders, config: DataConfig) -> list[Clip]:
    """Read up to ``config.keep`` files of one or more folders (each sorted by name), whole pictures and the start of
    clips."""
    paths: list[Path] = []
    for one in (folder,) if isinstance(folder, Path) else folder:
        if not one.is_dir():
            raise InputError(f"{one} is not a folder of media")
        paths += sorted(p for p in one.rglob("*") if p.is_file() and not p.name.startswith("."))
    signals: list[Clip] = []
    for path in paths:
        if len(signals) >= config.keep:
            break
        signal = _load(path, config)
        if signal is not None:
            signals.append(signal)
    if not signals:
        raise InputError(f"{folder}: no {config.modality} to train on")
    return signals


def _load(path: Path, config: DataConfig) -> Clip | None:
    try:
        source = open_source(path)
    except NfcError:
        return None
    try:
        if source.info.modality != config.modality:
            return None
        rows = config.frames if config.modality == "video" else source.info.shape[0]
        values = next(iter(source.blocks(rows))).values
    finally:
        source.close()
    if config.modality == "audio":
        return np.asarray(mid_side(values), np.float32)
    if values.shape[-1] != 3:
        return None
    reduced = values if config.modality != "video" else _reduce(values, config.height)
    return np.asarray(np.rint(reduced * 255.0), np.uint8)


def _reduce(values: Floats, height: int) -> Floats:
    """Box-reduce frames (T, H, W, C) by a whole factor to about ``height`` rows: it removes coding noise."""
    k = max(1, round(values.shape[1] / height))
    h, w = values.shape[1] // k * k, values.shape[2] // k * k
    parts = values[:, :h, :w].reshape(values.shape[0], h // k, k, w // k, k, -1)
    return np.asarray(parts.mean((2, 4)), np.float32)
