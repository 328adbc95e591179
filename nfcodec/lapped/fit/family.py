"""The encoder's side of lapped fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.encoder.attempts import encode_streamed
from nfcodec.encoder.base import Encoded
from nfcodec.lapped.fit.encode import LappedEncoder
from nfcodec.lapped.fit.growing import GrowingLapped
from nfcodec.lapped.init import LappedInit
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Source


def encode(
    source: Source, out: BinaryIO, init: LappedInit, options: EncodeOptions, *, progress: Progress | None,
    again: Callable[[], Source] | None, coder: object,
) -> Encoded:  # fmt: skip
    """Encode a recording while it is read; with a target, as often as it takes, from a source that is opened
    ``again``."""
    del coder

    def encoded(signal: Source, to: BinaryIO, chosen: EncodeOptions, heard: Progress | None) -> Encoded:
        return LappedEncoder(signal, init, chosen, heard).run(to)

    return encode_streamed(source, out, init.id, encoded, options, again=again, progress=progress)


def encode_growing(
    source: Source, out: BinaryIO, init: LappedInit, options: EncodeOptions, *, progress: Progress | None,
    told: Callable[[int], None] | None,
) -> Encoded:  # fmt: skip
    """Encode a recording while it is made; see :func:`nfcodec.encoder.encode_growing`."""
    return GrowingLapped(source, init, options, progress).grow(out, told)
