"""What files are called, how they are opened, and standard streams in their place."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import IO, Any, TypeGuard, TypeVar

from nfcodec.errors import MediaReadError, NotNfcError, OptionError, OutputError
from nfcodec.limits import Limits
from nfcodec.media import open_source
from nfcodec.media.atomic import atomic_output
from nfcodec.media.reading import named, reason
from nfcodec.signal import Ints, Source

PathLike = str | os.PathLike[str]
STREAM = "-"
P = TypeVar("P", bound=PurePath)


def is_path(source: PathLike | Ints) -> TypeGuard[PathLike]:
    """Whether a source is named and not an array. Files are named and refused without loading numpy."""
    return isinstance(source, str | os.PathLike)


def output_name(path: PathLike, suffix: str, folder: PathLike | None = None) -> Path:
    """photo.png → photo.nfc, beside the input or in ``folder``."""
    name = Path(path).name
    stem = name[: -len(Path(name).suffix)] if Path(name).suffix else name
    base = Path(folder) if folder is not None else Path(path).parent
    return base / f"{stem}.{suffix}"


@contextlib.contextmanager
def input_file(path: PathLike) -> Iterator[Path]:
    """The path itself, or a temporary copy of standard input (decoders need to seek)."""
    if os.fspath(path) != STREAM:
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
        spool = Path(folder) / "standard input"
        with spool.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield spool


@contextlib.contextmanager
def output_file(path: PathLike, *, force: bool) -> Iterator[Path]:
    """A temporary path that becomes ``path`` (or is copied to standard output) only on success."""
    if os.fspath(path) != STREAM:
        with atomic_output(Path(path), force=force) as temporary, _told_as(named(Path(path)), temporary):
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
        spool = Path(folder) / "out"
        with _told_as("standard output", spool):
            yield spool
        try:
            with spool.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise OutputError(f"cannot write to standard output: {error.strerror}") from error


@contextlib.contextmanager
def _told_as(name: str, temporary: Path) -> Iterator[None]:
    """Let errors tell of ``name`` and not of the temporary file that stands for it."""
    try:
        yield
    except OutputError as error:
        raise type(error)(str(error).replace(named(temporary), name), hint=error.hint) from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """An .nfc file. Raises :class:`MediaReadError`, and :class:`NotNfcError` for an empty one."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise MediaReadError(f"cannot read {path}: {error.strerror}") from error
    with file:
        if not os.fstat(file.fileno()).st_size:
            raise NotNfcError(f"cannot read {named(path)}: the file is empty")
        yield file


def derived(source: PathLike | Ints, suffix: str) -> Path:
    """The output's name from the source's, or standard output. Raises :class:`OptionError` for an array."""
    if not is_path(source):
        raise OptionError("an array has no name to derive that of the output from: give one")
    if os.fspath(source) == STREAM:
        return Path(STREAM)
    return output_name(source, suffix)


def decode_target(
    source: PathLike, output: PathLike | None, format: str | None, folder: PathLike | None, default: str
) -> tuple[PathLike, str]:
    """The output's name and format: as asked for, else what the source's name and the kind ``default`` say."""
    if output is None and os.fspath(source) == STREAM:
        output = STREAM
    if output is None:
        return output_name(source, format or default, folder), (format or default).lower()
    suffix = Path(output).suffix.lstrip(".").lower() if os.fspath(output) != STREAM else ""
    return output, (format or suffix or default).lower()


def moved_aside(path: PathLike) -> Path | None:
    """photo.png → photo.decoded.png where the first exists, else None."""
    name = Path(path)
    return aside_name(name) if os.path.lexists(name) else None


def aside_name(name: P) -> P:
    """photo.png → photo.decoded.png."""
    return name.with_name(f"{name.stem}.decoded{name.suffix}")


def name_of(source: PathLike | Ints) -> str:
    """The source as messages call it."""
    if is_path(source):
        return os.fspath(source)
    array: Any = source
    return f"array {array.shape} of {array.dtype}"


@contextlib.contextmanager
def opener(
    source: PathLike | Ints, limits: Limits, *, plain: bool = False
) -> Iterator[tuple[Callable[[], Source], int]]:  # fmt: skip
    """What opens a source, as often as is asked, and its size in bytes (of a folder 0); ``plain``: see
    :func:`nfcodec.media.open_source`."""
    if not is_path(source):
        from nfcodec.media.array import array_source

        array: Any = source
        yield lambda: array_source(array, limits=limits, plain=plain), array.nbytes
        return
    with input_file(source) as path:

        def again() -> Source:
            try:
                return open_source(path, limits=limits, plain=plain)
            except OSError as error:  # else it would count as one of the output
                raise MediaReadError(f"cannot read {named(path)}: {reason(error)}") from error

        yield again, os.path.getsize(path) if os.path.isfile(path) else 0
