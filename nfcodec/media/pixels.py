"""Decoded pictures in compact form, read as upright rows of integers.

Pictures stay as Pillow or the decoder left them; colour conversion, turning and the split of alpha happen for
the rows that are asked for, so a picture never exists as floats, nor twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from nfcodec.signal import Ints, SampleType

if TYPE_CHECKING:
    from PIL import Image

Rows = tuple[npt.NDArray[Any], "Ints | None"]
Key = tuple[int, ...]


class PixelStore(Protocol):
    """``height`` and ``width`` are those of the upright picture."""

    height: int
    width: int

    def read(self, start: int, stop: int) -> Rows:
        """Upright rows: samples (n, W, C) and alpha (n, W) or None."""
        ...


def turn(raw: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """``raw`` (h, w, …) made upright as EXIF says, as a view."""
    if orientation >= 5:
        raw = raw.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        raw = raw[::-1]
    if orientation in (2, 3, 6, 7):
        raw = raw[:, ::-1]
    return raw


def raw_box(start: int, stop: int, size: tuple[int, int], orientation: int) -> tuple[int, int, int, int]:
    """Where upright rows ``start`` to ``stop`` lie in a stored picture of ``size`` (w, h): left, top, right, bottom."""
    width, height = size
    length = height if orientation < 5 else width
    if orientation in (3, 4, 7, 8):
        start, stop = length - stop, length - start
    return (0, start, width, stop) if orientation < 5 else (start, 0, stop, height)


def key_alpha(samples: npt.NDArray[Any], key: Key, dtype: npt.DTypeLike) -> Ints:
    """Alpha (n, W): zero where a pixel of ``samples`` (n, W, C) equals the transparent colour."""
    full = np.iinfo(dtype).max
    hit = (samples == np.asarray(key, samples.dtype if samples.dtype.kind == "u" else None)).all(axis=-1)
    return np.where(hit, 0, full).astype(dtype)


def split_alpha(samples: npt.NDArray[Any], channels: int) -> Rows:
    """Colour (n, W, channels) and what follows it as alpha (n, W)."""
    if samples.shape[-1] == channels:
        return samples, None
    return samples[..., :channels], samples[..., channels]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a Pillow image is read: ``mode`` to convert to, and the transparent colour in samples of that mode."""

    mode: str
    sample_type: SampleType
    key: Key | None = None

    @property
    def channels(self) -> int:
        """Colour channels, without alpha."""
        return 3 if self.mode.startswith("RGB") else 1

    @property
    def alpha(self) -> bool:
        """Whether alpha comes with the colours."""
        return self.key is not None or self.mode in ("LA", "RGBA")


class PillowStore:
    """Rows of a loaded Pillow image."""

    def __init__(self, image: Image.Image, layout: Layout, orientation: int) -> None:
        self._image, self._layout, self._orientation = image, layout, orientation
        self.width, self.height = image.size if orientation < 5 else image.size[::-1]

    def read(self, start: int, stop: int) -> Rows:
        """See :class:`PixelStore`."""
        part = self._image.crop(raw_box(start, stop, self._image.size, self._orientation))
        samples = turn(pillow_array(part, self._layout.mode), self._orientation)
        colour, alpha = split_alpha(samples, self._layout.channels)
        if self._layout.key is not None:
            alpha = key_alpha(colour, self._layout.key, np.uint16 if self._layout.sample_type == "u16" else np.uint8)
        return colour, alpha


class ArrayStore:
    """Rows of an array (h, w, C or C + alpha) as stored; the picture is upright after ``orientation``."""

    def __init__(self, samples: npt.NDArray[Any], channels: int, orientation: int = 1, key: Key | None = None) -> None:
        self._samples, self._channels, self._key = turn(samples, orientation), channels, key
        self.height, self.width = self._samples.shape[:2]

    def read(self, start: int, stop: int) -> Rows:
        """See :class:`PixelStore`."""
        colour, alpha = split_alpha(self._samples[start:stop], self._channels)
        if self._key is not None and alpha is None:
            alpha = key_alpha(colour, self._key, colour.dtype)
        return colour, alpha


class MappedStore:
    """Another store's colours through a table (65536,): what files count backwards, or to other limits."""

    def __init__(self, store: PixelStore, table: npt.NDArray[np.uint16]) -> None:
        self._store, self._table = store, table
        self.height, self.width = store.height, store.width

    def read(self, start: int, stop: int) -> Rows:
        """See :class:`PixelStore`."""
        colour, alpha = self._store.read(start, stop)
        return self._table[colour], alpha


def pillow_array(image: Image.Image, mode: str) -> npt.NDArray[Any]:
    """The samples (h, w, C) of ``image`` in ``mode``, in native byte order; 0 and 1 for mode "1"."""
    if mode in ("I;16", "I", "F"):  # Pillow's own conversions between these clip or scale
        samples = np.asarray(image)
        samples = samples.astype(np.uint16 if mode == "I;16" else samples.dtype.newbyteorder("="), copy=False)
    else:
        samples = np.asarray(image if image.mode == mode else image.convert(mode))
    if mode == "1":
        samples = samples.astype(np.uint8)
    return samples[..., None] if samples.ndim == 2 else samples
