"""Two ways to the samples of a recording: libsndfile on a stretch of the file, and ffmpeg over a pipe.

Both give samples in the units of their sample type, channels in the order of WAVE.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from nfcodec.media.ffmpeg import Child, complaint, run
from nfcodec.media.probe import Stream, read_summary, source_options
from nfcodec.media.reading import one_line, reason
from nfcodec.media.speakers import customary_mask, flac_mask, from_xiph, usable_mask
from nfcodec.media.window import Stretch, Window
from nfcodec.signal import SampleType

Samples = npt.NDArray[Any]

_TYPES: dict[str, SampleType] = {
    "PCM_U8": "u8", "PCM_S8": "i8", "PCM_24": "i24", "PCM_32": "i32", "FLOAT": "f32", "DOUBLE": "f64",
    "ALAC_20": "i24", "ALAC_24": "i24", "ALAC_32": "i32",
}  # fmt: skip
# Compressed with loss: decoders work in floats and may overshoot, so they are read as floats and clipped.
_LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
_NOTHING = "no sound can be decoded; the file is damaged, cut off, or not what it seems"
_MOST_FRAMES = 2**48  # what libsndfile says of a FLAC file without a length is more
# True of any file that cannot be read, or wrong.
_VAGUE = re.compile(
    r"unspecified internal error|file does not exist or is not a regular file|internal psf_|invalid data found"
    r"|^end of file$|format not recognised|system error",
    re.IGNORECASE,
)


class SoundReader(Protocol):
    """Samples of one recording, once from start to end.

    ``frames``: what the header says, None where it says nothing. ``mask``: loudspeakers, where they are known.
    """

    rate: int
    channels: int
    kind: SampleType
    mask: int | None
    frames: int | None

    def read(self, count: int) -> Samples:
        """The next samples (n, C), n ≤ ``count``, none at the end; raises nearly anything on damage."""
        ...

    def close(self) -> None:
        """Release what is open; may be called twice."""
        ...


Opener = Callable[[], SoundReader]


class SndfileReader:
    """What libsndfile reads of a file, or of a stretch of it. ``codec``: "vorbis", "opus" or "flac", whose channels
    have customary places where no ``mask`` says more, else "". ``order``: where each channel,
    in the order of WAVE, lies.
    """

    def __init__(
        self, path: Path, stretch: Stretch | None = None, codec: str = "", mask: int | None = None,
        order: tuple[int, ...] | None = None,
    ) -> None:  # fmt: skip
        import soundfile

        self._window = Window(path, stretch) if stretch else None
        try:
            # As bytes: the name need not be UTF-8.
            self.file: Any = soundfile.SoundFile(self._window or os.fsencode(path))
        except BaseException:
            self._close_window()
            raise
        self.rate, self.channels = int(self.file.samplerate), int(self.file.channels)
        self.kind: SampleType = _TYPES.get(self.file.subtype, "i16")
        self.frames: int | None = int(self.file.frames) if self.file.frames < _MOST_FRAMES else None
        if codec in ("vorbis", "opus"):
            order, mask = from_xiph(self.channels), customary_mask(self.channels)
        elif codec == "flac":
            mask = usable_mask(mask or 0, self.channels) or flac_mask(self.channels)
        self._order = order if order and len(order) == self.channels else None
        self.mask = usable_mask(mask or 0, self.channels)

    def read(self, count: int) -> Samples:
        """As stored; libsndfile delivers small integers in the high bits of wider ones."""
        samples = self._read(count)
        return samples if self._order is None else samples[:, self._order]

    def _read(self, count: int) -> Samples:
        kind = self.kind
        if kind.startswith("f"):
            return self._get(count, "float64" if kind == "f64" else "float32")
        if kind == "i16" and self.file.subtype in _LOSSY:
            # Values of the encoder are clipped here, so a rounding to 16 bits is not wanted yet.
            return _as_16_bit(self._get(count, "float32"))
        if kind in ("i24", "i32"):
            wide = self._get(count, "int32")
            return wide >> 8 if kind == "i24" else wide
        narrow = self._get(count, "int16")
        if kind == "i16":
            return narrow
        return (narrow >> 8) + (128 if kind == "u8" else 0)

    def _get(self, count: int, dtype: str) -> Samples:
        samples: Samples = self.file.read(count, dtype=dtype, always_2d=True)
        return samples

    def _close_window(self) -> None:
        if self._window:
            self._window.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        self._close_window()


def _as_16_bit(values: npt.NDArray[np.float32]) -> Samples:
    clipped: npt.NDArray[Any] = np.clip(values, -1.0, 1.0)
    return clipped * 32768.0


# -- ffmpeg ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Summary:
    """What ffmpeg says of a file: its streams, its length in seconds or None, its tags in the format "ffmetadata",
    and the number of its chapters. ``log``: all that it said."""

    streams: tuple[Stream, ...]
    seconds: float | None
    tags: str
    chapters: int
    log: str

    @property
    def sound(self) -> Stream | None:
        """The first sound track."""
        return next((s for s in self.streams if s.kind == "audio"), None)


# What ffmpeg may find in a recording: its demuxers that open no other file.
_FORMATS = ",".join((
    "aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "eac3", "flac", "flv", "matroska,webm",
    "mov,mp4,m4a,3gp,3g2,mj2", "mp3", "mpeg", "mpegts", "ogg", "tta", "w64", "wav", "wv",
))  # fmt: skip


def sound_options(path: Path, demuxer: str) -> list[str]:
    """ffmpeg's options that name a recording. A playlist, which no demuxer was named for, would make it read other
    files."""
    return ["-format_whitelist", _FORMATS, *source_options(path, demuxer)]


def summarize(path: Path, demuxer: str) -> Summary:
    """Ask ffmpeg what a file holds. Raises ``RuntimeError`` where there is no ffmpeg."""
    result = run([*sound_options(path, demuxer), "-f", "ffmetadata", "pipe:1"], level="info", timeout=60)
    # The second half of the log tells of the output.
    log = result.log.split("\nOutput #0")[0]
    found = read_summary(log)
    estimated = "Estimating duration from bitrate" in log
    tags = result.output.decode("utf-8", "replace")
    return Summary(tuple(found.streams), None if estimated else found.seconds or None, tags, found.chapters, log)


def track_rate(summary: Summary) -> int:
    """Samples per second of the first sound track, 0 where ffmpeg does not say."""
    match = re.search(r", (\d+) Hz", summary.sound.text) if summary.sound else None
    return int(match[1]) if match else 0


# By ffmpeg's sample format: sample type and codec of the pipe.
_PIPES: dict[SampleType, tuple[str, str]] = {
    "u8": ("pcm_u8", "u1"), "i16": ("pcm_s16le", "<i2"), "i24": ("pcm_s24le", "u1"), "i32": ("pcm_s32le", "<i4"),
    "f32": ("pcm_f32le", "<f4"), "f64": ("pcm_f64le", "<f8"),
}  # fmt: skip
_WIDTHS: dict[SampleType, int] = {"u8": 1, "i16": 2, "i24": 3, "i32": 4, "f32": 4, "f64": 8}


def _form(stream: Stream) -> tuple[SampleType, SampleType]:
    """The sample type of a track, and the one that is piped: floats where decoding with loss may overshoot."""
    match = re.search(r", (u8|s16|s32|s64|flt|dbl)p?(?: \((\d+) bit\))?(?=,|\s*$)", stream.text)
    form, bits = (match[1], int(match[2] or 32)) if match else ("s16", 16)
    if form in ("flt", "dbl"):
        exact = stream.codec.startswith("pcm_f") or stream.codec == "wavpack"
        return ("f64" if form == "dbl" else "f32",) * 2 if exact else ("i16", "f32")
    if form == "u8":
        return "u8", "u8"
    if form == "s16":
        return "i16", "i16"
    return ("i24",) * 2 if bits <= 24 else ("i32",) * 2


class FfmpegReader:
    """The first sound track of whatever ffmpeg reads; ``frames``: about how many samples it has.

    Raises ``ValueError`` with ffmpeg's reason.
    """

    def __init__(self, path: Path, demuxer: str, summary: Summary, frames: int) -> None:
        track = summary.sound
        if track is None:
            raise ValueError(complaint(summary.log) if not summary.streams else "it has no sound")
        self.kind, self._piped = _form(track)
        command = [*sound_options(path, demuxer), "-map", f"0:{track.index}", "-c:a", _PIPES[self._piped][0]]
        self._child = Child([*command, "-f", "wav", "-bitexact", "pipe:1"])
        try:
            self.channels, self.rate, mask = _wave_head(self._child.output)
        except EOFError:
            told = self._trouble()
            self.close()
            raise ValueError(told or _NOTHING) from None
        except BaseException:
            self.close()
            raise
        self.mask = usable_mask(mask, self.channels)
        self.frames: int | None = frames

    def _trouble(self) -> str:
        self._child.process.wait()
        return complaint(self._child.log())

    @property
    def said(self) -> str:
        """What ffmpeg complained of, once all is read."""
        return self._trouble()

    def read(self, count: int) -> Samples:
        """The next samples; a last one that is not whole is dropped."""
        frame = _WIDTHS[self._piped] * self.channels
        data = self._child.output.read(count * frame)
        raw = np.frombuffer(data[: len(data) // frame * frame], _PIPES[self._piped][1])
        if self._piped == "i24":
            return _from_24_bit(raw).reshape(-1, self.channels)
        samples = raw.reshape(-1, self.channels)
        if self.kind != self._piped:
            return _as_16_bit(samples)
        return samples.astype(np.int16) if self.kind == "u8" else samples

    def close(self) -> None:
        """End ffmpeg."""
        self._child.end()


def _from_24_bit(raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    wide = np.zeros((len(raw) // 3, 4), np.uint8)
    wide[:, 1:] = raw.reshape(-1, 3)
    samples: npt.NDArray[np.int32] = wide.view("<i4")[:, 0] >> 8
    return samples


def _wave_head(pipe: IO[bytes]) -> tuple[int, int, int]:
    """Channels, rate and channel mask of the WAV stream in ``pipe``, which is then at its first sample."""
    if len(pipe.read(12)) < 12:
        raise EOFError
    channels = rate = mask = 0
    while len(head := pipe.read(8)) == 8:
        if head[:4] == b"data":
            return channels, rate, mask
        body = pipe.read(int.from_bytes(head[4:], "little"))
        if head[:4] == b"fmt ":
            channels, rate = int.from_bytes(body[2:4], "little"), int.from_bytes(body[4:8], "little")
            mask = int.from_bytes(body[20:24], "little") if len(body) >= 40 else 0
    raise EOFError


def telling(*errors: BaseException | None) -> str:
    """The first of the reasons that says something."""
    texts = [one_line(re.sub(r"^Error opening .*?: (?=[A-Z])", "", reason(e))) for e in errors if e]
    return next((text for text in texts if text and not _VAGUE.search(text)), _NOTHING)


def packet_length(path: Path, demuxer: str, rate: int) -> int:
    """Samples of the first sound track by its packets, none of which is decoded; for files that do not say."""
    child = Child([*sound_options(path, demuxer), "-map", "0:a:0", "-c", "copy", "-f", "framecrc", "pipe:1"])
    total, base = 0, 1.0
    try:
        for line in child.output:
            if line.startswith(b"#tb"):
                with suppress(ValueError, ZeroDivisionError):
                    above, below = line.split()[-1].split(b"/")
                    base = int(above) / int(below)
            elif not line.startswith(b"#"):
                total += int(line.split(b",")[3])
    finally:
        child.end()
    return round(total * base * rate)
