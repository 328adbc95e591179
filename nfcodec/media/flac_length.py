"""How long a FLAC stream really is, by its last frame: STREAMINFO may say less, more or nothing (RFC 9639, 9)."""

from __future__ import annotations

import mmap

from nfcodec.media.window import Stretch

_LENGTH_AT = 18  # from the marker: 36 bits in the low end of eight bytes
_SEARCHED = 1 << 22  # bytes at the end in which a frame must begin; the largest is shorter
_BLOCKS = {1: 192, **{n: 576 << n - 2 for n in range(2, 6)}, **{n: 256 << n - 8 for n in range(8, 16)}}


def with_true_length(data: mmap.mmap, stretch: Stretch) -> tuple[Stretch, int | None]:
    """``stretch`` with its real number of samples in the header, and what the header says; None where it is right, or
    says nothing, or the last frame cannot be found."""
    at = stretch.start + _LENGTH_AT
    packed = int.from_bytes(data[at : at + 8], "big")
    told = packed & ((1 << 36) - 1)
    found = _last_sample(data, stretch)
    if not found or found == told or found >> 36:
        return stretch, None
    right = (packed >> 36 << 36 | found).to_bytes(8, "big")
    return Stretch(stretch.start, stretch.stop, ((at, right),)), told or None


def _last_sample(data: mmap.mmap, stretch: Stretch) -> int | None:
    """Samples up to the end of the last frame."""
    head = data[stretch.start : stretch.start + 26]
    largest = int.from_bytes(head[10:12], "big")
    low = max(stretch.start + 42, stretch.stop - _SEARCHED)
    at = data.rfind(b"\xff", low, stretch.stop)
    while at >= 0:
        end = _frame_end(data[at : at + 16], largest)
        if end:
            return end
        at = data.rfind(b"\xff", low, at)
    return None


def _frame_end(front: bytes, largest: int) -> int | None:
    """The number of the sample behind the frame whose header is ``front``; None where it is no header."""
    if len(front) < 7 or front[1] & 0xFE != 0xF8 or front[3] & 1 or front[3] >> 4 > 10:
        return None
    number, at = _coded_number(front)
    code = front[2] >> 4
    if number is None or code == 0 or front[2] & 15 == 15:
        return None
    size = _BLOCKS.get(code, 0)
    if code in (6, 7):
        size = int.from_bytes(front[at : at + code - 5], "big") + 1
        at += code - 5
    at += {12: 1, 13: 2, 14: 2}.get(front[2] & 15, 0)
    if size > largest or len(front) <= at or _crc(front[:at]) != front[at]:
        return None
    return (number if front[1] & 1 else number * largest) + size


def _coded_number(front: bytes) -> tuple[int | None, int]:
    """The number of a frame or sample, coded like UTF-8 in up to seven bytes, and the offset behind it."""
    first = front[4]
    if first < 0x80:
        return first, 5
    count = 8 - (first ^ 0xFF).bit_length()
    tail = front[5 : 4 + count]
    if not 2 <= count <= 7 or len(tail) != count - 1 or any(byte & 0xC0 != 0x80 for byte in tail):
        return None, 0
    value = first & (0x7F >> count)
    for byte in tail:
        value = value << 6 | byte & 0x3F
    return value, 4 + count


def _crc(data: bytes) -> int:
    """CRC-8 with the polynomial 0x07."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value << 1 ^ (0x107 if value & 0x80 else 0)
    return value
