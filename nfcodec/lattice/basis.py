"""Cosines and the lapped orthogonal transform: where training starts, what a prior is told of a prediction with."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def cosines(count: int, samples: int) -> Floats:
    """The first ``count`` cosines of the DCT-II at ``samples`` places of a stretch (frequency, sample), orthonormal at
    ``count`` places."""
    k, x = np.arange(count)[:, None], np.arange(samples)[None]
    out: Floats = math.sqrt(2.0 / count) * np.cos(math.pi * k * (x + 0.5) / samples)
    out[0] /= math.sqrt(2.0)
    return out


def _dct_iv(n: int) -> Floats:
    """Orthonormal DCT-IV matrix (frequency, sample)."""
    k, x = np.arange(n)[:, None], np.arange(n)[None]
    out: Floats = math.sqrt(2.0 / n) * np.cos(math.pi * (k + 0.5) * (x + 0.5) / n)
    return out


def lapped_basis(spacing: int) -> Floats:
    """The s functions of 2s samples of the fast lapped orthogonal transform (Malvar 1989; Tran 2003, eq. 12), s even:
    a DCT whose block borders went through an orthogonal filter. Shifted by multiples of s they are orthonormal."""
    half = spacing // 2
    eye, flip = np.eye(half), np.eye(half)[::-1]
    butterfly = np.block([[eye, flip], [flip, -eye]]) / math.sqrt(2.0)
    v = flip @ cosines(half, half).T @ _dct_iv(half) @ flip
    border = butterfly @ np.block([[eye, np.zeros((half, half))], [np.zeros((half, half)), v]]) @ butterfly
    dct = cosines(spacing, spacing)
    # A block with the filter applied at both of its borders reaches half a block further on each side.
    out: Floats = np.concatenate([dct[:, :half] @ border[half:], dct[:, half:] @ border[:half]], 1)
    return out
