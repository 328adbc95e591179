"""By how much the planes of a picture are turned: its own colours need fewer bits than opponent colours as they are.

Errors do not change under a rotation, so only bits decide. A count of bits that knows nothing of the prior proposes a
turn, Σ log2(1 + 4 (w / step)²) over what the first inner step asks for in some cells; what parts of the picture cost
with and without it, after the first steps, decides.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.fit.adapt import Plan, region_weights
from nfcodec.lattice.fit.coded import LevelFit
from nfcodec.lattice.fit.dither import best_dither
from nfcodec.lattice.fit.first_step import corrected, rounded
from nfcodec.lattice.fit.rounds import Problem
from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.fit.window import Mirrored, cut_window, weighed
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.space import Space
from nfcodec.rotations import whole_turn
from nfcodec.types import Doubles, Floats

Turn = tuple[int, ...]

_OFFSET = offset_of("image")
# Cells along each side of a part, the most parts, and how many cells and functions of each propose.
_SIDE, _PARTS, _CELLS, _FUNCTIONS = 32, 2, 256, 28
# How far a turn may go: between both chroma planes, and between luma and these. Networks know luma as the loud plane.
_FARTHEST: Turn = (40, 16, 16)
_STRIDES = 8, 4, 2
# The share of its bits that a turn is expected to save, and has to save.
_HOPED, _LEAST = 0.003, 0.002


def best_turn(init: LatticeInit, values: Floats, quality: int) -> Turn | None:
    """The turn of a picture (h, w, 3) at a ``quality`` of the steps; None for planes as they are."""
    parts = [torch.from_numpy(part) for part in _parts(values, init.levels[0].spec.spacing)]
    turn, bits = proposed(init, parts, quality)
    if turn is None:
        return None
    own, other = (sum(_cost(i, part, quality) for part in parts) for i in (init, init.turned(turn)))
    return turn if other < own - _LEAST * bits else None


def _parts(values: Floats, spacing: tuple[int, ...]) -> list[Floats]:
    """Parts (h, w, 3) of a picture: all of a small one, some from its middle otherwise."""
    sizes = [min(n, _SIDE * s) for n, s in zip(values.shape, spacing, strict=False)]
    count = max(1, min(_PARTS, values.shape[0] * values.shape[1] // (sizes[0] * sizes[1])))
    found = []
    for i in range(count):
        # The middle of each of so many stretches along the longer side, the middle along the other.
        middle = (2 * i + 1) / (2 * count)
        places = (0.5, middle) if values.shape[1] >= values.shape[0] else (middle, 0.5)
        y, x = (int((n - m) * a) for n, m, a in zip(values.shape, sizes, places, strict=False))
        found.append(np.ascontiguousarray(values[y : y + sizes[0], x : x + sizes[1]]))
    return found


def _mirrored(init: LatticeInit, part: Tensor) -> tuple[Mirrored, Space]:
    spec = init.levels[0].spec
    space = Space.of(tuple(part.shape[:2]), spec)
    return Mirrored(init.planes.to_planes(part, _OFFSET), space, spec.spacing), space


def _cost(init: LatticeInit, part: Tensor, quality: int) -> float:
    """Bits and error/λ of a part after the first steps."""
    (wide, space), shape, fit = _mirrored(init, part), tuple(part.shape[:2]), LevelFit(init, 0, len(init.planes.names))
    plan = Plan.of(quality, 1)
    level = init.dithered(best_dither(fit, wide, plan), quality).levels[0]
    weights = region_weights(level, wide, shape, space, space.whole)
    window = cut_window(wide, shape, space, space.whole, level.spec.spacing)
    with torch.inference_mode():
        symbols = rounded(corrected(level, weights, quality), 0.0)
    trade = plan.trade(init)
    problem = Problem(level, window, weights.clone(), quality=quality, planes=fit.planes, trade=trade)
    return problem.state(symbols).cost(trade)


# -- proposals -------------------------------------------------------------------------------------------
def proposed(init: LatticeInit, parts: list[Tensor], quality: int) -> tuple[Turn | None, float]:
    """The turn that promises to save most, and about how many bits all parts need; None where that is too little."""
    found = [_asked(init, part) for part in parts]
    asked = np.concatenate([steps[..., ::max(1, steps.shape[-1] // _CELLS)] for steps in found], 2)
    sizes = init.levels[0].steps(quality)[:, :_FUNCTIONS, None].astype(np.float64)
    best: Turn = (0, 0, 0)
    own = cost = _bits(asked, sizes, best)
    for stride in _STRIDES:
        moved = True
        while moved:
            moved = False
            for axis, side in itertools.product(range(3), (-stride, stride)):
                turn = best[:axis] + (best[axis] + side,) + best[axis + 1 :]
                if abs(turn[axis]) > _FARTHEST[axis]:
                    continue
                bits = _bits(asked, sizes, turn)
                if bits < cost:
                    best, cost, moved = turn, bits, True
    total = own * sum(steps.shape[-1] for steps in found) / asked.shape[-1]
    return (best if any(best) and own - cost > _HOPED * own else None), total


def _bits(asked: Doubles, sizes: Doubles, turn: Turn) -> float:
    turned = np.tensordot(whole_turn(turn) * 2.0**-16, asked, 1) / sizes
    return float(np.log2(1.0 + 4.0 * np.square(turned)).sum())


def _asked(init: LatticeInit, part: Tensor) -> Doubles:
    """What the first inner step asks for, (3, functions, n): of all planes by the functions of the first, for they are
    to be mixed; of the means, the differences from cell to cell."""
    level, (wide, _) = init.levels[0], _mirrored(init, part)
    params = tensors(level.first_step)
    samples = cut_window(wide, tuple(part.shape[:2]), wide.space, wide.space.whole, level.spec.spacing).samples
    table = params["analysis.0"][:_FUNCTIONS] * torch.exp2(params["log_gain"][0, :_FUNCTIONS])[:, None]
    found = weighed(samples, level.spec.spacing, [table] * len(level.spec.planes)).numpy().astype(np.float64)
    found[:, 0, :, 1:] -= found[:, 0, :, :-1].copy()
    return found[..., 1:].reshape(*found.shape[:2], -1)
