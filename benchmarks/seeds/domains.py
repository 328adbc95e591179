"""The kinds of signals that GradNCP and MCL-NF are compared on, as one module each: coordinates and values.

Pictures (see :mod:`benchmarks.seeds.datasets`), speech, fields on the sphere, short clips. Training on the sphere sees
drawn fields alone: smooth noise with a spectrum of a random slope; ``seeds-extra`` is for tests only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.seeds.datasets import load, pixel_coords
from benchmarks.seeds.protocol import Protocol
from nfcodec.coords import module_coords
from nfcodec.modules.spec import FieldSpec

Floats = npt.NDArray[np.float32]
_RATE = 16_000
_TRAIN_CLIPS, _CLIP_FRAMES = 12, 24
_GRID = 46, 90  # latitudes and longitudes of GradNCP's ERA5


@dataclass(frozen=True)
class Domain:
    """``spec``: the field. ``coords`` (1, N, d). ``batch`` (seed, step, count) and ``test`` (count): targets
    (count, N, c), in [-0.5, 0.5]. ``shape``: the grid of the N samples."""

    name: str
    spec: FieldSpec
    coords: Tensor
    shape: tuple[int, ...]
    batch: Callable[[int, int, int], Tensor]
    test: Callable[[int], Tensor]


def siren(protocol: Protocol, *, axes: int, channels: int, tile: tuple[int, ...], w0: int, scale: int = 1) -> FieldSpec:
    """A SIREN of the protocol's size; its coordinates run over [-scale, scale]."""
    return FieldSpec("siren", axes, channels, protocol.width, protocol.depth, w0, scale, True, False, tile)


def pictures(protocol: Protocol, data: Path, name: str = "imagenette", *, w0: int = 30) -> Domain:
    """Pictures of ``protocol.side`` samples along each side."""
    side = protocol.side
    train, test = load(name, "train", side, data), load(name, "test", side, data)
    spec = siren(protocol, axes=2, channels=3, tile=(side, side), w0=w0)
    return Domain(
        name, spec, pixel_coords(side), (side, side), lambda seed, step, n: train.batch(seed, step, n) - 0.5,
        lambda n: test.centre(n) - 0.5,
    )  # fmt: skip


def speech(protocol: Protocol, data: Path, seconds: int, *, reduce: int = 4) -> Domain:
    """Stretches of speech at 16 kHz / ``reduce``: training ones begin anywhere, test ones are the first of a file.

    Coordinates span 50 per 16,000 samples and side, as in GradNCP for 1 s, so that samples stay equally far apart."""
    length = seconds * _RATE // reduce
    train, test = (_recordings(data / f"speech-{part}", reduce, length) for part in ("train", "eval"))
    scale = max(1, round(50 * length / _RATE))
    spec = siren(protocol, axes=1, channels=1, tile=(length,), w0=30, scale=scale)

    def batch(seed: int, step: int, count: int) -> Tensor:
        rng = np.random.default_rng((seed, step))
        chosen = [train[int(i)] for i in rng.integers(len(train), size=count)]
        starts = [int(rng.integers(len(c) - length + 1)) for c in chosen]
        return _stacked([c[a : a + length, None] for c, a in zip(chosen, starts, strict=True)])

    coords = torch.from_numpy(module_coords((length,))).unsqueeze(0)
    return Domain(
        f"speech {seconds} s", spec, coords, (length,), batch, lambda n: _stacked([t[:length, None] for t in test[:n]])
    )  # fmt: skip


def _recordings(folder: Path, reduce: int, length: int) -> list[Floats]:
    """Recordings in [-0.5, 0.5] of at least ``length`` samples, thinned by means over ``reduce`` of them."""
    import soundfile

    found = []
    for path in sorted(folder.glob("*.flac")):
        samples = np.asarray(soundfile.read(path, dtype="float32")[0])
        thin = samples[: len(samples) // reduce * reduce].reshape(-1, reduce).mean(1) / 2.0
        if len(thin) >= length:
            found.append(np.asarray(thin, np.float32))
    return found


def _stacked(parts: Sequence[Floats]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(parts), np.float32))


# -- the sphere ------------------------------------------------------------------------------------------
def sphere_coords(grid: tuple[int, int] = _GRID) -> Tensor:
    """Points (1, N, 3) of a grid: latitudes from 90 to −90 degrees, longitudes from 0."""
    latitude = np.deg2rad(np.linspace(90.0, -90.0, grid[0]))[:, None]
    longitude = 2.0 * np.pi * np.arange(grid[1]) / grid[1]
    parts = np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude) + 0 * longitude
    return torch.from_numpy(np.stack(parts, -1).reshape(1, -1, 3).astype(np.float32))


