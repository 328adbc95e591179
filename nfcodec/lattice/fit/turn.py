"""By how much the planes of a picture are turned: its own colours need fewer bits than opponent colours as they are.

Errors do not change under a rotation, so only bits decide. A count of bits that knows nothing of the prior proposes a
turn, Σ log2(1 + 4 (w / step)²) over what the first inner step asks for in some cells; what parts of the picture cost
with and without it (:mod:`nfcodec.lattice.fit.trial`) decides.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch

from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.fit.trial import Parts
from nfcodec.lattice.fit.window import Mirrored, weighed
from nfcodec.lattice.init import LatticeInit
from nfcodec.rotations import whole_turn
from nfcodec.types import Doubles

Turn = tuple[int, ...]

# How many cells and functions of each propose.
_CELLS, _FUNCTIONS = 28 * 28, 28
# How far turns may go, of each kind that is tried: between both chroma planes, and between luma and these. Networks
# know luma as the loud plane.
_FARTHEST: tuple[Turn, ...] = ((24, 10, 10), (40, 0, 0))
_STRIDES = 8, 4, 2
# The share of its bits that a turn is expected to save, and has to save; bits of its name.
_HOPED, _LEAST, _NAMED = 0.003, 0.002, 32.0


def best_turn(init: LatticeInit, parts: Parts, quality: int) -> Turn | None:
    """The turn of a picture of three channels at a ``quality`` of the steps; None for planes as they are."""
    turns, bits = proposed(init, parts, quality)
    costs: dict[Turn | None, float] = {turn: parts.cost(init.turned(turn), quality) for turn in turns}
    if costs:
        costs[None] = parts.cost(init, quality) - max(_LEAST * bits, _NAMED * parts.share)
    return min(costs, key=costs.__getitem__, default=None)


def proposed(init: LatticeInit, parts: Parts, quality: int) -> tuple[list[Turn], float]:
    """The turns that promise to save most, if enough, and about how many bits all parts need."""
    found = [_asked(init, wide) for wide in parts.mirrored(init)]
    asked = np.concatenate([steps[..., :: max(1, steps.shape[-1] // _CELLS)] for steps in found], 2)
    if not asked.shape[-1]:
        return [], 0.0
    sizes = init.levels[0].steps(quality)[:, :_FUNCTIONS, None].astype(np.float64)
    own = _bits(asked, sizes, (0, 0, 0))
    turns = dict(_farther(asked, sizes, farthest) for farthest in _FARTHEST)
    total = own * sum(steps.shape[-1] for steps in found) / asked.shape[-1]
    return [turn for turn, bits in turns.items() if any(turn) and own - bits > _HOPED * own], total


def _farther(asked: Doubles, sizes: Doubles, farthest: Turn) -> tuple[Turn, float]:
    """The turn of fewest bits, and these: in strides along each axis, ever shorter ones."""
    best: Turn = (0, 0, 0)
    cost = _bits(asked, sizes, best)
    for stride in _STRIDES:
        moved = True
        while moved:
            moved = False
            for axis, side in itertools.product(range(3), (-stride, stride)):
                turn = best[:axis] + (best[axis] + side,) + best[axis + 1 :]
                bits = _bits(asked, sizes, turn) if abs(turn[axis]) <= farthest[axis] else cost
                if bits < cost:
                    best, cost, moved = turn, bits, True
    return best, cost


def _bits(asked: Doubles, sizes: Doubles, turn: Turn) -> float:
    turned = np.tensordot(whole_turn(turn) * 2.0**-16, asked, 1) / sizes
    return float(np.log2(1.0 + 4.0 * np.square(turned)).sum())


def _asked(init: LatticeInit, wide: Mirrored) -> Doubles:
    """What the first inner step asks for, (3, functions, n): of all planes by the functions of the first, for they are
    to be mixed; of the means, the differences from cell to cell."""
    level = init.levels[0]
    params, spacing = tensors(level.first_step), level.spec.spacing
    samples = wide.part([(0, s * (n + 1)) for s, n in zip(spacing, wide.space.cells, strict=True)])
    table = params["analysis.0"][:_FUNCTIONS] * torch.exp2(params["log_gain"][0, :_FUNCTIONS])[:, None]
    found = weighed(samples, spacing, [table] * len(level.spec.planes)).numpy().astype(np.float64)
    found[:, 0, :, 1:] -= found[:, 0, :, :-1].copy()
    return found[..., 1:].reshape(*found.shape[:2], -1)
