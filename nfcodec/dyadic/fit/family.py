"""The encoder's side of dyadic fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.dyadic.fit.encode import DyadicEncoder
from nfcodec.dyadic.init import DyadicInit
from nfcodec.encoder.attempts import encode_to_goal
from nfcodec.encoder.base import Encoded
from nfcodec.encoder.targets import goal_of
from nfcodec.errors import OptionError, UnsupportedMediaError
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

    goal = goal_of(options, source.info)
    if goal is None:
        return encoded(source, out, options, progress)
    if again is None:
        raise OptionError(f"{goal.name}: init {init.id} needs a source that can be opened again to meet a target")
    return encode_to_goal(again, encoded, out, options, goal, source.info.samples, progress)
