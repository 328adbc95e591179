"""Find the integer deltas of a chunk of modules, a cache-sized group at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.coords import module_coords
from nfcodec.deadline import share
from nfcodec.effort import refine_steps
from nfcodec.encoder.threads import torch_map
from nfcodec.modules.fit.inner import InnerLoop, adapt, as_tensors
from nfcodec.modules.fit.rounds import Coding, refine
from nfcodec.modules.init import Init
from nfcodec.modules.render import batch_size
from nfcodec.modules.trade import trade_off
from nfcodec.parallel import thread_count

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adapter:
    """Adapts modules of one signal: ``init`` at ``quality`` and ``effort``, using ``outputs`` outputs.

    ``deadline``: monotonic time after which no quantization-aware step begins but the first of each module.
    """

    init: Init
    quality: int
    effort: int
    outputs: int
    deadline: float | None = None

    @property
    def coding(self) -> Coding:
        """Step sizes and prior of this signal."""
        return Coding.of(self.init, self.quality, self.outputs, trade_off(self.init.coarsest, self.quality))

    def deltas(self, targets: Tensor, progress: Callable[[int], None] | None = None) -> npt.NDArray[np.int32]:
        """Integer deltas (M, K) for targets (M, N, c); ``progress`` hears how many modules were finished."""
        coding = self.coding
        coords = torch.from_numpy(module_coords(self.init.spec.tile)).unsqueeze(0)
        out = np.empty((len(targets), len(coding.kept)), np.int32)
        parts = torch.split(targets, batch_size(targets.shape[1]))
        done, workers = 0, thread_count()

        def group(item: tuple[int, Tensor]) -> npt.NDArray[np.int32]:
            rounds = -(-(len(parts) - item[0]) // workers)
            return self._group(coding, coords, item[1], share(self.deadline, rounds))

        for q in torch_map(group, enumerate(parts)):
            out[done : done + len(q)] = q
            done += len(q)
            if progress:
                progress(len(q))
        return out

    def _group(
        self, coding: Coding, coords: Tensor, targets: Tensor, deadline: float | None
    ) -> npt.NDArray[np.int32]:
        delta = self.float_deltas(coding, coords, targets)
        steps = refine_steps(self.effort, self.init.spec.axes)
        return refine(self.init, coding, coords, targets, delta, steps, deadline=deadline).q

    def float_deltas(self, coding: Coding, coords: Tensor, targets: Tensor) -> Tensor:
        """Δ (M, K) after the K inner steps that the init was trained for, with context pruning."""
        init = self.init
        loop = InnerLoop(init.inner_steps, init.gamma, rescale=True, rho=init.rho)
        rate = {n: r.exp() for n, r in as_tensors(init.log_rate).items()}
        theta0, mask = as_tensors(init.theta0), as_tensors(init.mask)
        params, factors = adapt(init.spec, theta0, rate, mask, coords, targets, loop)
        for i, factor in enumerate(factors):
            log.debug("inner step %d: gradient re-scaled by %.3f (mean of %d modules)", i, factor.mean(), len(factor))
        flat = torch.cat([p.detach().flatten(1) for p in params.values()], 1)
        return (flat - torch.from_numpy(init.theta0_flat))[:, torch.from_numpy(coding.kept)]
