"""What a picture file holds that its signal does not, each in a line that a person understands."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nfcodec.media.png import lost_chunks, read_png_header
from nfcodec.media.unsupported import segments

if TYPE_CHECKING:
    from PIL import Image

_HEAD = 1 << 16
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
# Adobe's and Google's XMP, ISO 21496-1, and Apple's auxiliary pictures.
_GAIN_MAPS = (b"hdrgm:Version", b'Semantic="GainMap"', b"urn:iso:std:iso:ts:21496", b"HDRGainMap")
# The next marker in entropy-coded data: no stuffed byte, no fill byte, no restart.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_WEBP = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "))
_JP2_UUIDS = MappingProxyType({
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "XMP",
    b"JpgTiffExif->JP2": "EXIF",
    bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03"): "GeoTIFF tags",
})  # fmt: skip
# Numbers of tags, by what they are to a person.
_TIFF = MappingProxyType({
    33723: "IPTC block", 34377: "Photoshop block", 330: "pictures in SubIFDs", 33550: "GeoTIFF tags",
    34264: "GeoTIFF tags", 34735: "GeoTIFF tags", 50838: "ImageJ data", 50839: "ImageJ data", 42112: "GDAL data",
    42113: "GDAL's value for no data", 37724: "Photoshop layers",
})  # fmt: skip


def counted(number: int, what: str) -> str:
    """1 frame, 2 frames; 1 further picture."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def note_losses(path: Path, form: str, image: Image.Image, pages: int, notes: list[str]) -> None:
    """Add a line to ``notes`` for everything that the file had and the source has not. ``pages``: pictures in it."""
    if pages > 1 and form == "PSD":
        notes.append(f"dropped {counted(pages - 1, 'layer')} (the merged picture is kept)")
    elif pages > 1 and form in ("TIFF", "JPEG"):
        notes.append(f"dropped {counted(pages - 1, 'further page' if form == 'TIFF' else 'further picture')}")
    if image.mode in ("CMYK", "LAB"):
        profile = ", its ICC profile dropped" if image.info.get("icc_profile") else " without a profile"
        notes.append(f"converted from {image.mode} to RGB{profile}")
    note_extras(path, form, image, notes)


def note_extras(path: Path, form: str, image: Image.Image, notes: list[str]) -> None:
    """The part of :func:`note_losses` that holds for moving pictures, too."""
    for key, what in (("comment", "comment"), ("photoshop", "Photoshop/IPTC block")):
        if image.info.get(key) and form not in ("TIFF", "PNG"):
            notes.append(f"dropped the {what}")
    find = _FINDERS.get(form)
    if find is not None:
        # A damaged part that nobody shows is no reason to refuse the picture.
        with suppress(Exception):
            notes += find(path, image)


# -- PNG ---------------------------------------------------------------------------------------------------
def _png(path: Path, image: Image.Image) -> list[str]:
    header = read_png_header(path)
    different, lost = lost_chunks(header)
    notes = [f"colours will look different: {what} is not kept" for what in different]
    notes += [f"dropped {', '.join(lost)}"] if lost else []
    return notes + _after(path, header.end)


def _after(path: Path, end: int | None) -> list[str]:
    rest = path.stat().st_size - end if end is not None else 0
    if rest <= 0 or end is None:
        return []
    with open(path, "rb") as file:
        file.seek(end)
        return _named_rest(file.read(_HEAD), rest)


def _named_rest(head: bytes, size: int) -> list[str]:
    """What follows a picture in its file; ``head`` is the beginning of it."""
    if not head.strip(b"\0\xff\r\n "):
        return []
    if head[4:8] == b"ftyp" or b"ftypmp42" in head or b"ftypisom" in head or b"MotionPhoto_Data" in head:
        return [f"dropped the video of a motion photo ({size} bytes)"]
    return [f"dropped {counted(size, 'byte')} after the picture"]


# -- JPEG --------------------------------------------------------------------------------------------------
def _jpeg(path: Path, image: Image.Image) -> list[str]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data[: 1 << 22]
        parts = list(segments(start))
        notes = _extended_xmp(start, parts)
        if any(m == 0xEB and start[a : a + 2] == b"JP" for m, a, _ in parts):
            notes.append("dropped the content credentials (JUMBF)")
        end = _end_of_jpeg(data, parts[-1][2] if parts else 2)
        rest = bytes(data[end : end + (1 << 22)])
        front = start[: parts[-1][1]] if parts else b""
        gain = any(mark in front or mark in rest for mark in _GAIN_MAPS)
        if gain:
            notes.append("dropped the gain map: on HDR screens the picture will look different")
        return notes + _rest_of_jpeg(data, end, rest, gain=gain, told=getattr(image, "n_frames", 1) > 1)


def _extended_xmp(data: bytes, parts: list[tuple[int, int, int]]) -> list[str]:
    sizes = [b - a - len(_EXTENDED_XMP) - 40 for m, a, b in parts if m == 0xE1 and data[a:b].startswith(_EXTENDED_XMP)]
    return [f"dropped the extended XMP ({sum(sizes)} bytes; cameras keep depth maps in it)"] if sizes else []


def _end_of_jpeg(data: Any, at: int) -> int:
    """Where the picture whose first scan begins at ``at`` ends."""
    while True:
        match = _MARKER.search(data, at)
        if match is None:
            return len(data)
        if match[0][1] == 0xD9:
            return match.end()
        at = match.end() + max(2, int.from_bytes(data[match.end() : match.end() + 2], "big"))


