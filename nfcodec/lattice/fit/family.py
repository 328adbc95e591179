"""The encoder's side of the lattice."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.encoder.base import Encoded
from nfcodec.encoder.threads import torch_threads
from nfcodec.lattice.code import RegionCoder
from nfcodec.lattice.fit.encode import LatticeEncoder
from nfcodec.lattice.init import LatticeInit
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Source


def encode(
    source: Source, out: BinaryIO, init: LatticeInit, options: EncodeOptions, *, progress: Progress | None,
    again: Callable[[], Source] | None, coder: RegionCoder,
) -> Encoded:  # fmt: skip
    """Encode a picture, which is held in memory: ``again`` is not needed for a target."""
    del again
    with torch_threads():
        return LatticeEncoder(source, init, options, progress, coder).run(out)
