"""16-bit pictures of few values in even areas, like labels: exact, since the next number means something else.

For the eye two of 65,536 values may be the same, for whoever numbered parts of a picture they are not; so no palette is
made smaller, and all of the picture goes into the overlay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nfcodec.entropy.ranking import Front, Ranker
from nfcodec.lattice.fit.palette import Draft
from nfcodec.lattice.fit.palette_search import Overlays
from nfcodec.lattice.palette import encode_overlay
from nfcodec.signal import Floats, SignalInfo

Codes = npt.NDArray[np.int64]

_MOST_VALUES = 256
# Of the pairs of neighbours; noise over few values is dear, and no drawing.
_EQUAL = 0.4
_FULL = 65535
_SOME_ROWS = 64


def label_overlays(values: Floats, info: SignalInfo, length: int) -> Overlays | None:
    """Overlays of all of a picture with values (h, w, C), one for each ``length`` rows; None for other pictures."""
    if info.modality != "image" or info.sample_type != "u16":
        return None
    # Most pictures have too many values in their first rows already.
    if len(np.unique(_codes(values[:_SOME_ROWS]))) > _MOST_VALUES:
        return None
    codes = _codes(values)
    if len(np.unique(codes)) > _MOST_VALUES or not _even(codes):
        return None
    drafts = tuple(_draft(codes[top : top + length], info.channels) for top in range(0, len(codes), length))
    return Overlays(drafts, np.ones(codes.shape, np.bool_))


def _codes(values: Floats) -> Codes:
    """One number per colour (h, w)."""
    deep = np.rint(np.clip(values, 0.0, 1.0) * np.float64(_FULL)).astype(np.int64)
    return deep[..., 0] if deep.shape[-1] == 1 else deep[..., 0] << 32 | deep[..., 1] << 16 | deep[..., 2]


def _even(codes: Codes) -> bool:
    pairs = np.concatenate([(codes[:, 1:] == codes[:, :-1]).ravel(), (codes[1:] == codes[:-1]).ravel()])
    return bool(pairs.mean() >= _EQUAL) if len(pairs) else True


def _draft(codes: Codes, channels: int) -> Draft:
    used, indices = np.unique(codes, return_inverse=True)
    nearest = indices.reshape(codes.shape).astype(np.int64) + 1
    shifts = (0,) if channels == 1 else (32, 16, 0)
    palette = np.stack([used >> shift & _FULL for shift in shifts], 1).astype(np.uint16)

    def choose(_: Ranker, front: Front) -> Codes:
        chosen: Codes = nearest[np.arange(front.top, front.bottom), front.x]
        return chosen

    payload, overlay = encode_overlay(palette, codes.shape, choose)
    return Draft(overlay, payload, np.zeros(codes.shape))
