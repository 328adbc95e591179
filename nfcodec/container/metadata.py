"""Payloads of METADATA sections, as plain (kind, bytes) pairs; the bytes are never interpreted here."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.errors import CorruptError, InternalError
from nfcodec.limits import DEFAULT_LIMITS, Limits

KINDS = ("icc", "exif", "xmp", "tags")  # append only: positions are codes in the file
_DEFLATED = 0x40
_RESERVED = 0x80


def pack_metadata(kind: str, data: bytes) -> bytes:
    """One METADATA payload: the kind byte and ``data``, deflated where that is smaller."""
    if kind not in KINDS:
        raise InternalError(f"metadata kind {kind!r}; known: {', '.join(KINDS)}")
    code = KINDS.index(kind)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    packed = deflate.compress(data) + deflate.flush()
    return bytes([code | _DEFLATED]) + packed if len(packed) < len(data) else bytes([code]) + data


def kind_name(first: int | None) -> str | None:
    """Name of the kind whose payload starts with the byte or varint ``first``; None when unknown."""
    code = -1 if first is None or first >= _RESERVED else first & ~_DEFLATED
    return KINDS[code] if 0 <= code < len(KINDS) else None


def _inflate(data: bytes, room: int) -> bytes:
    """Inflate, but produce at most one byte more than ``room`` whatever ``data`` claims."""
    inflater = zlib.decompressobj(-15)
    try:
        out = inflater.decompress(data, room + 1)
    except zlib.error as exc:
        raise CorruptError(f"metadata does not inflate: {exc}") from exc
    if len(out) <= room and (not inflater.eof or inflater.unused_data):
        raise CorruptError("deflated metadata ends in the wrong place")
    return out


def unpack_metadata(payloads: Iterable[bytes], *, limits: Limits = DEFAULT_LIMITS) -> list[tuple[str, bytes]]:
    """(kind, bytes) of all METADATA payloads of one file; unknown kinds are left out.

    Raises :class:`CorruptError` for a repeated kind or bad deflate data, and :class:`nfcodec.errors.LimitError`
    when all of them together inflate to more than ``limits.max_metadata``.
    """
    found: dict[str, bytes] = {}
    room = limits.max_metadata
    for payload in payloads:
        if not payload:
            raise CorruptError("metadata section without a kind")
        kind = kind_name(payload[0])
        if kind is None:
            continue
        if kind in found:
            raise CorruptError(f"second {kind} metadata section")
        data = _inflate(payload[1:], room) if payload[0] & _DEFLATED else payload[1:]
        limits.check("max_metadata", limits.max_metadata - room + len(data), "inflated metadata")
        room -= len(data)
        found[kind] = data
    return list(found.items())


def pack_tags(tags: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of kind "tags": for each pair the key and the value, each as a varint length and UTF-8."""
    texts = [text.encode("utf-8", "surrogatepass") for pair in tags for text in pair]
    return b"".join(encode_varint(len(text)) + text for text in texts)


def unpack_tags(data: bytes) -> tuple[tuple[str, str], ...]:
    """Inverse of :func:`pack_tags`. Raises :class:`nfcodec.errors.FormatError`."""
    reader = ByteReader(data)
    texts: list[str] = []
    while reader.left:
        raw = reader.take(reader.varint("tag length"), "tag")
        try:
            texts.append(raw.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError as exc:
            raise CorruptError(f"tag is not UTF-8: {exc}") from exc
    if len(texts) % 2:
        raise CorruptError("tag key without a value")
    return tuple(zip(texts[::2], texts[1::2], strict=True))
