"""A chunk of an array as the payload of a SAMPLES section."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.dyadic.code import MOST_STEPS, SERIES, Scheme
from nfcodec.dyadic.exchange import Taker
from nfcodec.dyadic.init import DyadicInit
from nfcodec.dyadic.values import Measure, Mode, Samples
from nfcodec.dyadic.volume import as_planes, decode_planes
from nfcodec.entropy.coder import SymbolDecoder
from nfcodec.entropy.lossless import decode_plane, encode_plane
from nfcodec.errors import CorruptError
from nfcodec.limits import Limits
from nfcodec.types import Bytes, Indices

_MODE, _MASK, _PATCHES, _SERIES, _WRAP = 0x03, 0x04, 0x08, 4, 6
_SERIES_BITS, _WRAP_BITS = 0x03, 0x03
VALID, NAN, PLUS, MINUS, FILL = range(5)  # codes of a mask


@dataclass(frozen=True, slots=True)
class Patches:
    """Samples that are written as they are: ``index`` (n,) among those of the chunk, ascending, and ``values`` (n,)."""

    index: Indices
    values: Samples


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a payload says. ``mask``: codes of all samples, or None where all are ``VALID``; ``fill``: the sample of
    code ``FILL``; ``stream``: the coded symbols or, in ``STORED`` mode, the samples."""

    measure: Measure
    stream: bytes
    series: int = 0
    wrap: tuple[bool, bool] = (False, False)
    mask: Bytes | None = None
    fill: Any = None
    patches: Patches | None = field(default=None)

    @property
    def scheme(self) -> Scheme:
        """How its planes are rounded."""
        return Scheme(self.measure.steps, self.series, self.measure.whole, self.wrap)


# -- writing ---------------------------------------------------------------------------------------------
def pack(chunk: Chunk) -> bytes:
    """The payload behind the chunk index."""
    measure, mask, patches = chunk.measure, chunk.mask, chunk.patches
    flags = measure.mode | chunk.series << _SERIES | (chunk.wrap[0] | chunk.wrap[1] << 1) << _WRAP
    flags |= (_MASK if mask is not None else 0) | (_PATCHES if patches is not None else 0)
    out = bytearray([flags])
    if measure.mode != Mode.STORED:
        out += encode_varint(measure.count)
    if measure.mode == Mode.INTEGERS:
        out += encode_varint(measure.span) + _raw(np.array([measure.first]).astype(measure.dtype))
    if mask is not None:
        out += _sized(encode_plane(mask))
        out += _raw(np.array([chunk.fill]).astype(measure.dtype)) if (mask == FILL).any() else b""
    if patches is not None:
        gaps = np.diff(patches.index, prepend=-1) - 1
        out += _sized(b"".join(map(encode_varint, [len(gaps), *gaps.tolist()])) + _raw(patches.values))
    return bytes(out) + chunk.stream


def _raw(samples: Samples) -> bytes:
    """Samples, little-endian."""
    return samples.astype(samples.dtype.newbyteorder("<")).tobytes()


def _sized(data: bytes) -> bytes:
    return encode_varint(len(data)) + data


def stored(samples: Samples) -> bytes:
    """Samples (…) byte for byte: planes of 16 bits (of 8, for types of 8), the lowest first."""
    wide = samples.astype(samples.dtype.newbyteorder("<"))[..., None].view(_plane_type(samples.dtype))
    return b"".join(_sized(encode_plane(np.ascontiguousarray(wide[..., i]))) for i in range(wide.shape[-1]))


def _plane_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype("<u1") if dtype.itemsize == 1 else np.dtype("<u2")


# -- reading ---------------------------------------------------------------------------------------------
def unpack(
    payload: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], ends: tuple[float, float], limits: Limits
) -> Chunk:  # fmt: skip
    """The chunk of a payload, of so many samples along each axis; ``ends``: the range of values.

    Raises :class:`~nfcodec.errors.FormatError` for what no writer writes.
    """
    reader = ByteReader(payload)
    flags = reader.byte("mode of samples")
    mode, series = Mode(flags & _MODE), flags >> _SERIES & _SERIES_BITS
    wrap = flags >> _WRAP & _WRAP_BITS
    measure = _measure(reader, mode, dtype, ends)
    mask, fill = _mask(reader, shape, dtype, limits) if flags & _MASK else (None, None)
    patches = _patches(reader, math.prod(shape), dtype) if flags & _PATCHES else None
    if mode == Mode.STORED and flags != Mode.STORED:
        raise CorruptError(f"stored samples with flags 0x{flags:02x}")
    if series >= len(SERIES) or (mode == Mode.WHOLE and series):
        raise CorruptError(f"series {series} of steps in mode {mode.name}")
    return Chunk(measure, reader.rest(), series, (bool(wrap & 1), bool(wrap & 2)), mask, fill, patches)


