"""Times of packets and frames, as ffmpeg's framecrc lists them: exact, in the time base of the stream."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from nfcodec.limits import Limits
from nfcodec.media.ffmpeg import Child, complaint
from nfcodec.media.probe import Stream, printed_rate, source_options
from nfcodec.media.timing import Ints64, Timing, judge

# ffmpeg's mark of a packet without a time.
_NO_TIME = -(2**63)
# ffmpeg tells lengths in hundredths of a second.
_ROUNDED = 0.02


@dataclass(slots=True)
class Track:
    """One stream of a list: presentation times and durations in units of ``base`` seconds, in the order of coding."""

    base: Fraction = Fraction(0)
    stamps: array[int] = field(default_factory=lambda: array("q"))
    durations: array[int] = field(default_factory=lambda: array("q"))
    remarks: bytes = b""

    @property
    def end(self) -> Fraction:
        """When the last of it ends, in seconds; 0 where no packet has a time."""
        ends = [t + d for t, d in zip(self.stamps, self.durations, strict=True) if t != _NO_TIME]
        return max(ends, default=0) * self.base

    @property
    def start(self) -> Fraction | None:
        """When the first packet that has a time begins, in seconds."""
        known = next((t for t in self.stamps if t != _NO_TIME), None)
        return None if known is None else known * self.base


def read_list(lines: Iterable[bytes], limits: Limits) -> dict[int, Track]:
    """The tracks of a list by number; the first may have ``max_frames`` entries. Lines of another form are skipped."""
    tracks: dict[int, Track] = {}
    for line in lines:
        if line.startswith(b"#tb "):
            number, _, base = line[4:].partition(b":")
            tracks.setdefault(int(number), Track()).base = Fraction(base.strip().decode())
            continue
        fields = line.split(b",")
        if line.startswith(b"#") or len(fields) < 5:
            continue
        track = tracks.setdefault(int(fields[0]), Track())
        if not track.stamps:
            track.remarks = b",".join(fields[6:])
        track.stamps.append(int(fields[2]))
        track.durations.append(int(fields[3]))
        if int(fields[0]) == 0:
            limits.check("max_frames", len(track.stamps), "video with too many frames")
    return tracks


@dataclass(frozen=True, slots=True)
class Scan:
    """All packets of a video and its sound, read without decoding them.

    ``timing``: of the frames. ``last``: units of ``base`` seconds that the last frame is shown, 0 where nobody says.
    ``end``: seconds from the start of the container to the end of the last packet. ``trouble``: what ffmpeg said.
    """

    timing: Timing
    base: Fraction
    last: int
    end: float
    trouble: str


def scan(path: Path, demuxer: str, video: Stream, sound: Stream | None, announced: float, limits: Limits) -> Scan:
    """Read every packet; raises when there are more than ``max_frames`` of the video.

    ``announced``: the length in seconds that the header tells.
    """
    streams = [video, sound] if sound else [video]
    maps = [word for s in streams for word in ("-map", f"0:{s.index:d}")]
    child = Child([*source_options(path, demuxer), *maps, "-c", "copy", "-f", "framecrc", "pipe:1"])
    try:
        tracks = read_list(child.output, limits)
        child.process.wait()
        trouble = complaint(child.log())
    finally:
        child.end()
    track, heard = tracks.get(0, Track()), tracks.get(1, Track())
    if sound and not track.stamps:
        return scan(path, demuxer, video, None, announced, limits)
    trusted = announced if demuxer == "mov" and not trouble and announced > heard.end + _ROUNDED else 0.0
    last = _last(track, trusted)
    return Scan(
        _packet_timing(track, last, printed_rate(video)), track.base, last, float(max(track.end, heard.end)), trouble
    )


def _last(track: Track, announced: float) -> int:
    """How long the frame is shown that is shown last; it need not be the one that is coded last."""
    stamps = np.asarray(track.stamps, np.int64)
    if not len(stamps) or (stamps == _NO_TIME).any():
        return 0
    at = int(stamps.argmax())
    told = track.durations[at]
    if at == len(stamps) - 1 or not announced:
        return told
    # In MP4 a packet has the time to the next one in the order of coding, so the end is known from the header alone.
    rest = announced - float(int(stamps[at]) * track.base)
    return told if abs(rest - float(told * track.base)) <= _ROUNDED or rest <= 0 else round(rest / track.base)


def _packet_timing(track: Track, last: int, printed: Fraction) -> Timing:
    """Timing out of packets, which come in the order of coding: what is true of frames that are all decoded."""
    stamps = np.asarray(track.stamps, np.int64)
    if not len(stamps) or (stamps == _NO_TIME).any():
        return Timing(len(stamps), printed)
    return judge(np.sort(stamps), track.base, last, printed)


def shown_timing(track: Track, printed: Fraction, last: int) -> Timing:
    """Timing out of decoded frames. ``last``: how long the last is shown where a packet says it, else 0."""
    stamps: Ints64 = np.maximum.accumulate(np.asarray(track.stamps, np.int64))
    return judge(stamps, track.base, last or (track.durations[-1] if track.durations else 0), printed)
