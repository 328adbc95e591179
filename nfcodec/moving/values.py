"""From the planes of a picture to its values."""

from __future__ import annotations

import numpy as np

from nfcodec.blas import single_threaded
from nfcodec.lattice.planes import offset_of
from nfcodec.moving.prediction import SAMPLE_BITS, Whole
from nfcodec.rotations import whole_rotation
from nfcodec.types import Floats

_ROTATION_BITS = 16
# Samples of one product, which stay near the processor's cache.
_SAMPLES = 1 << 14


@single_threaded
def values_of(planes: Whole, of: int, channels: int) -> Floats:
    """Values (…, channels) of whole planes (P, …), the first of ``of``, exact: those that
    :func:`nfcodec.lattice.synthesis.whole_to_values` gives. They are whole numbers of less than 53 bits over a power of
    two."""
    rotation = whole_rotation(of, channels)[:, : len(planes)] * 2.0 ** -(_ROTATION_BITS + SAMPLE_BITS)
    flat, offset = planes.reshape(len(planes), -1), offset_of("video")
    out = np.empty((flat.shape[1], channels), np.float32)
    for start in range(0, len(out), _SAMPLES):
        part = slice(start, start + _SAMPLES)
        out[part] = (rotation @ flat[:, part].astype(np.float64) + offset).T
    return out.reshape(*planes.shape[1:], channels)
