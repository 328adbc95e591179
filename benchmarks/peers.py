"""The codecs that nfc is measured against, each behind the same two calls on real files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import soundfile
from machine import checked
from PIL import Image

Encode = Callable[[Path, Path, int], float]
Decode = Callable[[Path, Path], tuple[Path, float]]


@dataclass(frozen=True)
class Peer:
    """A codec.

    ``encode(source, output, quality)`` gives seconds; ``decode(coded, output)`` gives the file to compare
    and seconds. ``quality`` is the codec's own scale: quality, kbit/s or CRF. ``aligns``: the codec may
    shift the sound by a whole number of samples, which the comparison takes back. ``looks``: fewer qualities, in the
    range where pictures look fair to good, for scores that take long. ``options``: what Pillow's save takes besides the
    quality, for images.
    """

    name: str
    note: str
    suffix: str
    decoded_suffix: str
    qualities: tuple[int, ...]
    encode: Encode
    decode: Decode
    aligns: bool = field(default=False)
    looks: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def ffmpeg(*arguments: str | Path) -> list[str]:
    """A command line for the ffmpeg that comes with imageio-ffmpeg."""
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]


# --- images: in process, through Pillow ----------------------------------------------------------------


def _save_image(options: dict[str, Any], source: Path, output: Path, quality: int) -> float:
    if output.suffix == ".jxl":
        import pillow_jxl  # noqa: F401 (registers its format with Pillow)
    with Image.open(source) as image:
        image.load()
        started = time.perf_counter()
        image.save(output, quality=quality, **options)
        return time.perf_counter() - started


def _load_image(coded: Path, output: Path) -> tuple[Path, float]:
    started = time.perf_counter()
    with Image.open(coded) as image:
        image.load()
        seconds = time.perf_counter() - started
        image.convert("RGB").save(output, compress_level=1)
    return output, seconds


def _image_peer(
    name: str, note: str, suffix: str, qualities: tuple[int, ...], looks: tuple[int, ...], **options: Any
) -> Peer:  # fmt: skip
    save = partial(_save_image, options)
    return Peer(name, note, suffix, ".png", qualities, save, _load_image, looks=looks, options=options)


_AVIF_QUALITIES = (15, 25, 35, 45, 55, 65, 75, 85, 90)
_AVIF0_QUALITIES = (15, 25, 35, 45, 55, 75, 88)  # fewer: each takes twenty seconds
_JPEG_QUALITIES = (3, 6, 10, 20, 35, 50, 65, 80, 90, 94)

_WEBP_QUALITIES = (1, 8, 20, 40, 60, 75, 85, 92, 96, 98)
_JXL_QUALITIES = (5, 15, 30, 45, 60, 75, 85, 91, 95)
_AVIF_LOOKS, _JPEG_LOOKS = (30, 42, 55, 70, 85), (20, 40, 65, 85, 92)
_WEBP_LOOKS, _JXL_LOOKS = (15, 45, 75, 88, 94), (30, 50, 70, 83, 91)
# AVIF is tuned for the eye unless told otherwise (libavif 1.4): each tune belongs into the table of its own measure.
_AVIF: dict[str, Any] = {"speed": 6, "subsampling": "4:4:4"}

IMAGE_PEERS = (
    _image_peer("jpeg", "Pillow, optimized, 4:2:0", ".jpg", _JPEG_QUALITIES, _JPEG_LOOKS, optimize=True),
    _image_peer("jpeg444", "Pillow, optimized, 4:4:4", ".jpg", _JPEG_QUALITIES, _JPEG_LOOKS, optimize=True,
                subsampling=0),
    _image_peer("webp", "Pillow, method 6", ".webp", _WEBP_QUALITIES, _WEBP_LOOKS, method=6),
    _image_peer("jxl", "pillow-jxl-plugin, effort 7", ".jxl", _JXL_QUALITIES, _JXL_LOOKS, effort=7),
    _image_peer("avif", "Pillow, speed 6, 4:4:4", ".avif", _AVIF_QUALITIES, _AVIF_LOOKS, **_AVIF),
    _image_peer("avif-psnr", "Pillow, speed 6, 4:4:4, tune=psnr", ".avif", _AVIF_QUALITIES, _AVIF_LOOKS, **_AVIF,
                advanced={"tune": "psnr"}),
    _image_peer("avif0", "Pillow, speed 0, 4:4:4", ".avif", _AVIF0_QUALITIES, _AVIF_LOOKS, speed=0,
                subsampling="4:4:4"),
)  # fmt: skip


# --- sound: command-line tools, kbit/s as quality -------------------------------------------------------


def _lame(source: Path, output: Path, quality: int) -> float:
    # lame would lower the sample rate by itself at low rates; then nothing could be compared.
    rate = f"{soundfile.info(source).samplerate / 1000:g}"
    options = ["--quiet", "-h", "--noreplaygain", "-b", str(quality), "--resample", rate]
    return checked(["lame", *options, source, output]).seconds


def _unlame(coded: Path, output: Path) -> tuple[Path, float]:
    return output, checked(["lame", "--quiet", "--decode", coded, output]).seconds


def _opusenc(source: Path, output: Path, quality: int) -> float:
    options = ["--quiet", "--padding", "0", "--discard-comments", "--discard-pictures"]
    return checked(["opusenc", *options, "--bitrate", str(quality), source, output]).seconds


def _opusdec(coded: Path, output: Path) -> tuple[Path, float]:
    rate = _opus_input_rate(coded)
    return output, checked(["opusdec", "--quiet", "--no-dither", "--rate", str(rate), coded, output]).seconds


def _opus_input_rate(coded: Path) -> int:
    """The original sample rate, kept for information in the OpusHead packet."""
    head = coded.read_bytes()[:256]
    at = head.index(b"OpusHead")
    return int.from_bytes(head[at + 12 : at + 16], "little")


def _aac(source: Path, output: Path, quality: int) -> float:
    return checked(ffmpeg("-i", source, "-c:a", "aac", "-b:a", f"{quality}k", output)).seconds


def _unaac(coded: Path, output: Path) -> tuple[Path, float]:
    return output, checked(ffmpeg("-i", coded, "-c:a", "pcm_s16le", output)).seconds


MP3_SPEECH, MP3_MUSIC = (16, 24, 32, 48, 64, 96, 128), (48, 64, 96, 128, 160, 192, 256, 320)
OPUS_SPEECH, OPUS_MUSIC = (8, 12, 16, 24, 32, 48, 64, 96), (24, 32, 48, 64, 96, 128, 192, 256, 320)


def audio_peers(low_rate: bool) -> tuple[Peer, ...]:
    """MP3, Opus and AAC; ``low_rate`` chooses the rates for narrow signals such as speech at 16 kHz."""
    mp3, opus = (MP3_SPEECH, OPUS_SPEECH) if low_rate else (MP3_MUSIC, OPUS_MUSIC)
    return (
        Peer("mp3", "lame -h, constant rate", ".mp3", ".wav", mp3, _lame, _unlame, aligns=True),
        Peer("opus", "opusenc, variable rate", ".opus", ".wav", opus, _opusenc, _opusdec, aligns=True),
        Peer("aac", "ffmpeg's own, constant rate", ".m4a", ".wav", opus, _aac, _unaac, aligns=True),
    )


# --- video: x264 and x265 through ffmpeg, CRF as quality -------------------------------------------------


def _x264(extra: tuple[str, ...], source: Path, output: Path, quality: int) -> float:
    options = ["-an", "-c:v", "libx264", "-preset", "medium", *extra, "-crf", str(quality)]
    return checked(ffmpeg("-i", source, "-fps_mode", "passthrough", *options, output)).seconds


def _x264_decode(coded: Path, _: Path) -> tuple[Path, float]:
    """Time a plain decode; the comparison reads the coded file through the same decoder."""
    return coded, checked(ffmpeg("-i", coded, "-fps_mode", "passthrough", "-f", "null", "-")).seconds


def _stream(codec: str, interval: int, source: Path, output: Path, quality: int) -> float:
    """A bare stream without its messages, a picture of its own every ``interval`` pictures at least."""
    params, messages = ("-x264-params", "6") if codec == "libx264" else ("-x265-params", "39-40")
    options = ["-an", "-c:v", codec, "-preset", "medium", "-tune", "psnr", "-crf", str(quality)]
    options += [params, f"keyint={interval}:min-keyint=1", "-bsf:v", f"filter_units=remove_types={messages}"]
    return checked(ffmpeg("-i", source, "-fps_mode", "passthrough", *options, output)).seconds


_CRF = (18, 22, 26, 30, 34, 38, 42, 46, 50)

VIDEO_PEERS = (
    Peer("x264", "preset medium", ".mp4", ".mp4", _CRF, partial(_x264, ()), _x264_decode),
    Peer("x264psnr", "preset medium, tune psnr", ".mp4", ".mp4", _CRF, partial(_x264, ("-tune", "psnr")), _x264_decode),
    Peer("x264-32", "preset medium, tune psnr, keyint 32, bare", ".264", ".264", _CRF,
         partial(_stream, "libx264", 32), _x264_decode),
    Peer("x265-32", "preset medium, tune psnr, keyint 32, bare", ".265", ".265", _CRF,
         partial(_stream, "libx265", 32), _x264_decode),
)
