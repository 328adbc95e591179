"""How far a region is from its target where steps say what is seen: in the domain of the weights, in steps.

With steps that grow with frequency and activity a squared error of samples weighs what is hardly seen as much as what
is. So the samples that are missing go through the first step's transform, and count in units of the steps of their cell
and frequency.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.fit.first_step import precondition
from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.fit.window import Window
from nfcodec.lattice.init import Level
from nfcodec.lattice.trunk import cut, overlap, surround
from nfcodec.types import Doubles, Floats

# Bits that an error of one step in one symbol is worth. Training of squared errors comes to steps of √(14.5 λ), whose
# functions have nearly twice their energy in the samples: 9 by that account, and by trial, too (6: half of what rounds
# bring by score is lost, 14: as much).
WORTH = 9.0


class Looks:
    """The error of a region in bits, and what a change by one of each symbol alone makes of it."""

    def __init__(self, level: Level, window: Window, *, worth: float = WORTH) -> None:
        self.level, self.window, self.worth = level, window, worth
        self._params = tensors(level.first_step)
        self._gain = torch.exp2(self._params["log_gain"].float())[(..., *(None,) * level.spec.axes)]

    def bits(self, left: Tensor, sizes: Doubles) -> Tensor:
        """The error in bits of samples (P, *(s·cells + s)) of a window that are missing; ``sizes`` (P, K, *cells)."""
        spacing = self.level.spec.spacing
        patches = cut(self._continued(left), spacing)[None]
        asked = precondition(self.level.spec, self._params, patches)[0] * self._gain
        error: Tensor = (asked / torch.from_numpy(sizes.astype(np.float32))).square().sum()
        return self.worth * error

    def curvature(self, functions: Tensor, sizes: Floats) -> Doubles:
        """What a change by one of each symbol alone makes of the bits, (P, K, 1, …), at usual sizes (P, K);
        ``functions`` (P, K, ∏ 2s). One of high frequency and large steps is seen in the low ones around, too."""
        spec, found = self.level.spec, []
        size = torch.from_numpy(sizes.astype(np.float32))
        for plane, own in enumerate(functions):
            patches = own.new_zeros((spec.bases, *(3,) * spec.axes, own.shape[1]))
            patches[(slice(None), *(1,) * spec.axes)] = own  # the middle one of 3^d cells
            seen = cut(overlap(patches, spec.spacing), spec.spacing)
            table = self._params[f"analysis.{spec.planes[plane].functions}"].float()
            asked = (seen @ table.T) * self._gain[plane].flatten() / size[plane]
            found.append(asked.flatten(1).square().sum(1) * size[plane].square())
        bits = (self.worth * torch.stack(found)).double()[(..., *(None,) * spec.axes)]
        return np.asarray(bits.numpy(), np.float64)

    def _continued(self, left: Tensor) -> Tensor:
        """The samples with those beyond the signal mirrored."""
        spacing = self.level.spec.spacing
        inner = left[(slice(None), *(slice(s // 2, -(s // 2)) for s in spacing))]
        wide: Tensor = surround(inner, spacing)
        for axis, (s, sides) in enumerate(zip(spacing, self.window.outer, strict=True), 1):
            n = wide.shape[axis]
            parts = [(0, s // 2, sides[0]), (s // 2, n - s // 2, True), (n - s // 2, n, sides[1])]
            wide = torch.cat([(wide if own else left).narrow(axis, a, b - a) for a, b, own in parts], axis)
        return wide
