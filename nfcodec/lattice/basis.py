"""The lapped orthogonal transform: where training starts, and what a prior is told of a prediction with."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def _dct(n: int, kind: int) -> Floats:
    """Orthonormal DCT-II or DCT-IV matrix (frequency, sample)."""
    k, x = np.arange(n)[:, None], np.arange(n)[None]
    if kind == 4:
        out: Floats = math.sqrt(2.0 / n) * np.cos(math.pi * (k + 0.5) * (x + 0.5) / n)
        return out
    out = math.sqrt(2.0 / n) * np.cos(math.pi * k * (x + 0.5) / n)
    out[0] /= math.sqrt(2.0)
    return out


def lapped_basis(spacing: int) -> Floats:
    """The s functions of 2s samples of the fast lapped orthogonal transform (Malvar 1989; Tran 2003, eq. 12), s even:
    a DCT whose block borders went through an orthogonal filter. Shifted by multiples of s they are orthonormal."""
    half = spacing // 2
    eye, flip = np.eye(half), np.eye(half)[::-1]
    butterfly = np.block([[eye, flip], [flip, -eye]]) / math.sqrt(2.0)
    v = flip @ _dct(half, 2).T @ _dct(half, 4) @ flip
    border = butterfly @ np.block([[eye, np.zeros((half, half))], [np.zeros((half, half)), v]]) @ butterfly
    dct = _dct(spacing, 2)
    # A block with the filter applied at both of its borders reaches half a block further on each side.
    out: Floats = np.concatenate([dct[:, :half] @ border[half:], dct[:, half:] @ border[:half]], 1)
    return out
