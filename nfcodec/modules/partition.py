"""Cut a block of a signal into the modules of a field, in the order of the file format.

Pictures, video and arrays: modules in row-major order over the tiles of the block. Sound: channel by channel,
each a row of segments; a module then has one output.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nfcodec.coords import modules_per_axis
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.values import to_outputs
from nfcodec.rotations import mid_side
from nfcodec.silence import Silence
from nfcodec.types import Floats


def is_sound(spec: FieldSpec) -> bool:
    """Whether channels are separate rows of modules."""
    return not spec.offset


def module_count(spec: FieldSpec, shape: tuple[int, ...], channels: int) -> int:
    """Modules of a block with that shape (channels not in ``shape``)."""
    return math.prod(modules_per_axis(shape, spec.tile)) * (channels if is_sound(spec) else 1)


def cut(spec: FieldSpec, values: Floats) -> Floats:
    """Targets (M, N, outputs) of a block (n_0, …, C); tiles that reach past the end repeat the border.

    Repeating costs few bits, since it continues what is there; zeros or mirroring would draw an edge.
    """
    shape = values.shape[:-1]
    counts = modules_per_axis(shape, spec.tile)
    pad = [(0, c * t - n) for c, t, n in zip(counts, spec.tile, shape, strict=True)]
    padded = np.pad(values, [*pad, (0, 0)], mode="edge")
    if is_sound(spec):
        return np.ascontiguousarray(mid_side(padded).T.reshape(-1, spec.tile[0], 1), np.float32)
    d = len(shape)
    split = [n for pair in zip(counts, spec.tile, strict=True) for n in pair]
    order = [*range(0, 2 * d, 2), *range(1, 2 * d, 2), 2 * d]
    tiles = padded.reshape(*split, -1).transpose(order).reshape(math.prod(counts), math.prod(spec.tile), -1)
    return np.ascontiguousarray(to_outputs(spec, tiles), np.float32)


def audible_modules(spec: FieldSpec, silence: Silence, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which modules (M,) of a block (n, C) of sound are heard; the others lie in silence whatever their deltas are."""
    length, tile = shape[0], spec.tile[0]
    heard = np.ones((-(-length // tile), len(silence.runs)), bool)
    for channel, runs in enumerate(silence.runs):
        for start, stop in runs.tolist():
            heard[-(-start // tile) : len(heard) if stop == length else stop // tile, channel] = False
    if len(silence.runs) == 2:  # coded as mid and side, of which both channels are made
        heard[:] = heard.any(axis=1, keepdims=True)
    return heard.T.reshape(-1)
