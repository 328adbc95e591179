"""Between the samples: a recording at any position is its exact samples through a windowed sinc.

f(x) = Σ f[n] · h(x − n − ½), h a sinc under a Kaiser window of 48 samples on either side: at the samples themselves
it is 1 and 0, up to 0.9 of half the sample rate it is flat and free of images to below −90 dB (Kaiser 1974).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nfcodec.types import Doubles, Floats, Indices, Positions

HALF = 48  # samples on either side
_BETA = 9.0
_FINE = 4096  # steps of the stored window; it is interpolated linearly
_PIECE = 1 << 15  # positions at once


@lru_cache(maxsize=1)
def _window() -> Doubles:
    """The Kaiser window over −HALF … HALF."""
    found: Doubles = np.kaiser(2 * HALF * _FINE // 16 + 1, _BETA)
    return found


def touched(positions: Positions) -> tuple[int, int]:
    """The native samples [a, b) that ascending or other positions (n,) are made of."""
    return int(np.floor(positions.min() - 0.5)) - HALF + 1, int(np.floor(positions.max() - 0.5)) + HALF + 1


def interpolated(samples: Floats, start: int, positions: Positions) -> Floats:
    """Values (n, C) at native positions (n,) from the samples (m, C) that begin with number ``start``."""
    parts = [_some(samples, start, positions[i : i + _PIECE]) for i in range(0, len(positions), _PIECE)]
    return np.concatenate(parts) if parts else samples[:0]


def _some(samples: Floats, start: int, positions: Positions) -> Floats:
    first = np.floor(positions - 0.5).astype(np.int64) - HALF + 1
    places: Indices = first[:, None] + np.arange(2 * HALF)
    away = (positions - 0.5)[:, None] - places
    grid = np.linspace(-HALF, HALF, len(_window()))
    weights = (np.sinc(away) * np.interp(away, grid, _window())).astype(np.float32)
    found: Floats = np.einsum("ni,nic->nc", weights, samples[np.clip(places - start, 0, len(samples) - 1)])
    return found
