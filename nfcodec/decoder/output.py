"""The grid of samples that the options of a decode ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nfcodec.container.layout import Header
from nfcodec.coords import sample_positions
from nfcodec.errors import OptionError
from nfcodec.media.timing import FrameTimes
from nfcodec.options import DecodeOptions
from nfcodec.resample import density
from nfcodec.signal import SignalInfo
from nfcodec.types import Positions


def signal_of(header: Header) -> SignalInfo:
    """What the header says of the signal."""
    return SignalInfo(
        header.modality, header.shape, header.channels, header.sample_type,  # type: ignore[arg-type]
        header.alpha, header.rate, header.value_range,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AxisGrid:
    """One axis of the output: ``n`` samples of [start, stop) in native samples, each from ``k`` field samples.

    ``at``: gives the native positions [first, last), in order, where they are not evenly spaced.
    """

    start: float
    stop: float
    n: int
    k: int
    at: Callable[[int, int], Positions] | None = None

    @property
    def positions(self) -> Positions:
        """Where the field is sampled: (n·k,) native positions."""
        if self.at is not None:
            return self.at(0, self.n * self.k)
        return sample_positions(self.start, self.stop, self.n * self.k)

    def between(self, first: int, last: int) -> Positions:
        """The part [first, last) of :attr:`positions`, the same to the last bit."""
        if self.at is not None:
            return self.at(first, last)
        index = np.arange(first, last, dtype=np.float64)
        return self.start + (index + 0.5) * ((self.stop - self.start) / (self.n * self.k))


def output_grid(info: SignalInfo, options: DecodeOptions, times: FrameTimes | None = None) -> tuple[AxisGrid, ...]:
    """The grid that the options ask for. :class:`OptionError` where an option does not fit the signal.

    ``times``: of the frames of a video, where they are not even.
    """
    spans = _spans(info, options, times)
    scales = _scales(info, options, spans)
    grids = []
    for axis, ((start, stop), scale) in enumerate(zip(spans, scales, strict=True)):
        n = max(1, _whole((stop - start) * scale))
        in_time = info.modality == "video" and axis == 0
        k = 1 if in_time else density(n / (stop - start))
        grids.append(AxisGrid(start, stop, n, k))
    if times is not None and options.fps is not None:
        grids[0] = _resampled(times, options.time, options.fps)
    return tuple(grids)


def _resampled(times: FrameTimes, time: tuple[float, float | None] | None, fps: float) -> AxisGrid:
    """Frames at an even rate out of uneven ones: each is the one that is shown at the middle of its time.

    A pause is a frame that stands still, so nothing is interpolated across it.
    """
    start, stop = _seconds(times, time)
    n = max(1, _whole((stop - start) * fps))

    def at(first: int, last: int) -> Positions:
        middles = start + (np.arange(first, last, dtype=np.float64) + 0.5) / fps
        return np.asarray(times.shown(middles) + 0.5, np.float64)

    return AxisGrid(float(at(0, 1)[0]) - 0.5, float(at(n - 1, n)[0]) + 0.5, n, 1, at)


def _seconds(times: FrameTimes, time: tuple[float, float | None] | None) -> tuple[float, float]:
    end = float(times.seconds)
    if time is None:
        return 0.0, end
    if time[0] >= end:
        raise OptionError(f"time {time[0]} s starts after the end ({end:.3f} s)")
    return time[0], end if time[1] is None else min(end, time[1])


@dataclass(frozen=True, slots=True)
class Part:
    """A range of time: ``start`` to ``stop`` seconds, and when its frames are shown, None where that is even."""

    start: float
    stop: float
    times: FrameTimes | None


def output_part(info: SignalInfo, options: DecodeOptions, times: FrameTimes | None) -> Part:
    """What part of a video or a recording the options ask for."""
    if times is None:
        (start, stop), rate = _spans(info, options, None)[0], float(info.rate or 1)
        return Part(start / rate, stop / rate, None)
    start, stop = _seconds(times, options.time)
    shown = None if options.fps is not None else times.cut(start, stop)[2] if options.time is not None else times
    return Part(start, stop, shown)


def _whole(x: float) -> int:
    """``x`` rounded; a number that is over every limit stands for infinity."""
    return round(min(x, 2.0**100))


def _spans(info: SignalInfo, options: DecodeOptions, times: FrameTimes | None) -> list[tuple[float, float]]:
    spans = [(0.0, float(n)) for n in info.shape]
    if options.crop is not None:
        if info.modality == "audio" or len(info.shape) < 2:
            raise OptionError(f"crop needs a picture, a video or an array of two axes, this is {info.modality}")
        x, y, w, h = options.crop
        height, width = info.shape[-2:]
        if x + w > width or y + h > height:
            raise OptionError(f"crop {x},{y},{w},{h} reaches outside {width}x{height}")
        spans[-2:] = [(float(y), float(y + h)), (float(x), float(x + w))]
    if options.time is not None:
        spans[0] = _time_span(info, options.time) if times is None else _frame_span(times, options.time)
    return spans


def _frame_span(times: FrameTimes, time: tuple[float, float | None]) -> tuple[float, float]:
    first, stop, _ = times.cut(*_seconds(times, time))
    return float(first), float(stop)


def _time_span(info: SignalInfo, time: tuple[float, float | None]) -> tuple[float, float]:
    if info.rate is None:
        raise OptionError(f"a time range needs sound or video, this is {info.modality}")
    rate, n = float(info.rate), info.shape[0]
    start = _whole(time[0] * rate)
    stop = n if time[1] is None else min(n, _whole(time[1] * rate))
    if start >= n:
        raise OptionError(f"time {time[0]} s starts after the end ({n / rate:.3f} s)")
    return float(start), float(max(stop, start + 1))


def _scales(info: SignalInfo, options: DecodeOptions, spans: list[tuple[float, float]]) -> list[float]:
    scales = [1.0] * len(spans)
    spatial = info.modality in ("image", "video")
    if options.scale is not None:
        if info.modality == "audio":
            raise OptionError("scale needs a picture, a video or an array; use rate for sound")
        first = len(spans) - 2 if spatial else 0
        scales[first:] = [options.scale] * (len(spans) - first)
    if options.size is not None:
        if not spatial:
            raise OptionError(f"size needs a picture or a video, this is {info.modality}")
        scales[-2:] = _size_scales(options.size, [b - a for a, b in spans[-2:]])
    for name, kind in (("rate", "audio"), ("fps", "video")):
        value = getattr(options, name)
        if value is not None:
            if info.modality != kind or info.rate is None:
                raise OptionError(f"{name} needs {kind}, this is {info.modality}")
            scales[0] = value / float(info.rate)
    return scales


def _size_scales(size: tuple[int, int], span: list[float]) -> list[float]:
    width, height = (min(n, 2**100) for n in size)
    sy, sx = height / span[0], width / span[1]
    return [sy or sx, sx or sy]
