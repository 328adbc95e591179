"""Training tasks: random modules cut from a folder of media.

Batch i depends on the seed and on i alone, so a resumed training sees the batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.errors import InputError, NfcError
from nfcodec.fields.spec import FieldSpec
from nfcodec.fields.values import mid_side, to_outputs
from nfcodec.media import open_source
from nfcodec.meta.config import DataConfig

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Clip = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


class Tasks:
    """Random modules out of signals in memory.

    ``signals``: arrays (n_0, …, C), uint8 for pictures and video, float32 for sound.
    """

    def __init__(self, spec: FieldSpec, signals: Sequence[Clip]) -> None:
        self.spec = spec
        self.signals = [s for s in signals if all(n >= t for n, t in zip(s.shape, spec.tile, strict=False))]
        if not self.signals:
            raise InputError(f"no training signal holds a module of {spec.tile} samples")
        sizes = np.array([float(np.prod(s.shape)) for s in self.signals])
        self._share = np.cumsum(sizes / sizes.sum())

    def batch(self, seed: int, step: int, modules: int) -> Tensor:
        """Targets (modules, N, outputs); a function of the arguments alone."""
        rng = np.random.default_rng((seed, step))
        cuts = np.stack([self._cut(rng) for _ in range(modules)])
        return to_outputs(self.spec, torch.from_numpy(cuts)).contiguous()

    def _cut(self, rng: np.random.Generator) -> Floats:
        signal = self.signals[int(np.searchsorted(self._share, rng.random()))]
        starts = [int(rng.integers(n - t + 1)) for n, t in zip(signal.shape, self.spec.tile, strict=False)]
        part = signal[tuple(slice(a, a + t) for a, t in zip(starts, self.spec.tile, strict=True))]
        if part.dtype == np.uint8:
            part = np.flip(part, -2) if rng.random() < 0.5 else part
            return (part.astype(np.float32) / 255.0).reshape(-1, part.shape[-1])
        channel = int(rng.integers(part.shape[-1]))
        return np.ascontiguousarray(part[:, channel : channel + 1], np.float32)


def load_tasks(folder: Path, spec: FieldSpec, config: DataConfig) -> Tasks:
    """Modules of the media in a folder."""
    return Tasks(spec, load_signals(folder, config))


def load_signals(folder: Path, config: DataConfig) -> list[Clip]:
    """Read up to ``config.keep`` files of a folder (sorted by name), whole pictures and the start of clips."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of media")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
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
        return np.asarray(mid_side(torch.from_numpy(values)).numpy(), np.float32)
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