def _measure(reader: ByteReader, mode: Mode, dtype: np.dtype[Any], ends: tuple[float, float]) -> Measure:
    low, high = ends
    if mode == Mode.STORED:
        return Measure(mode, dtype, low, high)
    count, first, span = reader.varint("steps"), 0, 0
    if mode == Mode.INTEGERS:
        span = reader.varint("span")
        first = int(_samples(reader, 1, dtype)[0])
        if dtype.kind == "f" or not count or first + span > np.iinfo(dtype).max:
            raise CorruptError(f"integers of {dtype} in steps of {count} from {first} to {first + span}")
    elif count and not math.isfinite(high - low):
        raise CorruptError(f"steps between {low} and {high}")
    measure = Measure(mode, dtype, low, high, count, first, span)
    if measure.steps > MOST_STEPS:
        raise CorruptError(f"{measure.steps} steps between the least and the largest sample, {MOST_STEPS} at most")
    return measure


def _samples(reader: ByteReader, count: int, dtype: np.dtype[Any]) -> Samples:
    return np.frombuffer(reader.take(count * dtype.itemsize, "samples"), dtype.newbyteorder("<")).astype(dtype)


def _part(reader: ByteReader, what: str) -> bytes:
    """Bytes behind their length."""
    return reader.take(reader.varint(what), what)


def _mask(
    reader: ByteReader, shape: tuple[int, ...], dtype: np.dtype[Any], limits: Limits
) -> tuple[Bytes, Any]:  # fmt: skip
    mask = decode_plane(_part(reader, "mask"), shape, np.uint8, limits=limits)
    top = int(mask.max())
    if top > FILL or (dtype.kind != "f" and ((mask > VALID) & (mask < FILL)).any()):
        raise CorruptError(f"mask with code {top} for samples of {dtype}")
    return mask, _samples(reader, 1, dtype)[0] if top == FILL else None


def _patches(reader: ByteReader, size: int, dtype: np.dtype[Any]) -> Patches:
    part = ByteReader(_part(reader, "patches"))
    count = part.varint("patches")
    if not 0 < count <= min(size, part.left):
        raise CorruptError(f"{count} patches of {size} samples")
    index = np.cumsum(np.array([part.varint("place of a patch") + 1 for _ in range(count)], np.float64)) - 1
    values = _samples(part, count, dtype)
    part.expect_end("patches")
    if index[-1] >= size:
        raise CorruptError(f"a patch at sample {index[-1]:.0f} of {size}")
    return Patches(index.astype(np.int64), values)


def decode(init: DyadicInit, chunk: Chunk, shape: Sequence[int], limits: Limits) -> Samples:
    """The samples of a chunk."""
    measure = chunk.measure
    if measure.mode == Mode.STORED:
        return _unstored(chunk.stream, tuple(shape), measure.dtype, limits)
    coded = np.ones(shape, bool) if chunk.mask is None else chunk.mask == VALID
    decoder = SymbolDecoder(chunk.stream, limits=limits)
    planes = as_planes(tuple(shape))
    units = decode_planes(init, chunk.scheme, coded.reshape(planes), lambda _: Taker(decoder))
    decoder.finish()
    return finish(chunk, np.where(coded, units.reshape(shape), 0.0))


def finish(chunk: Chunk, units: np.ndarray) -> Samples:
    """The samples of decoded units (…), masked ones and patches put in their places."""
    samples = chunk.measure.samples(units)
    if chunk.mask is not None:
        for code, value in ((NAN, np.nan), (PLUS, np.inf), (MINUS, -np.inf), (FILL, chunk.fill)):
            where = chunk.mask == code
            if where.any():
                samples[where] = value
    if chunk.patches is not None:
        samples.reshape(-1)[chunk.patches.index] = chunk.patches.values
    return samples


def _unstored(stream: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], limits: Limits) -> Samples:
    """Inverse of :func:`stored`."""
    reader, kind = ByteReader(stream), _plane_type(dtype)
    planes = [
        decode_plane(_part(reader, "samples"), shape, kind.newbyteorder("="), limits=limits).astype(kind)
        for _ in range(dtype.itemsize // kind.itemsize)
    ]
    reader.expect_end("stored samples")
    whole = np.ascontiguousarray(np.stack(planes, -1)).view(dtype.newbyteorder("<"))[..., 0]
    return whole.astype(dtype)


