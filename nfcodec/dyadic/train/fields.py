"""Drawn fields: what gridded data look like, from random spectra on planes and spheres to terrain, fronts and vortices.

All are drawn from a generator, none is data of anyone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nfcodec.types import Doubles

Generator = np.random.Generator


def _standard(field: Doubles) -> Doubles:
    return np.asarray((field - field.mean()) / (field.std() + 1e-30))


def spectral(r: Generator, height: int, width: int, slope: float | None = None) -> Doubles:
    """A Gaussian random field (h, w) whose power falls as k^-``slope``, perhaps stretched, with an outer or an inner
    scale."""
    slope = r.uniform(1.5, 5.5) if slope is None else slope
    tall, wide = height + height // 2, width + width // 2
    angle, stretch = r.uniform(0, math.pi), math.exp(r.normal(0, 0.35))
    ky, kx = np.fft.fftfreq(tall)[:, None], np.fft.rfftfreq(wide)[None]
    u = (math.cos(angle) * kx + math.sin(angle) * ky) * stretch
    v = (math.cos(angle) * ky - math.sin(angle) * kx) / stretch
    k = np.sqrt(u * u + v * v + (r.choice([0.0, 1.0, 3.0, 8.0]) / max(tall, wide)) ** 2 + 1e-12)
    amplitude = k ** (-slope / 2)
    if r.random() < 0.6:
        amplitude *= np.exp(-((k / r.choice([0.05, 0.1, 0.2])) ** 2))
    amplitude[0, 0] = 0.0
    noise = r.standard_normal(amplitude.shape) + 1j * r.standard_normal(amplitude.shape)
    return _standard(np.fft.irfft2(amplitude * noise, (tall, wide))[:height, :width])


def waves(r: Generator, points: Doubles, most: float) -> Doubles:
    """A field at ``points`` (…, d) of about unit size: plane waves of random directions, with up to ``most`` periods
    along a unit, whose amplitude falls with their number."""
    count, slope = int(r.integers(40, 140)), r.uniform(1.5, 5.0)
    periods = np.exp(r.uniform(0.0, math.log(most), count))
    direction = r.standard_normal((count, points.shape[-1]))
    direction *= (math.tau * periods / np.linalg.norm(direction, axis=1))[:, None]
    amplitude = periods ** (-(slope - 1) / 2) * r.standard_normal(count)
    phase = r.uniform(0, math.tau, count)
    field = np.zeros(points.shape[:-1], np.float32)
    narrow = points.astype(np.float32)
    for k, a, p in zip(direction.astype(np.float32), amplitude, phase, strict=True):
        field += np.float32(a) * np.cos(narrow @ k + np.float32(p))
    return np.asarray(field, np.float64)


def _grid(height: int, width: int) -> tuple[Doubles, Doubles]:
    longest = max(height, width)
    y, x = np.meshgrid(np.arange(height) / longest, np.arange(width) / longest, indexing="ij")
    return y, x


def _periods(r: Generator, height: int, width: int) -> float:
    """Up to how many periods a field has along its longer side."""
    return float(math.exp(r.uniform(math.log(2.0), math.log(max(3.0, max(height, width) / 4)))))


def sphere(r: Generator, height: int, width: int) -> Doubles:
    """A field on the globe or a part of it, in degrees of latitude and longitude, perhaps with belts."""
    globe = r.random() < 0.5
    top, bottom = (1.0, -1.0) if globe else (r.uniform(0.2, 1.0), r.uniform(-1.0, 0.1))
    latitude = np.linspace(top, bottom, height)[:, None] * math.pi / 2
    longitude = np.linspace(0, math.tau * (1.0 if r.random() < 0.5 else r.uniform(0.1, 0.8)), width, endpoint=False)
    around = np.cos(latitude)
    points = np.stack([around * np.cos(longitude), around * np.sin(longitude), np.sin(latitude) + 0 * longitude], -1)
    field = _standard(waves(r, points / math.tau, 2 * _periods(r, height, width)))
    if r.random() < 0.6:
        z = np.sin(latitude)
        belt = np.exp(-(((z - r.uniform(-0.8, 0.8)) / r.uniform(0.1, 0.4)) ** 2))
        field = field * r.uniform(0.1, 1.0) + r.uniform(-3, 3) * z**2 + r.uniform(-1, 1) * z + r.uniform(-1, 1) * belt
    return field


def warped(r: Generator, height: int, width: int) -> Doubles:
    """Waves on a grid that is bent."""
    y, x = _grid(height, width)
    bend = [r.uniform(0, 0.15) * _standard(waves(r, np.stack([y, x], -1), 3.0)) for _ in range(2)]
    return _standard(waves(r, np.stack([y + bend[0], x + bend[1]], -1), _periods(r, height, width)))


def shapes(r: Generator, height: int, width: int) -> Doubles:
    """Hills, rings, vortices, fronts."""
    y, x = (2 * c - 1 for c in _grid(height, width))
    field = np.zeros((height, width))
    for _ in range(int(r.integers(1, 8))):
        dy, dx = y - r.uniform(-1.2, 1.2), x - r.uniform(-1.2, 1.2)
        size, flat = math.exp(r.uniform(-2.5, 0)), r.uniform(0.4, 2.5)
        square = (dy * flat) ** 2 + (dx / flat) ** 2
        kinds = (
            np.exp(-square / size**2), np.sin(np.sqrt(square) / size * 3), 1 / (1 + square / size**2),
            np.tanh((r.normal() * dy + r.normal() * dx) / size), dy * np.exp(-square / size**2) / size,
        )  # fmt: skip
        field += r.normal() * kinds[int(r.integers(len(kinds)))]
    return field


def terrain(r: Generator, height: int, width: int) -> Doubles:
    """Ridges, valleys, plains with hills."""
    f = spectral(r, height, width)
    bent = (np.abs(f), -np.abs(f), np.maximum(f, 0), np.exp(f * r.uniform(0.3, 1.2)), f * f)[int(r.integers(5))]
    return np.asarray(bent + r.uniform(0, 0.3) * spectral(r, height, width))


def coast(r: Generator, height: int, width: int) -> Doubles:
    """One field on land and another at sea."""
    land = spectral(r, height, width, r.uniform(2.0, 4.0)) > r.normal(0, 0.5)
    other = r.uniform(-2, 2) + r.uniform(-1, 1) * spectral(r, height, width)
    return spectral(r, height, width) + land * other


def mixed(r: Generator, height: int, width: int) -> Doubles:
    """Two fields at once, or one whose strength changes."""
    first, second = spectral(r, height, width), spectral(r, height, width)
    if r.random() < 0.5:
        return first + r.uniform(0.05, 1.0) * second
    return np.asarray(first * np.exp(second * r.uniform(0.3, 1.0)))


def fronts(r: Generator, height: int, width: int) -> Doubles:
    """Steep lines in what is smooth elsewhere."""
    steep = np.tanh(spectral(r, height, width, r.uniform(2.5, 4.5)) * r.uniform(1, 6))
    return np.asarray(steep + r.uniform(0, 0.5) * spectral(r, height, width))


_KINDS: tuple[tuple[Callable[[Generator, int, int], Doubles], float], ...] = (
    (spectral, 0.25), (sphere, 0.22), (warped, 0.08), (shapes, 0.1), (terrain, 0.09), (coast, 0.08), (mixed, 0.1),
    (fronts, 0.08),
)  # fmt: skip


def worn(r: Generator, field: Doubles) -> Doubles:
    """A field as instruments and files leave it: with noise, or packed in whole steps."""
    if r.random() < 0.35:
        field = field + field.std() * 10 ** r.uniform(-4.5, -1.3) * r.standard_normal(field.shape)
    if r.random() < 0.15:
        step = (np.ptp(field) + 1e-12) * 10 ** r.uniform(-4.2, -2)
        field = np.rint(field / step) * step
    return field


def plain(r: Generator, height: int, width: int) -> Doubles:
    """A field of any kind (h, w)."""
    weights = np.array([w for _, w in _KINDS])
    draw = _KINDS[int(r.choice(len(_KINDS), p=weights / weights.sum()))][0]
    return worn(r, draw(r, height, width))


def moving(r: Generator, height: int, width: int) -> tuple[Doubles, Doubles]:
    """A field (h, w) and what a decoder may expect of it that knows it a while before, or before and after."""
    y, x = _grid(height, width)
    drift, change = r.normal(0, 0.02, 2) * r.choice([0.0, 0.3, 1.0, 3.0]), 10 ** r.uniform(-3, -0.3)
    still = plain(r, height, width) if r.random() < 0.5 else np.zeros((height, width))
    times = (-1.0, 0.0, 1.0)
    points = np.stack([np.stack([y - drift[0] * t, x - drift[1] * t, 0 * y + change * t], -1) for t in times])
    most = _periods(r, height, width)
    before, now, after = r.uniform(0.2, 2.0) * waves(r, points, most) + still
    noise = now.std() * 10 ** r.uniform(-4, -1)
    now = now + noise * r.standard_normal(now.shape)
    return now, ((before + after) / 2 if r.random() < 0.7 else before) + noise * r.standard_normal(now.shape)


def rough(r: Generator, field: Doubles, step: float) -> Doubles:
    """What a coarse code might have left of a field: some of its detail gone, and errors near ``step`` in size."""
    weight = np.exp(-((np.fft.rfftfreq(field.shape[1]) / r.uniform(0.02, 0.3)) ** 2))[None]
    weight = weight * np.exp(-((np.fft.fftfreq(field.shape[0]) / r.uniform(0.02, 0.3)) ** 2))[:, None]
    smooth = np.fft.irfft2(np.fft.rfft2(field) * weight, field.shape)
    noise = spectral(r, field.shape[0], field.shape[1], r.uniform(0.0, 2.0))
    return np.asarray(smooth + step * r.uniform(0.0, 1.0) * noise)
