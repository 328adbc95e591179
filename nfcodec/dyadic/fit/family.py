"""The encoder's side of dyadic fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.dyadic.fit.encode import DyadicEncoder
from nfcodec.dyadic.init import DyadicInit
from nfcodec.encoder.attempts import encode_streamed
from nfcodec.encoder.base import Encoded
from nfcodec.errors import UnsupportedMediaError
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Source


def encode(
    source: Source, out: BinaryIO, init: DyadicInit, options: EncodeOptions, *, progress: Progress | None,
    again: Callable[[], Source] | None, coder: object,
) -> Encoded:  # fmt: skip
    """Encode an array chunk by chunk; with a target, as often as it takes, from a source that is opened ``again``."""
    del coder
    if source.info.modality != "array":
        raise UnsupportedMediaError(f"init {init.id} takes arrays, not {source.info.modality}")

    def encoded(signal: Source, to: BinaryIO, chosen: EncodeOptions, heard: Progress | None) -> Encoded:
        return DyadicEncoder(signal, init, chosen, heard).run(to)

    return encode_streamed(source, out, init.id, encoded, options, again=again, progress=progress)
