"""Reads ``.nfc`` files: the header at once, sections one at a time, nothing before its CRC is checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from nfcodec.container.layout import (
    ANCILLARY,
    CHUNKED,
    CRC_BYTES,
    MAX_HEADER,
    SIGNATURE,
    VERSION,
    Header,
    SectionType,
    crc_bytes,
    first_varint,
    split_length,
    unpack_fields,
)
from nfcodec.container.varint import MAX_VARINT, finish_varint
from nfcodec.errors import (
    ChecksumError,
    CorruptError,
    InternalError,
    NotNfcError,
    TruncatedError,
    UnsupportedFeatureError,
    UnsupportedVersionError,
)
from nfcodec.limits import DEFAULT_LIMITS, Limits

_PIECE = 1 << 20  # read at most this much at a time, so that a lying length costs no memory
_KNOWN = frozenset(int(kind) for kind in SectionType)
# Types of which a file has at most one section.
_SINGLE = frozenset({SectionType.SOUND, SectionType.SILENCE})


@dataclass(frozen=True, slots=True)
class Section:
    """A section whose CRC holds. ``size``: its bytes in the file, framing included."""

    type: int
    payload: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a section is. ``offset`` and ``size`` cover the framing; ``first`` is the varint that the payload
    starts with (chunk index or metadata kind), None if there is none. Not covered by a CRC check yet."""

    type: int
    offset: int
    size: int
    first: int | None


class _Seen:
    """Finds sections that may not come twice."""

    def __init__(self) -> None:
        self._keys: set[tuple[int, int]] = set()

    def check(self, kind: int, first: int | None) -> None:
        if kind in CHUNKED:
            if first is None:
                raise CorruptError(f"section of type 0x{kind:02x} without a chunk index")
            key = (kind, first)
        elif kind in _SINGLE:
            key = (kind, 0)
        else:
            return
        if key in self._keys:
            raise CorruptError(f"second section of type 0x{kind:02x}" + (f" for chunk {first}" if first else ""))
        self._keys.add(key)


