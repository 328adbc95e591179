"""Between the samples: a recording at any position is its exact samples through a windowed sinc.

f(x) = Σ f[n] · h(x − n − ½), h a sinc under a Kaiser window of 48 samples on either side (Kaiser 1974): at the samples
themselves it is 1 and 0, up to 0.9 of half the sample rate it is flat and free of images to below −90 dB.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nfcodec.types import Doubles, Floats, Indices, Positions

HALF = 48  # samples on either side
_BETA = 9.0
_FINE = 1024  # offsets between two samples that weights are stored for; between these they are interpolated
_PIECE = 1 << 15  # positions at once


@lru_cache(maxsize=1)
def _weights() -> Doubles:
    """h at every stored offset (_FINE + 1, 2 · HALF): of the samples −HALF + 1 … HALF around."""
    away = np.arange(_FINE + 1)[:, None] / _FINE - np.arange(1 - HALF, HALF + 1)
    inside = np.sqrt(np.maximum(0.0, 1.0 - (away / HALF) ** 2))
    found: Doubles = np.sinc(away) * np.i0(_BETA * inside) / np.i0(_BETA)
    return found


def touched(positions: Positions) -> tuple[int, int]:
    """The native samples [a, b) that positions (n,) are made of."""
    return int(np.floor(positions.min() - 0.5)) - HALF + 1, int(np.floor(positions.max() - 0.5)) + HALF + 1


def interpolated(samples: Floats, start: int, positions: Positions) -> Floats:
    """Values (n, C) at native positions (n,) from the samples (m, C) that begin with number ``start``; beyond these the
    first and the last one go on."""
    parts = [_some(samples, start, positions[i : i + _PIECE]) for i in range(0, len(positions), _PIECE)]
    return np.concatenate(parts) if parts else samples[:0]


def _some(samples: Floats, start: int, positions: Positions) -> Floats:
    at = positions - 0.5
    first = np.floor(at)
    fine = (at - first) * _FINE
    row = np.minimum(fine.astype(np.int64), _FINE - 1)
    share, table = (fine - row)[:, None], _weights()
    weights = ((1.0 - share) * table[row] + share * table[row + 1]).astype(np.float32)
    places: Indices = first.astype(np.int64)[:, None] + np.arange(1 - HALF, HALF + 1)
    near = samples[np.clip(places - start, 0, len(samples) - 1)]
    found: Floats = (weights[:, None, :] @ near)[:, 0]
    return found
