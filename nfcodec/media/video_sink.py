"""Videos as MP4 (H.264), Matroska (lossless FFV1) or WebM (VP9), written by ffmpeg."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np

from nfcodec.errors import MediaReadError, OutputError
from nfcodec.media.ffmpeg import Child, complaint, input_url, run
from nfcodec.media.probe import probe, source_options
from nfcodec.media.reading import named, reason
from nfcodec.media.samples import convert_alpha, quantize
from nfcodec.signal import Block, SignalInfo
from nfcodec.tags import Tags

_MUXER = {"mp4": "mp4", "mkv": "matroska", "webm": "webm"}
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

    MKV keeps every sample and alpha; MP4 and WebM are good but lossy copies for players.
    """

    def __init__(self, path: Path, info: SignalInfo, tags: Tags, sidecar: bytes, form: str) -> None:
        self.warnings: list[str] = []
        self._path, self._info, self._form = path, info, form
        self._alpha = info.alpha and form == "mkv"
        if info.alpha and not self._alpha:
            self.warnings.append(f"alpha dropped: {form} is written without it (mkv, png and npy keep it)")
        self._sound: Path | None = None
        self._codec: list[str] = []
        try:
            if sidecar:
                self._take_sound(sidecar)
            self._child = Child(self._command(tags), feed=True)
        except (OSError, RuntimeError) as error:
            self._forget_sound()
            raise OutputError(f"cannot write {named(path)}: {reason(error)}") from error

    def _command(self, tags: Tags) -> list[str]:
        _, height, width = self._info.shape
        rate = self._rate()
        form = "gray" if self._info.channels == 1 and not self._alpha else "rgba" if self._alpha else "rgb24"
        frames = ["-f", "rawvideo", "-pix_fmt", form, "-s", f"{width}x{height}"]
        frames += ["-r", f"{rate.numerator}/{rate.denominator}", "-i", "pipe:0"]
        sound = source_options(self._sound, "matroska") if self._sound else []
        maps = ["-map", "0:v:0", *(["-map", "1:a:0", *self._codec] if self._sound else [])]
        filters = self._filters(tags.pixel_aspect)
        output = ["-f", _MUXER[self._form], "-y", input_url(self._path)]
        return [*frames, *sound, *maps, *filters, *self._video_codec(), *output]

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
        speed = ["-deadline", "good", "-cpu-used", "5", "-row-mt", "1"]
        return ["-c:v", "libvpx-vp9", "-crf", "15", "-b:v", "0", *speed, "-pix_fmt", colour, *_BT709]

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
        codec = next((s.codec for s in probe(sound, "matroska") if s.kind == "audio"), None)
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
            self._child.input.write(np.ascontiguousarray(frames).data)
        except (OSError, ValueError) as error:
            raise self._failure() from error

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


def _store(sidecar: bytes) -> Path:
    """The sound track as a temporary file: ffmpeg's standard input is taken by the frames."""
    with tempfile.NamedTemporaryFile(suffix=".mka", delete=False) as file:
        file.write(sidecar)
    return Path(file.name)
