"""What a field should hold where it does not show: whatever costs it least."""

from __future__ import annotations

import numpy as np

from nfcodec.types import Floats, Mask


def filled(values: Floats, opaque: Mask) -> Floats:
    """Values (h, w, C) with those that are ``opaque`` (h, w) replaced by a smooth continuation of the others.

    Pull and push (Gortler et al., "The lumigraph", 1996, §4.5): means of what is known, coarser and coarser, then back
    down. Without anything known all is one half, for which a lattice has no symbols.
    """
    if opaque.all():
        return np.full_like(values, 0.5)
    seen = (~opaque)[..., None].astype(np.float32)
    return np.where(opaque[..., None], _push(values * seen, seen), values).astype(np.float32)


def extended(values: Floats, opaque: Mask) -> Floats:
    """As :func:`filled`, by colours that are there: to the left, else to the right, else in the nearest row above.

    For drawings, whose few colours stay few.
    """
    height, width = opaque.shape
    column = np.where(opaque, -1, np.arange(width))
    from_left = np.maximum.accumulate(column, 1)
    right = np.where(opaque, width, np.arange(width))
    from_right = np.minimum.accumulate(right[:, ::-1], 1)[:, ::-1]
    source = np.where(from_left >= 0, from_left, from_right)
    known = ~opaque.all(1)
    if not known.any():
        return np.full_like(values, 0.5)
    above = np.maximum.accumulate(np.where(known, np.arange(height), -1))
    row = np.where(above >= 0, above, np.argmax(known))
    return np.ascontiguousarray(values[row[:, None], source[row]])


def _push(total: Floats, weight: Floats) -> Floats:
    """Means where there is weight, else those of the next coarser level."""
    if max(weight.shape[:2]) == 1:
        return np.asarray(total / np.maximum(weight, 1e-9), np.float32)
    coarse = _push(_halved(total), _halved(weight))
    wide = coarse.repeat(2, 0).repeat(2, 1)[: weight.shape[0], : weight.shape[1]]
    return np.where(weight > 0.0, total / np.maximum(weight, 1e-9), wide)


def _halved(plane: Floats) -> Floats:
    """Sums over squares of two by two."""
    tall, wide = (n % 2 for n in plane.shape[:2])
    plane = np.pad(plane, ((0, tall), (0, wide), (0, 0)))
    return np.asarray(plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2], np.float32)
