"""Residuals to train on: what predictions missed when clips were encoded, with the quality at which that was."""

from __future__ import annotations

import numpy as np
import torch

from nfcodec.errors import InputError, OptionError
from nfcodec.lattice.planes import PlaneSet, offset_of
from nfcodec.lattice.train.tasks import Batch, Pair
from nfcodec.moving.prediction import SAMPLE_BITS, Whole
from nfcodec.types import Indices


class Residuals:
    """Crops ``planes`` (N, P, c, c) of residuals in 2^-13, each with its ``quality`` (N,), turned and mirrored. Batch i
    depends on the seed and on i alone."""

    def __init__(self, planes: Whole, quality: Indices, of: PlaneSet) -> None:
        if not len(planes):
            raise InputError("the clips leave no residuals to train on")
        self.planes, self.quality, self.of = planes, quality, of

    def batch(self, seed: int, step: int, count: int, *, double: bool) -> Batch:
        """Crops at their own qualities; residuals are never halved."""
        del double
        random = np.random.default_rng((seed, step))
        chosen = random.integers(0, len(self.planes), count)
        crops = np.stack([self._turned(self.planes[i], int(random.integers(8))) for i in chosen])
        planes = torch.from_numpy(crops.astype(np.float32) * np.float32(2.0**-SAMPLE_BITS))
        values = self.of.to_values(planes.movedim(1, 0), self.of.channels, offset_of("video")).movedim(-1, 1)
        return Batch(values.contiguous(), torch.from_numpy(self.quality[chosen]).float())

    @staticmethod
    def _turned(crop: Whole, way: int) -> Whole:
        crop = crop[:, ::-1] if way & 1 else crop
        crop = crop[:, :, ::-1] if way & 2 else crop
        return np.ascontiguousarray(crop.transpose(0, 2, 1) if way & 4 else crop)

    def pairs(self, seed: int, step: int, count: int, *, lowest: int) -> Pair:
        """Residuals have no detail to train."""
        raise OptionError("detail is trained on pictures")
