"""How good: PSNR, SNR and MS-SSIM.

Everything is computed in float64 with numpy alone. Fidelity is a matter of one file: compare each file on
its own and average the decibels over files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import InputError, OptionError

Array = npt.NDArray[np.float64]
AnyArray = npt.ArrayLike

_CHUNK = 2**20  # elements converted to float64 at a time
_STRIP = 256  # rows of an SSIM map computed at a time
_WINDOW = 11
_SIGMA = 1.5
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_SMALLEST_SIDE = _WINDOW * 2 ** (len(_SCALE_WEIGHTS) - 1)


def _decibels(ratio_above: float, ratio_below: float) -> float:
    """10·log10(above / below); inf when below is 0, -inf when only above is 0, NaN stays NaN."""
    if math.isnan(ratio_above) or math.isnan(ratio_below):
        return math.nan
    if ratio_below == 0.0:
        return math.inf
    if ratio_above == 0.0:
        return -math.inf
    return 10.0 * (math.log10(ratio_above) - math.log10(ratio_below))


@dataclass(slots=True)
class ErrorSum:
    """Error of one file, collected block by block.

    ``count`` values seen; ``error`` their summed squared difference; ``energy`` the summed square of the
    reference; ``max_error`` the largest absolute difference.
    """

    count: int = 0
    error: float = 0.0
    energy: float = 0.0
    max_error: float = 0.0

    def add(self, reference: AnyArray, decoded: AnyArray) -> None:
        """Take two blocks of the same shape, of any numeric type."""
        a, b = np.asarray(reference), np.asarray(decoded)
        if a.shape != b.shape:
            raise InputError(f"cannot compare signals of shapes {a.shape} and {b.shape}")
        a, b = a.reshape(-1), b.reshape(-1)
        for i in range(0, a.size, _CHUNK):
            x = a[i : i + _CHUNK].astype(np.float64)
            difference = x - b[i : i + _CHUNK].astype(np.float64)
            # Not np.dot: it wakes a thread per core, which then spins while other processes want to work.
            self.error += float(np.square(difference).sum())
            self.energy += float(np.square(x).sum())
            # np.fmax would drop a NaN; max() must not.
            self.max_error = float(np.maximum(self.max_error, np.abs(difference).max()))
        self.count += a.size

    def add_seen(self, reference: npt.NDArray[Any], decoded: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """As :meth:`add` of blocks (n, …, C), where their alpha (n, …) is above 0; None is opaque everywhere."""
        if alpha is not None and not alpha.all():
            reference, decoded = reference[alpha > 0], decoded[alpha > 0]
        if reference.size:
            self.add(reference, decoded)
        else:  # nothing is to be seen, so nothing is wrong
            self.add(0.0, 0.0)

    @property
    def mse(self) -> float:
        """Mean squared error of everything added."""
        if self.count == 0:
            raise InputError("nothing to compare: no samples were added")
        return self.error / self.count

    def psnr(self, peak: float) -> float:
        """Peak signal-to-noise ratio in dB; inf when nothing differs."""
        if not 0.0 < peak < math.inf:
            raise OptionError(f"peak must be positive and finite, got {peak}")
        return _decibels(float(peak) * float(peak), self.mse)

    def snr(self) -> float:
        """Signal-to-noise ratio in dB; inf when nothing differs, -inf when only noise was added to silence."""
        return _decibels(self.energy / max(self.count, 1), self.mse)


# --- MS-SSIM -------------------------------------------------------------------------------------------


def _gaussian() -> Array:
    x = np.arange(_WINDOW, dtype=np.float64) - _WINDOW // 2
    g = np.exp(-(x * x) / (2.0 * _SIGMA**2))
    return np.asarray(g / g.sum())


def _blur(x: Array, window: Array) -> Array:
    """Separable filter of (H, W), valid part only: (H - 10, W - 10)."""
    h, w = x.shape[0] - window.size + 1, x.shape[1] - window.size + 1
    rows = np.zeros((h, x.shape[1]))
    for k, g in enumerate(window):
        rows += g * x[k : k + h]
    out = np.zeros((h, w))
    for k, g in enumerate(window):
        out += g * rows[:, k : k + w]
    return out


def _ssim_means(x: Array, y: Array, peak: float) -> tuple[float, float]:
    """Mean SSIM and mean contrast–structure of two planes (H, W), over the valid windows."""
    window, c1, c2 = _gaussian(), (0.01 * peak) ** 2, (0.03 * peak) ** 2
    height, width = x.shape[0] - _WINDOW + 1, x.shape[1] - _WINDOW + 1
    ssim = structure = 0.0
    for top in range(0, height, _STRIP):
        rows = slice(top, min(top + _STRIP, height) + _WINDOW - 1)
        a, b = x[rows], y[rows]
        ma, mb = _blur(a, window), _blur(b, window)
        va = _blur(a * a, window) - ma * ma
        vb = _blur(b * b, window) - mb * mb
        cov = _blur(a * b, window) - ma * mb
        cs = (2.0 * cov + c2) / (va + vb + c2)
        structure += float(cs.sum())
        ssim += float((cs * (2.0 * ma * mb + c1) / (ma * ma + mb * mb + c1)).sum())
    return ssim / (height * width), structure / (height * width)


def _halved(x: Array) -> Array:
    """2×2 means; an odd last row or column is repeated first."""
    padded = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2)), mode="edge")
    return np.asarray(0.25 * (padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]))


def _ms_ssim_plane(x: Array, y: Array, peak: float) -> float:
    result = 1.0
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        last = scale == len(_SCALE_WEIGHTS) - 1
        ssim, structure = _ssim_means(x, y, peak)
        # A negative mean has no real power; the usual implementations take it as 0, and so do we.
        result *= max(ssim if last else structure, 0.0) ** weight
        if not last:
            x, y = _halved(x), _halved(y)
    return result


def psnr_of(error: float) -> float:
    """PSNR in dB of a mean squared ``error`` with peak 1, at most 120."""
    return -10.0 * math.log10(max(error, 1e-12))


def ms_ssim(a: AnyArray, b: AnyArray, peak: float) -> float | None:
    """Multi-scale SSIM of two images (H, W) or (H, W, C): the mean of the channels' values.

    Five scales with the weights of Wang et al. 2003, an 11×11 Gaussian window of σ 1.5, K = (0.01, 0.03).
    None when the smaller side is under 176, where the fifth scale is smaller than the window.
    """
    u, v = np.asarray(a), np.asarray(b)
    if u.shape != v.shape:
        raise InputError(f"cannot compare signals of shapes {u.shape} and {v.shape}")
    if u.ndim not in (2, 3):
        raise InputError(f"MS-SSIM needs images of shape (H, W) or (H, W, C), got {u.shape}")
    if not 0.0 < peak < math.inf:
        raise OptionError(f"peak must be positive and finite, got {peak}")
    if min(u.shape[:2]) < MS_SSIM_SMALLEST_SIDE:
        return None
    u, v = u.reshape(*u.shape[:2], -1), v.reshape(*v.shape[:2], -1)
    planes = range(u.shape[2])
    each = [_ms_ssim_plane(u[..., c].astype(np.float64), v[..., c].astype(np.float64), float(peak)) for c in planes]
    return float(np.mean(each))
