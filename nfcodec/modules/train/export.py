"""From a trained learner to an init: step sizes from sensitivity, prior rows from what the encoder really sends."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.entropy.quantizer import PER_OCTAVE
from nfcodec.entropy.tables import LMAX, ROW_OF_ONE, ROWS, magnitude_bits
from nfcodec.errors import InternalError
from nfcodec.modules.classes import SHIFTS
from nfcodec.modules.fit.adapt import Adapter
from nfcodec.modules.fit.inner import Tensors
from nfcodec.modules.fit.rounds import class_of
from nfcodec.modules.init import QUALITY_ANCHORS, Init
from nfcodec.modules.train.loop import Trainer

Rows = npt.NDArray[np.int32]
CALIBRATION_SEED = 77
EFFORT = 5


def step_exponents(fisher: Tensor, coarsest: float) -> Rows:
    """Exponents (P,) of δ = coarsest/sqrt(F) in 1/8 octaves: every weight then costs the same squared error."""
    exact = PER_OCTAVE * torch.log2(coarsest / fisher.double().sqrt())
    return exact.round().to(torch.int32).numpy()


def _arrays(tensors: Tensors) -> dict[str, npt.NDArray[np.float32]]:
    return {n: t.detach().cpu().numpy().copy() for n, t in tensors.items()}


def provisional(trainer: Trainer) -> Init:
    """The init as training left it, with prior rows from training's own running averages."""
    if trainer.state is None:
        raise InternalError("an init needs at least one rate-aware step before it can be exported")
    config, learner = trainer.config, trainer.learner
    rows = PER_OCTAVE / 2 * trainer.state.log_scale / np.log(2.0) + ROW_OF_ONE
    return Init(
        id=config.id, modality=config.data.modality, spec=config.field,
        theta0=_arrays(learner.theta0),
        mask=_arrays(learner.mask),
        log_rate=_arrays(learner.log_rate),
        step=step_exponents(trainer.state.fisher.cpu(), config.rate.coarsest),
        scale=rows.clamp(0, ROWS - 1).round().to(torch.int32).cpu().numpy(),
        inner_steps=config.inner.steps, gamma=config.inner.gamma, coarsest=config.rate.coarsest, sha256=b"",
        rho=config.inner.rho,
    )  # fmt: skip


def best_rows(q: npt.NDArray[np.int32], classes: npt.NDArray[np.int64]) -> Rows:
    """The prior row (K,) of every weight that codes q (M, K) in the fewest bits, given the modules' classes."""
    active = classes > 0
    if not active.any():
        return np.zeros(q.shape[1], np.int32)
    magnitude = np.minimum(np.abs(q[active]), LMAX)
    shift = np.array(SHIFTS)[classes[active]]
    bits = magnitude_bits()
    costs = np.empty((ROWS, q.shape[1]))
    for row in range(ROWS):
        table = np.clip(row + shift, 0, ROWS - 1)
        costs[row] = bits[table[:, None], magnitude].sum(0)
    return np.asarray(costs.argmin(0), np.int32)


def calibrate(init: Init, targets: Tensor) -> Init:
    """Replace the prior rows by those that fit the deltas of ``targets`` (M, N, c) at every anchor."""
    scale = init.scale.copy()
    for _ in range(2):
        for i, quality in enumerate(QUALITY_ANCHORS):
            adapter = Adapter(replace(init, scale=scale), quality, EFFORT, init.spec.channels)
            coding = adapter.coding
            q = adapter.deltas(targets)
            for _ in range(3):
                coding = replace(coding, scale=scale[i][coding.kept])
                classes, _ = class_of(q, coding)
                scale[i][coding.kept] = best_rows(q, classes)
    return replace(init, scale=scale)


def calibration_modules(samples: int) -> int:
    """How many modules of so many samples say enough of a prior: 1,024, fewer of large ones."""
    return 1024 if samples <= 1024 else max(32, 300_000 // samples)


def export(trainer: Trainer, *, modules: int | None = None) -> Init:
    """The finished init of a trainer, calibrated on ``modules`` fresh training modules."""
    init = provisional(trainer)
    init.validate()
    count = modules or calibration_modules(math.prod(init.spec.tile))
    return calibrate(init, trainer.tasks.batch(CALIBRATION_SEED, 0, count))
