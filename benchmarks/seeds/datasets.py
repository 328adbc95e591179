"""The data sets of the tables, as float32 signals of equal size.

``imagenette`` (imagenette-178/train and val: research only, nothing shipped is trained on it), ``photos``
(images-train, of which every tenth file by name is for tests), ``text`` and ``sdf`` (drawn here, from a seed). The
papers' CelebA is not free to pass on; ``photos`` stands in its place. Speech and grids are read by their own tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Split = Literal["train", "test"]
Pixels = npt.NDArray[np.uint8]
IMAGE_SETS = ("imagenette", "photos", "text", "sdf")
_DRAWN_TRAIN = 2000  # pictures of a drawn set that training sees


@dataclass(frozen=True)
class Signals:
    """Pictures in memory: ``pixels`` of each (H, W, 3), at least ``side`` on both sides. ``mirror``: crops to train on
    are mirrored at random."""

    pixels: list[Pixels]
    side: int
    mirror: bool = True

    def batch(self, seed: int, step: int, count: int) -> Tensor:
        """Random crops of random pictures (count, side·side, 3) in [0, 1]: a function of the arguments alone."""
        rng = np.random.default_rng((seed, step))
        return torch.stack([_values(self._random(rng)) for _ in range(count)])

    def _random(self, rng: np.random.Generator) -> Pixels:
        part = _crop(self.pixels[int(rng.integers(len(self.pixels)))], self.side, rng)
        return np.ascontiguousarray(part[:, ::-1]) if self.mirror and rng.random() < 0.5 else part

    def centre(self, count: int) -> Tensor:
        """Centre crops of the first pictures (count, side·side, 3) in [0, 1]."""
        return torch.stack([_values(_crop(p, self.side, None)) for p in self.pixels[:count]])


def _values(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255.0).reshape(-1, pixels.shape[-1])


def _crop(pixels: Pixels, side: int, rng: np.random.Generator | None) -> Pixels:
    spare = [n - side for n in pixels.shape[:2]]
    y, x = (int(rng.integers(s + 1)) for s in spare) if rng else (s // 2 for s in spare)
    return pixels[y : y + side, x : x + side]


def pixel_coords(side: int) -> Tensor:
    """Sample centres (1, side·side, 2) in [-1, 1], row by row, as everywhere in nfc."""
    axis = (2.0 * torch.arange(side, dtype=torch.float64) + 1.0) / side - 1.0
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(1, -1, 2).float()


def load(name: str, split: Split, side: int, data: Path, *, count: int | None = None) -> Signals:
    """A set of pictures, at most ``count``, each reduced by the largest whole factor that leaves ``side`` samples."""
    if name in _DRAWN:
        first, total = (0, _DRAWN_TRAIN) if split == "train" else (_DRAWN_TRAIN, count or 100)
        numbers = range(first, first + min(total, count or total))
        return Signals([_DRAWN[name](np.random.default_rng((1, n)), side) for n in numbers], side, mirror=False)
    files = _files(name, split, data)[:count]
    return Signals([_reduced(path, side) for path in files], side)


def _files(name: str, split: Split, data: Path) -> list[Path]:
    if name == "imagenette":
        return sorted((data / "imagenette-178" / ("train" if split == "train" else "val")).glob("*.jpg"))
    if name == "photos":
        files = sorted((data / "images-train").glob("*.jpg"))
        return [p for i, p in enumerate(files) if (i % 10 == 9) == (split == "test")]
    raise ValueError(f"no data set {name!r}; known: {', '.join(IMAGE_SETS)}")


def _reduced(path: Path, side: int) -> Pixels:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    factor = min(image.size) // side
    if factor < 1:
        raise ValueError(f"{path.name} is smaller than {side} samples")
    return np.asarray(image.reduce(factor) if factor > 1 else image)


def draw_text(rng: np.random.Generator, side: int) -> Pixels:
    """A few lines of random words in one colour on another, as in the text set of Tancik et al. (2021)."""
    dark, light = rng.integers(0, 110, 3), rng.integers(150, 256, 3)
    back, ink = (dark, light) if rng.random() < 0.5 else (light, dark)
    image = Image.new("RGB", (side, side), tuple(int(v) for v in back))
    pen, letters = ImageDraw.Draw(image), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    size = side * float(rng.uniform(0.13, 0.3))
    font = ImageFont.load_default(size)
    y = float(rng.uniform(-0.3, 0.3)) * size
    while y < side:
        words = ("".join(rng.choice(list(letters), int(rng.integers(2, 8)))) for _ in range(8))
        pen.text((float(rng.uniform(-1.0, 1.0)) * size, y), " ".join(words), font=font, fill=tuple(int(v) for v in ink))
        y += 1.25 * size
    return np.asarray(image)


def draw_sdf(rng: np.random.Generator, side: int) -> Pixels:
    """The signed distance to a random star-shaped curve, inside dark: grey, 0.5 on the curve, one unit of distance
    (half the picture) is one unit of value. The set of Tancik et al. (2021) is of this kind."""
    corners = int(rng.integers(4, 12))
    angle = np.sort(rng.uniform(0.0, 2.0 * math.pi, corners))
    centre, radius = rng.uniform(-0.35, 0.35, 2), rng.uniform(0.2, 0.75, corners)
    points = centre + radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], 1)
    axis = (2.0 * np.arange(side) + 1.0) / side - 1.0
    at = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    distance = np.where(_inside(at, points), -1.0, 1.0) * _to_segments(at, points)
    grey = np.rint(255.0 * np.clip(0.5 + 0.5 * distance, 0.0, 1.0)).astype(np.uint8)
    return np.repeat(grey.reshape(side, side, 1), 3, axis=2)


def _to_segments(at: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Distance (N,) of ``at`` (N, 2) to the closed polygon ``points`` (P, 2)."""
    edge = np.roll(points, -1, 0) - points
    from_start = at[:, None] - points
    share = np.clip((from_start * edge).sum(-1) / (edge * edge).sum(-1), 0.0, 1.0)
    gap: npt.NDArray[np.float64] = np.linalg.norm(from_start - share[..., None] * edge, axis=-1).min(1)
    return gap


def _inside(at: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether each of ``at`` (N, 2) lies inside the polygon (even-odd rule)."""
    a, b = points, np.roll(points, -1, 0)
    crosses = (a[:, 0] > at[:, None, 0]) != (b[:, 0] > at[:, None, 0])
    rise = np.where(a[:, 0] == b[:, 0], 1.0, b[:, 0] - a[:, 0])
    where = a[:, 1] + (at[:, None, 0] - a[:, 0]) / rise * (b[:, 1] - a[:, 1])
    odd: npt.NDArray[np.bool_] = (crosses & (at[:, None, 1] < where)).sum(1) % 2 == 1
    return odd


_DRAWN: dict[str, Callable[[np.random.Generator, int], Pixels]] = {"text": draw_text, "sdf": draw_sdf}