def drawn_field(rng: np.random.Generator, coords: Floats) -> Floats:
    """A smooth random field (N, 1) in [-0.5, 0.5]: plane waves through the sphere, and a fall towards the poles."""
    slope, waves = rng.uniform(1.2, 2.5), 120
    directions = rng.normal(size=(waves, 3))
    sizes = np.exp(rng.uniform(0.0, np.log(16.0), waves))
    directions *= (sizes / np.linalg.norm(directions, axis=1))[:, None]
    amplitude = sizes**-slope * rng.normal(size=waves)
    waves_at = np.cos(coords @ directions.T + rng.uniform(0, 2 * np.pi, waves)) @ amplitude
    values = waves_at / waves_at.std() + rng.uniform(-3.0, 3.0) * coords[:, 2] ** 2
    low, high = values.min(), values.max()
    return np.asarray((values - low) / (high - low) - 0.5, np.float32)[:, None]


def sphere(protocol: Protocol, data: Path, *, grid: tuple[int, int] = _GRID) -> Domain:
    """Fields on the sphere: drawn for training, monthly layer temperatures for tests."""
    coords = sphere_coords(grid)
    points = coords[0].numpy()

    def batch(seed: int, step: int, count: int) -> Tensor:
        rng = np.random.default_rng((seed, step))
        return _stacked([drawn_field(rng, points) for _ in range(count)])

    spec = siren(protocol, axes=3, channels=1, tile=(1, *grid), w0=30)
    test = _temperatures(data / "seeds-extra" / "erainterim_layer_temperature_K.npy", grid)
    return Domain("sphere", spec, coords, grid, batch, lambda n: test[:n])


def _temperatures(path: Path, grid: tuple[int, int]) -> Tensor:
    """Layer temperatures, one field after another, thinned to the grid and mapped to [-0.5, 0.5]."""
    fields = np.load(path).astype(np.float64)
    fields = fields.reshape(-1, *fields.shape[-2:])
    rows = np.rint(np.linspace(0, fields.shape[1] - 1, grid[0])).astype(int)
    columns = np.floor(np.arange(grid[1]) * fields.shape[2] / grid[1]).astype(int)
    thin = fields[:, rows][:, :, columns].reshape(len(fields), -1, 1)
    low, high = thin.min(1, keepdims=True), thin.max(1, keepdims=True)
    return torch.from_numpy(((thin - low) / (high - low) - 0.5).astype(np.float32))


# -- video -----------------------------------------------------------------------------------------------
def clips(protocol: Protocol, data: Path, *, frames: int = 8) -> Domain:
    """Clips of ``frames`` frames, half the protocol's side high and wide."""
    side = protocol.side // 2
    train = _videos([data / "video-train", data / "video-train2"], side, _TRAIN_CLIPS)
    test = _videos([data / "video-eval"], side, 8)
    spec = siren(protocol, axes=3, channels=3, tile=(frames, side, side), w0=30)

    def cut(video: Floats, rng: np.random.Generator | None) -> Floats:
        room = [n - m for n, m in zip(video.shape[:3], (frames, side, side), strict=True)]
        t, y, x = (int(rng.integers(r + 1)) if rng else r // 2 for r in room)
        return video[t : t + frames, y : y + side, x : x + side].reshape(-1, 3)

    def batch(seed: int, step: int, count: int) -> Tensor:
        rng = np.random.default_rng((seed, step))
        return _stacked([cut(train[int(i)], rng) for i in rng.integers(len(train), size=count)])

    coords = torch.from_numpy(module_coords((frames, side, side))).unsqueeze(0)
    parts = [cut(v, np.random.default_rng(k)) for k in range(4) for v in test]
    return Domain("video", spec, coords, (frames, side, side), batch, lambda n: _stacked(parts[:n]))


def _videos(folders: Sequence[Path], side: int, most: int) -> list[Floats]:
    """Clips (T, h, w, 3) in [-0.5, 0.5], box-reduced until their shorter side is below three sides of a module."""
    from nfcodec.errors import NfcError
    from nfcodec.media import open_source

    found: list[Floats] = []
    for path in sorted(p for folder in folders for p in folder.iterdir() if p.suffix != ".csv"):
        try:
            source = open_source(path)
        except NfcError:
            continue
        values = next(iter(source.blocks(_CLIP_FRAMES))).values
        source.close()
        k = max(1, math.ceil(min(values.shape[1:3]) / (2 * side)))
        h, w = (n // k * k for n in values.shape[1:3])
        boxes = values[:, :h, :w].reshape(len(values), h // k, k, w // k, k, -1).mean((2, 4))
        if len(boxes) >= 8 and min(boxes.shape[1:3]) >= side and boxes.shape[-1] == 3:
            found.append(np.asarray(boxes - 0.5, np.float32))
        if len(found) >= most:
            break
    return found
