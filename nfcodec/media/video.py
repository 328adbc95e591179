"""Videos, streamed from ffmpeg as frames of 8 bit with the times at which they are shown, and their sound untouched."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nfcodec.errors import MediaReadError, UnsupportedMediaError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.audio import open_sound_track
from nfcodec.media.ffmpeg import Child, complaint, input_url
from nfcodec.media.first_picture import FirstPicture, first_picture
from nfcodec.media.metadata import make_tags
from nfcodec.media.opening import check_size
from nfcodec.media.packets import Track, read_list, scan, shown_timing
from nfcodec.media.pixels import split_alpha
from nfcodec.media.probe import (
    Container,
    alpha_decoder,
    frame_size,
    is_turned,
    pixel_aspect,
    pixel_format,
    printed_rate,
    probe,
    source_options,
)
from nfcodec.media.reading import named, reading
from nfcodec.media.samples import dequantize
from nfcodec.media.sound import copy_track, lead_in
from nfcodec.media.timing import Timing, short
from nfcodec.media.video_losses import INTERLACED, field_order, losses
from nfcodec.signal import Block, Metadata, SignalInfo, Source

# Headers whose length was counted when the file was made; those of other containers are guesses of ffmpeg.
_COUNTED = ("mov", "matroska", "avi", "flv", "asf")
_SHORT = 0.5  # seconds, and
_SHARE = 0.05  # of the length, that may be missing without a word
_READ_AT_ONCE = 1 << 20
_PIXELS = {(1, False): "gray", (1, True): "ya8", (3, False): "rgb24", (3, True): "rgba"}
_ANY_BASE = Fraction(1, 90000)


def open_av(path: Path, demuxer: str, *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Open a media container: a video when it has moving pictures, a recording when it has only sound."""
    with reading(path):
        container = probe(path, demuxer)
        if any(s.kind == "video" and not s.cover for s in container.streams):
            return VideoSource(path, demuxer, container, limits)
        if any(s.kind == "audio" for s in container.streams):
            return open_sound_track(path, demuxer, limits=limits)
    raise UnsupportedMediaError(f"{named(path)} has neither pictures nor sound")


