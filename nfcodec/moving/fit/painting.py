"""Finds clips of few colours in even areas, and paints their pictures."""

from __future__ import annotations

import numpy as np

from nfcodec.entropy.ranking import Front, Ranker
from nfcodec.errors import InternalError
from nfcodec.lattice.palette import Overlay, decode_overlay, encode_overlay
from nfcodec.types import Indices, Ints, Mask

_MOST_COLOURS = 256
# Of the pairs of neighbours that must be equal; noise over few colours is dear, and no drawing.
_EQUAL = 0.5


def codes_of(samples: Ints) -> Indices:
    """One number per colour (…) of samples (…, C)."""
    code = np.zeros(samples.shape[:-1], np.int64)
    for channel in range(samples.shape[-1]):
        code = code << 8 | samples[..., channel].astype(np.int64)
    return code


def is_flat(samples: Ints, alpha: Ints | None) -> bool:
    """Whether frames uint8 (n, H, W, C) are made of few colours, where they are to be seen."""
    if samples.dtype != np.uint8:
        return False
    for i, frame in enumerate(samples):
        codes = codes_of(frame)
        seen = codes if alpha is None else codes[alpha[i] > 0]
        if len(np.unique(seen)) > _MOST_COLOURS or not _even(codes):
            return False
    return True


def _even(codes: Indices) -> bool:
    pairs = np.concatenate([(codes[:, 1:] == codes[:, :-1]).ravel(), (codes[1:] == codes[:-1]).ravel()])
    return len(pairs) == 0 or bool(pairs.mean() >= _EQUAL)


def overlay_of(samples: Ints, changed: Mask) -> tuple[bytes, Overlay]:
    """The payload, and the overlay that gives the ``changed`` samples (H, W) of a frame (H, W, C) their colours."""
    codes = codes_of(samples)
    used, first = np.unique(codes[changed], return_index=True)
    palette = samples[changed][first]
    indices = np.where(changed, np.searchsorted(used, codes) + 1, 0)

    def choose(_: Ranker, front: Front) -> Indices:
        return indices[np.arange(front.top, front.bottom), front.x]

    payload, overlay = encode_overlay(palette, codes.shape, choose)
    found = decode_overlay(payload, codes.shape, samples.shape[-1])
    if not np.array_equal(found.numbers(), overlay.numbers()):
        raise InternalError("a painted picture decodes to other colours")
    return payload, overlay
