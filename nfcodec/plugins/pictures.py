"""Decoded pictures as Pillow images, at their own size or reduced."""

from __future__ import annotations

import numpy as np
from PIL import Image

from nfcodec.decoder import Decoder
from nfcodec.decoder.reduced import Reduced, reduced
from nfcodec.errors import UnsupportedMediaError
from nfcodec.families import Box
from nfcodec.media.image_sink import join_alpha, to_pillow
from nfcodec.media.samples import as_type, quantize_block
from nfcodec.options import DecodeOptions
from nfcodec.plugins.shapes import mode_of, step_for
from nfcodec.signal import Block, Ints, SampleType, SignalInfo

# Small pictures are decoded at least so many times larger, then reduced smoothly.
_GAP = 2.0


def _written(info: SignalInfo) -> SampleType:
    """The sample type of the Pillow image."""
    mode = mode_of(info.modality, info.channels, info.sample_type, alpha=info.alpha)
    kinds: dict[str, SampleType] = {"1": "u1", "I;16": "u16", "F": "f32"}
    return kinds.get(mode, "u8")


def _samples(block: Block, info: SignalInfo, kind: SampleType) -> Ints:
    return join_alpha(block, as_type(block.values, info, kind), kind)


def picture(decoder: Decoder) -> Image.Image:
    """The whole picture. Raises :class:`~nfcodec.errors.UnsupportedMediaError` for other signals."""
    kind = _written(decoder.info)
    rows = [_samples(block, decoder.info, kind) for block in decoder.blocks(DecodeOptions())]
    return to_pillow(np.concatenate(rows), kind)


def reduced_picture(
    decoder: Decoder, step: int, box: Box | None = None, *, eight: bool = False, rough: bool = False
) -> tuple[Image.Image, Reduced]:
    """The picture, or the part of it around ``box``, at 1/``step`` of its size: see :func:`reduced`.

    ``eight``: with 8 bits, whatever the file has; floats then count from the least to the largest of the picture.
    ``rough``: as for :func:`reduced`.
    """
    part = reduced(decoder, step, box, rough=rough)
    kind: SampleType = "u8" if eight else _written(decoder.info)
    return to_pillow(_samples(part.block, decoder.info, kind), kind), part


def small_picture(decoder: Decoder, size: int) -> Image.Image:
    """A picture, or the first frame of a video, with 8 bits per sample, that fits in ``size`` × ``size`` pixels.

    Raises :class:`~nfcodec.errors.UnsupportedMediaError` for other signals.
    """
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
