"""When the frames of a video are shown: real times, and whether a steady rate says the same."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nfcodec.signal import SignalInfo

Ints64 = npt.NDArray[np.int64]

_NS = 10**9
_DEFAULT_RATE = Fraction(25)
_NTSC = tuple(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240))
# A tag of a million frames must leave room for other metadata (Limits.max_metadata); it is made coarser before that.
_LONGEST_TEXT = 8 * 2**20


def short(number: float, digits: int = 6) -> str:
    """``number`` with at most so many digits after the point, and no zeros at its end."""
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """``edges`` (n + 1,), nanoseconds: frame i of n is shown from ``edges[i]`` to ``edges[i + 1]``; the first is 0."""

    edges: Ints64

    @classmethod
    def even(cls, count: int, rate: Fraction) -> FrameTimes:
        """``count`` frames at ``rate`` per second."""
        return cls(np.rint(np.arange(count + 1) * (_NS / float(rate))).astype(np.int64))

    @classmethod
    def of_durations(cls, milliseconds: tuple[float, ...]) -> FrameTimes:
        """Frames that last so long, one after the other."""
        ends = np.cumsum(np.asarray(milliseconds, np.float64))
        return cls(np.concatenate([[0], np.rint(ends * 1e6)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def seconds(self) -> Fraction:
        """The length."""
        return Fraction(int(self.edges[-1]), _NS)

    def ticks(self, tick: Fraction, *, least: int = 0) -> Ints64:
        """The edges in units of ``tick`` seconds, each off by half a unit at most.

        ``least``: units that every frame takes, for containers that hold no two frames of one time.
        """
        # Rounded edges rather than rounded durations, so that errors do not add up.
        rounded = np.rint(self.edges * (1 / (float(tick) * _NS))).astype(np.int64)
        order = np.arange(len(rounded)) * least
        return np.asarray(np.maximum.accumulate(rounded - order) + order, np.int64)

    def milliseconds(self, step: int = 1) -> tuple[int, ...]:
        """The durations of the frames in whole multiples of ``step`` ms."""
        return tuple(int(n) * step for n in np.diff(self.ticks(Fraction(step, 1000))))

    def text(self) -> str:
        """The durations in milliseconds, separated by commas, as the tag ``durations`` holds them."""
        for digits in (6, 3, 0):
            ends = np.round(self.edges / 1e6, digits)
            text = ",".join(short(ms, digits) for ms in np.diff(ends))
            if len(text) <= _LONGEST_TEXT:
                break
        return text

    def positions(self, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Times as positions among the frames: frame i covers [i, i + 1)."""
        return np.interp(seconds, self.edges / _NS, np.arange(len(self.edges), dtype=np.float64))

    def shown(self, seconds: npt.NDArray[np.float64]) -> Ints64:
        """The numbers of the frames that are shown at some times."""
        at = np.searchsorted(self.edges, np.rint(seconds * _NS).astype(np.int64), side="right") - 1
        return np.clip(at, 0, len(self) - 1).astype(np.int64)

    def cut(self, start: float, stop: float | None) -> tuple[int, int, FrameTimes]:
        """The part from ``start`` to ``stop`` seconds: its first frame, the one after its last, and their times."""
        a, end = round(start * _NS), int(self.edges[-1])
        b = end if stop is None else min(end, round(stop * _NS))
        first = int(self.shown(np.asarray([start]))[0])
        last = max(first + 1, int(np.searchsorted(self.edges[:-1], b, side="left")))
        return first, last, FrameTimes(np.clip(self.edges[first : last + 1], a, max(a, b)) - a)


@dataclass(frozen=True, slots=True)
class Timing:
    """``frames`` at ``rate`` per second, on average where ``times`` says when each is shown."""

    frames: int
    rate: Fraction
    times: FrameTimes | None = None


def frame_times(info: SignalInfo, recorded: tuple[float, ...]) -> FrameTimes:
    """When each output frame is shown: as recorded (ms) where that fits, evenly otherwise."""
    count = info.shape[0]
    if len(recorded) == count and count > 1 and any(recorded):
        return FrameTimes.of_durations(recorded)
    return FrameTimes.even(count, info.rate or _DEFAULT_RATE)


def snap(value: Fraction, tolerance: Fraction) -> Fraction:
    """The customary rate within ``tolerance`` of ``value``, or a simple fraction near it."""
    near = [rate for rate in (Fraction(round(value)), *_NTSC) if rate and abs(rate - value) <= tolerance]
    return min(near, key=lambda rate: abs(rate - value)) if near else value.limit_denominator(1001)


def judge(stamps: Ints64, base: Fraction, last: int, printed: Fraction) -> Timing:
    """Timing out of presentation times in order, in units of ``base`` seconds.

    ``last``: how long the last frame is shown, 0 where nobody knows. ``printed``: the rate that ffmpeg tells, which is
    all there is without usable times (raw streams, broken files).
    """
    count = len(stamps)
    span = int(stamps[-1] - stamps[0]) if count else 0
    if base <= 0 or not count or (count > 1 and span <= 0):
        return Timing(count, printed)
    starts = stamps - stamps[0]
    steps = np.diff(starts) if count > 1 else np.asarray([max(1, round(1 / (printed * base)))])
    # Some writers leave a token such as 1 there.
    last = last if last * 10 > steps.min() else int(steps[-1])
    step = Fraction(span, count - 1) if count > 1 else Fraction(int(steps[0]))
    for rate in _candidates(starts, base, step, printed):
        if _is_steady(starts, base, last, rate):
            return Timing(count, rate)
    edges = np.concatenate([starts, [span + last]])
    times = FrameTimes(np.rint(edges * float(base * _NS)).astype(np.int64))
    return Timing(count, plain_rate(count / ((span + last) * base)), times if count > 1 else None)


def plain_rate(rate: Fraction) -> Fraction:
    """``rate``, or one next to it of which numerator and denominator fit into 31 bits, as players hold them."""
    for most in (2**31 - 1, 10**6, 10**3, 1):
        near = rate.limit_denominator(most) if rate >= 1 else 1 / (1 / rate).limit_denominator(most)
        if max(near.numerator, near.denominator) < 2**31:
            return near
    return Fraction(2**31 - 1) if rate >= 1 else Fraction(1, 2**31 - 1)


def _candidates(starts: Ints64, base: Fraction, step: Fraction, printed: Fraction) -> list[Fraction]:
    average = 1 / (step * base)
    # The ends are rounded too: over the whole span the rate is uncertain by one unit in all.
    close = snap(average, average / max(1, int(starts[-1])) * 2)
    return [printed, close, average] if starts[-1] % max(1, len(starts) - 1) else [printed, average, close]


def _is_steady(starts: Ints64, base: Fraction, last: int, rate: Fraction) -> bool:
    """Whether the times are those of a steady rate, rounded to the base: so that none is off by over half a unit."""
    step = float(1 / (rate * base))
    off = starts - np.arange(len(starts)) * step
    return float(off.max() - off.min()) <= 1.0 + 1e-6 and abs(last - step) <= 1.5
