"""What a picture is expected to be: its references, moved block by block, in whole numbers.

Samples of planes count 2^-13 and stay within ±8191. Between the samples of a reference lie three more along each axis,
made by filters of eight taps (those of H.265: Ugur et al. 2013), first along rows, then along columns, each rounded to
whole numbers. Blocks overlap: a block is heard over 16 samples and half an overlap more on every side, under a window
that adds up to 32 with those of its neighbours (overlapped block motion compensation: Orchard, Sullivan 1994). So no
border of blocks shows, and vectors need no interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from nfcodec.blas import single_threaded
from nfcodec.moving.motion import BLOCK, BOTH, QUARTER, Motion
from nfcodec.moving.parts import QUARTERS, sources
from nfcodec.types import Floats, Indices

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
_HALF = BLOCK // 2
_NONE = 3  # the mode of blocks that their quarters stand for


def window(side: int = BLOCK) -> Wide:
    """(side + OVERLAP,) whole numbers; with those of the neighbours they add up to 32."""
    ramp = (2 * np.arange(OVERLAP) + 1) * (1 << _WINDOW_BITS) // (2 * OVERLAP)
    flat = np.full(side - OVERLAP, 1 << _WINDOW_BITS)
    return np.concatenate([ramp, flat, ramp[::-1]]).astype(np.int32)


def clipped(x: npt.NDArray[Any]) -> Whole:
    """Samples within ±8191."""
    return np.asarray(np.clip(x, -LARGEST_SAMPLE, LARGEST_SAMPLE), np.int16)


class Reference:
    """The ``planes`` (P, H, W) of a decoded picture, and what is read of it while it serves as a reference."""

    def __init__(self, planes: Whole) -> None:
        self.planes = planes
        self._wide: Floats | None = None

    def wide(self, margin: int) -> Floats:
        """The planes with ``margin`` more samples on every side, copies of those at the border."""
        if self._wide is None or self._wide.shape[1] != self.planes.shape[1] + 2 * margin:
            border = ((0, 0), (margin, margin), (margin, margin))
            self._wide = np.pad(self.planes, border, mode="edge").astype(np.float32)
        return self._wide

    def forget(self) -> None:
        """Keep the samples alone."""
        self._wide = None


def taps(quarter: int) -> tuple[float, ...]:
    """The filter for a number of quarters of a sample: what the samples from 3 before to 4 behind count."""
    return tuple(t * 2.0**-_TAP_BITS for t in _TAPS[quarter])


@lru_cache(maxsize=16)
def filter_matrix(span: int, quarter: int) -> Floats:
    """(span + 7, span): what makes ``span`` samples, a number of quarters of a sample further along, out of those from
    3 before the first to 4 behind the last."""
    matrix = np.zeros((span + len(_TAPS[1]) - 1, span), np.float32)
    for i, tap in enumerate(taps(quarter)):
        matrix[np.arange(span) + i, np.arange(span)] = tap
    return matrix


def rounded(x: Floats) -> Floats:
    """Whole samples, halves up, within ±8191; in place."""
    x += np.float32(0.5)
    np.floor(x, out=x)
    # Faster than clip.
    np.minimum(x, LARGEST_SAMPLE, out=x)
    return np.maximum(x, -LARGEST_SAMPLE, out=x)


def gathered(reference: Reference, vectors: Indices, top: Indices, left: Indices, span: int) -> Floats:
    """Blocks (n, P, span, span) of a reference, whose corners are (top, left) (n,) moved by ``vectors`` (n, 2)."""
    planes, height, width = reference.planes.shape
    out = np.empty((len(vectors), planes, span, span), np.float32)
    margin = span + len(_TAPS[1]) - 1
    around = sliding_window_view(reference.wide(margin), (margin, margin), (1, 2)).transpose(1, 2, 0, 3, 4)
    first = len(_TAPS[1]) // 2 - 1
    rows = np.clip(top + (vectors[:, 0] >> 2) - first, -margin, height) + margin
    columns = np.clip(left + (vectors[:, 1] >> 2) - first, -margin, width) + margin
    phases = (vectors[:, 0] & 3) * QUARTER + (vectors[:, 1] & 3)
    for number in np.unique(phases).tolist():
        mine = np.flatnonzero(phases == number)
        out[mine] = _filtered(around[rows[mine], columns[mine]], *divmod(number, QUARTER))
    return out


def _filtered(blocks: Floats, down: int, right: int) -> Floats:
    """The samples (n, P, span, span) that lie quarters of a sample further down and to the right, of blocks that have
    the 3 before and the 4 behind them, too.

    As products of matrices: no sum of whole numbers comes near 2^24, so they are exact in float32.
    """
    span = blocks.shape[-1] - len(_TAPS[1]) + 1
    inside = slice(len(_TAPS[1]) // 2 - 1, len(_TAPS[1]) // 2 - 1 + span)
    blocks = rounded(blocks @ filter_matrix(span, right)) if right else blocks[..., inside]
    return rounded(filter_matrix(span, down).T @ blocks) if down else blocks[..., inside, :]


@single_threaded
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
    split = motion.parts.any(-1)
    modes = np.pad(motion.modes, 1, mode="edge")
    modes[1:-1, 1:-1][split] = _NONE
    vectors = np.pad(motion.vectors, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    h, w = modes.shape
    # Sums of samples under windows stay below 2^24, which float32 holds.
    canvas = np.zeros((planes, BLOCK * (h + 3), BLOCK * (w + 3)), np.float32)
    both = _square(BLOCK)
    for first in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part = (slice(first[0], None, 2), slice(first[1], None, 2))
        place = np.indices((h, w))[(slice(None), *part)]
        size = place.shape[1:]
        top, left = (place.reshape(2, -1) - 1) * BLOCK - OVERLAP // 2
        moves = vectors[(slice(None), *part)].reshape(2, -1, 2)
        blocks = _blocks(references, modes[part].ravel(), moves, (top, left), SPAN)
        blocks *= both
        _add(canvas, blocks.reshape(*size, planes, SPAN, SPAN), (first[0] * BLOCK, first[1] * BLOCK))
    if split.any():
        _add_parts(canvas, references, motion, np.flatnonzero(split))
    inside = canvas[:, BLOCK + OVERLAP // 2 :, BLOCK + OVERLAP // 2 :][:, :height, :width]
    found: Whole = np.floor(inside * np.float32(2.0 ** -(2 * _WINDOW_BITS + 1)) + np.float32(0.5)).astype(np.int16)
    return found


def _blocks(
    references: Sequence[Reference], modes: npt.NDArray[np.uint8], vectors: Indices, corner: tuple[Indices, Indices],
    span: int,
) -> Floats:  # fmt: skip
    """Twice the samples (n, P, span, span) of blocks."""
    out = np.zeros((len(modes), len(references[0].planes), span, span), np.float32)
    for number, reference in enumerate(references):
        mine = np.flatnonzero((modes == number) | (modes == BOTH))
        if len(mine):
            found = gathered(reference, vectors[number, mine], corner[0][mine], corner[1][mine], span)
            found *= np.where(modes[mine] == BOTH, np.float32(1), np.float32(2))[:, None, None, None]
            out[mine] += found
    return out


def _square(side: int) -> Floats:
    """The window of a square of ``side`` samples."""
    weights = window(side).astype(np.float32)
    return weights[:, None] * weights


def _add_parts(canvas: Floats, references: Sequence[Reference], motion: Motion, split: Indices) -> None:
    """Add the quarters of the blocks ``split`` (n,) to a canvas."""
    h, w = motion.modes.shape
    source = sources(motion.parts.reshape(-1, QUARTERS)[split], split, (h, w))
    modes, vectors = motion.modes.ravel(), motion.vectors.reshape(2, -1, 2)
    y, x = np.divmod(split, w)
    for quarter, (down, right) in enumerate(np.ndindex(2, 2)):
        corner = BLOCK * y + _HALF * down - OVERLAP // 2, BLOCK * x + _HALF * right - OVERLAP // 2
        mine = source[:, quarter]
        blocks = _blocks(references, modes[mine], vectors[:, mine], corner, BLOCK)
        blocks *= _square(_HALF)
        # With their windows those of one kind lie side by side.
        top, left = BLOCK + _HALF * down, BLOCK + _HALF * right
        part = canvas[:, top : top + BLOCK * h, left : left + BLOCK * w]
        part.reshape(-1, h, BLOCK, w, BLOCK)[:, y, :, x] += blocks


def _add(canvas: Floats, blocks: Floats, at: tuple[int, int]) -> None:
    """Add blocks (h, w, P, SPAN, SPAN), two blocks apart, to a canvas, the first at ``at``."""
    h, w, planes = blocks.shape[:3]
    part = canvas[:, at[0] : at[0] + _STRIDE * h, at[1] : at[1] + _STRIDE * w]
    view = part.reshape(planes, h, _STRIDE, w, _STRIDE)
    view[:, :, :SPAN, :, :SPAN] += blocks.transpose(2, 0, 3, 1, 4)
