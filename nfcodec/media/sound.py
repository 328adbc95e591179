"""The sound track of a video: taken out of it with its packets as they are, and cut to a range of time."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nfcodec.errors import LimitError, MediaReadError
from nfcodec.limits import DEFAULT_LIMITS
from nfcodec.media.ffmpeg import Child, input_url, run
from nfcodec.media.packets import Track, read_list
from nfcodec.media.probe import probe, source_options
from nfcodec.media.reading import named

# Bit-exact: no date and no random identifier, so that equal input gives equal bytes.
_MATROSKA = ("-fflags", "+bitexact", "-f", "matroska")
_LIST = ("-f", "framecrc", "pipe:1")
# Cut exactly, since nothing is lost when they are made anew; other codecs are cut between packets.
_EXACT = re.compile(r"flac|alac|pcm_[a-z0-9]{2,9}")


def copy_track(source: Sequence[str], index: int, bound: int, path: Path, *, convert: bool = False) -> bytes | None:
    """Stream ``index`` of an input as a Matroska stream, or None where that cannot be made.

    ``source``: ffmpeg's options that name the input. ``convert``: to FLAC. Raises :class:`LimitError` over ``bound``
    bytes.
    """
    command = [*source, "-map", f"0:{index:d}", "-map_metadata", "-1", "-c:a", "flac" if convert else "copy"]
    child = Child([*command, *_MATROSKA, "pipe:1"])
    try:
        track = child.output.read(bound + 1)
        _check(len(track), bound, path)
        if child.process.wait() == 0 and track:
            return track
    finally:
        child.end()
    return None if convert else _copy_through_file(command, bound, path)


def _copy_through_file(command: Sequence[str], bound: int, path: Path) -> bytes | None:
    """As :func:`copy_track`: what AAC of a transport stream needs in the header is known at its end."""
    with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
        file = Path(folder) / "sound.mka"
        result = run([*command, "-fs", f"{bound + 1:d}", *_MATROSKA, "-y", input_url(file)])
        if result.code != 0 or not file.is_file() or not file.stat().st_size:
            return None
        _check(file.stat().st_size, bound, path)
        return file.read_bytes()


def _check(size: int, bound: int, path: Path) -> None:
    if size > bound:
        message = f"the sound track of {named(path)} is over the limit max_section = {bound} bytes"
        raise LimitError(message, hint="leave it out with --strip sound")


def lead_in(source: Sequence[str], index: int) -> Fraction:
    """Seconds from the first packet to the first sample that is heard: codecs start with some that are not."""
    start = ["-map", f"0:{index:d}", "-frames:a", "1"]
    packet = _first(run([*source, *start, "-c", "copy", *_LIST]).output)
    sample = _first(run([*source, *start, "-c:a", "pcm_s16le", *_LIST]).output)
    return max(Fraction(0), sample - packet) if packet is not None and sample is not None else Fraction(0)


def _first(text: bytes) -> Fraction | None:
    return read_list(text.splitlines(), DEFAULT_LIMITS).get(0, Track()).start


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a sound track; ``start``: milliseconds that it begins after the pictures."""

    track: bytes
    start: float


def cut_track(track: bytes, sound_start: float, start: float, stop: float) -> Cut | None:
    """The sound of the pictures from ``start`` to ``stop`` seconds, an empty track where it is silent there; None where
    ffmpeg cannot cut it.

    ``sound_start``: milliseconds that the whole track begins after the pictures.
    """
    late = sound_start / 1000
    if stop <= late:
        return Cut(b"", 0.0)
    # After the input: ffmpeg then reads from the start, and needs no index.
    skip = ["-ss", f"{start - late:.6f}"] if start > late else []
    limits = [*skip, "-t", f"{stop - max(start, late):.6f}"]
    with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
        whole, part = Path(folder) / "whole.mka", Path(folder) / "part.mka"
        whole.write_bytes(track)
        codec = track_codec(whole)
        if codec is None:
            return None
        how = codec if _EXACT.fullmatch(codec) else "copy"
        output = ("-map", "0:a:0", "-c:a", how, *_MATROSKA, "-y", input_url(part))
        result = run([*source_options(whole, "matroska"), *limits, *output])
        if result.code != 0 or not part.is_file():
            return None
        first = ("-frames:a", "1", "-c:a", "pcm_s16le", *_LIST)
        heard = _first(run(["-copyts", *source_options(part, "matroska"), *first]).output)
        if heard is None:
            return Cut(b"", 0.0)
        return Cut(part.read_bytes(), 1000 * (max(0.0, late - start) + float(heard)))


def track_codec(path: Path) -> str | None:
    """ffmpeg's name of the codec of a sound track, None where it is damaged."""
    try:
        streams = probe(path, "matroska").streams
    except MediaReadError:
        return None
    return streams[0].codec if streams[0].kind == "audio" else None
