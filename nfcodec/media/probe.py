"""What is inside a media container: streams from ffmpeg's summary, times from the packets themselves.

ffmpeg prints a frame rate with two decimals and an estimate of the length. Reading all packets without
decoding them costs little and gives the number of frames, the exact rate, and whether it varies.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from nfcodec.errors import MediaReadError
from nfcodec.limits import Limits
from nfcodec.media.ffmpeg import Child, complaint, input_url, run
from nfcodec.media.reading import named

_STREAM = re.compile(r"^\s*Stream #0:(\d+).*?: (Video|Audio|Subtitle|Data|Attachment): (.*)$")
_NTSC = tuple(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240))
_DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream: its number, its kind in lower case, and ffmpeg's description of it."""

    index: int
    kind: str
    text: str

    @property
    def codec(self) -> str:
        """The codec's name."""
        return re.split(r"[ ,]", self.text, maxsplit=1)[0]

    @property
    def cover(self) -> bool:
        """Whether this is a picture attached to a recording."""
        return "(attached pic)" in self.text


@dataclass(frozen=True, slots=True)
class Timing:
    """``frames``: packets of the stream; ``rate``: frames per second; ``steady``: whether it never varies."""

    frames: int
    rate: Fraction
    steady: bool


def probe(path: Path, demuxer: str) -> list[Stream]:
    """The streams of a container; raises :class:`MediaReadError` when ffmpeg cannot open it."""
    result = run([*source_options(path, demuxer)], level="info", timeout=60)
    streams = find_streams(result.log)
    if not streams:
        raise MediaReadError(f"cannot read {named(path)}: {complaint(result.log) or 'no streams'}")
    return streams


def find_streams(log: str) -> list[Stream]:
    """The streams of which ffmpeg tells in its log."""
    found = map(_STREAM.match, log.splitlines())
    return [Stream(int(match[1]), match[2].lower(), match[3]) for match in found if match]


def source_options(path: Path, demuxer: str) -> list[str]:
    """ffmpeg's options that name an input, closed to everything but local files."""
    container = ["-f", demuxer] if demuxer else []
    return ["-protocol_whitelist", "file,pipe", *container, "-i", input_url(path)]


def frame_size(stream: Stream) -> tuple[int, int]:
    """Width and height as coded, before any turning; (0, 0) when ffmpeg does not say."""
    match = re.search(r"(?:^|[\s,])(\d{1,6})x(\d{1,6})(?=[\s,\[]|$)", stream.text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def pixel_aspect(stream: Stream) -> Fraction:
    """The width of one pixel divided by its height."""
    match = re.search(r"\bSAR (\d+):(\d+)", stream.text)
    return Fraction(int(match[1]), int(match[2])) if match and int(match[1]) and int(match[2]) else Fraction(1)


def pixel_format(stream: Stream) -> str:
    """ffmpeg's name of the pixel format, for example "yuv420p10le"."""
    parts = re.split(r", (?![^(]*\))", stream.text)
    return re.split(r"[( ]", parts[1])[0] if len(parts) > 1 else ""


def printed_rate(stream: Stream) -> Fraction:
    """The rate in ffmpeg's summary, completed to the fraction that it stands for."""
    match = re.search(r"([\d.]+)(k?) (?:fps|tbr)", stream.text)
    if not match:
        return _DEFAULT_RATE
    value = Fraction(match[1]) * (1000 if match[2] else 1)
    return snap(value, Fraction(6, 1000)) if value > 0 else _DEFAULT_RATE


def snap(value: Fraction, tolerance: Fraction) -> Fraction:
    """The customary rate within ``tolerance`` of ``value``, or a simple fraction near it."""
    near = [rate for rate in (Fraction(round(value)), *_NTSC) if rate and abs(rate - value) <= tolerance]
    return min(near, key=lambda rate: abs(rate - value)) if near else value.limit_denominator(1001)


def read_timing(path: Path, demuxer: str, stream: Stream, limits: Limits) -> Timing:
    """Read every packet of ``stream``; raises when there are more than ``max_frames``."""
    command = [*source_options(path, demuxer), "-map", f"0:{stream.index}", "-c", "copy", "-copyts"]
    child = Child([*command, "-f", "framecrc", "pipe:1"])
    base, stamps = Fraction(0), np.zeros(1024, np.int64)
    count = 0
    try:
        for line in child.output:
            if line.startswith(b"#tb"):
                base = Fraction(line.split()[-1].decode())
            elif not line.startswith(b"#"):
                limits.check("max_frames", count + 1, "video with too many frames")
                if count == len(stamps):
                    stamps = np.concatenate([stamps, np.zeros_like(stamps)])
                stamps[count] = int(line.split(b",")[2])
                count += 1
    finally:
        child.end()
    return _timing(np.sort(stamps[:count]), base, printed_rate(stream))


def _timing(stamps: np.ndarray[tuple[int], np.dtype[np.int64]], base: Fraction, printed: Fraction) -> Timing:
    """Timing out of sorted presentation times in units of ``base`` seconds."""
    steps = np.diff(stamps)
    span = int(stamps[-1] - stamps[0]) if len(stamps) > 1 else 0
    if span <= 0 or base <= 0 or int(steps.min()) <= 0:
        # Without usable times (raw streams, broken files) the printed rate is all there is.
        return Timing(len(stamps), printed, True)
    # Times are rounded to the base, so steps of a steady rate differ by one unit at most.
    steady = int(steps.max() - steps.min()) <= 1
    if steady and steps.min() == steps.max():
        return Timing(len(stamps), 1 / (int(steps[0]) * base), True)
    average = Fraction(len(steps)) / (span * base)
    if steady:
        # The ends are rounded too: over the whole span the rate is uncertain by one unit in all.
        return Timing(len(stamps), snap(average, average / span * 2), True)
    common = Counter(steps.tolist()).most_common(1)[0][0]
    return Timing(len(stamps), snap(average, average / 200) if average > 0 else 1 / (common * base), False)
