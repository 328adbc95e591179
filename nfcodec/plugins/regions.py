"""Which part of a picture a training sample shows. Plain numbers: a seed, an epoch and an index give one part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from nfcodec.errors import OptionError

Box = tuple[int, int, int, int]
Crop = Literal["whole", "centre", "random"] | Box
CROPS = ("whole", "centre", "random")
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Part:
    """A region (x, y, width, height) in native samples, and whether it is shown mirrored."""

    box: Box
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Regions:
    """How regions are chosen. ``size``: (width, height) that they are shown at, or None for their own size.

    ``crop``: "whole", "centre" (the largest region of the shape of ``size``), "random" (its share of the area between
    the two of ``area``, its shape, as a multiple of that of ``size``, between the two of ``ratio``) or a box that must
    lie in every picture. ``mirror``: show half of them mirrored. Raises :class:`OptionError`.
    """

    size: tuple[int, int] | None
    crop: Crop = "whole"
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and not (_whole(self.size, 2) and min(self.size) > 0):
            raise OptionError(f"size must be a positive whole number or two of them, got {self.size!r}")
        if isinstance(self.crop, str):
            if self.crop not in CROPS:
                raise OptionError(f"crop must be a box or one of {', '.join(CROPS)}, got {self.crop!r}")
        elif not _whole(self.crop, 4) or min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1:
            raise OptionError(f"crop must be x, y, width and height of a region, got {self.crop!r}")
        if not _range(self.area) or self.area[1] > 1:
            raise OptionError(f"area must be two shares, 0 < low <= high <= 1, got {self.area!r}")
        if not _range(self.ratio):
            raise OptionError(f"ratio must be two shapes, 0 < low <= high, got {self.ratio!r}")

    def choose(self, picture: tuple[int, int], draw: np.random.Generator) -> Part:
        """The part of a picture of (width, height). Raises :class:`OptionError` where a fixed box does not fit."""
        width, height = picture
        if not isinstance(self.crop, str):
            x, y, w, h = self.crop
            if x + w > width or y + h > height:
                raise OptionError(f"crop {x},{y},{w},{h} reaches outside {width}x{height}")
            box = self.crop
        elif self.crop == "random":
            box = self._random(picture, draw)
        elif self.crop == "centre":
            box = _centre(picture, self._shape(picture))
        else:
            box = 0, 0, width, height
        return Part(box, self.mirror and bool(draw.random() < 0.5))

    def _shape(self, picture: tuple[int, int]) -> float:
        width, height = self.size or picture
        return width / height

    def _random(self, picture: tuple[int, int], draw: np.random.Generator) -> Box:
        """As torchvision's RandomResizedCrop: ten tries, then the centre."""
        width, height = picture
        low, high = (math.log(r) for r in self.ratio)
        for _ in range(_TRIES):
            area = width * height * draw.uniform(*self.area)
            shape = self._shape(picture) * math.exp(draw.uniform(low, high))
            w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < w <= width and 0 < h <= height:
                return int(draw.integers(width - w + 1)), int(draw.integers(height - h + 1)), w, h
        return _centre(picture, self._shape(picture))


def _centre(picture: tuple[int, int], shape: float) -> Box:
    width, height = picture
    w = min(width, max(1, round(height * shape)))
    h = min(height, max(1, round(width / shape)))
    return (width - w) // 2, (height - h) // 2, w, h


def _whole(values: Any, count: int) -> bool:
    return isinstance(values, tuple) and len(values) == count and all(isinstance(v, Integral) for v in values)


def _range(values: Any) -> bool:
    pair = isinstance(values, tuple) and len(values) == 2 and all(isinstance(v, Real) for v in values)
    return pair and 0 < values[0] <= values[1] < math.inf