class Reader:
    """One file. ``header`` is there after construction; ``file`` stays the caller's to close.

    ``file`` must be at the file's first byte; only :meth:`index` and :meth:`read` need it to be seekable. Every
    fault of the bytes raises a :class:`nfcodec.errors.FormatError`; sizes over ``limits`` raise
    :class:`nfcodec.errors.LimitError` before anything of that size is allocated.

    Of a file that grows (FORMAT.md, §24) ``header`` says what was complete when it was opened, and ``unfinished`` that
    it had no end yet; what comes later is not looked at.
    """

    def __init__(self, file: BinaryIO, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Read and check the header."""
        self._file = file
        self._limits = limits
        self._seekable = file.seekable()
        self._start = file.tell() if self._seekable else 0
        self._streamed = False
        self.unfinished = False
        self.header = self._read_header()

    # -- bytes ---------------------------------------------------------------------------------------------------

    def _up_to(self, size: int) -> bytes:
        """``size`` bytes, or fewer at the end of the file."""
        parts = []
        while size:
            part = self._file.read(min(size, _PIECE))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _take(self, size: int, what: str) -> bytes:
        """Exactly ``size`` bytes from the file, or :class:`TruncatedError`."""
        found = self._up_to(size)
        if len(found) != size:
            raise TruncatedError(f"{what}: the file ends {size - len(found)} bytes early")
        return found

    def _varint(self, what: str) -> bytes:
        """The bytes of a varint as they stand."""
        out = bytearray(self._take(1, what))
        while out[-1] & 0x80:
            if len(out) == MAX_VARINT:
                raise CorruptError(f"{what}: varint of more than {MAX_VARINT} bytes")
            out += self._take(1, what)
        return bytes(out)

    def _end(self) -> int:
        """Offset of the end of a seekable file; the position is kept."""
        here = self._file.tell()
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(here)
        return end

    def _refuse(self, size: int) -> None:
        """A length over the limit: say that the file is shorter if it is, else raise :class:`LimitError`.

        A flipped bit in a length must look like damage and not like a file that merely needs a larger limit.
        """
        if self._seekable:
            if size > self._end() - self._file.tell():
                raise TruncatedError(f"section of {size} bytes reaches past the end of the file")
        else:
            missing = min(size, self._limits.max_section + CRC_BYTES)
            while missing > 0:
                missing -= len(self._take(min(missing, _PIECE), "section"))
        self._limits.check("max_section", size, "section")

    # -- header --------------------------------------------------------------------------------------------------

    def _read_header(self) -> Header:
        self._check_signature()
        front = self._take(2, "header")
        version, length = front
        if version > VERSION:
            raise UnsupportedVersionError(
                f"format version {version}; this nfc reads up to {VERSION}", hint="install a newer nfcodec"
            )
        if version == 0 or length > MAX_HEADER:
            raise CorruptError(f"format version {version} with {length} header bytes")
        fields = self._take(length, "header")
        if self._take(CRC_BYTES, "header checksum") != crc_bytes(SIGNATURE, front, fields):
            raise ChecksumError("the header was changed: its CRC-32 does not match")
        header = unpack_fields(fields, version)
        self._body = len(SIGNATURE) + len(front) + length + CRC_BYTES
        if header.growing:
            header = self._grown(header)
        header.check_limits(self._limits)
        return header

    def _grown(self, header: Header) -> Header:
        """The header of a growing file as the last LENGTH section has it; :class:`TruncatedError` before the first."""
        if not self._seekable:
            raise UnsupportedFeatureError("a growing file cannot be read from a pipe", hint="save it first")
        position, end = self._start + self._body, self._end()
        count = sections = length = 0
        self.unfinished = True
        while self.unfinished:
            try:
                entry = self._entry(position, end)
            except TruncatedError:  # what is being written right now
                break
            position, count = position + entry.size, count + 1
            if entry.type != SectionType.LENGTH:
                continue
            before, (length, last) = length, split_length(self.read(entry).payload)
            if length < before + (not last):
                raise CorruptError(f"a growing recording shrinks from {before} to {length} samples")
            self.unfinished, sections = not last, count
        if not sections:
            raise TruncatedError("nothing of this growing recording is complete yet")
        return replace(header, shape=(length, *header.shape[1:]), sections=sections)

    def _check_signature(self) -> None:
        found = self._up_to(len(SIGNATURE))
        if found != SIGNATURE:
            if found and SIGNATURE.startswith(found):
                raise TruncatedError("the file ends inside the signature")
            begins = f"no nfc signature: the file starts with {found.hex(' ')}"
            raise NotNfcError(begins if found else "the file is empty")

    # -- sections ------------------------------------------------------------------------------------------------

    def _read_section(self) -> Section:
        """The section at the current position, CRC checked."""
        kind = self._take(1, "section type")
        length = self._varint("section length")
        size = finish_varint(length)
        if size > self._limits.max_section:
            self._refuse(size)
        payload = self._take(size, "section")
        if self._take(CRC_BYTES, "section checksum") != crc_bytes(kind, length, payload):
            raise ChecksumError(f"a section of {size} bytes was changed: its CRC-32 does not match")
        return Section(kind[0], payload, 1 + len(length) + size + CRC_BYTES)

    def _wanted(self, kind: int) -> bool:
        """Whether to hand out a section: False for ancillary ones of unknown type, and for what the header says now."""
        if kind == SectionType.LENGTH:
            if not self.header.growing:
                raise CorruptError("LENGTH section in a file that does not grow")
            return False
        if kind in _KNOWN:
            return True
        if kind & ANCILLARY:
            return False
        raise UnsupportedFeatureError(
            f"section of unknown type 0x{kind:02x} that cannot be skipped", hint="install a newer nfcodec"
        )

    def sections(self) -> Iterator[Section]:
        """All sections of known type in the order of the file; then checks that nothing follows.

        A file that is not seekable can be iterated once.
        """
        if self._streamed and not self._seekable:
            raise InternalError("second pass over a file that is not seekable")
        self._streamed = True
        position = self._start + self._body
        seen = _Seen()
        for _ in range(self.header.sections):
            self._seek(position)
            section = self._read_section()
            position += section.size
            if self._wanted(section.type):
                seen.check(section.type, first_varint(section.type, section.payload[:MAX_VARINT]))
                yield section
        self._seek(position)
        if not self.unfinished and self._up_to(1):
            raise CorruptError("bytes after the last section")

    def _seek(self, position: int) -> None:
        """Go to ``position``: whoever iterates may call :meth:`read` in between."""
        if self._seekable:
            self._file.seek(position)

    def index(self, *, partial: bool = False) -> list[Entry]:
        """Where the sections of known type are, without reading (or checking) their payloads.

        Others are read: a damaged type must not make a section vanish silently. ``partial``: a truncated file is
        taken for the sections that are whole.
        """
        position, end = self._start + self._body, self._end()
        entries: list[Entry] = []
        seen = _Seen()
        for _ in range(self.header.sections):
            try:
                entry = self._entry(position, end)
                if entry.type not in _KNOWN:
                    self.read(entry)
            except TruncatedError:
                if partial:
                    return entries
                raise
            position += entry.size
            if self._wanted(entry.type):
                seen.check(entry.type, entry.first)
                entries.append(entry)
        if position != end and not self.unfinished:
            raise CorruptError(f"{end - position} bytes after the last section")
        return entries

    def _entry(self, position: int, end: int) -> Entry:
        """The entry of the section at ``position``."""
        self._file.seek(position)
        kind = self._take(1, "section type")[0]
        length = self._varint("section length")
        size = finish_varint(length)
        total = 1 + len(length) + size + CRC_BYTES
        if total > end - position:
            raise TruncatedError(f"section of {size} bytes reaches past the end of the file")
        self._limits.check("max_section", size, "section")
        front = self._take(min(size, MAX_VARINT), "section")
        return Entry(kind, position, total, first_varint(kind, front))

    def read(self, entry: Entry) -> Section:
        """The section of an entry of :meth:`index`, CRC checked."""
        self._file.seek(entry.offset)
        section = self._read_section()
        if section.type != entry.type or section.size != entry.size:
            raise CorruptError(f"section at byte {entry.offset} changed while it was read")
        return section
