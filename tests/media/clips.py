"""Clips whose frames are known by their brightness, and how ffmpeg itself reads a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nfcodec.media.ffmpeg import run

from .helpers import ffmpeg

# Frames of a clip in the order of time: the brightness tells which one it is.
LEVELS = tuple(range(24, 232, 16))

# Starts of the frames in milliseconds, and the end: ten ways in which time passes.
PATTERNS: dict[str, tuple[float, ...]] = {
    "even": tuple(40.0 * i for i in range(9)),
    "ntsc": tuple(i * 1001 / 30 for i in range(11)),
    "pause": (0, 40, 80, 120, 1320, 1360, 1400, 1440),
    "two rates": (0, 33.333, 66.667, 100, 150, 200, 250, 300),
    "first is long": (0, 1900, 1916.667, 1933.333, 1950, 1966.667),
    "last is long": (0, 50, 100, 150, 200, 2200),
    "jitter": (0, 31, 70, 98, 137, 160, 201, 240),
    "faster and faster": (0, 400, 700, 900, 1000, 1050, 1075, 1085),
    "slides": (0, 3000, 5000, 5500, 9000),
    "very fast": tuple(8.333 * i for i in range(10)) + (175.0,),
}


@dataclass
class Shown:
    """What ffmpeg shows: ``times`` in seconds and ``levels``, the mean brightness of every frame."""

    times: np.ndarray
    levels: np.ndarray


def make_clip(path: Path, pattern: tuple[float, ...], *codec: str) -> None:
    """A video whose frames are shown as ``pattern`` (milliseconds) says, by way of a lossless one."""
    count = len(pattern) - 1
    ticks = [round(ms * 90) for ms in pattern]
    level = "+".join(f"eq(N,{i})*{LEVELS[i]}" for i in range(count))
    time = "+".join(f"eq(N,{i})*{tick}" for i, tick in enumerate(ticks[:-1]))
    span = "+".join(f"eq(N,{i})*{b - a}" for i, (a, b) in enumerate(zip(ticks, ticks[1:], strict=False)))
    picture = f"nullsrc=s=16x16:r=25:d={count / 25},format=gray,geq=lum='{level}',format=yuv420p,settb=1/90000"
    exact = ("-fps_mode", "passthrough", "-enc_time_base", "1/90000")
    whole = path.with_suffix(".whole.mov")
    # Durations of packets: of those of a codec without B-frames, so that their order is that of the frames.
    ffmpeg("-f", "lavfi", "-i", f"{picture},setpts='{time}'", *exact, "-c:v", "ffv1", "-video_track_timescale", "90000",
           "-bsf:v", f"setts=duration='{span}'", str(whole))  # fmt: skip
    ffmpeg("-i", str(whole), *exact, *codec, str(path))
    whole.unlink()


def shown(path: Path, *options: str) -> Shown:
    """Times and brightness of all frames, as ffmpeg's filter showinfo tells them."""
    # Relative to the start of the container, whichever stream that is.
    command = [*options, "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    log = run([*command, "-vf", "format=yuvj420p,showinfo", "-f", "null", "-"], level="info").log
    lines = [line for line in log.splitlines() if "Parsed_showinfo" in line and " pts_time:" in line]
    times = [float(re.search(r"pts_time:(\S+)", line)[1]) for line in lines]
    levels = [float(re.search(r"mean:\[(\d+)", line)[1]) for line in lines]
    return Shown(np.array(times), np.array(levels))


def length(path: Path) -> float:
    """The end of the last packet of the pictures, in seconds from the start of the first."""
    listed = run(["-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]).output.decode()
    base = [float(eval(line.split()[-1])) for line in listed.splitlines() if line.startswith("#tb")][0]
    packets = [list(map(int, line.split(",")[2:4])) for line in listed.splitlines() if not line.startswith("#")]
    starts = [p[0] for p in packets]
    return (max(sum(p) for p in packets) - min(starts)) * base


def sound_start(path: Path) -> float:
    """When the first sample of the sound is heard, in seconds from the start of the first picture."""
    log = run(["-copyts", "-i", str(path), "-map", "0:a:0", "-frames:a", "1", "-af", "ashowinfo", "-f", "null", "-"],
              level="info").log  # fmt: skip
    heard = float(re.search(r"pts_time:(\S+)", log)[1])
    return heard - shown(path, "-copyts").times[0]
