"""How good and how large: PSNR, SNR, MS-SSIM, rates, and Bjøntegaard deltas between curves.

Everything is computed in float64 with numpy alone. Fidelity is a matter of one file: compare each file on
its own and average the decibels over files. Rates count every byte of a file on disk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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


def _compared(reference: AnyArray, decoded: AnyArray) -> ErrorSum:
    total = ErrorSum()
    total.add(reference, decoded)
    return total


def mse(a: AnyArray, b: AnyArray) -> float:
    """Mean squared error over all samples and channels."""
    return _compared(a, b).mse


def psnr(a: AnyArray, b: AnyArray, peak: float) -> float:
    """PSNR in dB of one file over all samples and channels; inf for equal signals.

    ``peak`` is the largest legal value: 255 for 8 bits, 65535 for 16, 1 for values in [0, 1].
    """
    return _compared(a, b).psnr(peak)


def snr(reference: AnyArray, decoded: AnyArray) -> float:
    """SNR in dB over all samples and channels: energy of the reference over energy of the error.

    Equal signals give inf, silence included; a silent reference with any error gives -inf.
    """
    return _compared(reference, decoded).snr()


def bits_per_pixel(size: int, shape: Sequence[int]) -> float:
    """Bits per grid point of a file of ``size`` bytes; ``shape`` leaves the channels out."""
    points = math.prod(shape)
    if points < 1 or size < 0:
        raise OptionError(f"no rate for {size} bytes over shape {tuple(shape)}")
    return 8.0 * size / points


def kbps(size: int, seconds: float) -> float:
    """Kilobits (1000 bits) per second of a file of ``size`` bytes that lasts ``seconds``."""
    if not seconds > 0.0 or size < 0:
        raise OptionError(f"no rate for {size} bytes over {seconds} seconds")
    return 8.0 * size / seconds / 1000.0


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


# --- Bjøntegaard deltas ----------------------------------------------------------------------------------


def _end_slope(h0: float, h1: float, d0: float, d1: float) -> float:
    """Three-point slope at an end, held to the shape of the data."""
    slope = ((2.0 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    if slope * d0 <= 0.0:
        return 0.0
    if d0 * d1 <= 0.0 and abs(slope) > 3.0 * abs(d0):
        return 3.0 * d0
    return slope


def _pchip_slopes(x: Array, y: Array) -> Array:
    """Slopes of the monotone piecewise cubic (Fritsch–Carlson, with the usual weighted harmonic mean)."""
    h, d = np.diff(x), np.diff(y) / np.diff(x)
    if x.size == 2:
        return np.repeat(d, 2)
    slopes = np.zeros(x.size)
    for i in range(1, x.size - 1):
        if d[i - 1] * d[i] > 0.0:
            w1, w2 = 2.0 * h[i] + h[i - 1], h[i] + 2.0 * h[i - 1]
            slopes[i] = (w1 + w2) / (w1 / d[i - 1] + w2 / d[i])
    slopes[0] = _end_slope(h[0], h[1], d[0], d[1])
    slopes[-1] = _end_slope(h[-1], h[-2], d[-1], d[-2])
    return slopes


def pchip_integral(x: npt.ArrayLike, y: npt.ArrayLike, low: float, high: float) -> float:
    """Exact integral over [low, high] of the monotone piecewise cubic through (x, y), x increasing."""
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    slopes = _pchip_slopes(xs, ys)
    total = 0.0
    for i in range(xs.size - 1):
        a, b = max(low, xs[i]), min(high, xs[i + 1])
        if b <= a:
            continue
        h = xs[i + 1] - xs[i]
        # Hermite form as a polynomial in t on [0, 1], then its antiderivative.
        c0, c1, rise = ys[i], h * slopes[i], ys[i + 1] - ys[i]
        c2 = 3.0 * rise - 2.0 * c1 - h * slopes[i + 1]
        c3 = -2.0 * rise + c1 + h * slopes[i + 1]
        s, t = (a - xs[i]) / h, (b - xs[i]) / h
        for power, c in enumerate((c0, c1, c2, c3), start=1):
            total += h * c * (t**power - s**power) / power
    return float(total)


def _curve(rate: npt.ArrayLike, quality: npt.ArrayLike, name: str) -> tuple[Array, Array]:
    """(log rate, dB) in increasing rate; both must increase together."""
    r, q = np.asarray(rate, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if r.ndim != 1 or r.shape != q.shape or r.size < 2:
        raise OptionError(f"curve {name} needs two or more points, got {r.size} rates and {q.size} values")
    if not (np.isfinite(r).all() and np.isfinite(q).all() and r.min() > 0.0):
        raise OptionError(f"curve {name} has a rate or a value that is not finite, or a rate that is not positive")
    order = np.argsort(r, kind="stable")
    r, q = np.log(r[order]), q[order]
    if np.diff(r).min() <= 0.0 or np.diff(q).min() <= 0.0:
        raise OptionError(f"curve {name} does not rise: more rate must mean more dB from point to point")
    return r, q


def _mean_gap(xa: Array, ya: Array, xb: Array, yb: Array, what: str) -> float:
    """Mean of curve b - curve a over the part of x that both cover."""
    low, high = float(max(xa[0], xb[0])), float(min(xa[-1], xb[-1]))
    if not high > low:
        raise OptionError(f"the curves do not overlap in {what}")
    return (pchip_integral(xb, yb, low, high) - pchip_integral(xa, ya, low, high)) / (high - low)


def bd_rate(rate_a: npt.ArrayLike, psnr_a: npt.ArrayLike, rate_b: npt.ArrayLike, psnr_b: npt.ArrayLike) -> float:
    """Bjøntegaard delta rate in percent: how much more rate b needs than a for the same dB.

    Negative means that b is better. PCHIP of log rate over dB, averaged over the range of dB that both
    curves cover. Raises OptionError when they share none or when a curve does not rise.
    """
    ra, pa = _curve(rate_a, psnr_a, "a")
    rb, pb = _curve(rate_b, psnr_b, "b")
    return 100.0 * math.expm1(_mean_gap(pa, ra, pb, rb, "dB"))


def bd_psnr(rate_a: npt.ArrayLike, psnr_a: npt.ArrayLike, rate_b: npt.ArrayLike, psnr_b: npt.ArrayLike) -> float:
    """Bjøntegaard delta in dB: how much b is above a at the same rate; positive means that b is better."""
    ra, pa = _curve(rate_a, psnr_a, "a")
    rb, pb = _curve(rate_b, psnr_b, "b")
    return _mean_gap(ra, pa, rb, pb, "rate")
