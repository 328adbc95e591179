"""Frame times of animations."""

from __future__ import annotations

from fractions import Fraction

from nfcodec.signal import SignalInfo


def frame_times(info: SignalInfo, recorded: tuple[float, ...]) -> tuple[float, ...]:
    """The time of each output frame in ms: the recorded ones when they fit, even times otherwise."""
    count = info.shape[0]
    if len(recorded) == count and count > 1:
        return recorded
    step = Fraction(1000) / (info.rate or Fraction(25))
    # Rounded ends rather than rounded steps, so that errors do not add up.
    ends = [round(step * i) for i in range(count + 1)]
    return tuple(float(b - a) for a, b in zip(ends, ends[1:]))  # noqa: B905 (pairs of neighbours)
