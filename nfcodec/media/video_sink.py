"""Videos as MP4 (H.264), Matroska (lossless FFV1) or WebM (VP9), written by ffmpeg."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nfcodec.errors import MediaReadError, OutputError
from nfcodec.media.ffmpeg import Child, complaint, input_url, run
from nfcodec.media.probe import source_options
from nfcodec.media.raw_stream import RawStream
from nfcodec.media.reading import named, reason
from nfcodec.media.samples import convert_alpha, quantize
from nfcodec.media.sound import track_codec
from nfcodec.media.timing import FrameTimes, frame_times
from nfcodec.signal import Block, SignalInfo
from nfcodec.tags import Tags

_MUXER = {"mp4": "mp4", "mkv": "matroska", "webm": "webm"}
# Matroska counts milliseconds; 1/90000 s holds whole milliseconds and the frames of all customary rates.
_TICK = {"mp4": Fraction(1, 90000), "mkv": Fraction(1, 1000), "webm": Fraction(1, 1000)}
# An MP4 counts the ticks of one frame in 31 bits, which are 6 hours of the fine ones.
_LONGEST = 2**31 - 1
_COARSE = Fraction(1, 1000)
# Sound that a container takes as it is; anything else is converted with a warning.
_SOUND = {"mp4": ("aac", "mp3", "opus", "ac3", "eac3", "flac", "alac", "mp2"), "webm": ("opus", "vorbis")}
_CONVERT = {"mp4": ["-c:a", "aac", "-b:a", "256k"], "webm": ["-c:a", "libopus", "-b:a", "160k"]}
_SLOWEST, _FASTEST = Fraction(1, 1000), Fraction(1000)
# Say which matrix turns the pixels into YUV, and mark it, so that players turn them back alike.
_BT709 = [
    "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
]  # fmt: skip


class VideoSink:
    """Takes blocks (n, H, W, C) in [0, 1]; ``sidecar`` is a sound track from :meth:`Source.sidecar`.

    MKV keeps every sample and alpha; MP4 and WebM are good but lossy copies for players, MP4 without alpha.
    """

    def __init__(self, path: Path, info: SignalInfo, tags: Tags, sidecar: bytes, form: str) -> None:
        self.warnings: list[str] = []
        self._path, self._info, self._form = path, info, form
        self._alpha = info.alpha and form in ("mkv", "webm")
        self._late = Fraction(tags.sound_start / 1000).limit_denominator(10**6) if sidecar else Fraction(0)
        self._tick = _TICK[form]
        self._times = self._given_times(tags)
        self._note_losses(tags)
        self._sound: Path | None = None
        self._codec: list[str] = []
        self._stream: RawStream | None = None
        try:
            if sidecar:
                self._take_sound(sidecar)
            self._child = Child(self._command(tags), feed=True)
        except (OSError, RuntimeError) as error:
            self._forget_sound()
            raise OutputError(f"cannot write {named(path)}: {reason(error)}") from error
        if self._times is not None:
            depth = {"gray": 1, "rgb24": 3, "rgba": 4}[self._pixels]
            edges = self._times.edges
            self._stream = RawStream(self._child.input, edges, info.shape[2], info.shape[1], depth)

    def _given_times(self, tags: Tags) -> FrameTimes | None:
        """When frames are shown, or None where they are even and the first is shown at once."""
        if len(tags.durations) != self._info.shape[0] and self._late >= 0:
            return None
        times = frame_times(self._info, tags.durations)
        if np.diff(times.ticks(self._tick)).max() > _LONGEST:
            self._tick = _COARSE
        ticks = times.ticks(self._tick, least=1)
        return FrameTimes(np.rint(ticks * float(self._tick * 10**9)).astype(np.int64))

    def _note_losses(self, tags: Tags) -> None:
        if self._info.alpha and not self._alpha:
            self.warnings.append(f"alpha dropped: {self._form} is written without it (mkv, webm, png and npy keep it)")
        if tags.animation and tags.loop != 1:
            often = f"{tags.loop} times" if tags.loop else "for ever"
            self.warnings.append(f"it plays once, not {often}: {self._form} cannot say how often")

    @property
    def _pixels(self) -> str:
        return "gray" if self._info.channels == 1 and not self._alpha else "rgba" if self._alpha else "rgb24"

    def _command(self, tags: Tags) -> list[str]:
        sound = [*_begin(self._late), *source_options(self._sound, "matroska")] if self._sound else []
        maps = ["-map", "0:v:0", *(["-map", "1:a:0", *self._codec] if self._sound else [])]
        filters = self._filters(tags.pixel_aspect)
        output = ["-f", _MUXER[self._form], "-y", input_url(self._path)]
        return [*self._frames(), *sound, *maps, *filters, *self._video_codec(), *self._exact_times(), *output]

    def _frames(self) -> list[str]:
        """ffmpeg's options of the pictures that come through the pipe."""
        if self._times is not None:
            return [*_begin(-self._late), "-f", "matroska", "-i", "pipe:0"]
        _, height, width = self._info.shape
        rate = self._rate()
        frames = ["-f", "rawvideo", "-pix_fmt", self._pixels, "-s", f"{width:d}x{height:d}"]
        return [*frames, "-r", f"{rate.numerator:d}/{rate.denominator:d}", "-i", "pipe:0"]

    def _exact_times(self) -> list[str]:
        if self._times is None:
            return []
        tick = self._tick
        exact = ["-fps_mode", "passthrough", "-enc_time_base", f"{tick.numerator:d}/{tick.denominator:d}"]
        # With B-frames the durations in an MP4 are those of the order of coding, which readers take for the times.
        return [*exact, "-video_track_timescale", f"{tick.denominator:d}", "-bf", "0"] if self._form == "mp4" else exact

    def _filters(self, aspect: Fraction | None) -> list[str]:
        chain = [] if self._form == "mkv" else ["scale=out_color_matrix=bt709:out_range=tv"]
        if aspect:
            # Two integers: text of a file in a filter graph could name any filter, and those write and read files.
            chain.append(f"setsar={aspect.numerator:d}/{aspect.denominator:d}")
        return ["-vf", ",".join(chain)] if chain else []

    def _video_codec(self) -> list[str]:
        _, height, width = self._info.shape
        # 4:2:0 halves both sides; odd pictures keep full colour instead of a border.
        colour = "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"
        if self._form == "mkv":
            exact = "bgra" if self._alpha else "gray" if self._info.channels == 1 else "bgr0"
            return ["-c:v", "ffv1", "-level", "3", "-g", "1", "-slicecrc", "1", "-pix_fmt", exact]
        if self._form == "mp4":
            fast = ["-movflags", "+faststart"]
            return ["-c:v", "libx264", "-crf", "10", "-preset", "fast", "-pix_fmt", colour, *_BT709, *fast]
        if self._alpha:
            # The only layout with alpha that the encoder takes; it holds alpha in no frame that is not shown.
            colour = "yuva420p"
        hidden = ["-auto-alt-ref", "0"] if self._alpha else []
        speed = ["-deadline", "good", "-cpu-used", "5", "-row-mt", "1"]
        return ["-c:v", "libvpx-vp9", "-crf", "15", "-b:v", "0", *speed, *hidden, "-pix_fmt", colour, *_BT709]

    def _rate(self) -> Fraction:
        """Frames per second within what containers hold: Matroska counts milliseconds."""
        rate = Fraction(self._info.rate or 25)
        shown = min(max(rate, _SLOWEST), _FASTEST)
        if shown != rate:
            self.warnings.append(f"the frame rate {float(rate):g}/s is written as {float(shown):g}/s")
        return shown.limit_denominator(1_000_000)

    def _take_sound(self, sidecar: bytes) -> None:
        """Keep the sound for ffmpeg, if it can be written: a damaged one must not spoil the pictures."""
        self._sound = _store(sidecar)
        try:
            self._codec = self._sound_codec(self._sound)
            why = self._trial(self._sound)
        except MediaReadError:
            why = "it cannot be read"
        if why:
            self._forget_sound()
            self.warnings.append(f"sound dropped: {why}")

    def _trial(self, sound: Path) -> str:
        """Why the sound alone cannot be written to this container; "" when it can."""
        place = sound.with_suffix(".trial")
        try:
            output = ["-f", _MUXER[self._form], "-y", input_url(place)]
            result = run([*source_options(sound, "matroska"), "-map", "0:a:0", *self._codec, *output])
            return "" if result.code == 0 else complaint(result.log) or f"ffmpeg failed with code {result.code}"
        finally:
            place.unlink(missing_ok=True)

    def _sound_codec(self, sound: Path) -> list[str]:
        codec = track_codec(sound)
        if codec is None:
            raise MediaReadError(f"{named(sound)} has no sound")
        if codec in _SOUND.get(self._form, (codec,)):
            return ["-c:a", "copy"]
        chosen = _CONVERT[self._form]
        self.warnings.append(f"the sound is converted from {codec} to {chosen[1]}: {self._form} cannot hold it")
        return chosen

    def write(self, block: Block) -> None:
        """Take the next frames."""
        frames = quantize(block.values, self._info)
        if self._alpha and block.alpha is not None:
            if self._info.channels == 1:
                frames = np.repeat(frames, 3, axis=-1)
            frames = np.concatenate([frames, convert_alpha(block.alpha, "u8")[..., None]], axis=-1)
        try:
            self._feed(frames)
        except (OSError, ValueError) as error:
            raise self._failure() from error

    def _feed(self, frames: npt.NDArray[np.uint8]) -> None:
        if self._stream is not None:
            self._stream.write(frames)
        else:
            self._child.input.write(np.ascontiguousarray(frames).data)

    def _failure(self) -> OutputError:
        self._child.process.wait()
        return OutputError(f"cannot write {named(self._path)}: {self._child.trouble()}")

    def close(self) -> None:
        """Wait until ffmpeg has finished the file."""
        try:
            with suppress(OSError):  # a broken pipe: the exit code says more
                self._child.input.close()
            if self._child.process.wait() != 0:
                raise self._failure()
        finally:
            self.abort()

    def abort(self) -> None:
        """End ffmpeg and forget the sound; may be called twice."""
        self._child.end()
        self._forget_sound()

    def _forget_sound(self) -> None:
        if self._sound:
            with suppress(OSError):
                self._sound.unlink()
            self._sound = None


def _begin(late: Fraction) -> list[str]:
    """ffmpeg's options for an input that begins so many seconds after the other; it counts both from 0 otherwise."""
    return ["-itsoffset", f"{float(late):.6f}"] if late > 0 else []


def _store(sidecar: bytes) -> Path:
    """The sound track as a temporary file: ffmpeg's standard input is taken by the frames."""
    with tempfile.NamedTemporaryFile(suffix=".mka", delete=False) as file:
        file.write(sidecar)
    return Path(file.name)
