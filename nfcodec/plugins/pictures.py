"""Decoded pictures as Pillow images, at their own size or reduced."""

from __future__ import annotations

import numpy as np
from PIL import Image

from nfcodec.decoder import Decoder
from nfcodec.decoder.reduced import Reduced, reduced
from nfcodec.families import Box
from nfcodec.media.image_sink import join_alpha, to_pillow
from nfcodec.media.samples import as_type
from nfcodec.options import DecodeOptions
from nfcodec.plugins.shapes import mode_of
from nfcodec.signal import Block, Ints, SampleType, SignalInfo


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
