"""Render modules on any grid: the field itself at those coordinates, never a resampled picture."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nfcodec.blas import one_thread_each
from nfcodec.coords import AxisPlan
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec, Params
from nfcodec.parallel import every
from nfcodec.types import Floats, Indices

# Activations of one evaluation stay near the processor's cache; larger batches are slower, not faster.
BATCH_SAMPLES = 1 << 15


def batch_size(samples_per_module: int) -> int:
    """How many modules to evaluate together."""
    return max(1, BATCH_SAMPLES // max(1, samples_per_module))


def plan_coords(plans: list[AxisPlan], modules: Indices) -> Floats:
    """Coordinates (B, c_0·…·c_d, axes) of the modules with flat indices ``modules`` (B,) of the plan's box."""
    counts = [p.local.shape[0] for p in plans]
    per_axis = np.unravel_index(modules, tuple(counts))
    d = len(plans)
    out = np.empty((len(modules), *(p.local.shape[1] for p in plans), d), np.float32)
    for axis, (plan, idx) in enumerate(zip(plans, per_axis, strict=True)):
        local = plan.local[idx]
        out[..., axis] = local.reshape(len(modules), *(1 if i != axis else local.shape[1] for i in range(d)))
    return out.reshape(len(modules), -1, d)


def render_box(spec: FieldSpec, params_of: Callable[[Indices], Params], plans: list[AxisPlan]) -> Floats:
    """Raw outputs on the product grid of ``plans``: (n_0, …, channels).

    ``params_of`` maps flat indices (B,) into the box of touched modules (row-major) to their parameters.
    """
    kind = field_kind(spec.kind)
    rows = [p.local.shape[0] for p in plans]
    columns = [p.local.shape[1] for p in plans]
    total, cells = math.prod(rows), math.prod(columns)
    out = np.empty((total, cells, spec.channels), np.float32)

    def evaluate(first: int) -> None:
        index = np.arange(first, min(first + size, total))
        out[index] = kind.forward(spec, params_of(index), plan_coords(plans, index))

    size = batch_size(cells)
    with one_thread_each():
        every(evaluate, range(0, total, size))
    return _gather(out, plans, rows, columns)


def _gather(out: Floats, plans: list[AxisPlan], rows: list[int], columns: list[int]) -> Floats:
    d, channels = len(plans), out.shape[-1]
    order = [axis for i in range(d) for axis in (i, d + i)]
    grid = out.reshape(*rows, *columns, channels).transpose(*order, 2 * d)
    grid = grid.reshape(*(r * c for r, c in zip(rows, columns, strict=True)), channels)
    for axis, plan in enumerate(plans):
        if not _identity(plan, grid.shape[axis]):
            grid = grid.take(plan.index, axis)
    return grid


def _identity(plan: AxisPlan, length: int) -> bool:
    return len(plan.index) == length and int(plan.index[-1]) == length - 1
