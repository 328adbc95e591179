"""The transform of the encoder in floats: from samples to the coefficients of frames."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nfcodec.lapped.window import BITS, rotation
from nfcodec.lapped.zones import frames_by_split, zones_of
from nfcodec.types import Bytes, Doubles, Floats

Complexes = npt.NDArray[np.complexfloating]


@lru_cache(maxsize=32)
def _rotation(half: int) -> tuple[Floats, Floats]:
    """Cosine and sine of the window's angles."""
    c, s = (part * 2.0**-BITS for part in rotation(half))
    return c.astype(np.float32), s.astype(np.float32)


@lru_cache(maxsize=32)
def _twiddle(size: int) -> Complexes:
    n = np.arange(size // 2)
    found: Complexes = np.exp(-1j * np.pi * (n + 0.125) / size).astype(np.complex64)
    return found


def dct4(x: Floats) -> Floats:
    """The orthonormal DCT-IV along the last axis, of even size; its own inverse."""
    size = x.shape[-1]
    z = x[..., ::2] + 1j * x[..., ::-2]
    z = np.fft.fft(z * _twiddle(size), axis=-1) * (_twiddle(size) * np.sqrt(np.float32(2.0 / size)))
    out = np.empty(x.shape, np.float32)
    out[..., ::2] = z.real
    out[..., ::-2] = -z.imag
    return out


def folded(x: Floats, splits: Bytes, spacing: int, *, first: int = 0, last: int = 0, behind: int = 0) -> Floats:
    """Samples (P, n) of whole frames with the zones between their parts rotated. ``first``, ``last``: parts on either
    side, see :func:`zones_of`; ``behind``: samples at both ends of ``x`` that belong to them."""
    out = x.copy()
    for zones in zones_of(splits, spacing, first=first, last=last):
        c, s = _rotation(zones.half)
        early, late = x[:, zones.before + behind], x[:, zones.behind + behind]
        out[:, zones.behind + behind] = c * late + s * early
        out[:, zones.before + behind] = c * early - s * late
    return out[:, behind : out.shape[1] - behind]


def coefficients(x: Floats, splits: Bytes, spacing: int) -> Floats:
    """Coefficients (P, frames, spacing) of folded samples (P, frames · spacing), bins of parts interleaved."""
    frames = x.reshape(len(x), -1, spacing)
    out = np.empty(frames.shape, np.float32)
    for z, where in frames_by_split(splits.tobytes()):
        parts = dct4(frames[:, where].reshape(len(x), len(where), 1 << z, spacing >> z))
        out[:, where] = np.swapaxes(parts, -1, -2).reshape(len(x), len(where), spacing)
    return out


def analyse(x: Floats, splits: Bytes, spacing: int) -> Floats:
    """Coefficients (P, frames, spacing) of a whole signal (P, frames · spacing)."""
    return coefficients(folded(x, splits, spacing), splits, spacing)


def power_bits(c: Floats, step: float) -> Doubles:
    """About how many bits coefficients (…, bins) take at a step size: (…)."""
    found: Doubles = np.log2(1.0 + (c * (2.0 / step)) ** 2).sum(-1, dtype=np.float64) * 0.5
    return found
