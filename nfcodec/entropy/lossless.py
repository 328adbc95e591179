"""Lossless planes of integers (transparency), for uint8 and uint16 arrays of one to three axes.

A payload starts with one byte:

    0x00              constant: the value follows, 1 or 2 bytes little-endian; nothing else
    0x40 | c | t | a  a plane: packed with c = 0x00 (stored), 0x10 (deflate) or 0x20 (LZMA2);
                      t = 0x08: the plane has two values, which follow (1 or 2 bytes each), and one bit per sample;
                      a = bits 0…2: axes along which differences modulo the number range were taken
"""

from __future__ import annotations

import lzma
import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import CorruptError, InternalError
from nfcodec.limits import DEFAULT_LIMITS, Limits

Plane = npt.NDArray[Any]

_CONSTANT = 0x00
_PLANE = 0x40
_TWO_LEVELS = 0x08
_AXES = 0x07
_STORED, _DEFLATE, _LZMA2 = 0x00, 0x10, 0x20
_PACKING = 0x30
# The dictionary bounds what a decoder must allocate; part of the format.
_FILTERS: list[dict[str, Any]] = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 22, "preset": 9 | lzma.PRESET_EXTREME}]
_TRIAL = 1 << 16  # bytes on which the difference axes are tried


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The little-endian form of a dtype that planes may have."""
    if dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise InternalError(f"plane of {dtype}; only uint8 and uint16 are coded")
    return dtype.newbyteorder("<")


def _difference(plane: Plane, axes: int) -> Plane:
    """Differences along the axes in the bit set, modulo the range of the dtype. Both axes of an image: gradient."""
    for axis in range(plane.ndim):
        if axes >> axis & 1:
            shifted = np.zeros_like(plane)
            inner = (slice(None),) * axis
            shifted[(*inner, slice(1, None))] = plane[(*inner, slice(None, -1))]
            plane = plane - shifted
    return plane


def _integrate(plane: Plane, axes: int) -> Plane:
    """Inverse of :func:`_difference`."""
    for axis in range(plane.ndim):
        if axes >> axis & 1:
            plane = np.add.accumulate(plane, axis=axis, dtype=plane.dtype)
    return plane


def _to_bytes(residual: Plane, two_levels: bool) -> bytes:
    """Bits (most significant first) of a two-valued plane; else low bytes, then high bytes if there are any."""
    if two_levels:
        return np.packbits(residual.ravel() & 1).tobytes()
    parts = residual.astype(_wide(residual.dtype)).ravel().view(np.uint8).reshape(-1, residual.dtype.itemsize)
    return np.ascontiguousarray(parts.T).tobytes()


def _from_bytes(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], two_levels: bool) -> Plane:
    """Inverse of :func:`_to_bytes`; ``data`` has the right length."""
    raw = np.frombuffer(data, np.uint8)
    if two_levels:
        return np.unpackbits(raw, count=math.prod(shape)).reshape(shape)
    planar = np.ascontiguousarray(raw.reshape(dtype.itemsize, -1).T)
    return planar.view(_wide(dtype)).astype(dtype).reshape(shape)


def _deflate(raw: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return deflate.compress(raw) + deflate.flush()


def _pack(raw: bytes) -> tuple[int, bytes]:
    """The smallest packing of ``raw``: its code and its bytes."""
    packed = {
        _STORED: raw,
        _DEFLATE: _deflate(raw),
        _LZMA2: lzma.compress(raw, lzma.FORMAT_RAW, filters=_FILTERS),
    }
    return min(packed.items(), key=lambda item: len(item[1]))


def _unpack(code: int, data: bytes, size: int) -> bytes:
    """Exactly ``size`` bytes from ``data``. Never produces more than one byte over, whatever ``data`` claims."""
    if code == _STORED:
        raw, ended = data, True
    elif code == _DEFLATE:
        inflater = zlib.decompressobj(-15)
        raw = inflater.decompress(data, size + 1)
        ended = inflater.eof and not inflater.unused_data
    elif code == _LZMA2:
        expander = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
        raw = expander.decompress(data, size + 1)
        ended = expander.eof and not expander.unused_data
    else:
        raise CorruptError(f"plane packing 0x{code:02x} does not exist")
    if len(raw) != size or not ended:
        raise CorruptError(f"plane of {size} bytes unpacks to {'a wrong end' if len(raw) == size else len(raw)}")
    return raw


def _best_axes(levels: Plane, two_levels: bool) -> int:
    """The difference axes that make a sample of the plane smallest."""
    rows = max(2, _TRIAL * levels.shape[0] // max(1, levels.size))
    start = max(0, (levels.shape[0] - rows) // 2)
    sample = levels[start : start + rows]
    sizes = [len(_deflate(_to_bytes(_difference(sample, a), two_levels))) for a in range(1 << levels.ndim)]
    return int(np.argmin(sizes))


def encode_plane(plane: Plane) -> bytes:
    """The payload of a uint8 or uint16 plane (n, …) of one to three axes; at most 3 bytes when it is constant."""
    wide = _wide(plane.dtype)
    if not 1 <= plane.ndim <= 3 or not plane.size:
        raise InternalError(f"plane of shape {plane.shape}")
    low, high = plane.min(), plane.max()
    if low == high:
        return bytes([_CONSTANT]) + np.array(low, dtype=wide).tobytes()
    two_levels = bool(((plane == low) | (plane == high)).all())
    levels = (plane == high).astype(np.uint8) if two_levels else plane
    axes = _best_axes(levels, two_levels)
    code, packed = _pack(_to_bytes(_difference(levels, axes), two_levels))
    ends = np.array([low, high], dtype=wide).tobytes() if two_levels else b""
    return bytes([_PLANE | code | axes | (_TWO_LEVELS if two_levels else 0)]) + ends + packed


def decode_plane(
    data: bytes, shape: tuple[int, ...], dtype: npt.DTypeLike, *, limits: Limits = DEFAULT_LIMITS
) -> Plane:
    """Inverse of :func:`encode_plane`; ``shape`` and ``dtype`` follow from the header.

    Raises :class:`CorruptError`, or :class:`LimitError` when the plane is over ``limits.max_array`` samples.
    """
    kind = np.dtype(dtype)
    wide = _wide(kind)
    limits.check("max_array", math.prod(shape), f"plane of shape {shape}")
    if not data:
        raise CorruptError("plane without a byte")
    head, body = data[0], data[1:]
    if head == _CONSTANT:
        if len(body) != wide.itemsize:
            raise CorruptError(f"constant plane with {len(body)} bytes of value")
        return np.full(shape, np.frombuffer(body, wide)[0], dtype=kind)
    if head & ~(_PACKING | _TWO_LEVELS | _AXES) != _PLANE or head & _AXES >= 1 << len(shape):
        raise CorruptError(f"plane mode 0x{head:02x} does not exist for {len(shape)} axes")
    try:
        return _decode_body(head, body, shape, kind)
    except (zlib.error, lzma.LZMAError) as exc:
        raise CorruptError(f"plane does not unpack: {exc}") from exc


def _decode_body(head: int, body: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Plane:
    """The plane behind the mode byte."""
    count, width = math.prod(shape), dtype.itemsize
    axes, code = head & _AXES, head & _PACKING
    if not head & _TWO_LEVELS:
        raw = _unpack(code, body, count * width)
        return _integrate(_from_bytes(raw, shape, dtype, False), axes)
    if len(body) < 2 * width:
        raise CorruptError("plane of two values that are missing")
    raw = _unpack(code, body[2 * width :], (count + 7) // 8)
    levels = _integrate(_from_bytes(raw, shape, np.dtype(np.uint8), True), axes) & 1
    plane: Plane = np.frombuffer(body, _wide(dtype), 2).astype(dtype)[levels]
    return plane
