"""Pictures of few colours: samples that change get their exact colours, all others stay what the first reference shows.

A painted picture is an overlay (:mod:`nfcodec.lattice.palette`) over its first reference, or over grey: index 0 where
that shows, else one of its colours. In whole numbers, so that 8-bit samples come back as they were.
"""

from __future__ import annotations

import numpy as np

from nfcodec.lattice.palette import Colours, Overlay
from nfcodec.moving.prediction import SAMPLE_BITS, Whole
from nfcodec.rotations import whole_rotation
from nfcodec.types import Indices

_ROOT3 = 113512  # √3 in 2^-16: a grey picture is luma alone
_FULL = 255


def colour_planes(palette: Colours, planes: int) -> Indices:
    """The planes (K, P) of colours uint8 (K, C), P = C, in 2^-13, to the nearest: Rᵀ · (c / 255 − ½)."""
    centred = 2 * palette.astype(np.int64) - _FULL
    rotation = whole_rotation(planes, planes) if planes > 1 else np.array([[_ROOT3]])
    total, unit = (centred @ rotation) << SAMPLE_BITS, 2 * _FULL << 16
    nearest: Indices = (2 * total + unit) // (2 * unit)
    return nearest


def painted(below: Whole, overlay: Overlay) -> Whole:
    """The planes (P, H, W) of an overlay over those ``below``."""
    colours = colour_planes(overlay.palette, len(below)).astype(np.int16)
    over = colours[np.maximum(overlay.indices - 1, 0)]
    return np.where(overlay.opaque, np.moveaxis(over, -1, 0), below)
