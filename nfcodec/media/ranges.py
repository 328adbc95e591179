"""Which part of the range of their samples deep pictures use: what errors are measured against."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nfcodec.errors import MediaReadError
from nfcodec.media.pixels import Layout, PixelStore
from nfcodec.media.reading import named

Range = tuple[float, float]

_AT_ONCE = 1 << 20
# Pictures that use more than half of their 16 bits are measured against all of it, as those of 8 bits are.
_SMALL = 32767


def range_in_use(path: Path, store: PixelStore, layout: Layout) -> Range | None:
    """The least and the largest sample that is to be seen, of float pictures and of 16-bit ones that use half of their
    range at most; None for others.

    Raises :class:`MediaReadError` for pixels that are NaN or infinite.
    """
    if layout.sample_type not in ("f32", "u16"):
        return None
    low, high = np.inf, -np.inf
    step = max(1, _AT_ONCE // store.width)
    for top in range(0, store.height, step):
        samples, alpha = store.read(top, min(top + step, store.height))
        if layout.sample_type == "f32":
            samples = samples.astype(np.float32)
            if not np.isfinite(samples).all():
                raise MediaReadError(f"cannot read {named(path)}: it has pixels that are NaN or infinite")
        elif alpha is not None:
            samples = samples[alpha > 0]
        if samples.size:
            low, high = min(low, float(samples.min())), max(high, float(samples.max()))
        if layout.sample_type == "u16" and high - low > _SMALL:
            return None
    return (low, high) if low <= high else None
