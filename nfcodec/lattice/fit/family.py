"""The encoder's side of the lattice."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.encoder.attempts import encode_streamed
from nfcodec.encoder.base import Encoded
from nfcodec.encoder.threads import torch_threads
from nfcodec.lattice.code import RegionCoder
from nfcodec.lattice.fit.encode import LatticeEncoder
from nfcodec.lattice.fit.stream import StreamEncoder
from nfcodec.lattice.init import LatticeInit
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Source


def encode(
    source: Source, out: BinaryIO, init: LatticeInit, options: EncodeOptions, *, progress: Progress | None,
    again: Callable[[], Source] | None, coder: RegionCoder,
) -> Encoded:  # fmt: skip
    """Encode a signal. One of several axes is held in memory, and ``again`` is not needed for a target; one of one axis
    is read chunk by chunk, as often as a target takes."""
    with torch_threads():
        if init.axes > 1:
            return LatticeEncoder(source, init, options, progress, coder).run(out)

        def encoded(signal: Source, to: BinaryIO, chosen: EncodeOptions, heard: Progress | None) -> Encoded:
            return StreamEncoder(signal, init, chosen, heard, coder).run(to)

        return encode_streamed(source, out, init.id, encoded, options, again=again, progress=progress)
