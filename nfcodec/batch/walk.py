"""The files of a folder, in an order that is the same on every machine."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nfcodec.batch.events import FoundFile, Skipped
from nfcodec.errors import MediaReadError
from nfcodec.media.reading import named, reason

_Identity = tuple[int, int]


def walk(root: Path, prefix: str = "", *, leave_out: Path | None = None) -> Iterator[FoundFile | Skipped]:
    """Every file below ``root``, its path led by ``prefix``; links are followed, each folder is entered once.

    Names that begin with a dot are left out, and so is the folder ``leave_out``. What is neither a file nor a
    folder is skipped. Raises :class:`~nfcodec.errors.MediaReadError` for a folder that cannot be read.
    """
    return _Walk(_identity(leave_out) if leave_out is not None else None).folder(root, prefix)


class _Walk:
    """One walk; ``out`` is the folder that is left out."""

    def __init__(self, out: _Identity | None) -> None:
        self._seen: dict[_Identity, str] = {}
        self._out = out

    def folder(self, folder: Path, prefix: str) -> Iterator[FoundFile | Skipped]:
        """The files below ``folder``, depth first."""
        with _telling(folder):
            entries = sorted(os.scandir(folder), key=lambda e: os.fsencode(e.name))
            here = _of(os.stat(folder))
        if here in self._seen:
            yield Skipped(prefix.rstrip("/"), f"is the same folder as {self._seen[here] or '.'}")
            return
        self._seen[here] = prefix.rstrip("/")
        for entry in entries:
            if not entry.name.startswith("."):
                yield from self._entry(entry, prefix + entry.name)

    def _entry(self, entry: os.DirEntry[str], path: str) -> Iterator[FoundFile | Skipped]:
        try:
            status = entry.stat()
        except OSError:
            # A dangling link, or gone already: opening it will say so.
            yield FoundFile(path, entry.path)
            return
        if stat.S_ISDIR(status.st_mode):
            if _of(status) != self._out:
                yield from self.folder(Path(entry.path), path + "/")
        elif stat.S_ISREG(status.st_mode):
            yield FoundFile(path, entry.path)
        else:
            yield Skipped(path, "is not a regular file")


def _of(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _identity(folder: Path) -> _Identity | None:
    try:
        return _of(os.stat(folder))
    except OSError:
        return None


@contextlib.contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"cannot read the folder {named(folder)}: {reason(error)}"
        raise MediaReadError(message, hint="make it readable, or move it out of the tree") from error
