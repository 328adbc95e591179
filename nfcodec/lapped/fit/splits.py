"""Which frames are split into shorter ones: where the coefficients then need fewer bits."""

from __future__ import annotations

import numpy as np

from nfcodec.lapped.fit.analysis import analyse, power_bits
from nfcodec.types import Bytes, Doubles, Floats

# Bits that a split must save: what it costs to say, and what neighbours then know less of each other.
_PRICE = 4.0


def frame_bits(x: Floats, splits: Bytes, spacing: int, step: float) -> Doubles:
    """About how many bits every frame of a signal (P, frames · spacing) takes: (frames,)."""
    found: Doubles = power_bits(analyse(x, splits, spacing), step).sum(0) + _PRICE * (splits > 0)
    return found


def choose_splits(x: Floats, spacing: int, most: int, step: float, *, rounds: int = 1) -> Bytes:
    """z (frames,) of a whole signal (P, frames · spacing), such that it needs few bits at a step size.

    Every third frame is tried at once: a frame changes the zones, and so the bits, of its neighbours alone.
    """
    frames = x.shape[1] // spacing
    splits = np.zeros(frames, np.uint8)
    bits = frame_bits(x, splits, spacing, step)
    for _ in range(rounds):
        for third in range(3):
            for z in range(most + 1):
                splits, bits = _better(x, splits, bits, (third, z), (spacing, step))
    return splits


def _better(
    x: Floats, splits: Bytes, bits: Doubles, change: tuple[int, int], at: tuple[int, float]
) -> tuple[Bytes, Doubles]:
    """Splits and bits after those of one third that are better off with another z have taken it."""
    third, z = change
    spacing, step = at
    tried = splits.copy()
    tried[third::3] = z
    found = frame_bits(x, tried, spacing, step)
    gain = _with_neighbours(bits - found)
    taken = np.zeros(len(splits), bool)
    taken[third::3] = (gain[third::3] > 0) & (splits[third::3] != z)
    near = _with_neighbours(taken.astype(np.float64)) > 0
    return np.where(taken, tried, splits), np.where(near, found, bits)


def _with_neighbours(x: Doubles) -> Doubles:
    """Each of (n,) plus the ones beside it; np.convolve makes three of one or two."""
    padded = np.pad(x, 1)
    total: Doubles = padded[:-2] + padded[1:-1] + padded[2:]
    return total
