"""Which other spacings of a lattice are worth a try for a picture: a look at what wide cells cannot show."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.lattice.basis import cosines
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.order import MOST_QUALITY

# Samples along each side of a tile whose frequencies are looked at.
_TILE = 96
# Bits per sample that what is lost may be worth. On held-out training pictures wider cells hardly won above; where the
# widest ones lose less than the second number they always did (docs/pictures.md).
_MOST_LOST, _HARDLY_LOST = 0.12, 0.003


def promising(init: LatticeInit, luma: Tensor, quality: int) -> list[int]:
    """The spacings at which a picture, whose first plane is ``luma`` (h, w), may cost less than at that of the init:
    those whose cells lose little by having no functions of high frequency."""
    wider = init.levels[0].wider
    found = [s for s in init.spacings if quality + wider[s].finer <= MOST_QUALITY]
    if not found:
        return []
    energy, own = frequencies(luma), init.levels[0].spec.spacing[0]
    worth = init.plane_trade(quality) * luma.numel()
    bits = {s: lost(energy, own / s) / worth for s in found}
    if bits[found[-1]] < _HARDLY_LOST:
        return found[-1:]
    return [s for s in found if bits[s] < _MOST_LOST]


def frequencies(plane: Tensor) -> Tensor:
    """The energy (96, 96) of a plane (h, w) by frequency along both axes, from the mean to one cycle in two samples;
    the last samples are repeated up to whole tiles."""
    waves = torch.from_numpy(cosines(_TILE, _TILE).astype(np.float32))
    energy = torch.zeros(_TILE, _TILE)
    for rows in torch.split(plane, _TILE):  # some at a time, for the memory
        missing = [-n % _TILE for n in rows.shape]
        wide = F.pad(rows[None, None], (0, missing[1], 0, missing[0]), mode="replicate")[0, 0]
        tiles = wide.reshape(_TILE, -1, _TILE).transpose(0, 1)
        energy += (waves @ tiles @ waves.T).square().sum(0)
    return energy


def lost(energy: Tensor, share: float) -> float:
    """What is left of :func:`frequencies` without the lowest ``share`` along each axis."""
    kept = round(share * len(energy))
    return float(energy.sum() - energy[:kept, :kept].sum())
