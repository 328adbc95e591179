"""Writes ``.nfc`` files that can be read while they grow: nothing that was written is ever changed.

Sections that belong together are held back until a LENGTH section says how much of the signal they complete; all of it
then goes to the file at once, so that a reader finds whole chunks or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec.container.layout import Header, SectionType, length_payload
from nfcodec.container.writer import Writer, disk, front_bytes
from nfcodec.errors import InternalError


class GrowingWriter(Writer):
    """Appends to ``out``, which is a file or a pipe. ``header``: with ``growing``. ``told`` is called whenever more of
    the signal can be read, with the rows of axis 0 that are there by then."""

    def __init__(self, out: BinaryIO, header: Header, told: Callable[[int], None] | None = None) -> None:
        """Nothing is written before the first chunk is complete."""
        super().__init__()
        self._out, self._told = out, told
        self._waiting = front_bytes(header)
        self.size = 0

    def __enter__(self) -> GrowingWriter:
        """The writer itself."""
        return self

    def grown(self, length: int) -> None:
        """Write what was added; the first ``length`` rows of axis 0 can be read now."""
        self._flush(length, last=False)

    def end(self, length: int) -> int:
        """Write what was added, and that no more than ``length`` rows will come. Returns the bytes of the file."""
        self._flush(length, last=True)
        return self.size

    def finish(self, header: Header, out: BinaryIO) -> int:
        """A growing file is ended, not finished."""
        raise InternalError("a growing file is written as it grows")

    def _flush(self, length: int, *, last: bool) -> None:
        self.add(SectionType.LENGTH, length_payload(length, last=last))
        with disk():
            self._spool.seek(0)
            data = self._waiting + self._spool.read()
            self._out.write(data)
            self._out.flush()
            self._spool.seek(0)
            self._spool.truncate()
        self._waiting = b""
        self.size += len(data)
        if self._told:
            self._told(length)
