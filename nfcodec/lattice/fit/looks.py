"""How far a region is from its target where steps say what is seen: in the domain of the weights, in steps.

With steps that grow with frequency and activity a squared error of samples weighs what is hardly seen as much as what
is. So the samples that are missing go through the first step's transform, and count in units of the steps of their cell
and frequency.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.fit.window import Window, continued, mirror, overlap_strips, weighed
from nfcodec.lattice.init import Level
from nfcodec.lattice.space import strips
from nfcodec.lattice.trunk import cut, overlap
from nfcodec.types import Doubles, Floats

# Bits that an error of one step in one symbol is worth. Training of squared errors comes to steps of √(14.5 λ), whose
# functions have nearly twice their energy in the samples: 9 by that account, and by trial, too (6: half of what rounds
# bring by score is lost, 14: as much).
WORTH = 9.0


class Looks:
    """The error of a region in bits, and what a change by one of each symbol alone makes of it."""

    def __init__(self, level: Level, window: Window, *, worth: float = WORTH) -> None:
        self.level, self.window, self.worth = level, window, worth
        params = tensors(level.first_step)
        self._tables = [params[f"analysis.{plane.functions}"].float() for plane in level.spec.planes]
        self._gain = torch.exp2(params["log_gain"].float())[(..., *(None,) * level.spec.axes)]

    def asked(self, left: Tensor, sizes: Tensor) -> Tensor:
        """What samples (P, *(s·cells + s)) of a window that are missing ask for, in steps of ``sizes`` (P, K, *cells):
        (P, K, *cells)."""
        spacing = self.level.spec.spacing
        wide = continued(left, spacing, self.window.outer)
        return weighed(wide, spacing, self._tables).mul_(self._gain).div_(sizes)

    def bits(self, asked: Tensor) -> Tensor:
        """The error in bits of what is :meth:`asked` for."""
        return self.worth * asked.square().sum()

    def slopes(self, asked: Tensor, sizes: Tensor) -> Tensor:
        """Slopes of the bits (P, *(s·cells + s)) towards the samples that are missing."""
        spec = self.level.spec
        towards = (2.0 * self.worth * asked).div_(sizes).mul_(self._gain)
        patches = (self._patches(towards[:, :, rows]) for rows in strips(tuple(asked.shape[2:])))
        return mirror(overlap_strips(patches, spec.spacing), spec.spacing, self.window.outer)

    def _patches(self, towards: Tensor) -> Tensor:
        """(P, *cells, ∏ 2s) of slopes towards what cells ask for (P, K, *cells)."""
        pairs = zip(towards.movedim(1, -1), self._tables, strict=True)
        return torch.stack([own @ table for own, table in pairs])

    def curvature(self, functions: Tensor, sizes: Floats) -> Doubles:
        """What a change by one of each symbol alone makes of the bits, (P, K, 1, …), at usual sizes (P, K);
        ``functions`` (P, K, ∏ 2s). One of high frequency and large steps is seen in the low ones around, too."""
        spec, found = self.level.spec, []
        size = torch.from_numpy(sizes.astype(np.float32))
        for plane, own in enumerate(functions):
            patches = own.new_zeros((spec.bases, *(3,) * spec.axes, own.shape[1]))
            patches[(slice(None), *(1,) * spec.axes)] = own  # the middle one of 3^d cells
            seen = cut(overlap(patches, spec.spacing), spec.spacing)
            asked = (seen @ self._tables[plane].T) * self._gain[plane].flatten() / size[plane]
            found.append(asked.flatten(1).square().sum(1) * size[plane].square())
        bits = (self.worth * torch.stack(found)).double()[(..., *(None,) * spec.axes)]
        return np.asarray(bits.numpy(), np.float64)
