"""Valid files of kinds that Pillow does not read, told by their headers: what to say instead of "not a valid file"."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

_HEAD = 1 << 16
# Markers of frames (ITU-T T.81, table B.1) that libjpeg does not decode; the bare ones have no length.
_FRAMES = {3: "lossless", 5: "hierarchical", 6: "hierarchical", 7: "hierarchical", 11: "lossless", 13: "hierarchical",
           14: "hierarchical", 15: "hierarchical"}  # fmt: skip
_BARE = frozenset((0x01, *range(0xD0, 0xDA)))
_PSD_MODES = {0: "bitmap", 1: "grey", 2: "palette", 3: "RGB", 4: "CMYK", 7: "multichannel", 8: "duotone", 9: "Lab"}
_BMP_PACKED = {4: "JPEG", 5: "PNG", 11: "CMYK", 12: "CMYK", 13: "CMYK"}


def unsupported(path: Path, form: str) -> str | None:
    """What a valid file of Pillow's format ``form`` is, where that is nothing that Pillow reads; None if not known."""
    describe = _KNOWN.get(form)
    if describe is None:
        return None
    try:
        with open(path, "rb") as file:
            return describe(file.read(_HEAD))
    except (OSError, struct.error, IndexError, ValueError):
        return None


def segments(data: bytes, start: int = 2) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the content of every JPEG segment before the first scan."""
    at = start
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _BARE or marker == 0xFF:
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at + 4, end
        if marker == 0xDA:
            return
        at = end


def _jpeg(head: bytes) -> str | None:
    for marker, start, _ in segments(head):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, _, count = struct.unpack_from(">BHHB", head, start)
            kind = _FRAMES.get(marker - 0xC0, "")
            if kind or bits != 8:
                return f"{kind} JPEG of {bits} bits".lstrip()
            if not height:
                return "JPEG whose height stands at its end"
            return f"JPEG of {count} components" if count not in (1, 3, 4) else None
    return None


def _psd(head: bytes) -> str | None:
    version, channels, bits, mode = struct.unpack_from(">H6xH8xHH", head, 4)
    if version == 2:
        return "Photoshop's large document format (PSB)"
    readable = bits == 8 or (mode, bits) == (0, 1)
    if version != 1 or mode not in _PSD_MODES or readable:
        return None
    return f"{_PSD_MODES[mode]} PSD of {bits} bits and {channels} channel{'s' * (channels > 1)}"


def _bmp(head: bytes) -> str | None:
    (size,) = struct.unpack_from("<I", head, 14)
    if size not in (40, 52, 56, 64, 108, 124):
        return None
    bits, packed = struct.unpack_from("<HI", head, 28)
    if packed > 13 or bits not in (0, 1, 2, 4, 8, 16, 24, 32, 64):
        return None
    return f"BMP of {bits} bits" + (f" with {_BMP_PACKED[packed]} data" if packed in _BMP_PACKED else "")


def _dds(head: bytes) -> str | None:
    if len(head) < 128 or struct.unpack_from("<I", head, 4)[0] != 124:
        return None
    flags, code, bits = struct.unpack_from("<I4sI", head, 80)
    if flags & 4 and code == b"DX10":
        return f"DDS of DXGI format {struct.unpack_from('<I', head, 128)[0]}"
    return f"DDS of kind {code.decode('ascii', 'replace')}" if flags & 4 else f"DDS of {bits} bits"


def codestream_bits(path: Path) -> int:
    """Bits of the first component of a JPEG 2000 file (ITU-T T.800, §A.5.1); 8 where the beginning does not tell."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    at = head.find(b"\xff\x4f\xff\x51")
    return (head[at + 42] & 0x7F) + 1 if at >= 0 and at + 42 < len(head) else 8


def _jp2(head: bytes) -> str | None:
    at = head.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return None
    (count,) = struct.unpack_from(">H", head, at + 40)
    bits = (head[at + 42] & 0x7F) + 1
    return f"JPEG 2000 of {count} component{'s' * (count > 1)} and {bits} bits" if 0 < count <= 16384 else None


def _pnm(head: bytes) -> str | None:
    words = head[:64].split()
    return f"PNM of kind {words[0].decode()}" if words and words[0] in (b"P7", b"PF", b"Pf") else None


_KNOWN: Mapping[str, Callable[[bytes], str | None]] = MappingProxyType(
    {"JPEG": _jpeg, "PSD": _psd, "BMP": _bmp, "DDS": _dds, "JPEG2000": _jp2, "PPM": _pnm}
)
