"""Colour descriptions by code points (ITU-T H.273): which matter, and what they are called."""

from __future__ import annotations

from types import MappingProxyType

from nfcodec.media.png import PngHeader

Codes = tuple[int, int]

_PRIMARIES = MappingProxyType({
    1: "BT.709", 4: "BT.470 M", 5: "BT.470 BG", 6: "BT.601", 7: "SMPTE 240M", 8: "film", 9: "BT.2020", 10: "XYZ",
    11: "DCI-P3", 12: "Display P3", 22: "EBU Tech 3213",
})  # fmt: skip
_TRANSFER = MappingProxyType({
    1: "BT.709", 4: "gamma 2.2", 5: "gamma 2.8", 6: "BT.601", 7: "SMPTE 240M", 8: "linear light", 13: "sRGB",
    14: "BT.2020", 15: "BT.2020", 16: "PQ", 17: "SMPTE 428", 18: "HLG",
})  # fmt: skip
# Not described, or so near to sRGB that everybody shows them as sRGB.
_PLAIN_PRIMARIES, _PLAIN_TRANSFER = (1, 2), (1, 2, 6, 13)


def colour_name(codes: Codes) -> str:
    """(9, 16) → "BT.2020 PQ"."""
    primaries, transfer = codes
    names = (_PRIMARIES.get(primaries, f"primaries {primaries}"), _TRANSFER.get(transfer, f"transfer {transfer}"))
    return " ".join(dict.fromkeys(names))


def of_png(header: PngHeader) -> Codes | None:
    """What the cICP chunk of a PNG says, unless that is sRGB."""
    data = next((data for name, data in header.chunks if name == b"cICP" and len(data) >= 4), b"")
    return _remarkable(data[0], data[1]) if data else None


def of_avif(head: bytes) -> Codes | None:
    """What the colour box of an AVIF file says, unless that is sRGB; ``head`` is the beginning of the file."""
    at = head.find(b"colrnclx")
    codes = head[at + 8 : at + 12] if at >= 0 else b""
    return _remarkable(int.from_bytes(codes[:2], "big"), int.from_bytes(codes[2:], "big")) if len(codes) == 4 else None


def _remarkable(primaries: int, transfer: int) -> Codes | None:
    plain = primaries in _PLAIN_PRIMARIES and transfer in _PLAIN_TRANSFER
    return None if plain or max(primaries, transfer) > 255 else (primaries, transfer)
