"""Pictures at a whole fraction of their size, as previews need them: every sample is a mean over a square.

Halves are exact: the whole field is decoded and averaged. From a quarter on, a lattice shows hardly more than its
first layer holds, as a JPEG reader takes the lowest frequencies of its blocks: the other layers are not even read, the
weight network is left out, and the functions of the trunk are averaged once instead of the samples. Halves can be made
so, too, of two layers, where a sample may be off by a little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nfcodec.coding.context import LAYERS, PASSES
from nfcodec.decoder.decoder import Decoder, StoredField
from nfcodec.decoder.lattice import LatticeField
from nfcodec.errors import OptionError
from nfcodec.fields.lattice import by_plane, render, table
from nfcodec.lattice.synthesis import to_values
from nfcodec.options import PREVIEW_STEPS, DecodeOptions
from nfcodec.signal import Block, Floats, Ints

Box = tuple[int, int, int, int]
# The first layer of a lattice is too coarse for more than a quarter of the size.
LEAST_PREVIEW = 4
# Rows of cells that are rendered at once.
_BAND = 128


@dataclass(frozen=True, slots=True)
class Reduced:
    """A part of a picture at 1/``step`` of its size: ``block`` is of the native samples from (``x``, ``y``) on."""

    block: Block
    step: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class _Rough:
    """A lattice seen through its first ``layers``, as means over ``side`` × ``side`` samples."""

    field: LatticeField
    side: int
    layers: int

    @property
    def bases(self) -> int:
        """Symbols per plane in these layers: the lowest ones."""
        return max(high for _, _, high in PASSES[: LAYERS[self.layers - 1][1]])

    @property
    def per_cell(self) -> tuple[int, int]:
        """Means along each side of a cell."""
        tall, wide = self.field.init.spec.spacing
        return tall // self.side, wide // self.side


def reduced(decoder: Decoder, step: int, box: Box | None = None, *, rough: bool = False) -> Reduced:
    """The picture, or the part of it that covers ``box`` (x, y, width, height, in native samples), as means over
    ``step`` × ``step`` samples: values (⌈h/step⌉, ⌈w/step⌉, C) and alpha.

    What is there of the last squares counts, where the size is no multiple. ``rough``: halves of a lattice, too, are
    made without its last layer and the weight network, in half the time. Raises :class:`OptionError` when this is
    no picture, the step none of :data:`~nfcodec.options.PREVIEW_STEPS`, or the box empty or not inside.
    """
    x, y, width, height = _aligned(decoder, step, box)
    whole = x, y, width, height
    seen = _seen(decoder.field, step, rough=rough)
    if seen is None:
        return Reduced(_averaged(decoder, step, whole), step, x, y)
    values = _means(_preview(seen, whole), step // seen.side)
    return Reduced(Block(values, _alpha(decoder, step, whole)), step, x, y)


def _seen(field: StoredField, step: int, *, rough: bool) -> _Rough | None:
    """The least of a lattice that shows means over ``step`` samples; None where the whole field is needed."""
    if not isinstance(field, LatticeField) or len(set(field.init.spec.spacing)) > 1 or field.overlay:
        return None
    half = field.init.spec.spacing[0] // 2
    if half >= LEAST_PREVIEW and step % half == 0:
        return _Rough(field, half, 1)
    quarter = half // 2
    return _Rough(field, quarter, 2) if rough and quarter >= 2 and step % quarter == 0 else None


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


# -- the first layers of a lattice -----------------------------------------------------------------------
def _preview(seen: _Rough, box: Box) -> Floats:
    """Values (⌈h/side⌉, ⌈w/side⌉, C) of a box that starts at multiples of the side."""
    field, side, (tall, wide) = seen.field, seen.side, seen.field.init.spec.spacing
    (x, y, width, height), (rows, columns) = box, field.layout.cells
    # A mean is reached by its own cell and by the next one on that side.
    first = max(0, y // tall - 1), max(0, x // wide - 1)
    stop = min(rows, -(-(y + height) // tall) + 1), min(columns, -(-(x + width) // wide) + 1)
    with torch.no_grad():
        weights = field.lowest((first[0], stop[0]), (first[1], stop[1]), seen.bases, seen.layers)
        values = [to_values(planes, field.info.channels) for planes in _bands(seen, weights)]
    top, left = (n // side - m * f for n, m, f in zip((y, x), seen.per_cell, first, strict=True))
    bottom, right = top - (-height // side), left - (-width // side)
    return np.asarray(torch.cat(values)[top:bottom, left:right].numpy(), np.float32)


def _bands(seen: _Rough, weights: Tensor) -> Iterator[Tensor]:
    """Planes (3, m·rows, m·columns), m means per cell, of last layers (3·bases, h, w), some rows of cells at a time."""
    few, functions = replace(seen.field.init.spec, bases=seen.bases, extra=0), _mean_functions(seen)
    dense = seen.per_cell[0]
    for start in range(0, weights.shape[1], _BAND):
        stop = min(start + _BAND, weights.shape[1])
        above, below = max(0, start - 1), min(weights.shape[1], stop + 1)
        planes = render(few, weights[None, :, above:below], functions, seen.per_cell)[0]
        yield planes[:, dense * (start - above) : dense * (stop - above)]


def _mean_functions(seen: _Rough) -> Tensor:
    """The lowest functions of the trunk (2·bases, ∏ 2·per_cell) averaged over the squares."""
    spec, (high, wide) = seen.field.init.spec, seen.per_cell
    with torch.no_grad():
        whole = table(spec, seen.field.init.trunk, spec.spacing)
        parts = [t[: seen.bases] for t in by_plane(spec, whole)[: spec.tables]]
        squares = torch.cat(parts).reshape(-1, 2 * high, seen.side, 2 * wide, seen.side)
        return squares.mean((2, 4)).flatten(1)
