"""The encoder's side of lapped fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.encoder.attempts import encode_to_goal
from nfcodec.encoder.base import Encoded
from nfcodec.encoder.targets import goal_of
from nfcodec.errors import OptionError
from nfcodec.lapped.fit.encode import LappedEncoder
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

    goal = goal_of(options, source.info)
    if goal is None:
        return encoded(source, out, options, progress)
    if again is None:
        raise OptionError(f"{goal.name}: init {init.id} needs a source that can be opened again to meet a target")
    return encode_to_goal(again, encoded, out, options, goal, source.info.samples, progress)