class VideoSource:
    """The first video stream of a container, every frame of it once.

    Length, rate and frame times are those of the packets until all frames were read, and of the frames from then on:
    ``info.rate`` is the number of frames by the length, and the tag ``durations`` tells the times where they are not
    even.
    """

    def __init__(self, path: Path, demuxer: str, container: Container, limits: Limits) -> None:
        self.warnings: list[str] = []
        self._path, self._limits = path, limits
        self._video = next(s for s in container.streams if s.kind == "video" and not s.cover)
        self._sound = next((s for s in container.streams if s.kind == "audio"), None)
        # ffmpeg refuses to list what it has no name for.
        self._heard = self._sound if self._sound and self._sound.codec != "none" else None
        self._input = source_options(path, demuxer, alpha_decoder(self._video))
        self._child: Child | None = None
        if min(frame_size(self._video)) > 0:
            check_size(frame_size(self._video), limits)
        self._scan = scan(path, demuxer, self._video, self._heard, container.seconds, limits)
        self._grey = pixel_format(self._video).startswith(("gray", "ya"))
        first = self._look()
        self._tags = {"sar": self._aspect()}
        self._describe(self._scan.timing, first.size, alpha=first.has_alpha and self._is_transparent())
        self.warnings += losses(container, self._video, self._sound)
        told = field_order(self._video)
        if first.interlaced if told is None else told:
            self.warnings.append(INTERLACED)
        self._note_missing_end(demuxer, container.seconds)

    def _describe(self, timing: Timing, size: tuple[int, int], *, alpha: bool) -> None:
        width, height = size
        self.info = SignalInfo(
            modality="video",
            shape=(max(1, timing.frames), height, width),
            channels=1 if self._grey else 3,
            sample_type="u8",
            alpha=alpha,
            rate=timing.rate,
        )
        times = None if timing.times is None else timing.times.text()
        self.metadata = Metadata(tags=make_tags(self._tags | {"durations": times}))

    def _look(self) -> FirstPicture:
        try:
            first = first_picture(self._input, self._video.index)
        except MediaReadError as error:
            why = str(error)
            if not why and not self._scan.timing.frames:
                raise MediaReadError(f"{named(self._path)} has no frames") from None
            raise MediaReadError(f"cannot read {named(self._path)}: {why or 'no frame can be decoded'}") from None
        check_size(first.size, self._limits)
        return first

    def _aspect(self) -> str | None:
        ratio = pixel_aspect(self._video)
        if is_turned(self._video):
            ratio = 1 / ratio
        return None if ratio == 1 else f"{ratio.numerator}:{ratio.denominator}"

    def _is_transparent(self) -> bool:
        """Whether any pixel is not opaque: many a file has an alpha plane and does not use it."""
        planes = ["-fps_mode", "passthrough", "-vf", "format=rgba,alphaextract,format=gray", "-f", "rawvideo", "pipe:1"]
        child = Child([*self._input, "-map", f"0:{self._video.index:d}", *planes])
        try:
            parts = (np.frombuffer(part, np.uint8) for part in iter(lambda: child.output.read(_READ_AT_ONCE), b""))
            first = next((part for part in parts if part.min() < 255), None)
            if first is None:
                return False
            # An alpha layer that fails to decode comes as zeros.
            nothing = not first.any() and not any(part.any() for part in parts)
            if nothing and child.process.wait() == 0 and (told := complaint(child.log())):
                self.warnings.append(f"alpha cannot be decoded and is left out (ffmpeg: {told})")
                return False
            return True
        finally:
            child.end()

    def _note_missing_end(self, demuxer: str, announced: float) -> None:
        end = self._scan.end
        if demuxer in _COUNTED and announced - end > max(_SHORT, _SHARE * announced) and end > 0:
            there = f"{end:.2f} of the {announced:.2f} s that its header announces are there"
            self.warnings.append(f"the file may be truncated: {there}")
        elif _is_cut_short(self._path, demuxer):
            self.warnings.append(f"the file is truncated: {end:.2f} s are there")

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` frames: values (n, H, W, C) in [0, 1], alpha (n, H, W)."""
        _, height, width = self.info.shape
        frame = (height, width, self.info.channels + self.info.alpha)
        size, total = int(np.prod(frame)), 0
        with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
            self._child = child = Child(self._decode(Path(folder)))
            try:
                while self._child and (data := child.output.read(size * rows)):
                    whole = len(data) // size
                    total += whole
                    self._limits.check("max_frames", total, "video with too many frames")
                    if whole:
                        yield self._block(np.frombuffer(data, np.uint8, whole * size).reshape(-1, *frame))
                self._finish(child, total, Path(folder))
            finally:
                child.end()

    def _block(self, frames: npt.NDArray[np.uint8]) -> Block:
        samples, alpha = split_alpha(frames, self.info.channels)
        return Block(dequantize(samples, "u8"), None if alpha is None else np.ascontiguousarray(alpha))

    def _decode(self, folder: Path) -> list[str]:
        """Frames to a pipe; to files in ``folder`` their times, and that of the first packet of the sound.

        All in one process, since ffmpeg counts time from the first of the streams that it reads.
        """
        base = self._scan.base or _ANY_BASE
        every = ["-map", f"0:{self._video.index:d}", "-fps_mode", "passthrough"]
        every += ["-enc_time_base", f"{base.numerator:d}/{base.denominator:d}"]
        # Frames of another size within one stream are scaled to the first by ffmpeg itself.
        size = f"{self.info.shape[2]:d}x{self.info.shape[1]:d}"
        pixels = _PIXELS[self.info.channels, self.info.alpha]
        command = [*self._input, *every, "-s", size, "-f", "rawvideo", "-pix_fmt", pixels, "pipe:1"]
        command += [*every, "-c:v", "wrapped_avframe", "-f", "framecrc", input_url(folder / "times")]
        if self._heard:
            first = ["-map", f"0:{self._heard.index:d}", "-frames:a", "1", "-c:a", "copy"]
            command += [*first, "-f", "framecrc", input_url(folder / "sound")]
        return command

    def _finish(self, child: Child, total: int, folder: Path) -> None:
        """Judge how ffmpeg ended, and correct length and times, once all of its output is read."""
        if self._child is None:  # closed meanwhile
            return
        code = child.process.wait()
        # As much as is there of a damaged file; but what was killed, or began with trouble, is no file's fault.
        if code < 0 or total == 0:
            raise MediaReadError(f"cannot read {named(self._path)}: {child.trouble()}")
        told = child.trouble() if code else complaint(child.log())
        if told:
            self.warnings.append(f"ffmpeg: {told}")
        shown = _listed(folder / "times", self._limits)
        timing = Timing(total, self.info.rate or self._scan.timing.rate)
        if len(shown.stamps) == total:
            last = self._scan.last if total == self._scan.timing.frames and shown.base == self._scan.base else 0
            timing = shown_timing(shown, printed_rate(self._video), last)
        self._tags |= {"sound_start": self._sound_start(shown, _listed(folder / "sound", self._limits))}
        self._describe(timing, (self.info.shape[2], self.info.shape[1]), alpha=self.info.alpha)

    def _sound_start(self, shown: Track, heard: Track) -> str | None:
        """Milliseconds from the first frame to the first sample that is heard; None where they start together."""
        if self._sound is None or shown.start is None or heard.start is None:
            return None
        late = heard.start - shown.start
        if heard.remarks.strip():
            late += lead_in(self._input, self._sound.index)
        text = short(float(late * 1000))
        return None if text in ("0", "-0") else text

    def sidecar(self) -> bytes:
        """The first sound track in a Matroska stream, its packets copied; empty when there is none."""
        if self._sound is None:
            return b""
        place = self._input, self._sound.index, self._limits.max_section, self._path
        track = copy_track(*place)
        if track is None:
            self.warnings.append(f"the sound ({self._sound.codec}) cannot be copied, it is converted to FLAC")
            track = copy_track(*place, convert=True)
        if track is None:
            self.warnings.append(f"dropped the sound ({self._sound.codec}): it cannot be read")
            return b""
        return track

    def close(self) -> None:
        """End ffmpeg; may be called twice."""
        child, self._child = self._child, None
        if child:
            child.end()


def _is_cut_short(path: Path, demuxer: str) -> bool:
    """Whether the number of bytes shows that the end is missing, in containers that do not tell their length."""
    size = path.stat().st_size
    if demuxer == "avi":
        with path.open("rb") as file:
            return int.from_bytes(file.read(8)[4:], "little") + 8 > size
    # Packets of a transport stream, without and with a time in front or a checksum behind.
    return demuxer == "mpegts" and all(size % packet for packet in (188, 192, 204))


def _listed(path: Path, limits: Limits) -> Track:
    """The first track of a list that ffmpeg wrote, empty where it wrote none."""
    if not path.is_file():
        return Track()
    with path.open("rb") as lines:
        return read_list(lines, limits).get(0, Track())
