"""The encoder's side of fields of independent modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.encoder.attempts import encode_streamed
from nfcodec.encoder.base import Encoded
from nfcodec.encoder.threads import torch_threads
from nfcodec.lattice.code import RegionCoder
from nfcodec.modules.fit.encode import GrowingModules, ModuleEncoder
from nfcodec.modules.init import Init
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Source


def encode(
    source: Source, out: BinaryIO, init: Init, options: EncodeOptions, *, progress: Progress | None,
    again: Callable[[], Source] | None, coder: RegionCoder,
) -> Encoded:  # fmt: skip
    """Encode a signal chunk by chunk; with a target, as often as it takes, from a source that is opened ``again``."""
    del coder

    def encoded(signal: Source, to: BinaryIO, chosen: EncodeOptions, heard: Progress | None) -> Encoded:
        return ModuleEncoder(signal, init, chosen, heard).run(to)

    with torch_threads():
        return encode_streamed(source, out, init.id, encoded, options, again=again, progress=progress)


def encode_growing(
    source: Source, out: BinaryIO, init: Init, options: EncodeOptions, *, progress: Progress | None,
    told: Callable[[int], None] | None,
) -> Encoded:  # fmt: skip
    """Encode a recording while it is made; see :func:`nfcodec.encoder.encode_growing`."""
    with torch_threads():
        return GrowingModules(source, init, options, progress).grow(out, told)
