"""The first picture of a video as its decoder gives it, which knows more than the header of the container."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nfcodec.errors import MediaReadError
from nfcodec.media.ffmpeg import complaint, run
from nfcodec.media.probe import is_alpha_format

_TOLD = re.compile(r"^\[Parsed_showinfo.*\bn: *0 .*\bfmt:(\S+).* i:([PTB]) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FirstPicture:
    """``size``: width and height after turning. ``form``: ffmpeg's name of its pixel format. ``interlaced``: whether
    its two fields are of different times."""

    size: tuple[int, int]
    form: str
    interlaced: bool

    @property
    def has_alpha(self) -> bool:
        """Whether there is an alpha plane. HEVC has it in a layer of its own, of which no container tells."""
        return is_alpha_format(self.form)


def first_picture(source: Sequence[str], index: int) -> FirstPicture:
    """Decode the first frame of stream ``index``; ``source``: ffmpeg's options that name the input.

    Raises :class:`MediaReadError` with ffmpeg's reason, which may be empty.
    """
    # The bytes of a PPM say what size it has once it is turned upright.
    shown = ["-map", f"0:{index:d}", "-frames:v", "1", "-vf", "showinfo", "-pix_fmt", "rgb24"]
    command = [*source, *shown, "-c:v", "ppm", "-f", "image2pipe", "pipe:1"]
    result = run(command, level="info", timeout=60)
    fields, told = result.output[:64].split(maxsplit=3), _TOLD.search(result.log)
    if len(fields) < 3 or fields[0] != b"P6" or not told:
        again = run(command, timeout=60)
        ended = f"ffmpeg was ended by signal {-again.code}" if again.code < 0 else ""
        raise MediaReadError(complaint(again.log) or ended)
    return FirstPicture((int(fields[1]), int(fields[2])), told[1], told[2] != "P")
