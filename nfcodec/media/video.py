"""Videos, streamed from ffmpeg as RGB frames of 8 bit, with their first sound track untouched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nfcodec.errors import LimitError, MediaReadError, UnsupportedMediaError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.audio import open_sound_track
from nfcodec.media.ffmpeg import Child, complaint, run
from nfcodec.media.metadata import make_tags
from nfcodec.media.opening import check_size
from nfcodec.media.probe import (
    Stream,
    Timing,
    frame_size,
    pixel_aspect,
    pixel_format,
    probe,
    read_timing,
    source_options,
)
from nfcodec.media.reading import named, reading
from nfcodec.media.samples import dequantize
from nfcodec.signal import Block, Metadata, SignalInfo, Source

_ALPHA = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16", "pal8")


def open_av(path: Path, demuxer: str, *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Open a media container: a video when it has moving pictures, a recording when it has only sound."""
    with reading(path):
        streams = probe(path, demuxer)
        if any(s.kind == "video" and not s.cover for s in streams):
            return VideoSource(path, demuxer, streams, limits)
        if any(s.kind == "audio" for s in streams):
            return open_sound_track(path, demuxer, limits=limits)
    raise UnsupportedMediaError(f"{named(path)} has neither pictures nor sound")


class VideoSource:
    """The first video stream of a container.

    ``info.shape[0]`` counts the packets of the stream until all frames were read, the frames from then on.
    """

    def __init__(self, path: Path, demuxer: str, streams: list[Stream], limits: Limits) -> None:
        self.warnings: list[str] = []
        self._path, self._limits = path, limits
        self._input = source_options(path, demuxer)
        self._video = next(s for s in streams if s.kind == "video" and not s.cover)
        self._sound = next((s for s in streams if s.kind == "audio"), None)
        self._child: Child | None = None
        self._check_size(frame_size(self._video))
        self._timing = read_timing(path, demuxer, self._video, limits)
        self._pixels, channels = ("gray", 1) if pixel_format(self._video).startswith("gray") else ("rgb24", 3)
        width, height = self._measure()
        self.info = SignalInfo(
            modality="video",
            shape=(max(1, self._timing.frames), height, width),
            channels=channels,
            sample_type="u8",
            rate=self._timing.rate,
        )
        self.metadata = Metadata(tags=make_tags({"sar": self._aspect((width, height))}))
        self._note_losses(streams, self._timing)

    def _check_size(self, size: tuple[int, int]) -> None:
        if min(size) > 0:
            check_size(size, self._limits)

    def _measure(self) -> tuple[int, int]:
        """Width and height after turning, from the header of a decoded first frame."""
        command = [*self._input, "-map", f"0:{self._video.index}", "-frames:v", "1", "-pix_fmt", "rgb24"]
        result = run([*command, "-c:v", "ppm", "-f", "image2pipe", "pipe:1"], timeout=60)
        fields = result.output[:64].split(maxsplit=3)
        if len(fields) < 3 or fields[0] != b"P6":
            why = complaint(result.log) or "no frame can be decoded"
            raise MediaReadError(f"cannot read {named(self._path)}: {why}")
        size = int(fields[1]), int(fields[2])
        check_size(size, self._limits)
        return size

    def _aspect(self, size: tuple[int, int]) -> str | None:
        ratio = pixel_aspect(self._video)
        width, height = frame_size(self._video)
        if size == (height, width) and width != height:
            ratio = 1 / ratio  # turned by a quarter
        return None if ratio == 1 else f"{ratio.numerator}:{ratio.denominator}"

    def _note_losses(self, streams: list[Stream], timing: Timing) -> None:
        taken = {self._video.index, self._sound.index if self._sound else -1}
        kinds = [s.kind for s in streams if s.index not in taken and s.kind != "data"]
        for kind in sorted(set(kinds)):
            self.warnings.append(f"dropped {kinds.count(kind)} {kind} stream{'s' if kinds.count(kind) > 1 else ''}")
        form = pixel_format(self._video)
        if any(form.endswith(tail) for tail in ("9le", "10le", "12le", "14le", "16le", "10be", "12be", "16be")):
            self.warnings.append(f"more than 8 bits per colour ({form}) are reduced to 8")
        if form.startswith(_ALPHA):
            self.warnings.append("dropped the alpha channel of the video")
        if "smpte2084" in self._video.text or "arib-std-b67" in self._video.text:
            self.warnings.append("high dynamic range is taken as it is coded, without tone mapping")
        if not timing.steady:
            self.warnings.append(f"the frame rate varies: frames are repeated or left out for {float(timing.rate):g}/s")

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` frames: values (n, H, W, C) in [0, 1]."""
        _, height, width = self.info.shape
        frame = (height, width, self.info.channels)
        size, total = int(np.prod(frame)), 0
        self._child = child = Child(self._decode())
        try:
            while self._child and (data := child.output.read(size * rows)):
                if len(data) % size:
                    raise MediaReadError(f"cannot read {named(self._path)}: the stream ends within a frame")
                total += len(data) // size
                self._limits.check("max_frames", total, "video with too many frames")
                samples: npt.NDArray[np.uint8] = np.frombuffer(data, np.uint8).reshape(-1, *frame)
                yield Block(dequantize(samples, "u8"))
            self._finish(child, total)
        finally:
            child.end()

    def _decode(self) -> list[str]:
        rate = self._timing.rate
        timing = ["-fps_mode", "passthrough"]
        if not self._timing.steady:
            timing = ["-fps_mode", "cfr", "-r", f"{rate.numerator}/{rate.denominator}"]
        # Frames of another size within one stream are scaled to the first by ffmpeg itself.
        size = f"{self.info.shape[2]}x{self.info.shape[1]}"
        sound = ["-map", f"0:{self._video.index}", *timing, "-s", size]
        return [*self._input, *sound, "-f", "rawvideo", "-pix_fmt", self._pixels, "pipe:1"]

    def _finish(self, child: Child, total: int) -> None:
        """Judge how ffmpeg ended, once all of its output is read."""
        if self._child is None:  # closed meanwhile
            return
        code = child.process.wait()
        if code != 0 or total == 0:
            raise MediaReadError(f"cannot read {named(self._path)}: {child.trouble()}")
        told = complaint(child.log())
        if told:
            self.warnings.append(f"ffmpeg: {told}")
        self.info = replace(self.info, shape=(total, *self.info.shape[1:]))

    def sidecar(self) -> bytes:
        """The first sound track in a Matroska stream, its packets copied; empty when there is none."""
        if self._sound is None:
            return b""
        track = self._copy_sound(["-c:a", "copy"])
        if track is None:
            self.warnings.append(f"the sound ({self._sound.codec}) cannot be copied, it is converted to FLAC")
            track = self._copy_sound(["-c:a", "flac"])
        if track is None:
            self.warnings.append(f"dropped the sound ({self._sound.codec}): it cannot be read")
            return b""
        return track

    def _copy_sound(self, codec: list[str]) -> bytes | None:
        assert self._sound is not None
        bound = self._limits.max_section
        command = [*self._input, "-map", f"0:{self._sound.index}", "-map_metadata", "-1", *codec]
        # Bit-exact: no date and no random identifier, so that equal input gives equal bytes.
        child = Child([*command, "-fflags", "+bitexact", "-f", "matroska", "pipe:1"])
        try:
            track = child.output.read(bound + 1)
            if len(track) > bound:
                message = f"the sound track of {named(self._path)} is over the limit max_section = {bound} bytes"
                raise LimitError(message, hint="leave it out with --strip sound")
            return track if child.process.wait() == 0 and track else None
        finally:
            child.end()

    def close(self) -> None:
        """End ffmpeg; may be called twice."""
        child, self._child = self._child, None
        if child:
            child.end()
