"""Decoded pictures as Pillow images, at their own size or reduced."""

from __future__ import annotations

import numpy as np
from PIL import Image

from nfcodec.decoder import Decoder
from nfcodec.decoder.reduced import Box, Reduced, reduced
from nfcodec.media.image_sink import join_alpha, to_pillow
from nfcodec.media.samples import quantize_block
from nfcodec.options import DecodeOptions
from nfcodec.plugins.shapes import mode_of
from nfcodec.signal import Block, Ints, SampleType, SignalInfo


def _written(info: SignalInfo) -> SampleType:
    """The sample type of the Pillow image."""
    mode = mode_of(info.modality, info.channels, info.sample_type, alpha=info.alpha)
    kinds: dict[str, SampleType] = {"1": "u1", "I;16": "u16", "F": "f32"}
    return kinds.get(mode, "u8")


def _samples(block: Block, info: SignalInfo) -> Ints:
    kind = _written(info)
    samples = quantize_block(block.values, kind, info.value_range if kind == "f32" else None)
    return join_alpha(block, samples, kind)


def picture(decoder: Decoder) -> Image.Image:
    """The whole picture. Raises :class:`UnsupportedMediaError` for other signals."""
    info = decoder.info
    rows = [_samples(block, info) for block in decoder.blocks(DecodeOptions())]
    return to_pillow(np.concatenate(rows), _written(info))


def reduced_picture(decoder: Decoder, step: int, box: Box | None = None) -> tuple[Image.Image, Reduced]:
    """The picture, or the part of it around ``box``, at 1/``step`` of its size: see :func:`reduced`."""
    part = reduced(decoder, step, box)
    return to_pillow(_samples(part.block, decoder.info), _written(decoder.info)), part
