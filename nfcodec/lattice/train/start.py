"""Where lattice training starts: a lapped orthogonal transform, and a trunk fitted to it between the samples too.

From a random start most of the training budget goes into finding a transform that is known since 1989.
"""

from __future__ import annotations

import logging
import math
from functools import reduce

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.lattice.basis import lapped_basis
from nfcodec.lattice.order import order_of
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.trunk import reach_positions, trunk

log = logging.getLogger(__name__)
Params = dict[str, Tensor]
Floats = npt.NDArray[np.float64]
_LANCZOS = 3.0
# Points of one iteration; a denser grid is drawn from.
_POINTS = 4096


def _between(functions: Floats, t: Floats) -> Floats:
    """Functions of 2s samples at positions t in [−1, 1], by Lanczos interpolation; zero outside the samples."""
    n = functions.shape[1]
    at = (t + 1.0) * n / 2.0 - 0.5
    d = at[None] - np.arange(n)[:, None]
    kernel = np.where(np.abs(d) < _LANCZOS, np.sinc(d) * np.sinc(d / _LANCZOS), 0.0)
    out: Floats = functions @ kernel
    return out


def _products(spec: LatticeSpec, axes: list[Floats]) -> Tensor:
    """Products (K, ∏ n) of the functions (s, n) of every axis, by frequency."""
    every = [
        reduce(np.multiply.outer, [one[u] for one, u in zip(axes, frequency, strict=True)]).ravel()
        for frequency in order_of(spec).frequencies
    ]
    return torch.from_numpy(np.stack(every)).float()


def targets(spec: LatticeSpec, places: list[Floats]) -> Tensor:
    """What the trunk shall be on the product of ``places`` (n,) of every axis: (F, ∏ n)."""
    one = _products(spec, [_between(lapped_basis(s), t) for s, t in zip(spec.spacing, places, strict=True)])
    return one.repeat(spec.tables, 1)


def start_trunk(spec: LatticeSpec, generator: torch.Generator, iterations: int = 4000) -> Params:
    """A trunk fitted to the lapped basis at and between the samples, by Adam."""
    places = [reach_positions(4 * s) for s in spec.spacing]
    wanted = targets(spec, places)
    params = _random_trunk(spec, generator)
    where = torch.from_numpy(np.stack([g.ravel() for g in np.meshgrid(*places, indexing="ij")], 1)).float()
    optimizer = torch.optim.Adam(params.values(), lr=6e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=iterations)
    for _ in range(iterations):
        some: slice | Tensor = slice(None)
        if len(where) > _POINTS:
            some = torch.randint(len(where), (_POINTS,), generator=generator)
        loss: Tensor = (trunk(spec, params, where[some]) - wanted[:, some]).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    log.info("trunk fitted: relative squared error %.5f", float(loss.detach() / wanted.square().mean()))
    return {n: p.detach() for n, p in params.items()}


def _random_trunk(spec: LatticeSpec, generator: torch.Generator) -> Params:
    h = spec.width
    params = {
        "trunk.0.weight": (torch.rand(h, spec.axes, generator=generator) * 2 - 1) * 1.5,
        "trunk.0.bias": (torch.rand(h, generator=generator) * 2 - 1) * math.pi,
        "trunk.1.weight": (torch.rand(h, h, generator=generator) * 2 - 1) * (6.0 / h) ** 0.5,
        "trunk.1.bias": (torch.rand(h, generator=generator) * 2 - 1) * math.pi,
        "trunk.2.weight": torch.zeros(spec.functions, h),
    }
    return {n: p.requires_grad_() for n, p in params.items()}


def start_analysis(spec: LatticeSpec) -> Params:
    """The first step's tables (K, ∏ 2s): the lapped basis itself."""
    basis = _products(spec, [lapped_basis(s) for s in spec.spacing])
    return {f"analysis.{i}": basis.clone() for i in range(spec.tables)}
