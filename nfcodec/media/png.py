"""PNG and APNG: the chunks of a file that is read, and a writer for every depth that PNG knows.

Pillow holds no colour picture of 16 bit and keeps whole animations in memory; this writer does neither.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nfcodec.signal import Ints, Metadata
from nfcodec.tags import Tags
from nfcodec.types import Bytes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp"
_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
_IDAT = 1 << 16
_MAX_CHUNKS = 100_000


@dataclass(frozen=True, slots=True)
class PngHeader:
    """``depth``: bits per sample; ``colour_type`` as in IHDR; ``chunks``: (type, first bytes), without pixels;
    ``end``: where the last one ends, None where it is missing."""

    depth: int
    colour_type: int
    chunks: tuple[tuple[bytes, bytes], ...]
    end: int | None = None


def read_png_header(path: Path) -> PngHeader:
    """The chunks of a PNG file, found by seeking; raises ``ValueError`` or ``OSError`` for damaged files."""
    chunks: list[tuple[bytes, bytes]] = []
    depth, colour_type, end = 0, 0, None
    with open(path, "rb") as file:
        file.seek(len(_SIGNATURE))
        for _ in range(_MAX_CHUNKS):
            size, name = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
            data = file.read(min(size, 128))
            if name == b"IHDR" and len(data) >= 10:
                depth, colour_type = data[8], data[9]
            elif name == b"IEND":
                end = file.tell() + size - len(data) + 4
                break
            elif name == b"\0\0\0\0":
                break
            elif name not in (b"IDAT", b"fdAT", b"fcTL"):
                chunks.append((name, data))
            file.seek(size - len(data) + 4, 1)
    return PngHeader(depth, colour_type, tuple(chunks), end)


def lost_chunks(header: PngHeader) -> tuple[list[str], list[str]]:
    """What of the chunks nfc does not keep: what changes colours, and what else, in words.

    A colour profile or an sRGB chunk overrides gAMA and cHRM (PNG, third edition, §4.3).
    """
    names = {name for name, _ in header.chunks}
    settled = bool(names & {b"sRGB", b"iCCP", b"cICP"})
    different, lost = [], dict[str, None]()
    for name, data in header.chunks:
        if name in _COLOURS:
            if not (settled or _usual(name, data)):
                different.append(_COLOURS[name](data))
        elif name not in _KEPT and not _arrives(name, data):
            lost[f"{_MEANING[name]} ({name.decode('latin-1')})" if name in _MEANING else _unknown(name)] = None
    return different, list(lost)


_KEPT = frozenset((b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"acTL", b"sRGB", b"iDOT", b"cICP"))
_MEANING = {
    b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"tIME": "time of change", b"bKGD": "background colour",
    b"sBIT": "number of significant bits", b"hIST": "histogram", b"sPLT": "suggested palette",
    b"mDCV": "mastering display", b"mDCv": "mastering display", b"cLLI": "light levels", b"cLLi": "light levels",
    b"caBX": "content credentials", b"oFFs": "offset", b"pCAL": "calibration", b"sCAL": "scale", b"sTER": "stereo",
    b"gIFg": "GIF control", b"gIFx": "GIF application data", b"pHYs": "pixel aspect",
}  # fmt: skip


def _gamma(data: bytes) -> str:
    value = int.from_bytes(data[:4], "big")
    return f"gamma {value / 100_000:g} (gAMA)"


def _primaries(data: bytes) -> str:  # noqa: ARG001 (one of a table)
    return "a choice of primaries (cHRM)"


_COLOURS = {b"gAMA": _gamma, b"cHRM": _primaries}


def _unknown(name: bytes) -> str:
    return f"chunk {name.decode('latin-1')}" if name.isalpha() else "a chunk of no known kind"


def _usual(name: bytes, data: bytes) -> bool:
    """Whether a chunk says what holds anyway."""
    if name == b"gAMA":
        return abs(int.from_bytes(data[:4], "big") - 45455) <= 100
    usual = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    return len(data) >= 32 and all(abs(a - b) <= 100 for a, b in zip(struct.unpack(">8I", data[:32]), usual))  # noqa: B905


def _arrives(name: bytes, data: bytes) -> bool:
    """Whether a chunk arrives by another way, or says nothing."""
    if name == b"pHYs":
        return data[8:9] == b"\1" or data[:4] == data[4:8]
    return name in (b"iTXt", b"tEXt", b"zTXt") and data.startswith((_XMP, *_PROFILES))


# In PNG texts of ImageMagick: what image_metadata.py takes over, or tells of by itself.
_PROFILES = tuple(b"Raw profile type " + kind for kind in (b"exif", b"xmp", b"APP1", b"icc", b"icm"))


@dataclass(frozen=True, slots=True)
class PngShape:
    """``channels``: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; ``depth``: 1, 8 or 16 bits; ``delays``: frame times in ms.

    Without ``delays`` the picture does not move.
    """

    width: int
    height: int
    channels: int
    depth: int
    delays: tuple[float, ...] = ()
    loop: int = 0


class PngWriter:
    """Writes rows as they come; the memory it needs does not grow with the picture."""

    def __init__(self, file: BinaryIO, shape: PngShape, metadata: Metadata, tags: Tags) -> None:
        self._file = file
        self._shape = shape
        self._bpp = max(1, shape.channels * shape.depth // 8)
        self._row, self._frame, self._sequence = 0, 0, 0
        self._above: Bytes = np.zeros(0, np.uint8)
        self._packer = zlib.compressobj(6)
        self._pending = bytearray()
        file.write(_SIGNATURE)
        self._chunk(b"IHDR", self._ihdr())
        for name, data in ancillary_chunks(metadata, tags):
            self._chunk(name, data)
        if shape.delays:
            self._chunk(b"acTL", struct.pack(">II", len(shape.delays), shape.loop))
        self._start_frame()

    def rows(self, samples: Ints) -> None:
        """Take the next rows: unsigned integers (n, width, channels); frames follow each other without a gap."""
        while len(samples):
            part = samples[: self._shape.height - self._row]
            samples = samples[len(part) :]
            self._rows_of_frame(part)
            self._row += len(part)
            if self._row == self._shape.height:
                self._end_frame()

    def close(self) -> None:
        """Write the end mark; the rows of every frame must have been written."""
        self._chunk(b"IEND", b"")

    def _ihdr(self) -> bytes:
        s = self._shape
        return struct.pack(">IIBBBBB", s.width, s.height, s.depth, _COLOUR_TYPE[s.channels], 0, 0, 0)

    def _chunk(self, name: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + name + data)
        self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))

    def _start_frame(self) -> None:
        self._row = 0
        self._packer = zlib.compressobj(6)
        self._above = np.zeros((self._shape.width * self._shape.channels * self._shape.depth + 7) // 8, np.uint8)
        if self._shape.delays:
            self._chunk(b"fcTL", self._fctl())

    def _fctl(self) -> bytes:
        s = self._shape
        top, bottom = _delay(s.delays[self._frame])
        return struct.pack(">IIIIIHHBB", self._next(), s.width, s.height, 0, 0, top, bottom, 0, 0)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _end_frame(self) -> None:
        self._pending += self._packer.flush()
        self._flush(0)
        self._frame += 1
        if self._frame < len(self._shape.delays):
            self._start_frame()

    def _rows_of_frame(self, samples: Ints) -> None:
        packed = _pack(samples, self._shape.depth)
        # Bounds the memory of the filters: about 1 MiB of picture at a time.
        step = max(1, (1 << 20) // max(1, packed.shape[1]))
        for a in range(0, len(packed), step):
            part = packed[a : a + step]
            above = np.concatenate([self._above[None], part[:-1]])
            filtered = _filter(part, above, self._bpp) if self._shape.depth >= 8 else _plain(part)
            self._above = part[-1]
            self._pending += self._packer.compress(filtered.tobytes())
            self._flush(_IDAT)

    def _flush(self, least: int) -> None:
        while self._pending and len(self._pending) >= least:
            data = bytes(self._pending[:_IDAT])
            del self._pending[:_IDAT]
            if self._frame == 0:
                self._chunk(b"IDAT", data)
            else:
                self._chunk(b"fdAT", struct.pack(">I", self._next()) + data)


def _delay(milliseconds: float) -> tuple[int, int]:
    """A frame time as the two 16-bit numbers of fcTL, in seconds."""
    whole = round(milliseconds)
    if whole <= 0xFFFF:
        return whole, 1000
    parts = max(1, 0xFFFF * 1000 // whole)
    return min(0xFFFF, round(whole * parts / 1000)), parts


def _pack(samples: Ints, depth: int) -> Bytes:
    """Samples (n, W, C) as the bytes (n, row) that PNG stores."""
    flat = samples.reshape(len(samples), -1)
    if depth == 1:
        return np.packbits(flat.astype(bool), axis=1)
    return np.ascontiguousarray(flat, ">u2" if depth == 16 else np.uint8).view(np.uint8)


def _plain(rows: Bytes) -> Bytes:
    return np.concatenate([np.zeros((len(rows), 1), np.uint8), rows], axis=1)


def _filter(rows: Bytes, above: Bytes, bpp: int) -> Bytes:
    """Per row the PNG filter whose output has the smallest sum of absolute values, the usual heuristic."""
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, bpp:], corner[:, bpp:] = rows[:, :-bpp], above[:, :-bpp]
    mean = ((left.astype(np.uint16) + above) >> 1).astype(np.uint8)
    best = _plain(rows)
    cost = np.full(len(rows), np.iinfo(np.int64).max)
    for number, guess in ((1, left), (2, above), (3, mean), (4, _paeth(left, above, corner))):
        residual = rows - guess
        price = np.abs(residual.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)
        wins = price < cost
        best[wins, 0], best[wins, 1:], cost[wins] = number, residual[wins], price[wins]
    return best


def _paeth(left: Bytes, above: Bytes, corner: Bytes) -> Bytes:
    a, b, c = left.astype(np.int16), above.astype(np.int16), corner.astype(np.int16)
    pa, pb, pc = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    return np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, above, corner))


def ancillary_chunks(metadata: Metadata, tags: Tags) -> list[tuple[bytes, bytes]]:
    """The metadata that PNG holds: iCCP, eXIf, iTXt (XMP) and pHYs."""
    chunks = []
    if metadata.icc:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if tags.cicp:
        # Matrix 0: PNG holds RGB only.
        chunks.append((b"cICP", bytes((*tags.cicp, 0, 1))))
    if tags.dpi:
        x, y = (round(v / 0.0254) for v in tags.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", x, y, 1)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append((b"iTXt", _XMP + b"\0\0\0\0\0" + metadata.xmp))
    return chunks
