"""Unsigned LEB128 integers, and a bounds-checked reader over bytes.

Only the shortest form of a number is legal, so that two different files never mean the same thing.
"""

from __future__ import annotations

from nfcodec.errors import CorruptError, InternalError, TruncatedError

MAX_VARINT = 10  # bytes; enough for 64 bits
_BOUND = 1 << 64


def encode_varint(value: int) -> bytes:
    """``value`` in 0 … 2^64 − 1 as 1 to 10 bytes, least significant seven bits first."""
    if not 0 <= value < _BOUND:
        raise InternalError(f"varint of {value}, which is outside 0…2^64 − 1")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def finish_varint(encoded: bytes | bytearray) -> int:
    """The number in ``encoded``: all bytes of one varint, the last and only the last without the high bit.

    Raises :class:`CorruptError` when it is overlong or more than 64 bits.
    """
    value = 0
    for i, byte in enumerate(encoded):
        value |= (byte & 0x7F) << (7 * i)
    if len(encoded) > 1 and encoded[-1] == 0:
        raise CorruptError(f"varint {encoded.hex()} is not in its shortest form")
    if value >= _BOUND:
        raise CorruptError(f"varint {encoded.hex()} has more than 64 bits")
    return value


class ByteReader:
    """Reads from the front of ``data``; every read is checked against the end."""

    def __init__(self, data: bytes | memoryview) -> None:
        """Start at the first byte of ``data``."""
        self._data = bytes(data)
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self.position

    def take(self, size: int, what: str = "bytes") -> bytes:
        """The next ``size`` bytes; :class:`TruncatedError` when there are fewer."""
        if size < 0 or size > self.left:
            raise TruncatedError(f"{what}: {size} bytes announced, {self.left} left")
        start = self.position
        self.position += size
        return self._data[start : self.position]

    def byte(self, what: str = "byte") -> int:
        """The next byte."""
        return self.take(1, what)[0]

    def varint(self, what: str = "varint") -> int:
        """The next varint; :class:`CorruptError` when overlong, over 64 bits, or over 10 bytes."""
        start = self.position
        while self.byte(what) & 0x80:
            if self.position - start == MAX_VARINT:
                raise CorruptError(f"{what}: varint of more than {MAX_VARINT} bytes")
        return finish_varint(self._data[start : self.position])

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(self.left)

    def expect_end(self, what: str) -> None:
        """:class:`CorruptError` unless every byte was read."""
        if self.left:
            raise CorruptError(f"{what}: {self.left} bytes too many at the end")
