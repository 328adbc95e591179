"""Writes ``.nfc`` files. Sections are spooled, because the header in front of them counts them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from types import TracebackType
from typing import BinaryIO

from nfcodec.container.layout import CHUNKED, MAX_HEADER, SIGNATURE, Header, SectionType, crc_bytes, pack_fields
from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.errors import InternalError, OutputError

_IN_MEMORY = 1 << 20  # bytes of sections kept in memory before the spool goes to disk
_COPY = 1 << 20


@contextmanager
def disk() -> Iterator[None]:
    """Within the block errors of the disk are :class:`OutputError`."""
    try:
        yield
    except OSError as exc:
        raise OutputError(f"cannot write: {exc}", hint="check the free space and the permissions") from exc


def front_bytes(header: Header) -> bytes:
    """Everything before the first section; :class:`InternalError` for a header that cannot be."""
    problem = header.problem()
    if problem:
        raise InternalError(f"header with {problem}")
    fields = pack_fields(header)
    if len(fields) > MAX_HEADER:
        raise InternalError(f"header of {len(fields)} bytes")
    front = SIGNATURE + bytes([header.version, len(fields)]) + fields
    return front + crc_bytes(front)


class Writer:
    """Collects sections on disk and then writes the whole file.

    ``directory``: where the spool goes once it is over 1 MiB; None for the system's place for temporary files.
    The spool has no name (or deletes itself on systems without nameless files), so nothing is left behind even by
    a killed process. Use as a context manager; :class:`OutputError` when the disk refuses.
    """

    def __init__(self, directory: str | PathLike[str] | None = None) -> None:
        """Nothing touches the disk yet."""
        where = None if directory is None else str(directory)
        self._spool = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=where)  # noqa: SIM115 (closed by close)
        self._count = 0
        self._chunks: set[tuple[int, int]] = set()

    def __enter__(self) -> Writer:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop the spool, whatever happened."""
        self.close()

    def close(self) -> None:
        """Drop the spool; may be called twice."""
        self._spool.close()

    @property
    def sections(self) -> int:
        """Sections added so far."""
        return self._count

    def add(self, section_type: SectionType, payload: bytes) -> int:
        """Append a section and return its size in the file, framing included.

        Payloads of DELTA and ALPHA must start with the varint of a chunk index that their type has not had yet
        (see :func:`~nfcodec.container.layout.chunk_payload`).
        """
        kind = SectionType(section_type)
        if kind in CHUNKED:
            key = (kind, ByteReader(payload[:10]).varint("chunk index"))
            if key in self._chunks:
                raise InternalError(f"second {kind.name} section for chunk {key[1]}")
            self._chunks.add(key)
        head = bytes([kind]) + encode_varint(len(payload))
        with disk():
            for part in (head, payload, crc_bytes(head, payload)):
                self._spool.write(part)
        self._count += 1
        return len(head) + len(payload) + 4

    def grown(self, length: int) -> None:
        """Hear that the first ``length`` rows of axis 0 are complete, which a file that is written at once ignores."""

    def finish(self, header: Header, out: BinaryIO) -> int:
        """Write the file to ``out`` and return its size in bytes. ``header.sections`` is filled in here."""
        front = front_bytes(replace(header, sections=self._count))
        with disk():
            size = self._spool.tell()
            self._spool.seek(0)
            out.write(front)
            shutil.copyfileobj(self._spool, out, _COPY)
        return len(front) + size
