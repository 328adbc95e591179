"""A folder of numbered pictures as a silent video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from nfcodec.errors import MediaReadError, UnsupportedMediaError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.image import open_image
from nfcodec.media.reading import named, reading
from nfcodec.media.samples import full_scale
from nfcodec.media.sniff import sniff
from nfcodec.signal import Block, Floats, Metadata, SignalInfo, Source

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_RATE = Fraction(25)


class FrameFolderSource:
    """Pictures with a number in their name, in the order of the numbers, at 25 frames per second."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.warnings: list[str] = []
        self.metadata = Metadata()
        self._limits = limits
        self._paths = _numbered(folder)
        limits.check("max_frames", len(self._paths), f"folder of {len(self._paths)} frames")
        first = self._open(self._paths[0])
        try:
            self._size = first.info.shape
            if first.info.alpha:
                self.warnings.append("dropped the alpha channel of the frames")
            if first.metadata:
                self.warnings.append("dropped the metadata of the frames")
        finally:
            first.close()
        self.info = SignalInfo("video", (len(self._paths), *self._size), 3, "u8", rate=_RATE)

    def _open(self, path: Path) -> Source:
        source = open_image(path, sniff(path).name, limits=self._limits)
        if source.info.modality != "image" or source.info.sample_type == "f32":
            source.close()
            raise UnsupportedMediaError(f"{named(path)} is no plain picture, so it cannot be a frame")
        return source

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` frames: values (n, H, W, 3) in [0, 1]."""
        for start in range(0, len(self._paths), rows):
            yield Block(np.stack([self._frame(path) for path in self._paths[start : start + rows]]))

    def _frame(self, path: Path) -> Floats:
        source = self._open(path)
        try:
            if source.info.shape != self._size:
                (h, w), (height, width) = source.info.shape, self._size
                raise MediaReadError(f"{named(path)} has {w}×{h} pixels, the first frame has {width}×{height}")
            (block,) = source.blocks(self._size[0])
            values = full_scale(block.values, source.info)
            return np.repeat(values, 3, axis=-1) if source.info.channels == 1 else values
        finally:
            source.close()

    def sidecar(self) -> bytes:
        """No sound track."""
        return b""

    def close(self) -> None:
        """Nothing is open between frames."""


def _numbered(folder: Path) -> list[Path]:
    with reading(folder):
        names = [p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and re.search(r"\d", p.stem)]
    if not names:
        raise MediaReadError(f"cannot read {named(folder)}: a folder without numbered pictures")
    return sorted(names, key=lambda p: (int(re.findall(r"\d+", p.stem)[-1]), p.name))


def open_frames(folder: Path, *, limits: Limits = DEFAULT_LIMITS) -> FrameFolderSource:
    """Open a folder of numbered pictures."""
    return FrameFolderSource(folder, limits)
