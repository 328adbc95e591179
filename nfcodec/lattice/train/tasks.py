"""Training crops for a lattice. Batch i depends on the seed and on i alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nfcodec.errors import InputError, OptionError
from nfcodec.lattice.synthesis import to_planes
from nfcodec.lattice.train.config import OuterConfig
from nfcodec.lattice.train.drawings import drawing
from nfcodec.train.signals import Clip, load_signals
from nfcodec.train.tables import DataConfig

Bytes = npt.NDArray[np.uint8]
Random = np.random.Generator
_DETAIL = 10_000_019  # batches of pairs are others than those of crops


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures (N, 3, c, c) in [0, 1], the quality (N,) of each, and of every so many batches what they were halved
    from (N, 3, 2c, 2c)."""

    rgb: Tensor
    quality: Tensor
    larger: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Planes (N, 3, c, c) of pictures, the first plane (N, 1, 2c, 2c) of what they were halved from, one quality."""

    small: Tensor
    large: Tensor
    quality: int


def _tensor(image: Bytes) -> Tensor:
    return torch.from_numpy(image.astype(np.float32) / np.float32(255.0))


class Crops:
    """Random crops of ``size`` pixels, flipped and transposed, from pictures (H, W, 3) in memory; a share ``drawn`` of
    them from ``drawings`` drawn ones."""

    def __init__(self, pictures: Sequence[Clip], size: int, *, drawn: float = 0.0, drawings: int = 1) -> None:
        self.size, self.drawn = size, drawn
        self.drawings = [drawing(seed) for seed in range(drawings)] if drawn else []
        self.pictures = [p for p in pictures if min(p.shape[:2]) >= 2 * size]
        if not self.pictures:
            raise InputError(f"no training picture has {2 * size} × {2 * size} pixels")

    @cached_property
    def _share(self) -> npt.NDArray[np.float64]:
        sizes = np.array([float(p.shape[0] * p.shape[1]) for p in self.pictures])
        return np.cumsum(sizes / sizes.sum())

    def _picture(self, random: Random) -> Clip:
        if self.drawings and random.random() < self.drawn:
            return self.drawings[int(random.integers(len(self.drawings)))]
        return self.pictures[min(int(np.searchsorted(self._share, random.random())), len(self.pictures) - 1)]

    def _one(self, random: Random, size: int) -> Bytes:
        picture = self._picture(random)
        y, x = (int(random.integers(n - size + 1)) for n in picture.shape[:2])
        part = picture[y : y + size, x : x + size]
        part = part[:, ::-1] if random.integers(2) else part
        return np.asarray(part.transpose(1, 0, 2) if random.integers(2) else part, np.uint8)

    def batch(self, seed: int, step: int, count: int, *, double: bool) -> Batch:
        """Crops at random qualities; with ``double`` they are halved from larger ones."""
        random = np.random.default_rng((seed, step))
        quality = torch.from_numpy(random.integers(0, 101, count)).float()
        size = 2 * self.size if double else self.size
        crops = torch.stack([_tensor(self._one(random, size)) for _ in range(count)]).permute(0, 3, 1, 2)
        if not double:
            return Batch(crops.contiguous(), quality)
        small = F.interpolate(crops, scale_factor=0.5, mode="bicubic", antialias=True).clamp(0, 1)
        return Batch(torch.round(small * 255.0) / 255.0, quality, crops.contiguous())

    def pairs(self, seed: int, step: int, count: int, *, lowest: int) -> Pair:
        """Crops and their halves, by either of the two usual filters, and one quality from ``lowest`` to 100."""
        random = np.random.default_rng((seed, _DETAIL, step))
        quality = int(random.integers(lowest, 101))
        small, large = [], []
        for _ in range(count):
            whole = self._one(random, 2 * self.size)
            filtering = (Image.Resampling.LANCZOS, Image.Resampling.BICUBIC)[int(random.integers(2))]
            half = Image.fromarray(np.ascontiguousarray(whole)).resize((self.size, self.size), filtering)
            small.append(to_planes(_tensor(np.asarray(half))))
            large.append(to_planes(_tensor(whole))[:1])
        return Pair(torch.stack(small), torch.stack(large), quality)


def load_crops(folder: Path, config: DataConfig, outer: OuterConfig) -> Crops:
    """Crops of the pictures in a folder, and of drawn ones."""
    if config.modality != "image":
        raise OptionError(f"a lattice is trained on images, not on {config.modality}")
    return Crops(load_signals(folder, config), outer.crop, drawn=outer.drawn, drawings=outer.drawings)
