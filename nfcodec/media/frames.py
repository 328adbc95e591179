"""A folder of numbered pictures as a silent video."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np

from nfcodec.errors import MediaReadError, UnsupportedMediaError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.image import open_image
from nfcodec.media.losses import counted
from nfcodec.media.reading import named, reading
from nfcodec.media.samples import full_scale
from nfcodec.media.sniff import sniff
from nfcodec.signal import Block, Floats, Metadata, SignalInfo, Source

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_RATE = Fraction(25)
_NAME = re.compile(r"(.*?)(\d{1,18})(\D*)", re.ASCII | re.DOTALL)
_CAMERA = (0x010F, 0x0110)  # maker, model


class FrameFolderSource:
    """Pictures with a number in their name, in the order of the numbers, at 25 frames per second."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.warnings: list[str] = []
        self.metadata = Metadata()
        self._limits = limits
        self._paths = frames_of(folder)
        frames = counted(len(self._paths), "frame")
        self.warnings.append(f"the folder is taken for a video of {frames}, {_RATE} a second")
        limits.check("max_frames", len(self._paths), f"folder of {len(self._paths)} frames")
        first = self._open(self._paths[0])
        try:
            self._size = first.info.shape
            if first.info.alpha:
                self.warnings.append("dropped the alpha channel of the frames")
            if _by_a_camera(first.metadata):
                raise _no_sequence(folder, "its pictures are photographs of a camera")
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


def frames_of(folder: Path) -> list[Path]:
    """The frames in a folder that is plainly a sequence, in order.

    Plainly: its pictures are named alike but for a number that counts up one by one, and no other media or folders are
    there. Names that begin with a dot do not count. Raises :class:`UnsupportedMediaError` for other folders, and
    :class:`MediaReadError`.
    """
    with reading(folder):
        files = [p for p in folder.iterdir() if not p.name.startswith(".")]
    if not files:
        raise MediaReadError(f"cannot read {named(folder)}: the folder is empty")
    frames: dict[int, Path] = {}
    names = set()
    for path in files:
        match = _NAME.fullmatch(path.name)
        frame = path.suffix.lower() in _SUFFIXES
        if path.is_dir() or (_is_media(path) and (match is None or not frame)):
            raise _no_sequence(folder, f"{named(path)} is no numbered picture")
        if match is None or not frame:
            continue
        names.add((match[1], match[3]))
        if int(match[2]) in frames:
            raise _no_sequence(folder, f"{frames[int(match[2])].name} and {path.name} have one number")
        frames[int(match[2])] = path
    if len(names) > 1:
        raise _no_sequence(folder, "its pictures have several names")
    if len(frames) < 2:
        raise _no_sequence(folder, f"it has {counted(len(frames), 'picture')}")
    missing = next((n for n in range(min(frames), max(frames)) if n not in frames), None)
    if missing is not None:
        raise _no_sequence(folder, f"number {missing} is missing")
    return [frames[n] for n in sorted(frames)]


def _is_media(path: Path) -> bool:
    # A table of its own, because the shared one differs between machines.
    kind = mimetypes.MimeTypes().types_map[True].get(path.suffix.lower(), "")
    return path.suffix.lower() in _SUFFIXES or kind.split("/")[0] in ("image", "audio", "video")


def _no_sequence(folder: Path, why: str) -> UnsupportedMediaError:
    hint = f"nfc batch {named(folder)} -d OUT encodes every file; frames are called frame-0001.png, frame-0002.png, …"
    return UnsupportedMediaError(f"{named(folder)} is not plainly a sequence of frames: {why}", hint=hint)


def _by_a_camera(metadata: Metadata) -> bool:
    """Whether EXIF names a camera: its folders count their pictures, too."""
    from PIL import Image

    exif = Image.Exif()
    with suppress(Exception):  # damaged ones name none
        exif.load(metadata.exif)
    return bool(metadata.exif) and any(number in exif for number in _CAMERA)


def open_frames(folder: Path, *, limits: Limits = DEFAULT_LIMITS) -> FrameFolderSource:
    """Open a folder of numbered pictures."""
    return FrameFolderSource(folder, limits)
