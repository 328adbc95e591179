"""Render modules on any grid: the field itself at those coordinates, never a resampled picture."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nfcodec.coords import AxisPlan
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.siren import Params
from nfcodec.modules.spec import FieldSpec
from nfcodec.parallel import ordered_map

# Activations of one evaluation stay near the processor's cache; larger batches are slower, not faster.
BATCH_SAMPLES = 1 << 15


def batch_size(samples_per_module: int) -> int:
    """How many modules to evaluate together."""
    return max(1, BATCH_SAMPLES // max(1, samples_per_module))


def plan_coords(plans: list[AxisPlan], modules: Tensor) -> Tensor:
    """Coordinates (B, c_0·…·c_d, axes) of the modules with flat indices ``modules`` (B,) of the plan's box."""
    counts = [p.local.shape[0] for p in plans]
    per_axis = torch.unravel_index(modules, tuple(counts))
    d = len(plans)
    grids = []
    for axis, (plan, idx) in enumerate(zip(plans, per_axis, strict=True)):
        local = torch.from_numpy(plan.local)[idx]
        shape = [len(modules), *(1 if i != axis else local.shape[1] for i in range(d))]
        full = [len(modules), *(p.local.shape[1] for p in plans)]
        grids.append(local.reshape(shape).expand(full))
    return torch.stack(grids, -1).reshape(len(modules), -1, d)


def render_box(spec: FieldSpec, params_of: Callable[[Tensor], Params], plans: list[AxisPlan]) -> Tensor:
    """Raw outputs on the product grid of ``plans``: (n_0, …, channels).

    ``params_of`` maps flat indices (B,) into the box of touched modules (row-major) to their parameters.
    """
    kind = field_kind(spec.kind)
    rows = [p.local.shape[0] for p in plans]
    columns = [p.local.shape[1] for p in plans]
    total, cells = math.prod(rows), math.prod(columns)
    out = torch.empty((total, cells, spec.channels), dtype=torch.float32)

    def evaluate(index: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            return index, kind.forward(spec, params_of(index), plan_coords(plans, index))

    for index, values in ordered_map(evaluate, torch.split(torch.arange(total), batch_size(cells))):
        out[index] = values
    return _gather(out, plans, rows, columns)


def _gather(out: Tensor, plans: list[AxisPlan], rows: list[int], columns: list[int]) -> Tensor:
    d, channels = len(plans), out.shape[-1]
    order = [axis for i in range(d) for axis in (i, d + i)]
    grid = out.reshape(*rows, *columns, channels).permute(*order, 2 * d)
    grid = grid.reshape(*(r * c for r, c in zip(rows, columns, strict=True)), channels)
    for axis, plan in enumerate(plans):
        if not _identity(plan, grid.shape[axis]):
            grid = grid.index_select(axis, torch.from_numpy(plan.index))
    return grid


def _identity(plan: AxisPlan, length: int) -> bool:
    return len(plan.index) == length and int(plan.index[-1]) == length - 1
