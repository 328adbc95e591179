"""Training crops for a lattice. Batch i depends on the seed and on i alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nfcodec.errors import InputError, OptionError
from nfcodec.lattice.planes import OPPONENT_SET, PlaneSet, offset_of, planes_of
from nfcodec.lattice.train.config import LatticeConfig
from nfcodec.lattice.train.drawings import drawing
from nfcodec.rotations import mid_side
from nfcodec.train.signals import Clip, Folders, load_signals
from nfcodec.types import Bytes, Floats

Random = np.random.Generator
_DETAIL = 10_000_019  # batches of pairs are others than those of crops
_LARGEST = 2.0  # how much parts are enlarged at most


@dataclass(frozen=True, slots=True)
class Batch:
    """Values (N, C, *c), the quality (N,) of each, and of every so many batches of pictures what they were halved from
    (N, 3, 2c, 2c)."""

    values: Tensor
    quality: Tensor
    larger: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Planes (N, P, c, c) of pictures, those (N, P, 2c, 2c) of what they were halved from, and a quality of each."""

    small: Tensor
    large: Tensor
    qualities: tuple[int, ...]


class Pieces(Protocol):
    """What a lattice is trained on."""

    def batch(self, seed: int, step: int, count: int, *, double: bool) -> Batch:
        """Pieces of signals at random qualities; with ``double`` they are halved from larger ones, if they can be."""
        ...

    def pairs(self, seed: int, step: int, count: int, *, lowest: int) -> Pair:
        """Pictures and their halves, at qualities from ``lowest`` to 100; :class:`OptionError` for other signals."""
        ...


def _drawn_filter(random: Random) -> Image.Resampling:
    """Either of the two usual filters."""
    return (Image.Resampling.LANCZOS, Image.Resampling.BICUBIC)[int(random.integers(2))]


def _tensor(image: Bytes) -> Tensor:
    return torch.from_numpy(image.astype(np.float32) / np.float32(255.0))


class Crops:
    """Random crops of ``size`` pixels, flipped and transposed, from pictures (H, W, 3) in memory; a share ``drawn`` of
    them from ``drawings`` drawn ones. A share ``enlarged`` is a smaller part of a picture, enlarged up to twice: what
    people have is often softer than pictures that were reduced for training."""

    def __init__(
        self, pictures: Sequence[Clip], size: int, planes: PlaneSet = OPPONENT_SET, *, drawn: float = 0.0,
        drawings: int = 1, enlarged: float = 0.0,
    ) -> None:  # fmt: skip
        self.size, self.drawn, self.planes, self.enlarged = size, drawn, planes, enlarged
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
        if self.enlarged and random.random() < self.enlarged:
            part = self._cut(random, math.ceil(size / random.uniform(1.0, _LARGEST)))
            return np.asarray(Image.fromarray(part).resize((size, size), _drawn_filter(random)), np.uint8)
        return self._cut(random, size)

    def _cut(self, random: Random, size: int) -> Bytes:
        """A square of a picture, flipped and transposed."""
        picture = self._picture(random)
        y, x = (int(random.integers(n - size + 1)) for n in picture.shape[:2])
        part = picture[y : y + size, x : x + size]
        part = part[:, ::-1] if random.integers(2) else part
        return np.ascontiguousarray(part.transpose(1, 0, 2) if random.integers(2) else part, np.uint8)

    def _values(self, picture: Bytes) -> Tensor:
        """Values (C, h, w): the mean of the channels where the planes are of one."""
        values = _tensor(picture).permute(2, 0, 1)
        return values if self.planes.channels == 3 else values.mean(0, keepdim=True)

    def batch(self, seed: int, step: int, count: int, *, double: bool) -> Batch:
        """Crops at random qualities; with ``double`` they are halved from larger ones."""
        random = np.random.default_rng((seed, step))
        quality = torch.from_numpy(random.integers(0, 101, count)).float()
        size = 2 * self.size if double else self.size
        crops = torch.stack([self._values(self._one(random, size)) for _ in range(count)])
        if not double:
            return Batch(crops.contiguous(), quality)
        small = F.interpolate(crops, scale_factor=0.5, mode="bicubic", antialias=True).clamp(0, 1)
        return Batch(torch.round(small * 255.0) / 255.0, quality, crops.contiguous())

    def _planes(self, picture: Bytes) -> Tensor:
        planes: Tensor = self.planes.to_planes(self._values(picture).permute(1, 2, 0), offset_of("image"))
        return planes

    def pairs(self, seed: int, step: int, count: int, *, lowest: int) -> Pair:
        """Crops and their halves, by either of the two usual filters, at qualities from ``lowest`` to 100."""
        random = np.random.default_rng((seed, _DETAIL, step))
        qualities = tuple(random.integers(lowest, 101, count).tolist())
        small, large = [], []
        for _ in range(count):
            whole = self._one(random, 2 * self.size)
            half = Image.fromarray(whole).resize((self.size, self.size), _drawn_filter(random))
            small.append(self._planes(np.asarray(half, np.uint8)))
            large.append(self._planes(whole))
        return Pair(torch.stack(small), torch.stack(large), qualities)


