"""Where scenes begin, and which pictures of a group are anchors."""

from __future__ import annotations

import numpy as np

from nfcodec.moving.group import Anchor
from nfcodec.types import Floats

# Pictures from one anchor to the next.
STRIDE = 8
# Of values: how far a picture must be from the one before it, at 1/8 of its size, and how many times as far as that
# from its own, for a new scene.
_LEAST, _TIMES, _REDUCED = 0.05, 4.0, 8


def reduced(frame: Floats) -> Floats:
    """A small luma (h, w) of a frame (H, W, C)."""
    luma = frame.mean(-1)
    steps = [min(n, _REDUCED) for n in luma.shape]
    h, w = (n // s for n, s in zip(luma.shape, steps, strict=True))
    whole = luma[: h * steps[0], : w * steps[1]].reshape(h, steps[0], w, steps[1])
    return np.asarray(whole.mean((1, 3)), np.float32)


def cuts(small: list[Floats]) -> list[int]:
    """Which of these small pictures begin a scene, the first one not among them."""
    steps = [float(np.abs(a - b).mean()) for a, b in zip(small, small[1:], strict=False)]
    found = []
    for i, step in enumerate(steps):
        beside = steps[max(0, i - 2) : i] + steps[i + 1 : i + 3]
        if step > _LEAST and step > _TIMES * float(np.median(beside or [0.0])):
            found.append(i + 1)
    return found


def anchors(length: int, scenes: list[int], *, goes_on: bool, stride: int = STRIDE) -> list[Anchor]:
    """The anchors of a group of ``length`` pictures, in which ``scenes`` begin; one at ``length`` is that of the next
    group, if it ``goes_on``."""
    starts = sorted({0, *(s for s in scenes if 0 < s < length)})
    found: list[Anchor] = []
    for start, stop in zip(starts, [*starts[1:], length], strict=True):
        found.append(Anchor(start, True))
        found += [Anchor(at, False) for at in range(start + stride, stop, stride)]
        open_end = stop == length and goes_on and length not in scenes
        if not open_end and found[-1].at != stop - 1:
            found.append(Anchor(stop - 1, False))
    return found
