"""Stretches of coefficients to train on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfcodec.lapped.code import ChunkSymbols
from nfcodec.lapped.fit.analysis import analyse
from nfcodec.lapped.fit.gains import choose_gains
from nfcodec.lapped.fit.splits import choose_splits
from nfcodec.lapped.spec import LappedSpec
from nfcodec.lapped.train.config import LappedConfig
from nfcodec.types import Bytes, Floats, Gains

# Step sizes at which splits are chosen: a split pays at some and not at others.
_STEPS = (0.002, 0.006, 0.02)


@dataclass(frozen=True)
class Piece:
    """One recording, analysed once: ``bins`` (P, frames, K) and ``splits`` (frames,)."""

    bins: Floats
    splits: Bytes


def analysed(values: Floats, spec: LappedSpec, shifts: int, seed: int) -> list[Piece]:
    """A recording (n, P) of mid and side, from ``shifts`` different samples on."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(shifts):
        shifted = values[int(rng.integers(spec.spacing)) * (i > 0) :].T
        frames = -(-shifted.shape[1] // spec.spacing)
        x = np.zeros((len(shifted), frames * spec.spacing), np.float32)
        x[:, : shifted.shape[1]] = shifted
        splits = choose_splits(x, spec.spacing, spec.splits, _STEPS[i % len(_STEPS)])
        found.append(Piece(analyse(x, splits, spec.spacing), splits))
    return found


@dataclass(frozen=True)
class Batch:
    """``bins`` (N, P, T, K) of stretches, their ``splits`` (N, T), ``gains`` (N, T, bands), ``quality`` and ``law``
    (N,)."""

    bins: Floats
    splits: Bytes
    gains: Gains
    quality: tuple[int, ...]
    law: tuple[int, ...]

    def chunks(self) -> list[ChunkSymbols]:
        """The stretches without their symbols."""
        parts = zip(self.bins, self.splits, self.gains, self.law, strict=True)
        return [ChunkSymbols(np.zeros(b.shape, np.int32), z, law, g) for b, z, g, law in parts]


class Pieces:
    """All recordings of a folder, to draw stretches from; longer ones more often."""

    def __init__(self, signals: list[Floats], config: LappedConfig) -> None:
        self.spec, self.frames, self.laws = config.field.spec, config.outer.frames, config.laws
        spec, frames, shifts = self.spec, self.frames, config.outer.shifts
        self.pieces = [
            p for i, values in enumerate(signals) for p in analysed(values, spec, shifts, i) if len(p.splits) >= frames
        ]
        weights = np.array([len(p.splits) for p in self.pieces], np.float64)
        self._weights = weights / weights.sum()

    def batch(self, seed: int, at: int, size: int) -> Batch:
        """The stretches of step ``at``: of any quality and law, a little louder or quieter, duller or brighter
        than they were."""
        rng = np.random.default_rng((seed, at))
        bins, splits = [], []
        for number in rng.choice(len(self.pieces), size, p=self._weights).tolist():
            piece = self.pieces[number]
            start = int(rng.integers(len(piece.splits) - self.frames + 1))
            part = piece.bins[:, start : start + self.frames] * _tilt(rng, piece.bins.shape[-1])
            wanted = np.zeros((self.spec.sets, *part.shape[1:]), np.float32)
            wanted[: len(part)] = part[: self.spec.sets]
            bins.append(wanted)
            splits.append(piece.splits[start : start + self.frames])
        quality, law = rng.integers(0, 101, size).tolist(), rng.integers(0, 2, size).tolist()
        bands = self.spec.bands_of(bins[0].shape[2])
        gains = [choose_gains(b, bands, self.laws[i]) for b, i in zip(bins, law, strict=True)]
        return Batch(np.stack(bins), np.stack(splits), np.stack(gains), tuple(quality), tuple(law))


def _tilt(rng: np.random.Generator, bins: int) -> Floats:
    """Factors (bins,) of a random loudness and slope over frequency."""
    octaves = rng.uniform(-1.5, 1.0) + rng.uniform(-1.5, 1.5) * np.linspace(0.0, 1.0, bins)
    return np.exp2(octaves).astype(np.float32)
