"""Outputs that are either complete under their name or not there at all.

The bytes go to a temporary file beside the target, are flushed to the disk, and only then get the name.
A target that is a symbolic link is written through: the link stays, the file that it points to is replaced.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from nfcodec.errors import NfcError, OutputError, OutputExistsError
from nfcodec.media.reading import named, reason

# A name may have 255 bytes; the dot, the process number and the random part need up to 25 of them.
_STEM_MAX = 220
_STDOUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@contextmanager
def atomic_output(target: Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; give it the name ``target`` when the block succeeds.

    Without ``force`` an existing target is refused before the block runs, and one that appears meanwhile is
    left alone. When the block fails in any way the temporary file is removed and ``target`` is as it was.

    Raises :class:`OutputExistsError` and :class:`OutputError`; the latter also for any ``OSError`` of the block.
    """
    final = check_target(target, force=force)
    with _telling(target):
        sweep_folder(final.parent, (final.name,))
        temp = _create(final)
    try:
        with _telling(target):
            yield temp
            _commit(temp, final, force)
    finally:
        # After a commit the name is gone already; the suppressed error is the normal case then.
        with suppress(OSError):
            temp.unlink()
    _sync_folder(final.parent)


@contextmanager
def growing_output(target: Path, *, force: bool) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """Yield a file beside ``target`` to append to, and a function that gives it the name ``target``.

    Before that an existing target is as it was, and an error leaves nothing behind; from then on the file keeps its
    name, whatever happens, so it must be one that can be read at any time. Refusals are those of :func:`atomic_output`.
    """
    final = check_target(target, force=force)
    with _telling(target):
        sweep_folder(final.parent, (final.name,))
        temp = _create(final)
    named_already = False

    def publish() -> None:
        nonlocal named_already
        if not named_already:
            _commit(temp, final, force)
            _sync_folder(final.parent)
            named_already = True

    try:
        with _telling(target), temp.open("wb") as file:
            yield file, publish
    finally:
        with suppress(OSError):
            temp.unlink()


@contextmanager
def _telling(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {named(target)}: {reason(error)}") from error


def _exists(target: Path) -> NfcError:
    return OutputExistsError(f"{named(target)} exists already", hint="-f overwrites, --skip-existing skips")


def check_target(target: Path, *, force: bool) -> Path:
    """The file that will be replaced, after all refusals of :func:`atomic_output` that need no work."""
    if str(target) in _STDOUT:
        raise OutputError(f"cannot write {named(target)}: outputs are files", hint="-o - writes to standard output")
    with _telling(target):
        final = Path(os.path.realpath(target))
        try:
            mode = os.stat(final).st_mode
        except FileNotFoundError:
            if not final.parent.is_dir():
                message = f"cannot write {named(target)}: the folder {named(final.parent)} does not exist"
                raise OutputError(message) from None
            return final
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise OutputError(f"cannot write {named(target)}: it is {kind}")
    if not force:
        raise _exists(target)
    return final


def _stem(name: str) -> str:
    """``name`` cut to what a temporary name has room for, never in the middle of a character."""
    raw = os.fsencode(name)
    return name if len(raw) <= _STEM_MAX else raw[:_STEM_MAX].decode("utf-8", "ignore")


def _create(final: Path) -> Path:
    suffix = f".tmp-{os.getpid()}-{secrets.token_hex(4)}"
    temp = final.with_name("." + _stem(final.name) + suffix)
    # Mode 0666 so that the umask decides, as it does for any new file.
    os.close(os.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if final.exists():
        with suppress(OSError):
            os.chmod(temp, stat.S_IMODE(final.stat().st_mode))
    return temp


def _commit(temp: Path, final: Path, force: bool) -> None:
    with open(temp, "rb+") as file:
        os.fsync(file.fileno())
    if force:
        os.replace(temp, final)
        return
    try:
        # A hard link fails when the name exists, whatever other processes do meanwhile; a rename does not.
        os.link(temp, final)
    except FileExistsError:
        raise _exists(final) from None
    except (OSError, NotImplementedError, AttributeError):
        _rename_new(temp, final)


def _rename_new(temp: Path, final: Path) -> None:
    """The fallback for file systems without hard links; a race is possible but very short."""
    if os.path.lexists(final):
        raise _exists(final)
    os.replace(temp, final)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some systems cannot open or flush a folder; the file itself is safe
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep_folder(folder: Path, names: Collection[str]) -> int:
    """Remove what killed runs left behind for the targets ``names`` of ``folder``; how many files that were.

    Raises ``OSError`` when the folder cannot be read.
    """
    stems, swept = {_stem(name) for name in names}, 0
    for entry in os.scandir(folder):
        stem, mark, rest = entry.name[1:].rpartition(".tmp-")
        process = rest.split("-")[0]
        if mark and stem in stems and process.isdigit() and not _alive(int(process)):
            with suppress(OSError):
                os.unlink(entry.path)
                swept += 1
    return swept


def _alive(process: int) -> bool:
    if os.name != "posix":
        return True  # there, signal 0 would end the process instead of asking for it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    with suppress(OSError, IndexError):
        # Ended, but nobody has asked for its exit code yet.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
