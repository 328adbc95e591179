"""Pictures at a whole fraction of their size, as previews need them: every sample is a mean over a square.

Where a field can be seen through less than the whole file (:meth:`nfcodec.families.StoredField.preview`), that is done;
otherwise everything is decoded and averaged, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfcodec.decoder.decoder import Decoder
from nfcodec.errors import OptionError
from nfcodec.families import Box
from nfcodec.options import PREVIEW_STEPS, DecodeOptions
from nfcodec.signal import Block, Floats, Ints


@dataclass(frozen=True, slots=True)
class Reduced:
    """A part of a picture at 1/``step`` of its size: ``block`` is of the native samples from (``x``, ``y``) on."""

    block: Block
    step: int
    x: int
    y: int


def reduced(decoder: Decoder, step: int, box: Box | None = None, *, rough: bool = False) -> Reduced:
    """The picture, or the part of it that covers ``box`` (x, y, width, height, in native samples), as means over
    ``step`` × ``step`` samples: values (⌈h/step⌉, ⌈w/step⌉, C) and alpha.

    What is there of the last squares counts, where the size is no multiple. ``rough``: halves of a lattice, too, are
    made without its last layer and the weight network, in half the time. Raises :class:`OptionError` when this is
    no picture, the step none of :data:`~nfcodec.options.PREVIEW_STEPS`, or the box empty or not inside.
    """
    x, y, width, height = _aligned(decoder, step, box)
    whole = x, y, width, height
    seen = decoder.field.preview(step, whole, rough=rough)
    if seen is None:
        return Reduced(_averaged(decoder, step, whole), step, x, y)
    values = _means(seen.values, step // seen.side)
    return Reduced(Block(values, _alpha(decoder, step, whole)), step, x, y)


def _aligned(decoder: Decoder, step: int, box: Box | None) -> Box:
    """The box grown to whole squares, but not beyond the picture."""
    info = decoder.info
    if info.modality != "image":
        raise OptionError(f"previews are of pictures, this is {info.modality}")
    if step not in PREVIEW_STEPS:
        raise OptionError(f"step {step} is none of {', '.join(map(str, PREVIEW_STEPS))}")
    rows, columns = info.shape
    x, y, width, height = box or (0, 0, columns, rows)
    if min(x, y) < 0 or min(width, height) < 1 or x + width > columns or y + height > rows:
        raise OptionError(f"box {x},{y},{width},{height} is empty or reaches outside {columns}x{rows}")
    left, top = x - x % step, y - y % step
    right, bottom = (min(n, -(-stop // step) * step) for stop, n in ((x + width, columns), (y + height, rows)))
    return left, top, right - left, bottom - top


def _averaged(decoder: Decoder, step: int, box: Box) -> Block:
    blocks = list(decoder.blocks(DecodeOptions(crop=box)))
    values = np.concatenate([b.values for b in blocks])
    planes = [b.alpha for b in blocks if b.alpha is not None]
    if not planes:
        return Block(_means(values, step))
    alpha = np.concatenate(planes)
    return Block(_means(values, step), np.rint(_means(alpha, step)).astype(alpha.dtype))


def _means(samples: Ints, step: int) -> Floats:
    """Means (⌈h/step⌉, ⌈w/step⌉, …) over squares; the last ones may be smaller."""
    out: Floats = samples.astype(np.float32, copy=False)
    for axis in (0, 1) if step > 1 else ():
        starts = np.arange(0, samples.shape[axis], step)
        counts = np.diff(np.append(starts, samples.shape[axis])).astype(np.float32)
        sums = np.add.reduceat(out, starts, axis)
        out = np.asarray(sums / counts.reshape([-1 if i == axis else 1 for i in range(out.ndim)]), np.float32)
    return out


def _alpha(decoder: Decoder, step: int, box: Box) -> Ints | None:
    """Alpha of a box that starts at whole squares, from the planes that touch it."""
    if not decoder.info.alpha:
        return None
    x, y, width, height = box
    length = decoder.chunk_length
    parts = []
    for chunk in range(y // length, (y + height - 1) // length + 1):
        plane, top = decoder.alpha(chunk), chunk * length
        assert plane is not None
        parts.append(plane[max(0, y - top) : y + height - top, x : x + width])
    alpha = np.concatenate(parts)
    means: Ints = np.rint(_means(alpha, step)).astype(alpha.dtype)
    return means
