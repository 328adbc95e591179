"""How trouble with input files is told: one line, with the file's name and the reason."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nfcodec.errors import MediaReadError, NfcError

_LONGEST = 300


def one_line(text: str) -> str:
    """``text`` with all white space collapsed, cut to a length that fits a terminal."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"


def reason(error: BaseException) -> str:
    """What went wrong, in words that do not need a traceback."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror)
    return one_line(str(error)) or type(error).__name__


def named(path: Path) -> str:
    """The path as it appears in messages: printable, on one line."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


@contextmanager
def reading(path: Path, what: str = "") -> Iterator[None]:
    """Turn every ordinary exception into a :class:`MediaReadError` that names ``path``.

    Decoders fail on damaged files with nearly any class, so the net is wide on purpose; errors of nfc and
    what is not an ``Exception`` pass.
    """
    kind = f" as {what}" if what else ""
    try:
        yield
    except NfcError:
        raise
    except Exception as error:
        raise MediaReadError(f"cannot read {named(path)}{kind}: {reason(error)}") from error


def check_file(path: Path) -> None:
    """Refuse what is missing, empty, or no regular file (a pipe would block for ever)."""
    with reading(path):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        pipe = stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)
        hint = "- reads standard input, which may be a pipe" if pipe else None
        raise MediaReadError(f"cannot read {named(path)}: not a regular file", hint=hint)
    if status.st_size == 0:
        raise MediaReadError(f"cannot read {named(path)}: the file is empty")