class Stretches:
    """Random stretches of ``size`` samples of recordings (T, C) in memory, as ``channels`` channels, at random
    loudness."""

    def __init__(self, recordings: Sequence[Floats], size: int, channels: int) -> None:
        self.size, self.channels = size, channels
        self.recordings = [r for r in recordings if len(r) >= size]
        if not self.recordings:
            raise InputError(f"no recording has {size} samples")
        sizes = np.array([float(len(r)) for r in self.recordings])
        self._share = np.cumsum(sizes / sizes.sum())

    def batch(self, seed: int, step: int, count: int, *, double: bool) -> Batch:
        """Stretches at random qualities; sound is never halved."""
        del double
        random = np.random.default_rng((seed, step))
        quality = torch.from_numpy(random.integers(0, 101, count)).float()
        return Batch(torch.stack([self._one(random) for _ in range(count)]), quality)

    def _one(self, random: Random) -> Tensor:
        """One stretch (C, size), halves of them backwards, both ways round."""
        found = min(int(np.searchsorted(self._share, random.random())), len(self.recordings) - 1)
        start = int(random.integers(len(self.recordings[found]) - self.size + 1))
        part = self.recordings[found][start : start + self.size]
        part = part[::-1] if random.integers(2) else part
        part = part[:, ::-1] if random.integers(2) else part
        if part.shape[1] != self.channels:
            part = np.repeat(part.mean(1, keepdims=True), self.channels, 1)
        return torch.from_numpy(np.ascontiguousarray(part.T * 2.0 ** random.uniform(-2.0, 0.0), np.float32))

    def pairs(self, seed: int, step: int, count: int, *, lowest: int) -> Pair:
        """Sound has no detail to train."""
        raise OptionError("detail is trained on pictures: set detail.steps = 0")


def load_pieces(folder: Folders, config: LatticeConfig) -> Pieces:
    """Pieces of the media in a folder, and of drawn pictures; :class:`OptionError` for media that the field of the
    config does not take."""
    data, outer, axes = config.data, config.outer, config.field.axes
    planes = planes_of(config.field.levels)
    for spec in config.field.levels:
        if any(outer.crop % s for s in spec.spacing):
            raise OptionError(f"outer.crop = {outer.crop} is no multiple of the spacing {spec.spacing}")
    if data.modality == "image" and axes == 2:
        return Crops(
            load_signals(folder, data), outer.crop, planes, drawn=outer.drawn, drawings=outer.drawings,
            enlarged=outer.enlarged,
        )  # fmt: skip
    if data.modality == "audio" and axes == 1:
        if config.detail.steps:
            raise OptionError("detail is trained on pictures: set detail.steps = 0")
        # Loaded as mid and side, which is its own inverse.
        sounds = [np.asarray(mid_side(torch.from_numpy(s)).numpy(), np.float32) for s in load_signals(folder, data)]
        return Stretches(sounds, outer.crop, planes.channels)
    raise OptionError(f"a lattice of {axes} axes is not trained on {data.modality}")
