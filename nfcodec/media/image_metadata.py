"""ICC, EXIF, XMP and resolution out of a Pillow image, as raw payloads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfcodec.limits import Limits
from nfcodec.media.colour import of_avif, of_png
from nfcodec.media.metadata import (
    bare_exif,
    check_metadata,
    is_exif,
    make_tags,
    orientation,
    upright_exif,
    upright_xmp,
)
from nfcodec.media.png import read_png_header
from nfcodec.signal import Metadata

if TYPE_CHECKING:
    from PIL import Image

# What describes a TIFF picture rather than its storage: title, maker, model, software, date, artist, copyright.
DESCRIPTIVE_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
EXIF_FOLDERS = (0x8769, 0x8825)
# Resolutions that programs write when they know none.
_USUAL_DPI = (1.0, 72.0, 96.0)
_HEAD = 1 << 16
_RAW = {"exif": "exif", "APP1": "exif", "xmp": "xmp", "icc": "icc", "icm": "icc"}
_RAW_PROFILE = re.compile(r"\s*\S+\s+(\d{1,9})\s+([0-9A-Fa-f\s]*)", re.ASCII)
_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"


def read_metadata(image: Image.Image, path: Path, form: str, limits: Limits, notes: list[str]) -> tuple[Metadata, int]:
    """The payloads of a loaded image, already upright, and the turn (1…8) that makes the pixels so."""
    raw = _raw_profiles(image, notes) if form == "PNG" else {}
    resources = {number: data for number, _, data in getattr(image, "resources", ())} if form == "PSD" else {}
    icc = _icc(image) or raw.get("icc", b"")
    exif = _exif(image) or raw.get("exif", b"") or resources.get(1058, b"")
    codes = None if form == "AVIF" and icc else _codes(path, form)
    metadata = Metadata(
        icc=icc,
        exif=_tiff_exif(image, notes) if form == "TIFF" else exif,
        xmp=_as_bytes(image.info.get("xmp")) or raw.get("xmp", b"") or resources.get(1060, b""),
        tags=make_tags({"dpi": _dpi(image), "cicp": f"{codes[0]},{codes[1]}" if codes else None}),
    )  # fmt: skip
    check_metadata(metadata, limits)
    # Pillow turns TIFF pictures itself while it loads them, and Photoshop keeps its pictures upright.
    turned = 1 if form in ("TIFF", "PSD") else orientation(metadata.exif, metadata.xmp)
    return replace(metadata, exif=upright_exif(metadata.exif), xmp=upright_xmp(metadata.xmp)), turned


def _codes(path: Path, form: str) -> tuple[int, int] | None:
    if form == "PNG":
        return of_png(read_png_header(path))
    if form != "AVIF":
        return None
    with open(path, "rb") as file:
        return of_avif(file.read(_HEAD))


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else b""


def _icc(image: Image.Image) -> bytes:
    return b"" if image.mode in ("CMYK", "LAB") else _as_bytes(image.info.get("icc_profile"))


def _exif(image: Image.Image) -> bytes:
    return bare_exif(_as_bytes(image.info.get("exif")))


def _raw_profiles(image: Image.Image, notes: list[str]) -> dict[str, bytes]:
    """Payloads that ImageMagick hid in PNG texts, by kind; "APP1" is EXIF or XMP."""
    found: dict[str, bytes] = {}
    for key, text in image.info.items():
        kind = str(key).removeprefix("Raw profile type ")
        if kind == key or kind not in _RAW or not isinstance(text, str):
            continue
        payload = raw_profile(text)
        if payload is None:
            notes.append(f"dropped the raw profile {kind}: it cannot be read")
        elif kind == "APP1" and payload.startswith(_XMP_MARK):
            found.setdefault("xmp", payload[len(_XMP_MARK) :])
        else:
            found.setdefault(_RAW[kind], bare_exif(payload))
    return found


def raw_profile(text: str) -> bytes | None:
    """The payload of such a text: a name, the number of bytes, and as many in hexadecimal; what follows is no part."""
    match = _RAW_PROFILE.match(text)
    if match is None:
        return None
    digits = "".join(match[2].split())[: 2 * int(match[1])]
    return bytes.fromhex(digits) if len(digits) == 2 * int(match[1]) else None


def _tiff_exif(image: Image.Image, notes: list[str]) -> bytes:
    """A small EXIF payload of the descriptive tags; TIFF has no payload of its own."""
    from PIL import Image as PillowImage

    exif = PillowImage.Exif()
    try:
        source = image.getexif()
        for number in DESCRIPTIVE_TAGS:
            if number in source:
                exif[number] = source[number]
        for folder in EXIF_FOLDERS:
            content = source.get_ifd(folder)
            if content:
                exif[folder] = dict(content)
        payload = bare_exif(exif.tobytes()) if len(exif) else b""
    except Exception:  # damaged directories fail in many ways, and the pixels are good
        notes.append("dropped the TIFF tags: they cannot be read")
        return b""
    return payload if is_exif(payload) else b""


def _dpi(image: Image.Image) -> str | None:
    """The resolution as "x,y" in dots per inch when somebody chose it."""
    try:
        x, y = (float(v) for v in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0 < x < 1e6 and 0 < y < 1e6) or (x == y and round(x, 1) in _USUAL_DPI):
        return None
    return f"{x:.6g},{y:.6g}"
