"""Small previews as PNG files, decoded at the small size."""

from __future__ import annotations

import os
import time

from nfcodec.container.reader import Reader
from nfcodec.errors import MediaReadError, OptionError
from nfcodec.files import PathLike, input_file, output_file
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.options import DecodeResult


def thumbnail(
    source: PathLike, output: PathLike, *, size: int = 256, force: bool = False, init: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> DecodeResult:  # fmt: skip
    """Write a PNG of a picture, or of the first frame of a video, that fits in ``size`` × ``size`` pixels.

    It is never larger than the picture, and has 8 bits per sample. ``-`` is a standard stream. Raises
    :class:`OptionError` for an impossible size, :class:`UnsupportedMediaError` for sound and arrays, and what
    :func:`nfcodec.decode` does.
    """
    if not 1 <= size <= limits.max_dimension:
        raise OptionError(f"size {size} is outside 1…{limits.max_dimension}")
    began = time.monotonic()
    with input_file(source) as path, output_file(output, force=force) as temporary:
        try:
            file = path.open("rb")
        except OSError as error:
            raise MediaReadError(f"cannot read {path}: {error.strerror}") from error
        with file:
            Reader(file, limits=limits)  # what is no such file is refused before anything heavy is loaded
            file.seek(0)
            from nfcodec.decoder import Decoder
            from nfcodec.plugins.pictures import small_picture

            image = small_picture(Decoder(file, limits=limits, inits=(init,) if init else ()), size)
        image.save(temporary, "PNG")
        written = temporary.stat().st_size
    return DecodeResult(
        input=os.fspath(source), output=os.fspath(output), shape=image.size[::-1], bytes=written,
        seconds=time.monotonic() - began,
    )  # fmt: skip
