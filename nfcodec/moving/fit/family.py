"""The encoder's side of moving pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.encoder.attempts import encode_streamed
from nfcodec.encoder.base import Encoded
from nfcodec.encoder.threads import torch_threads
from nfcodec.moving.fit.encode import MovingEncoder
from nfcodec.moving.init import MovingInit
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Source


def encode(
    source: Source, out: BinaryIO, init: MovingInit, options: EncodeOptions, *, progress: Progress | None,
    again: Callable[[], Source] | None, coder: object,
) -> Encoded:  # fmt: skip
    """Encode a clip while it is read; with a target, as often as it takes, from a source that is opened ``again``."""
    del coder

    def encoded(signal: Source, to: BinaryIO, chosen: EncodeOptions, heard: Progress | None) -> Encoded:
        return MovingEncoder(signal, init, chosen, heard).run(to)

    with torch_threads():
        return encode_streamed(source, out, init.id, encoded, options, again=again, progress=progress)
