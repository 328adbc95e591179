"""Small previews as PNG files, decoded at the small size."""

from __future__ import annotations

import os
import time

from PIL import Image

from nfcodec.decoder import Decoder
from nfcodec.errors import MediaReadError, OptionError, UnsupportedMediaError
from nfcodec.files import PathLike, input_file, output_file
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.image_sink import to_pillow
from nfcodec.media.samples import quantize_block
from nfcodec.options import DecodeOptions, DecodeResult
from nfcodec.plugins.pictures import reduced_picture
from nfcodec.plugins.shapes import step_for

# Decoded at least so many times larger, then reduced smoothly.
_GAP = 2.0


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
            image = _small(Decoder(file, limits=limits, inits=(init,) if init else ()), size)
        image.save(temporary, "PNG")
        written = temporary.stat().st_size
    return DecodeResult(
        input=os.fspath(source), output=os.fspath(output), shape=image.size[::-1], bytes=written,
        seconds=time.monotonic() - began,
    )  # fmt: skip


def _small(decoder: Decoder, size: int) -> Image.Image:
    info = decoder.info
    if info.modality not in ("image", "video"):
        raise UnsupportedMediaError(f"thumbnails are of pictures and videos, this is {info.modality}")
    height, width = info.shape[-2:]
    scale = min(1.0, size / width, size / height)
    wanted = max(1, round(width * scale)), max(1, round(height * scale))
    if info.modality == "video":
        return _first_frame(decoder).resize(wanted, Image.Resampling.LANCZOS)
    step = step_for((width, height), (_GAP * wanted[0], _GAP * wanted[1]))
    image, _ = reduced_picture(decoder, step, eight=True)
    # The last squares of the reduced picture may be parts of one.
    return image.resize(wanted, Image.Resampling.LANCZOS, box=(0, 0, width / step, height / step))


def _first_frame(decoder: Decoder) -> Image.Image:
    (block, *_) = decoder.blocks(DecodeOptions(time=(0.0, 1e-9)))
    return to_pillow(quantize_block(block.values[0], "u8"), "u8")
