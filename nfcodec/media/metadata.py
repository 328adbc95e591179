"""Metadata as bytes: the orientation inside EXIF and XMP, and text tags.

EXIF payloads are kept without the ``Exif\\0\\0`` prefix that JPEG puts before them; they start with the byte
order mark of TIFF.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from nfcodec.limits import Limits
from nfcodec.signal import Metadata

_PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:\s*=\s*["\']|>\s*))([0-9])')


def bare_exif(exif: bytes) -> bytes:
    """``exif`` without the JPEG prefix."""
    return exif[len(_PREFIX) :] if exif.startswith(_PREFIX) else exif


def jpeg_exif(exif: bytes) -> bytes:
    """``exif`` with the prefix that a JPEG marker needs."""
    return _PREFIX + exif if exif else b""


def is_exif(exif: bytes) -> bool:
    """Whether the payload starts like EXIF; files carry garbage there too."""
    return exif[:4] in (b"II*\0", b"MM\0*")


def _find_orientation(exif: bytes) -> tuple[int, str] | None:
    """Offset and struct format of the orientation's value in the first directory, if it is there."""
    if not is_exif(exif) or len(exif) < 8:
        return None
    order = "<" if exif[:1] == b"I" else ">"
    (start,) = struct.unpack_from(order + "I", exif, 4)
    if start + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(order + "H", exif, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHI", exif, entry)
        if tag == _ORIENTATION and number == 1 and kind in (3, 4):
            return entry + 8, order + ("H" if kind == 3 else "I")
    return None


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """How the stored picture must be turned, 1…8; EXIF wins over XMP, anything illegal counts as 1."""
    found = _find_orientation(exif)
    if found:
        (value,) = struct.unpack_from(found[1], exif, found[0])
    else:
        match = _XMP_ORIENTATION.search(xmp)
        value = int(match[2]) if match else 1
    return value if 1 <= value <= 8 else 1


def upright_exif(exif: bytes) -> bytes:
    """``exif`` with its orientation set to 1; every other byte stays."""
    found = _find_orientation(exif)
    if not found:
        return exif
    offset, form = found
    return exif[:offset] + struct.pack(form, 1) + exif[offset + struct.calcsize(form) :]


def upright_xmp(xmp: bytes) -> bytes:
    """``xmp`` with its orientation set to 1; every other byte stays."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def make_tags(values: Mapping[str, str | None]) -> tuple[tuple[str, str], ...]:
    """Text pairs of what has a value, in the given order; what no UTF-8 can hold becomes "?"."""
    return tuple((key, value.encode("utf-8", "replace").decode()) for key, value in values.items() if value)


def check_metadata(metadata: Metadata, limits: Limits) -> Metadata:
    """``metadata`` itself; raises :class:`~nfcodec.errors.LimitError` when it is over ``max_metadata``."""
    text = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.tags)
    total = len(metadata.icc) + len(metadata.exif) + len(metadata.xmp) + text
    limits.check("max_metadata", total, f"metadata of {total} bytes")
    return metadata
