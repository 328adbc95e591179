"""A file as a decoder should see it: a stretch of it, with some bytes of its header put right."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes [``start``, ``stop``) of a file, with ``patches``: (offset in the file, bytes that belong there)."""

    start: int
    stop: int
    patches: tuple[tuple[int, bytes], ...] = ()


class Window(io.RawIOBase):
    """A :class:`Stretch` as a file of its own, for reading."""

    def __init__(self, path: Path, stretch: Stretch) -> None:
        super().__init__()
        self._file: BinaryIO = path.open("rb")
        self._stretch, self._at = stretch, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as in any file."""
        base = (0, self._at, self._stretch.stop - self._stretch.start)[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """The position within the stretch."""
        return self._at

    def readinto(self, buffer: object) -> int:
        """Fill ``buffer`` as far as the stretch reaches."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        first = self._stretch.start + self._at
        size = max(0, min(len(view), self._stretch.stop - first))
        self._file.seek(first)
        size = int(self._file.readinto(view[:size]))  # type: ignore[attr-defined]
        for offset, data in self._stretch.patches:
            low, high = max(first, offset), min(first + size, offset + len(data))
            if low < high:
                view[low - first : high - first] = data[low - offset : high - offset]
        self._at += size
        return size

    def close(self) -> None:
        """Close the file beneath."""
        if not self.closed:
            self._file.close()
        super().close()
