"""ICC, EXIF, XMP and resolution out of a Pillow image, as raw payloads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nfcodec.limits import Limits
from nfcodec.media.metadata import (
    bare_exif,
    check_metadata,
    is_exif,
    make_tags,
    orientation,
    upright_exif,
    upright_xmp,
)
from nfcodec.signal import Metadata

if TYPE_CHECKING:
    from PIL import Image

# What describes a TIFF picture rather than its storage: title, maker, model, software, date, artist, copyright.
DESCRIPTIVE_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
EXIF_FOLDERS = (0x8769, 0x8825)
# Resolutions that programs write when they know none.
_USUAL_DPI = (1.0, 72.0, 96.0)


def read_metadata(image: Image.Image, form: str, limits: Limits, notes: list[str]) -> tuple[Metadata, int]:
    """The payloads of a loaded image, already upright, and the turn (1…8) that makes the pixels so."""
    metadata = Metadata(
        icc=_icc(image),
        exif=_tiff_exif(image, notes) if form == "TIFF" else _exif(image),
        xmp=_as_bytes(image.info.get("xmp")) or _raw_profile(image, "xmp"),
        tags=make_tags({"dpi": _dpi(image)}),
    )
    check_metadata(metadata, limits)
    # Pillow turns TIFF pictures itself while it loads them.
    turned = 1 if form == "TIFF" else orientation(metadata.exif, metadata.xmp)
    return replace(metadata, exif=upright_exif(metadata.exif), xmp=upright_xmp(metadata.xmp)), turned


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else b""


def _icc(image: Image.Image) -> bytes:
    return b"" if image.mode in ("CMYK", "LAB") else _as_bytes(image.info.get("icc_profile"))


def _exif(image: Image.Image) -> bytes:
    return bare_exif(_as_bytes(image.info.get("exif")) or _raw_profile(image, "exif"))


def _raw_profile(image: Image.Image, kind: str) -> bytes:
    """A payload that ImageMagick hid in a PNG text: a name, a length, and hexadecimal lines."""
    text = image.info.get(f"Raw profile type {kind}")
    if not isinstance(text, str):
        return b""
    try:
        return bytes.fromhex("".join(text.strip("\n").split("\n")[2:]))
    except ValueError:
        return b""


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
