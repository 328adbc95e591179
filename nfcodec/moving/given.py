"""What the prior of a residual is told of the prediction: how much there is of every function, and how blocks move.

Where a prediction has edges and texture, more of them is missed, and more where vectors differ. The prediction goes
through a lapped transform of small whole numbers, since functions of cells are near those, and the sizes of what comes
out, in quarters of the residual's steps, are inputs of the prior's networks. All sums are of whole numbers below 2^24,
so that float32 is exact.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.lattice import steps
from nfcodec.lattice.basis import lapped_basis
from nfcodec.lattice.given import Given, Told
from nfcodec.lattice.init import Level
from nfcodec.lattice.order import HAT, compand, order_of
from nfcodec.lattice.space import Box
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.moving.motion import BLOCK, BOTH, Motion
from nfcodec.moving.prediction import SAMPLE_BITS, Whole
from nfcodec.types import Floats, Indices, Ints, Mask

_TABLE_BITS, _BETWEEN_BITS = 7, 8
_WEIGHT = 2.0 ** (_BETWEEN_BITS - 2 * _TABLE_BITS - SAMPLE_BITS)
_AROUND = tuple(o for o in itertools.product((-1, 0, 1), repeat=2) if any(o))
_BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))
# Of 64 symbols: where bands of the activity end.
_BANDS = (1, 6, 15, 64)


def told(spec: LatticeSpec) -> Told:
    """How much the prior of residuals on cells of this spec is told."""
    places = BLOCK // spec.spacing[0] * (BLOCK // spec.spacing[1])
    activities = len(_BANDS) - 1 + len(_AROUND) + len(spec.planes) - 1
    return Told(1, activities + len(_AROUND) + BOTH + 1 + places + 2 + 2 * len(_BESIDE))


def given_of(level: Level, expected: Whole, motion: Motion, coded: Mask, box: Box, quality: int) -> Given:
    """What the prior is told of the cells of a ``box``, for planes that are ``expected`` (P', H, W), their ``motion``,
    and the ``coded`` cells of the picture, bool (h, w). Of cells that are not coded all numbers are zero."""
    spec = level.spec
    at = np.flatnonzero(coded[box.cells])
    size = sizes(level, expected, box, quality)
    inside = size[:, :, 1:-1, 1:-1].reshape(*size.shape[:2], -1)[..., at]
    found = np.concatenate([_activity(spec, size, at), _moves(spec, motion, coded, box)[:, at]])
    each = np.zeros((1, len(spec.planes), spec.bases, int(np.prod(box.shape))), np.int8)
    cell = np.zeros((len(found), each.shape[-1]), np.int8)
    each[0, : len(inside), :, at] = np.moveaxis(compand(inside), -1, 0)
    cell[:, at] = found
    return Given(each, cell)


def sizes(level: Level, expected: Whole, box: Box, quality: int) -> Ints:
    """How much of every function there is (P, K, h + 2, w + 2), in quarters of a step, in the cells of a ``box`` and
    one more on every side, those at the border of the picture being repeated."""
    spec = level.spec
    weights = lapped(spec, expected, box)
    step = steps.step_sizes(level.log_step, quality)[: len(weights)]
    unit = (4.0 * _WEIGHT / step).astype(np.float32)[..., None, None]
    weights *= unit
    np.abs(weights, out=weights)
    weights += np.float32(0.5)
    return np.minimum(weights, np.float32(1 << 20)).astype(np.int32)


def lapped(spec: LatticeSpec, expected: Whole, box: Box) -> Floats:
    """Weights (P, K, h + 2, w + 2) of planes ``expected`` (P, H, W), whole numbers in units of 2^-19."""
    cells = [-(-n // s) for n, s in zip(expected.shape[1:], spec.spacing, strict=True)]
    places = [np.clip(np.arange(a - 1, b + 1), 0, n - 1) for a, b, n in zip(box.start, box.stop, cells, strict=True)]
    rows, columns = (_samples(p, s, n) for p, s, n in zip(places, spec.spacing, expected.shape[1:], strict=True))
    high, wide = (whole_basis(s) for s in spec.spacing)
    used = np.unique(rows)
    across = expected[:, used][:, :, columns].astype(np.float32) @ wide.T
    across *= np.float32(2.0**-_BETWEEN_BITS)
    across += np.float32(0.5)
    np.floor(across, out=across)
    bands = across.reshape(*across.shape[:2], -1)[:, np.searchsorted(used, rows)]
    found = high @ bands
    found = found.reshape(len(expected), len(places[0]), len(high), len(places[1]), len(wide))
    down, right = np.array(order_of(spec).frequencies).T
    return np.ascontiguousarray(found[:, :, down, :, right].swapaxes(0, 1))


def _samples(places: Indices, spacing: int, size: int) -> Indices:
    """The samples (n, 2s) that the cells at ``places`` (n,) along an axis of ``size`` samples reach: those at the end
    are repeated up to whole cells, then all are mirrored."""
    end = -(-size // spacing) * spacing
    at = places[:, None] * spacing + np.arange(2 * spacing) - spacing // 2
    at = np.where(at < 0, -1 - at, np.where(at >= end, 2 * end - 1 - at, at))
    found: Indices = np.minimum(at, size - 1)
    return found


@lru_cache(maxsize=4)
def whole_basis(spacing: int) -> Floats:
    """The functions (s, 2s) of the lapped transform in whole numbers of 2^-7. None lies near a half before it is
    rounded, hence they are the same on every machine."""
    return np.rint(np.ldexp(lapped_basis(spacing), _TABLE_BITS)).astype(np.float32)


def _activity(spec: LatticeSpec, size: Ints, at: Indices) -> Ints:
    """Activities (n, m) of the cells ``at`` flat places of a box, from :func:`sizes`: of the luma in bands, and around
    the cell; of the other planes."""
    cuts = [-(-b * spec.bases // 64) for b in _BANDS]
    inner = size[:, :, 1:-1, 1:-1]
    rows = [inner[0, low:high].sum(0) for low, high in itertools.pairwise(cuts)]
    whole, (h, w) = size[0, 1:].sum(0), inner.shape[2:]
    rows += [whole[1 + y : 1 + y + h, 1 + x : 1 + x + w] for y, x in _AROUND]
    rows += [inner[p, 1:].sum(0) if p < len(inner) else np.zeros((h, w), np.int32) for p in range(1, len(spec.planes))]
    return compand(np.stack(rows).reshape(len(rows), -1)[:, at] >> 2)


def _moves(spec: LatticeSpec, motion: Motion, coded: Mask, box: Box) -> Ints:
    """What the motion tells of the cells of a box, (n, cells): which cells around are coded, the mode of the block and
    the place in it, how long and fine its vectors are, and how those beside it differ."""
    factors = [BLOCK // s for s in spec.spacing]
    wide = np.pad(coded, 1)
    around = [wide[1 + y :, 1 + x :][: coded.shape[0], : coded.shape[1]] for y, x in _AROUND]
    place = [np.arange(n) % f for n, f in zip(coded.shape, factors, strict=True)]
    number = place[0][:, None] * factors[1] + place[1]
    rows: list[npt.NDArray[Any]] = [HAT * cells.astype(np.int16) for cells in around]
    blocks = [HAT * (motion.modes == mode) for mode in range(BOTH + 1)] + list(_vectors(motion))
    rows += [_of_cells(b, factors, coded.shape) for b in blocks]
    rows += [HAT * (number == i) for i in range(factors[0] * factors[1])]
    return np.stack([row[box.cells].ravel() for row in rows]).astype(np.int8)


def _of_cells(blocks: npt.NDArray[Any], factors: list[int], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Numbers of blocks (h, w) as those of cells of ``shape``."""
    for axis, factor in enumerate(factors):
        blocks = np.repeat(blocks, factor, axis)
    return blocks[: shape[0], : shape[1]]


def _vectors(motion: Motion) -> list[Ints]:
    """Of every block (h, w): the length of its longest vector, how many coordinates are no whole samples, and for each
    block beside it how far its vectors differ and whether its mode does."""
    used = np.stack([motion.uses(reference) for reference in (0, 1)])
    length = (np.abs(motion.vectors).sum(-1) * used).max(0)
    parts = ((motion.vectors % 4 != 0).sum(-1) * used).sum(0)
    rows = [compand(length), HAT * parts]
    vectors = np.pad(motion.vectors, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    modes, users = np.pad(motion.modes, 1, mode="edge"), np.pad(used, ((0, 0), (1, 1), (1, 1)), mode="edge")
    h, w = motion.modes.shape
    for y, x in _BESIDE:
        there = slice(1 + y, 1 + y + h), slice(1 + x, 1 + x + w)
        off = np.abs(vectors[(slice(None), *there)] - motion.vectors).sum(-1) * (used & users[(slice(None), *there)])
        rows += [compand(off.max(0)), HAT * (modes[there] != motion.modes)]
    return rows
