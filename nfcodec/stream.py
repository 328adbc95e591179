"""Recordings that are encoded while they are made: ``nfc encode --stream``."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from nfcodec.api import encode_result
from nfcodec.errors import MediaReadError, OptionError
from nfcodec.files import STREAM, PathLike, derived, opened
from nfcodec.media.atomic import growing_output
from nfcodec.media.wave_stream import PATIENCE, WaveStream
from nfcodec.options import TARGETS, EncodeOptions, EncodeResult, Progress


def encode_stream(
    source: PathLike, output: PathLike | None = None, *, options: EncodeOptions | None = None, force: bool = False,
    stopped: Callable[[], bool] = lambda: False, patience: float = PATIENCE, progress: Progress | None = None,
) -> EncodeResult:  # fmt: skip
    """Encode RIFF WAVE from a pipe (``-``) or a growing file; every chunk can be read as soon as it is final.

    The output gets its name with its first chunk, and is only ever appended to: from then on ``nfc decode`` and ``nfc
    info`` take it for what is there, and say so. A pipe ends when it is closed, a file when it has not grown for
    ``patience`` seconds, and both once ``stopped`` says yes; the file is then finished with what came until then.
    Raises :class:`~nfcodec.errors.NfcError` subclasses only; :class:`OptionError` for a target, which needs the whole.
    """
    options = options or EncodeOptions()
    _check(options)
    began = time.monotonic()
    target = output if output is not None else derived(source, "nfc")
    with _descriptor(source) as descriptor, _growing(target, force=force) as (file, publish):
        name = "standard input" if os.fspath(source) == STREAM else Path(source).name
        media = WaveStream(descriptor, name, stopped=stopped, patience=patience, limits=options.limits)
        from nfcodec.encoder import encode_growing

        encoded = encode_growing(media, file, options, progress=progress, told=lambda length: publish())
    if options.verify and os.fspath(target) != STREAM:
        with opened(Path(target)) as written:
            encoded.verify(written, options)  # type: ignore[arg-type]
    size = os.path.getsize(source) if os.path.isfile(source) else 0
    return encode_result(source, target, encoded, options, input_bytes=size, began=began)


def _check(options: EncodeOptions) -> None:
    names = (*TARGETS, "max_time", "max_error")
    given = [name for name in names if getattr(options, name) is not None]
    if given or options.wrap:
        raise OptionError(f"{(given or ['wrap'])[0]} needs the whole recording, which a stream is not")


@contextlib.contextmanager
def _descriptor(source: PathLike) -> Iterator[int]:
    if os.fspath(source) == STREAM:
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise MediaReadError(f"cannot read {source}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _growing(target: PathLike, *, force: bool) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """A file to append to, or standard output, and what to call when more of it can be read."""
    if os.fspath(target) == STREAM:
        yield sys.stdout.buffer, lambda: None
        return
    with growing_output(Path(target), force=force) as (file, publish):

        def kept() -> None:
            os.fsync(file.fileno())
            publish()

        yield file, kept
