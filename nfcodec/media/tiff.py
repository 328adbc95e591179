"""TIFF beyond Pillow: grey and RGB of any number of bits up to 16, and the right words for what nfc does not take.

Samples of fewer than 8 or 16 bits lie packed, rows padded to whole bytes (TIFF 6.0, §"Compression"); full scale is
2^bits - 1 (§"BitsPerSample"), and of WhiteIsZero 0 is white.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import MediaReadError, UnsupportedMediaError
from nfcodec.media.reading import named
from nfcodec.types import Bytes

Samples = npt.NDArray[np.uint16]

_KINDS = {2: "signed ", 3: "float ", 4: "", 5: "complex integer ", 6: "complex "}
_PHOTOMETRIC = {
    0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "transparency mask", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "ICC Lab",
    10: "ITU Lab", 32803: "camera raw", 32844: "LogL", 32845: "LogLuv", 34892: "camera raw",
}  # fmt: skip
_COMPRESSION = {
    2: "CCITT", 3: "CCITT fax 3", 4: "CCITT fax 4", 5: "LZW", 6: "old-style JPEG", 7: "JPEG", 32773: "PackBits",
    32809: "ThunderScan", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG", 34925: "LZMA", 50000: "Zstandard",
    50001: "WebP", 52546: "JPEG XL", 34676: "SGILog", 34677: "SGILog24",
}  # fmt: skip
_DEFLATE = (8, 32946)
_ALPHA = (1, 2)  # associated, unassociated
_MOST_BITS, _MOST_EXTRA = 16, 8


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """The first picture of a file. ``bits``: of each sample of a pixel; ``extra``: what ExtraSamples says of the last
    ones; ``blocks``: offset and bytes of every strip or tile of ``block`` (height, width) samples."""

    size: tuple[int, int]
    bits: tuple[int, ...]
    format: int
    photometric: int
    compression: int
    predictor: int
    planar: bool
    extra: tuple[int, ...]
    orientation: int
    big_endian: bool
    fill_order: int
    block: tuple[int, int]
    blocks: tuple[tuple[int, int], ...]
    icc: bytes = b""
    xmp: bytes = b""

    @property
    def colours(self) -> int:
        """Samples of a pixel that are no extra ones."""
        return len(self.bits) - len(self.extra)

    @property
    def readable(self) -> bool:
        """Whether :func:`read_samples` can read it."""
        plain = self.format == 1 and len(set(self.bits)) == 1 and self.bits[0] <= _MOST_BITS
        unpacked = self.compression in (1, *_DEFLATE) and (self.predictor, self.fill_order) == (1, 1)
        plain = plain and len(self.extra) <= _MOST_EXTRA
        return plain and unpacked and self.colours == {0: 1, 1: 1, 2: 3}.get(self.photometric)

    def describe(self) -> str:
        """What kind of TIFF it is: "float RGB TIFF (3 × 32 bits)"."""
        kind = _KINDS.get(self.format, "") + _PHOTOMETRIC.get(self.photometric, f"photometric {self.photometric}")
        count, bits = len(self.bits), "/".join(map(str, dict.fromkeys(self.bits)))
        depth = f"{count} × {bits} bits" if count > 1 else f"{bits} bits"
        packed = "" if self.compression in (1, *_DEFLATE) else _COMPRESSION.get(self.compression, "unknown")
        method = f", {packed} compression {self.compression}" if packed == "unknown" else f", {packed} compression"
        return f"{kind} TIFF ({depth}{method if packed else ''})"


def read_tiff_header(path: Path) -> TiffHeader | None:
    """The tags of the first picture, or None for what is no valid TIFF."""
    from PIL import TiffImagePlugin

    try:
        with open(path, "rb") as file:
            head = file.read(8)
            head += file.read(8) if 43 in head[2:4] else b""
            tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
        return _header(tags, big_endian=head[:1] == b"M")
    except Exception:  # whatever is wrong, it is no directory of a picture
        return None


def _header(tags: Any, *, big_endian: bool) -> TiffHeader | None:
    width, height = int(tags[256]), int(tags[257])
    count = int(tags.get(277, 1))
    bits = tuple(int(b) for b in _many(tags.get(258, 1)))
    bits = bits if len(bits) == count else bits[:1] * count
    tiled = 324 in tags
    offsets, sizes = (_many(tags[t]) for t in ((324, 325) if tiled else (273, 279)))
    block = (int(tags[323]), int(tags[322])) if tiled else (min(int(tags.get(278, height)), height), width)
    if min(width, height, count, *bits, *block) < 1 or not offsets:
        return None
    formats = _many(tags.get(339, 1))
    turned = tags.get(274, 1)
    return TiffHeader(
        size=(height, width), bits=bits, format=int(formats[0]), photometric=int(tags.get(262, -1)),
        compression=int(tags.get(259, 1)), predictor=int(tags.get(317, 1)), planar=tags.get(284, 1) == 2,
        extra=tuple(int(e) for e in _many(tags.get(338, ()))), orientation=turned if turned in range(1, 9) else 1,
        big_endian=big_endian, fill_order=int(tags.get(266, 1)), block=block,
        blocks=tuple((int(o), int(n)) for o, n in zip(offsets, sizes)),  # noqa: B905 (files lie)
        icc=_payload(tags.get(34675)), xmp=_payload(tags.get(700)),
    )  # fmt: skip


def _many(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _payload(value: Any) -> bytes:
    return bytes(value) if isinstance(value, (bytes, bytearray)) else b""


def read_samples(path: Path, header: TiffHeader) -> Samples:
    """All samples (h, w, C) of a ``readable`` header, white at 65535. Raises ``ValueError`` and ``OSError``."""
    height, width = header.size
    planes = len(header.bits) if header.planar else 1
    each = 1 if header.planar else len(header.bits)
    out = np.zeros((height, width, len(header.bits)), np.uint16)
    table = scale_table(header.bits[0], inverted=header.photometric == 0)
    rest = scale_table(header.bits[0], inverted=False)
    with open(path, "rb") as file:
        for plane, top, left, (offset, size) in _places(header, planes):
            file.seek(offset)
            samples = _unpacked(_expanded(file.read(size), header), header, each)
            rows, columns = min(len(samples), height - top), min(samples.shape[1], width - left)
            part = samples[:rows, :columns]
            for c in range(each):
                number = plane + c
                scaled = (table if number < header.colours else rest)[part[..., c]]
                out[top : top + rows, left : left + columns, number] = scaled
    return out


def _places(header: TiffHeader, planes: int) -> Iterator[tuple[int, int, int, tuple[int, int]]]:
    """Plane, top, left, and the bytes of every block."""
    (height, width), (tall, wide) = header.size, header.block
    corners = [(p, y, x) for p in range(planes) for y in range(0, height, tall) for x in range(0, width, wide)]
    if len(header.blocks) < len(corners):
        raise ValueError(f"{len(corners)} parts of the picture are expected, {len(header.blocks)} are there")
    for corner, place in zip(corners, header.blocks):  # noqa: B905 (there may be more)
        yield *corner, place


def _expanded(data: bytes, header: TiffHeader) -> Bytes:
    if header.compression in _DEFLATE:
        most = header.block[0] * (-(-header.block[1] * sum(header.bits) // 8) + 8)
        data = zlib.decompressobj().decompress(data, most)
    return np.frombuffer(data, np.uint8)


def _unpacked(data: Bytes, header: TiffHeader, each: int) -> Samples:
    """Samples (rows, block width, ``each``) of a block; a strip at the end may have fewer rows."""
    bits, wide = header.bits[0], header.block[1]
    stride = -(-wide * each * bits // 8)
    rows = min(len(data) // stride, header.block[0])
    if not rows:
        raise ValueError("the file ends before its data")
    grid = data[: rows * stride].reshape(rows, stride)
    if bits == 16:
        return grid.view(">u2" if header.big_endian else "<u2").astype(np.uint16).reshape(rows, wide, each)
    split = np.unpackbits(grid, axis=1)[:, : wide * each * bits].reshape(rows, wide * each, bits)
    out = np.zeros(split.shape[:2], np.uint16)
    for bit in range(bits):
        out = (out << np.uint16(1)) | split[..., bit]
    return out.reshape(rows, wide, each)


def scale_table(bits: int, *, inverted: bool) -> Samples:
    """What samples of so many bits are worth in 16, (65536,); larger ones count as the largest. ``inverted``: 0 is
    white."""
    full = 2**bits - 1
    values = np.minimum(np.arange(65536, dtype=np.uint64), np.uint64(full))
    values = np.uint64(full) - values if inverted else values
    return ((values * np.uint64(65535) + np.uint64(full // 2)) // np.uint64(full)).astype(np.uint16)


def check_supported(path: Path) -> TiffHeader:
    """The header of a TIFF that Pillow cannot open and :func:`read_samples` can.

    Raises :class:`UnsupportedMediaError` for another valid one, and :class:`MediaReadError` for what is none.
    """
    header = read_tiff_header(path)
    if header is None:
        raise MediaReadError(f"cannot read {named(path)}: not a valid TIFF file")
    if not header.readable:
        raise UnsupportedMediaError(f"{named(path)} is not supported: {header.describe()}")
    return header


def alpha_of(header: TiffHeader) -> int | None:
    """Which sample of a pixel is alpha, or None."""
    kinds = [number for number, kind in enumerate(header.extra, header.colours) if kind in _ALPHA]
    return kinds[0] if kinds else None
