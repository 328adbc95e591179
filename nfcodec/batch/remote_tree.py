"""A folder that fsspec reaches: what is in it, and single files to and from it.

Implementations of fsspec fail with exceptions of nearly any class, so whoever calls catches ``Exception``. fsspec is
imported when a tree is opened, and nowhere else.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfcodec.batch.events import Skipped
from nfcodec.batch.places import Url, shown
from nfcodec.errors import MediaReadError, OptionError
from nfcodec.media.reading import reason

INSTALL = "pip install 'nfcodec[remote]'"
# An object appears under its name when it is complete; there are no folders, and a move is a copy.
_STORES = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"))
_LOCAL = frozenset(("file", "local", "memory"))
# What listings say of a file that changes with its content, by any of fsspec's implementations.
_MARKS = (
    "ETag", "etag", "md5Hash", "md5", "content_md5", "crc32c", "checksum", "generation", "VersionId", "LastModified",
    "last_modified", "mtime", "modified", "updated", "created", "ino",
)  # fmt: skip
_STALE = re.compile(r"\.(.+)\.tmp-nfc-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a listing. ``size`` in bytes; ``mark`` changes when the content does; both None where unknown."""

    size: int | None
    mark: str | None


class Tree:
    """One folder; names are relative to it, with "/" between the parts."""

    def __init__(self, url: Url) -> None:
        """Find the file system. Raises :class:`~nfcodec.errors.OptionError` when a package for it is missing."""
        self.url = url
        self._fs, self._root = _connect(url)
        protocol = self._fs.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._store = bool(names & _STORES)
        # Other implementations (FTP, SFTP) have one connection that must not be used by two threads.
        self.threads = 8 if getattr(self._fs, "async_impl", False) or names & _LOCAL else 1

    def named(self, name: str) -> str:
        """The URL of a file, for messages."""
        return shown(Url(f"{self.url}/{name}"))

    def inside(self, other: Tree) -> str | None:
        """What leads the names in ``other`` of the files here, when this folder is below that one."""
        above = other._root.rstrip("/") + "/"
        if type(self._fs) is not type(other._fs) or not self._root.startswith(above):
            return None
        return self._root[len(above) :].rstrip("/") + "/"

    # -- what is there ---------------------------------------------------------------------------------------
    def reach(self) -> None:
        """Raise whatever the file system raises when it cannot be reached, or the folder is not there."""
        self._fs.invalidate_cache()
        self._fs.info(self._root)

    def is_folder(self) -> bool:
        """Whether the folder exists. Raises what the file system raises when that cannot be told."""
        self._fs.invalidate_cache()
        try:
            # The index page of a web server is a file and a folder.
            return bool(self._fs.info(self._root)["type"] == "directory" or self._fs.isdir(self._root))
        except FileNotFoundError:
            return False

    def files(self) -> Iterator[tuple[str, Listed | Skipped]]:
        """All files below the folder by name, in no certain order; folders named with a dot first are left out."""
        # The walk of fsspec is silent about folders below the first one that cannot be read.
        walks = _walks(type(self._fs))
        found = self._walked(self._root) if walks else self._fs.find(self._root, detail=True).items()
        for path, info in found:
            name = path[len(self._root) :].lstrip("/")
            if not name or info.get("type") == "directory" or _is_marker(path, info):
                continue
            if info.get("type") != "file" and info.get("islink"):
                with contextlib.suppress(OSError):
                    info = self._fs.info(path)
            yield name, _listed(info) if info.get("type") == "file" else Skipped(name, "is not a regular file")

    def _walked(self, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for info in self._fs.ls(folder, detail=True):
            path = str(info["name"]).rstrip("/")
            if info["type"] != "directory":
                yield str(info["name"]), info
            elif path != folder.rstrip("/") and not path.rpartition("/")[2].startswith("."):
                yield from self._walked(path)

    def beside(self, pattern: re.Pattern[str]) -> list[str]:
        """The names of the files directly in the folder that match; none where there is no folder."""
        try:
            found = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        return sorted(n for n in (str(p).rstrip("/").rpartition("/")[2] for p in found) if pattern.fullmatch(n))

    # -- single files ----------------------------------------------------------------------------------------
    def head(self, name: str, size: int) -> bytes:
        """The first bytes of a file."""
        return bytes(self._fs.cat_file(self._path(name), start=0, end=size))

    def get(self, name: str, target: Path) -> None:
        """Copy a file to a local one; the folders above it are made."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._fs.get_file(self._path(name), str(target))

    def put(self, source: Path, name: str) -> None:
        """Copy a local file here; it has its name only when it is complete."""
        final = self._path(name)
        folder, _, leaf = final.rpartition("/")
        if not self._store:
            self._fs.makedirs(folder, exist_ok=True)
        place = final if self._store else f"{folder}/.{leaf}.tmp-nfc-{secrets.token_hex(4)}"
        try:
            self._fs.put_file(str(source), place)
            size = self._fs.info(place).get("size")
            if size not in (None, source.stat().st_size):
                raise OSError(f"{size} bytes arrived of {source.stat().st_size}")
            if place != final:
                self._move(place, final)
        except BaseException:
            if place != final:
                with contextlib.suppress(Exception):
                    self._fs.rm_file(place)
            raise

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._fs.rm_file(self._path(name))

    def _move(self, a: str, b: str) -> None:
        from fsspec.spec import AbstractFileSystem

        if type(self._fs).mv is not AbstractFileSystem.mv:
            self._fs.mv(a, b)
        else:
            # The general mv does this too, but takes brackets in names for wildcards.
            self._fs.cp_file(a, b)
            self._fs.rm_file(a)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


def _is_marker(path: str, info: dict[str, Any]) -> bool:
    """Whether a key stands for a folder: consoles and Hadoop make empty objects of such names."""
    return not info.get("size") and path.endswith(("/", "_$folder$"))


def stale_target(name: str) -> str | None:
    """The output for which a killed upload left this file, or None for any other file."""
    folder, slash, leaf = name.rpartition("/")
    match = _STALE.fullmatch(leaf)
    return f"{folder}{slash}{match[1]}" if match else None


def unreadable(url: Url, error: Exception) -> MediaReadError:
    """The error for an input tree that cannot be listed or reached."""
    hint = "check the URL and the network; --resume goes on with a batch that has begun"
    return MediaReadError(f"cannot read {shown(url)}: {reason(error)}", hint=hint)


def _listed(info: dict[str, Any]) -> Listed:
    size = info.get("size")
    marks = [f"{name}={info[name]}" for name in _MARKS if info.get(name) is not None]
    mark = hashlib.sha256(repr((size, marks)).encode()).hexdigest()[:32] if marks else None
    return Listed(None if size is None else int(size), mark)


def _walks(kind: Any) -> bool:
    """Whether a class of file systems lists trees folder by folder, by the method of fsspec's general classes."""
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    if issubclass(kind, AsyncFileSystem):
        return kind._find is AsyncFileSystem._find
    return bool(kind.find is AbstractFileSystem.find)


def _connect(url: Url) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise OptionError(f"{shown(url)} needs the package fsspec", hint=INSTALL) from error
    try:
        fs, root = url_to_fs(url.text)
    except ImportError as error:
        raise OptionError(
            f"{shown(url)} needs a further package: {reason(error)}", hint=f"{INSTALL}, and what it names"
        ) from error
    except ValueError as error:
        raise OptionError(f"{shown(url)} cannot be used: {reason(error)}") from error
    except Exception as error:
        raise unreadable(url, error) from error
    return fs, str(root)
