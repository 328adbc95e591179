"""Training tasks: random modules cut from a folder of media.

Batch i depends on the seed and on i alone, so a resumed training sees the batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nfcodec.errors import InputError
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.values import to_outputs
from nfcodec.train.settings import DataConfig
from nfcodec.train.signals import Clip, Folders, load_signals
from nfcodec.types import Floats


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
        targets: Tensor = to_outputs(self.spec, torch.from_numpy(cuts))
        return targets.contiguous()

    def _cut(self, rng: np.random.Generator) -> Floats:
        signal = self.signals[int(np.searchsorted(self._share, rng.random()))]
        starts = [int(rng.integers(n - t + 1)) for n, t in zip(signal.shape, self.spec.tile, strict=False)]
        part = signal[tuple(slice(a, a + t) for a, t in zip(starts, self.spec.tile, strict=True))]
        if part.dtype == np.uint8:
            part = np.flip(part, -2) if rng.random() < 0.5 else part
            return (part.astype(np.float32) / 255.0).reshape(-1, part.shape[-1])
        channel = int(rng.integers(part.shape[-1]))
        return np.ascontiguousarray(part[:, channel : channel + 1], np.float32)


def load_tasks(folder: Folders, spec: FieldSpec, config: DataConfig) -> Tasks:
    """Modules of the media in a folder."""
    return Tasks(spec, load_signals(folder, config))
