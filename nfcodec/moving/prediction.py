"""What a picture is expected to be: its references, moved block by block, in whole numbers.

Samples of planes count 2^-13 and stay within ±8191. Between the samples of a reference lie three more along each axis,
made by filters of eight taps (those of H.265: Ugur et al. 2013), first along rows, then along columns, each rounded to
whole numbers. Blocks overlap: a block is heard over 16 samples and half an overlap more on every side, under a window
that adds up to 32 with those of its neighbours (overlapped block motion compensation: Orchard, Sullivan 1994). So no
border of blocks shows, and vectors need no interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.moving.motion import BLOCK, BOTH, QUARTER, Motion
from nfcodec.types import Indices

Whole = npt.NDArray[np.int16]
Wide = npt.NDArray[np.int32]

SAMPLE_BITS = 13
LARGEST_SAMPLE = (1 << SAMPLE_BITS) - 1
OVERLAP = 8
_TAPS = {1: (-1, 4, -10, 58, 17, -5, 1, 0), 2: (-1, 4, -11, 40, 40, -11, 4, -1), 3: (0, 1, -5, 17, 58, -10, 4, -1)}
_TAP_BITS = 6
_WINDOW_BITS = 5
SPAN = BLOCK + OVERLAP
_STRIDE = 2 * BLOCK


def window() -> Wide:
    """(SPAN,) whole numbers; with those of the neighbours they add up to 32."""
    ramp = (2 * np.arange(OVERLAP) + 1) * (1 << _WINDOW_BITS) // (2 * OVERLAP)
    flat = np.full(BLOCK - OVERLAP, 1 << _WINDOW_BITS)
    return np.concatenate([ramp, flat, ramp[::-1]]).astype(np.int32)


def clipped(x: npt.NDArray[Any]) -> Whole:
    """Samples within ±8191."""
    return np.asarray(np.clip(x, -LARGEST_SAMPLE, LARGEST_SAMPLE), np.int16)


class Reference:
    """The ``planes`` (P, H, W) of a decoded picture, and what lies between its samples, made when it is asked for."""

    def __init__(self, planes: Whole) -> None:
        self.planes = planes
        self._made: dict[tuple[int, int], Whole] = {(0, 0): planes}

    def phase(self, y: int, x: int) -> Whole:
        """The planes y / 4 and x / 4 of a sample further down and to the right; the border repeats."""
        if (y, x) not in self._made:
            self._made[y, x] = _filtered(self.phase(0, x), 1, y) if y else _filtered(self.planes, 2, x)
        return self._made[y, x]

    def forget(self) -> None:
        """Keep the samples alone."""
        self._made = {(0, 0): self.planes}


def _filtered(planes: Whole, axis: int, quarter: int) -> Whole:
    """Planes a number of quarters of a sample further along an axis."""
    n = planes.shape[axis]
    place = np.clip(np.arange(-3, n + 4), 0, n - 1)
    wide = planes.take(place, axis).astype(np.int32)
    out = np.full(planes.shape, 1 << (_TAP_BITS - 1), np.int32)
    for i, tap in enumerate(_TAPS[quarter]):
        if tap:
            part = wide[:, i : i + n] if axis == 1 else wide[:, :, i : i + n]
            out += part * np.int32(tap)
    out >>= _TAP_BITS
    return clipped(out)


def gathered(reference: Reference, vectors: Indices, top: Indices, left: Indices, span: int) -> Whole:
    """Blocks (P, n, span, span) of a reference, whose corners are (top, left) (n,) moved by ``vectors`` (n, 2)."""
    height, width = reference.planes.shape[1:]
    out = np.empty((len(reference.planes), len(vectors), span, span), np.int16)
    rows = np.clip((top + (vectors[:, 0] >> 2))[:, None] + np.arange(span), 0, height - 1)
    columns = np.clip((left + (vectors[:, 1] >> 2))[:, None] + np.arange(span), 0, width - 1)
    phases = (vectors[:, 0] & 3) * QUARTER + (vectors[:, 1] & 3)
    for number in np.unique(phases).tolist():
        mine = np.flatnonzero(phases == number)
        planes = reference.phase(*divmod(number, QUARTER))
        flat = rows[mine][:, :, None] * width + columns[mine][:, None, :]
        out[:, mine] = planes.reshape(len(planes), -1).take(flat, axis=1)
    return out


def predicted(references: Sequence[Reference], motion: Motion) -> Whole:
    """The planes (P, H, W) that references with ``motion`` make."""
    planes, height, width = references[0].planes.shape
    still = len(set(motion.modes.ravel().tolist())) == 1 and not motion.vectors.any()
    if still:
        mode = int(motion.modes[0, 0])
        if mode != BOTH:
            return references[mode].planes
        total = references[0].planes.astype(np.int32) + references[1].planes
        return ((total + 1) >> 1).astype(np.int16)
    modes = np.pad(motion.modes, 1, mode="edge")
    vectors = np.pad(motion.vectors, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    h, w = modes.shape
    canvas = np.zeros((planes, BLOCK * (h + 3), BLOCK * (w + 3)), np.int32)
    weights = window()
    both = weights[:, None] * weights
    for first in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part = (slice(first[0], None, 2), slice(first[1], None, 2))
        place = np.indices((h, w))[(slice(None), *part)]
        size = place.shape[1:]
        top, left = (place.reshape(2, -1) - 1) * BLOCK - OVERLAP // 2
        blocks = _blocks(references, modes[part].ravel(), vectors[(slice(None), *part)].reshape(2, -1, 2), (top, left))
        blocks *= both
        _add(canvas, blocks.reshape(planes, *size, SPAN, SPAN), (first[0] * BLOCK, first[1] * BLOCK))
    inside = canvas[:, BLOCK + OVERLAP // 2 :, BLOCK + OVERLAP // 2 :][:, :height, :width]
    return ((inside + (1 << 2 * _WINDOW_BITS)) >> (2 * _WINDOW_BITS + 1)).astype(np.int16)


def _blocks(
    references: Sequence[Reference], modes: npt.NDArray[np.uint8], vectors: Indices, corner: tuple[Indices, Indices]
) -> Wide:  # fmt: skip
    """Twice the samples (P, n, SPAN, SPAN) of blocks."""
    out = np.zeros((len(references[0].planes), len(modes), SPAN, SPAN), np.int32)
    for number, reference in enumerate(references):
        for mode, factor in ((number, 2), (BOTH, 1)):
            mine = np.flatnonzero(modes == mode)
            if len(mine):
                found = gathered(reference, vectors[number, mine], corner[0][mine], corner[1][mine], SPAN)
                out[:, mine] += found * np.int32(factor)
    return out


def _add(canvas: Wide, blocks: Wide, at: tuple[int, int]) -> None:
    """Add blocks (P, h, w, SPAN, SPAN), two blocks apart, to a canvas, the first at ``at``."""
    planes, h, w = blocks.shape[:3]
    part = canvas[:, at[0] : at[0] + _STRIDE * h, at[1] : at[1] + _STRIDE * w]
    view = part.reshape(planes, h, _STRIDE, w, _STRIDE)
    view[:, :, :SPAN, :, :SPAN] += blocks.swapaxes(2, 3)
