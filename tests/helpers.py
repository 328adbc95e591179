"""Signals, files and small inits for the tests of the whole codec."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

INITS = Path(__file__).parent / "data"


def init(name: str) -> str:
    """The path of a test init: image, masked, audio or video."""
    return str(INITS / f"{name}.safetensors")


# -- signals ---------------------------------------------------------------------------------------------
def painting(height: int, width: int, seed: int = 0, channels: int = 3) -> Any:
    """A picture of slopes, discs and weak textures: uint8 (H, W, channels)."""
    rng = np.random.default_rng((7, seed))
    y, x = np.mgrid[:height, :width].astype(np.float64)
    out = np.full((height, width, channels), rng.uniform(60, 190, channels))
    out += (x / 48)[..., None] * rng.normal(0, 20, channels) + (y / 48)[..., None] * rng.normal(0, 20, channels)
    for _ in range(6):
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(4, 28)
        edge = 1 / (1 + np.exp((np.hypot(y - cy, x - cx) - r) / rng.uniform(0.4, 3)))
        out += edge[..., None] * rng.normal(0, 45, channels)
    for _ in range(3):
        fy, fx = rng.normal(0, 0.7, 2)
        out += (np.sin(fy * y + fx * x + rng.uniform(0, 6)) * rng.uniform(0, 9))[..., None]
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def sound(samples: int, channels: int, seed: int = 0) -> Any:
    """Sums of sines with slow envelopes: float32 (samples, channels) in [-1, 1]."""
    rng = np.random.default_rng((11, seed))
    t = np.arange(samples)[:, None] / 8000.0
    out = np.zeros((samples, channels))
    for _ in range(6):
        f = 60.0 * 2.0 ** rng.uniform(0, 4.5)
        size = rng.uniform(0.02, 0.2, channels) * (1 + np.sin(t * rng.uniform(1, 20))) / 2
        out += size * np.sin(2 * np.pi * f * t + rng.uniform(0, 6, channels))
    return np.clip(out, -1, 1).astype(np.float32)


def moving(frames: int, height: int, width: int, seed: int = 0) -> Any:
    """Blobs that move over a slope: uint8 (T, H, W, 3)."""
    rng = np.random.default_rng((13, seed))
    t, y, x = np.mgrid[:frames, :height, :width].astype(np.float64)
    out = np.full((frames, height, width, 3), rng.uniform(60, 190, 3))
    out += (x / 48)[..., None] * rng.normal(0, 25, 3)
    for _ in range(4):
        cy, cx, vy, vx = rng.uniform(0, height), rng.uniform(0, width), *rng.normal(0, 1, 2)
        d = ((y - cy - vy * t) ** 2 + (x - cx - vx * t) ** 2) / rng.uniform(3, 14) ** 2
        out += np.exp(-d)[..., None] * rng.normal(0, 70, 3)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)
