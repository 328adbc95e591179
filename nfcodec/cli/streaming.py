"""``nfc encode --stream``: Ctrl-C ends the recording and not the program."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from nfcodec.cli.items import Item
from nfcodec.cli.report import note
from nfcodec.options import EncodeOptions, EncodeResult, Progress

_ASKED = (signal.SIGINT, signal.SIGTERM)


def encoded(item: Item, options: EncodeOptions, progress: Progress | None, *, force: bool) -> EncodeResult:
    """Encode one recording while it is made."""
    from nfcodec.stream import encode_stream

    with _stoppable() as stopped:
        result = encode_stream(
            item.input, item.output, options=options, force=force, stopped=stopped, progress=progress
        )  # fmt: skip
        if stopped():
            return replace(result, warnings=(*result.warnings, "stopped: the file holds what came until then"))
    return result


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Whether somebody asked to stop; who asks twice gets what the signal did before."""
    asked: list[int] = []
    before = {int(number): signal.getsignal(number) for number in _ASKED}

    def heard(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, before[number])
        note("stopping: what is there will be finished; once more gives up")

    for number in _ASKED:
        signal.signal(number, heard)
    try:
        yield lambda: bool(asked)
    finally:
        for number in _ASKED:
            signal.signal(number, before[number])
