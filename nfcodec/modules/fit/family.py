"""The encoder's side of fields of independent modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.encoder.attempts import encode_to_goal
from nfcodec.encoder.base import Encoded
from nfcodec.encoder.targets import goal_of
from nfcodec.encoder.threads import torch_threads
from nfcodec.errors import OptionError
from nfcodec.lattice.code import RegionCoder
from nfcodec.modules.fit.encode import ModuleEncoder
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

    goal = goal_of(options, source.info)
    if goal is None:
        with torch_threads():
            return encoded(source, out, options, progress)
    if again is None:
        raise OptionError(f"{goal.name}: init {init.id} needs a source that can be opened again to meet a target")
    with torch_threads():
        return encode_to_goal(again, encoded, out, options, goal, source.info.samples, progress)
