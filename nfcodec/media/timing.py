"""Frame times of animations."""

from __future__ import annotations

from fractions import Fraction

from nfcodec.media.metadata import tag
from nfcodec.signal import Metadata, SignalInfo


def frame_times(info: SignalInfo, metadata: Metadata) -> tuple[float, ...]:
    """The time of each output frame in ms: the recorded ones when they fit, even times otherwise."""
    count = info.shape[0]
    recorded = _recorded(tag(metadata, "durations") or "")
    if len(recorded) == count and count > 1:
        return recorded
    step = Fraction(1000) / (info.rate or Fraction(25))
    # Rounded ends rather than rounded steps, so that errors do not add up.
    ends = [round(step * i) for i in range(count + 1)]
    return tuple(float(b - a) for a, b in zip(ends, ends[1:]))  # noqa: B905 (pairs of neighbours)


def _recorded(text: str) -> tuple[float, ...]:
    """Times from a tag; it may come from a file that somebody edited, so nonsense counts as absent."""
    try:
        times = tuple(float(v) for v in text.split(",")) if text else ()
    except ValueError:
        return ()
    return times if all(0 <= ms < 1e9 for ms in times) else ()
