"""Quantization-aware steps: from float deltas to the integers of the file.

Each step descends on the gradient at the *quantized* parameters, with the learned step sizes, and decides
every symbol by its own rate and distortion. Straight-through rounding alone random-walks, so each
module keeps the best integers it has seen. The step sequence does not depend on how many steps follow: a
higher effort continues the very same trajectory and its cost D + λR is never higher.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.deadline import passed
from nfcodec.entropy.quantizer import step_size
from nfcodec.entropy.tables import LMAX, magnitude_bits
from nfcodec.modules.classes import SHIFTS
from nfcodec.modules.deltas import class_costs, rows_for
from nfcodec.modules.fit.inner import gradients_and_loss
from nfcodec.modules.init import Init
from nfcodec.modules.trade import LAMBDA

Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Coding:
    """What one quality means for the kept weights: ``kept`` (K,) positions, ``step`` (K,) step sizes, ``scale``
    (K,) prior rows, ``tensor_of`` (K,), ``trade_off`` λ in squared error per bit."""

    kept: npt.NDArray[np.int64]
    exponent: Int32s
    step: Tensor
    scale: Int32s
    tensor_of: Int32s
    trade_off: float

    @classmethod
    def of(cls, init: Init, quality: int, outputs: int, trade_off: float) -> Coding:
        """The coding of a signal that uses the first ``outputs`` network outputs."""
        kept = init.kept(outputs)
        exponent = init.steps_at(quality)[kept]
        step = torch.from_numpy(step_size(exponent)).float()
        return cls(kept, exponent, step, init.scales_at(quality)[kept], init.tensor_of[kept], trade_off)


def class_of(q: Int32s, coding: Coding) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The cheapest class (M,) of every module and its bits (M,)."""
    offsets = np.zeros(int(coding.tensor_of.max()) + 1, np.int64)
    costs = class_costs(q, coding.scale, coding.tensor_of, offsets)
    best = costs.argmin(1)
    return best, costs[np.arange(len(q)), best]


def decide(x: Tensor, classes: npt.NDArray[np.int64], coding: Coding) -> Int32s:
    """Integers (M, K) for deltas x (M, K) in steps: each minimises (x − q)² + λ'·bits(q) over the two nearest
    magnitudes below |x| + ½ and zero.

    Steps are set so that one squared step is worth Δ_q² of squared error for every weight, so λ'
    is the same for all of them. Modules of class 0 decide as if they had the next class, or they could never
    leave zero.
    """
    offsets = np.zeros(int(coding.tensor_of.max()) + 1, np.int64)
    shift = np.array(SHIFTS, np.int64)[np.maximum(classes, 1)]
    rows = torch.from_numpy(rows_for(coding.scale, coding.tensor_of, offsets, shift).astype(np.int64))
    bits = torch.from_numpy(magnitude_bits().astype(np.float32)).reshape(-1)
    a = x.abs()
    top = (a + 0.5).floor().clamp_max(LMAX)
    best, best_cost = torch.zeros_like(a), a.square() + LAMBDA * bits[rows * (LMAX + 1)]
    for magnitude in ((top - 1).clamp_min(0), top):
        cost = (a - magnitude).square() + LAMBDA * bits[rows * (LMAX + 1) + magnitude.long()]
        better = cost < best_cost
        best, best_cost = torch.where(better, magnitude, best), torch.where(better, cost, best_cost)
    return (torch.sign(x) * best).to(torch.int32).numpy()


def step_scale(step: int) -> float:
    """Share of the learned step size used in quantization-aware step ``step``: falling, so the walk settles."""
    return 1.0 / (1.0 + step / 8.0)


@dataclass(slots=True)
class Best:
    """The best integers so far of each module, with their cost D + λR, squared error and bits (M,)."""

    q: Int32s
    cost: npt.NDArray[np.float64]

    def take(self, q: Int32s, cost: npt.NDArray[np.float64]) -> None:
        """Keep ``q`` where it is cheaper."""
        better = cost < self.cost
        self.q[better] = q[better]
        self.cost[better] = cost[better]


def refine(
    init: Init, coding: Coding, coords: Tensor, targets: Tensor, delta: Tensor, steps: int, *,
    deadline: float | None = None,
) -> Best:  # fmt: skip
    """Quantize float deltas (M, K) of targets (M, N, c), with ``steps`` quantization-aware steps.

    Zero is always among the candidates: a module never costs more than leaving it at θ0. No further step begins
    after ``deadline`` (monotonic seconds).
    """
    x = delta / coding.step
    rate = torch.cat([(init.log_rate[t.name].exp()).reshape(-1) for t in init.tensors])[torch.from_numpy(coding.kept)]
    unit = targets.shape[1] * init.spec.channels
    classes, _ = class_of(x.round().to(torch.int32).numpy(), coding)
    best = Best(np.zeros(x.shape, np.int32), np.full(len(x), np.inf))
    q = np.zeros(x.shape, np.int32)
    best.take(q, _measure(init, coding, coords, targets, q)[0] * unit)
    for i in range(steps + 1):
        if i and passed(deadline):
            break
        q = decide(x, classes, coding)
        classes, bits = class_of(q, coding)
        error, grads = _measure(init, coding, coords, targets, q)
        best.take(q, error * unit + coding.trade_off * bits)
        x = x - step_scale(i) * rate * grads / coding.step
    return best


def _measure(
    init: Init, coding: Coding, coords: Tensor, targets: Tensor, q: Int32s
) -> tuple[npt.NDArray[np.float64], Tensor]:
    """Loss (M,) and gradient (M, K) at quantized deltas."""
    params = init.params(torch.from_numpy(q) * coding.step, coding.kept)
    leaves = {n: p.detach().requires_grad_() for n, p in params.items()}
    grads, loss = gradients_and_loss(init.spec, leaves, coords, targets)
    flat = torch.cat([g.flatten(1) for g in grads.values()], 1)
    return loss.double().numpy(), flat[:, torch.from_numpy(coding.kept)]