def _rest_of_jpeg(data: Any, end: int, rest: bytes, *, gain: bool, told: bool) -> list[str]:
    """Further pictures, the video of a motion photo, or bytes of no known kind."""
    video = data.find(b"ftyp", end)
    if video >= end + 4:
        return [f"dropped the video of a motion photo ({len(data) - video + 4} bytes)"]
    bare = rest.lstrip(b"\0\xff\r\n ") if not rest.startswith(b"\xff\xd8") else rest
    if bare.startswith(b"\xff\xd8") or rest[:64].lstrip(b"\0").startswith(b"\xff\xd8"):
        # Multi-picture files announce them, and Pillow counts them.
        return [] if gain or told else ["dropped a further picture behind the first one"]
    return _named_rest(rest, len(data) - end)


# -- other containers --------------------------------------------------------------------------------------
def _webp(path: Path, image: Image.Image) -> list[str]:
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8)[4:], "little")
        file.seek(12)
        names = set()
        while file.tell() + 8 <= size + 8:
            name, length = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
            names.add(name)
            file.seek(length + length % 2, 1)
    lost = sorted(n.decode("latin-1").strip() for n in names - _WEBP)
    notes = [f"dropped the WebP chunk {ascii(name)}" for name in lost]
    return notes + _after(path, size + 8 + size % 2)


def _tiff(path: Path, image: Image.Image) -> list[str]:
    tags: Any = getattr(image, "tag_v2", {})
    found = dict.fromkeys(what for number, what in _TIFF.items() if number in tags)
    notes = [f"dropped the {what}" for what in found]
    extra = tags.get(338, ())
    extra = extra if isinstance(extra, tuple) else (extra,)
    lost = len(extra) - (image.mode in ("LA", "La", "PA", "RGBA", "RGBa") and len(extra) > 0)
    return notes + ([f"dropped {counted(lost, 'extra band')}"] if lost > 0 else [])


def _psd(path: Path, image: Image.Image) -> list[str]:
    with open(path, "rb") as file:
        channels, mode = struct.unpack(">12xH10xH", file.read(26))
    used = len(image.getbands())
    notes = ["converted to grey from the first channel alone"] if mode == 7 else []
    return notes + ([f"dropped {counted(channels - used, 'extra channel')}"] if channels > used else [])


def _jpeg2000(path: Path, image: Image.Image) -> list[str]:
    found = []
    for name, content in _boxes(path):
        if name == b"uuid":
            found.append(_JP2_UUIDS.get(content[:16], "private data (uuid)"))
        elif name == b"xml ":
            found.append("XML")
        elif name == b"jp2h":
            at = content.find(b"colr")
            found += ["ICC profile"] if at >= 0 and content[at + 4 : at + 5] in (b"\2", b"\3") else []
    notes = [f"dropped the {what}" for what in dict.fromkeys(found)]
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    at = head.find(b"\xff\x4f\xff\x51")
    bands = int.from_bytes(head[at + 40 : at + 42], "big") if at >= 0 else 0
    lost = bands - (1 if image.mode == "P" else len(image.getbands()))
    return notes + ([f"dropped {counted(lost, 'extra band')}"] if lost > 0 else [])


def _boxes(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Name and first bytes of every box at the top of an ISO file."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        at = 0
        while at + 8 <= size:
            file.seek(at)
            length, name = struct.unpack(">I4s", file.read(8))
            head = 8
            if length == 1:
                length, head = int.from_bytes(file.read(8), "big"), 16
            length = size - at if length == 0 else length
            if length < head:
                return
            yield name, file.read(min(length - head, _HEAD))
            at += length


def _avif(path: Path, image: Image.Image) -> list[str]:
    meta = next((content for name, content in _boxes(path) if name == b"meta"), b"")
    notes = []
    if b"tmap" in meta:
        notes.append("dropped the gain map: on HDR screens the picture will look different")
    if b"auxid:2\0" in meta or b"auxiliary:depth" in meta:
        notes.append("dropped the depth map")
    return notes


def _bmp(path: Path, image: Image.Image) -> list[str]:
    with open(path, "rb") as file:
        head = file.read(74)
    profiled = len(head) == 74 and head[14] == 124 and head[70:74] in (b"DEBM", b"KNIL")
    return ["dropped the ICC profile"] if profiled else []


def _ico(path: Path, image: Image.Image) -> list[str]:
    lost = len(image.info.get("sizes", ())) - 1
    return [f"dropped {counted(lost, 'smaller picture')}"] if lost > 0 else []


def _ppm(path: Path, image: Image.Image) -> list[str]:
    with open(path, "rb") as file:
        head = file.read(4096)
    fields = re.match(rb"P([456])(?:\s+(?:#[^\n]*\n\s*)*)(\d+)\s+(\d+)(?:\s+(\d+))?\s", head)
    if fields is None:
        return []
    width, height = int(fields[2]), int(fields[3])
    if fields[1] == b"4":
        fields = re.match(rb"P4(?:\s+(?:#[^\n]*\n\s*)*)\d+\s+\d+\s", head)
        row = -(-width // 8)
    else:
        row = width * (3 if fields[1] == b"6" else 1) * (2 if int(fields[4] or 255) > 255 else 1)
    return _after(path, fields.end() + row * height) if fields else []


_FINDERS: Mapping[str, Callable[[Path, Any], list[str]]] = MappingProxyType({
    "PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "TIFF": _tiff, "PSD": _psd, "JPEG2000": _jpeg2000, "AVIF": _avif,
    "BMP": _bmp, "ICO": _ico, "PPM": _ppm,
})  # fmt: skip
