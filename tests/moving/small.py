"""A small init for moving pictures, and small clips."""

from dataclasses import replace
from functools import cache

import numpy as np
from helpers import INITS, painting

from nfcodec import zoo
from nfcodec.moving.init import MovingInit


@cache
def small_init(frames=8):
    pictures = zoo.read_init(INITS / "tiny-lattice.safetensors")
    return MovingInit("small", "video", pictures, replace(pictures.levels[0], offset=None), frames, b"")


def panning(frames, height, width, step=(1, 2), seed=0, channels=3):
    """A picture that moves by ``step`` samples from frame to frame: uint8 (T, H, W, C)."""
    reach = [abs(s) * frames for s in step]
    whole = painting(height + reach[0], width + reach[1], seed, channels)
    y, x = (0 if s >= 0 else r for s, r in zip(step, reach, strict=True))
    return np.stack([whole[y + t * step[0] :, x + t * step[1] :][:height, :width] for t in range(frames)])


@cache
def told_init():
    """One whose prior is told of predictions."""
    return zoo.read_init(INITS / "told-moving.safetensors")
