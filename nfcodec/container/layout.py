"""What an ``.nfc`` file consists of: constants, the header, section types. See ``FORMAT.md``."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.errors import CorruptError
from nfcodec.limits import Limits

# No text file starts like this; a transfer that rewrites line ends changes it.
SIGNATURE = b"\xb1nf\n"
VERSION = 1
MAX_HEADER = 127  # bytes of header fields, so that their length is always one byte
CRC_BYTES = 4
INIT_BYTES = 8
MAX_RATE = 2**31 - 1  # of the numerator and of the denominator: what players and ffmpeg hold
ANCILLARY = 0x80

# Append only: the positions are codes in the file.
_SHAPES = (("image", 2), ("audio", 1), ("video", 3), ("array", 1), ("array", 2), ("array", 3))
_SAMPLE_TYPES = ("u1", "u8", "u16", "i16", "i24", "i32", "f32", "f64", "i8", "u32", "i64", "u64", "f16")
_SAMPLE_BITS = 4
_TYPES_OF = {
    "image": ("u1", "u8", "u16", "f32"), "video": ("u8", "f32"),
    "audio": ("u8", "i8", "i16", "i24", "i32", "f32", "f64"),
    "array": tuple(t for t in _SAMPLE_TYPES if t != "i24"),
}  # fmt: skip
_LARGEST_FLOAT = {"f16": 65504.0, "f32": math.ldexp(2.0 - 2.0**-23, 127), "f64": math.ldexp(2.0 - 2.0**-52, 1023)}

_HAS_ALPHA, _HAS_RATE, _HAS_RANGE, _ONE_SECTION, _GROWING = 0x08, 0x10, 0x20, 0x40, 0x80
_PERCEPTUAL = 0x80  # of the quality
_WIDER = 0x7F  # in the place of a quality: a spacing comes first
_DITHERED = 0x7E  # in the place of a quality: a dither comes first
_TURNED = 0x7D  # in the place of a quality: a turn comes first
# Of a dither: planes, and bits of each.
_DITHERS, _DITHER_BITS = 3, 4


class SectionType(IntEnum):
    """Types of sections. With the high bit set a section may be skipped by readers that do not know it."""

    DELTA = 0x01
    ALPHA = 0x02
    CELLS = 0x03
    OVERLAY = 0x04
    FRAMES = 0x05
    SAMPLES = 0x06
    GROUP = 0x07
    LENGTH = 0x08
    HEADS = 0x09
    METADATA = 0x81
    SOUND = 0x82
    SILENCE = 0x83


# Their payloads start with a chunk index.
CHUNKED = frozenset({
    SectionType.DELTA, SectionType.ALPHA, SectionType.CELLS, SectionType.OVERLAY, SectionType.FRAMES,
    SectionType.SAMPLES, SectionType.GROUP, SectionType.HEADS,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a file.

    ``modality``, ``shape``, ``channels``, ``sample_type``, ``alpha``, ``rate``, ``value_range``: as in
    ``nfcodec.signal.SignalInfo``. ``init``: first 8 bytes of the SHA-256 of the init file. ``quality``: 0 … 100.
    ``perceptual``: the field is used as its init has it to look well, not to make errors small. ``spacing``: samples
    between the cells, None for that of the init. ``dither``: by how many 16ths of a step the grids of the means are
    moved, −8 … 7 for each plane of a lattice, None for none of them. ``turn``: x, y and z of the quaternion that planes
    are turned by, −128 … 127, None for none. ``chunk_rows``: rows of modules or cells along axis 0 in one chunk, ≥ 1.
    ``sections``: how many sections follow.
    ``growing``: the file was written while its signal came in, so its LENGTH sections say how long axis 0 is and where
    the sections end (FORMAT.md, §24); until they are read, ``shape[0]`` is 1 and ``sections`` is 0.
    """

    modality: str
    shape: tuple[int, ...]
    channels: int
    sample_type: str
    init: bytes
    quality: int
    chunk_rows: int
    alpha: bool = False
    rate: Fraction | None = None
    value_range: tuple[float, float] | None = None
    sections: int = 0
    version: int = VERSION
    perceptual: bool = False
    spacing: int | None = None
    growing: bool = False
    dither: tuple[int, ...] | None = None
    turn: tuple[int, ...] | None = None

    def problem(self) -> str | None:
        """What is wrong with the values, or None. The writer calls it a bug, the reader a corrupt file."""
        checks = (
            ((self.modality, len(self.shape)) in _SHAPES, f"{self.modality} with {len(self.shape)} axes"),
            (all(0 < n < 1 << 63 for n in self.shape), f"shape {self.shape}"),
            (self._channels_fit(), f"{self.channels} channels in {self._what()}"),
            (not self.alpha or self.modality in ("image", "video"), f"alpha in {self._what()}"),
            (self._type_fits(), f"sample type {self.sample_type} in {self._what()}"),
            (len(self.init) == INIT_BYTES, f"init prefix of {len(self.init)} bytes"),
            (0 <= self.quality <= 100, f"quality {self.quality} outside 0…100"),
            (self.spacing is None or 0 < self.spacing < 256, f"cells {self.spacing} samples apart"),
            (self._three(self.dither, 8), f"dither {self.dither}"),
            (self._three(self.turn, 128), f"turn {self.turn}"),
            (self.chunk_rows >= 1, f"{self.chunk_rows} rows of modules per chunk"),
            (self.sections >= 0, f"{self.sections} sections"),
            (self._rate_fits(), f"rate {self.rate} in {self._what()}"),
            (not self.growing or self.modality == "audio", f"a growing {self.modality}"),
            (self._range_fits(), f"value range {self.value_range} in {self._what()}"),
            (self.version == VERSION, f"version {self.version}"),
        )
        return next((message for good, message in checks if not good), None)

    def _what(self) -> str:
        return f"{self.modality} of {self.sample_type}" + (" with alpha" if self.alpha else "")

    def _type_fits(self) -> bool:
        """Bilevel pictures are grey and opaque: no format holds others."""
        bilevel = self.modality == "image" and self.sample_type == "u1"
        plain = self.channels == 1 and not self.alpha
        return self.sample_type in _TYPES_OF.get(self.modality, ()) and (plain or not bilevel)

    def _channels_fit(self) -> bool:
        if self.modality == "audio":
            return self.channels >= 1
        return self.channels == 1 or (self.channels == 3 and self.modality != "array")

    def _rate_fits(self) -> bool:
        if self.rate is None:
            return True
        timed = self.modality in ("audio", "video")
        return timed and self.rate > 0 and max(self.rate.numerator, self.rate.denominator) <= MAX_RATE

    @staticmethod
    def _three(numbers: tuple[int, ...] | None, bound: int) -> bool:
        """Whether there are none, or three that are not all zero."""
        if numbers is None:
            return True
        return len(numbers) == _DITHERS and any(numbers) and all(-bound <= n < bound for n in numbers)

    def _range_fits(self) -> bool:
        """Only where samples are mapped: arrays, pictures but bilevel ones, float videos and float sound, symmetric."""
        if self.value_range is None:
            return True
        low, high = self.value_range
        if not all(map(math.isfinite, (low, high))) or low > high:
            return False
        if self.modality == "audio" and not (0 < high == -low):
            return False
        least, most = _limits_of(self.sample_type)
        picture = self.modality == "image" and self.sample_type != "u1"
        mapped = picture or self.modality == "array" or self.sample_type in _LARGEST_FLOAT
        return mapped and least <= low and high <= most

    def check_limits(self, limits: Limits) -> None:
        """Raise :class:`nfcodec.errors.LimitError` when the announced signal is over a limit."""
        limits.check("max_channels", self.channels, "channels")
        if self.modality == "audio":
            limits.check("max_samples", self.shape[0], "audio samples")
        elif self.modality == "array":
            limits.check("max_array", math.prod(self.shape), f"array of shape {self.shape}")
        else:
            if self.modality == "video":
                limits.check("max_frames", self.shape[0], "video frames")
            height, width = self.shape[-2:]
            limits.check("max_dimension", max(height, width), f"picture of {width}×{height}")
            limits.check("max_pixels", height * width, f"picture of {width}×{height}")


def crc_bytes(*parts: bytes) -> bytes:
    """CRC-32 (as in zlib and PNG) over ``parts``, little-endian."""
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc.to_bytes(CRC_BYTES, "little")


def section_size(payload: int) -> int:
    """Bytes in the file of a section with a payload of so many bytes."""
    return 1 + len(encode_varint(payload)) + payload + CRC_BYTES


def front_size(header: Header) -> int:
    """Bytes in the file before the first section."""
    return len(SIGNATURE) + 2 + len(pack_fields(header)) + CRC_BYTES


def chunk_payload(index: int, payload: bytes) -> bytes:
    """The payload of a DELTA, ALPHA or SAMPLES section: the chunk index and what it holds."""
    return encode_varint(index) + payload


def length_payload(length: int, *, last: bool) -> bytes:
    """The payload of a LENGTH section: samples of axis 0 that are there, and whether no more will come."""
    return encode_varint(length) + bytes([last])


def split_length(payload: bytes) -> tuple[int, bool]:
    """Inverse of :func:`length_payload`. Raises :class:`nfcodec.errors.FormatError`."""
    reader = ByteReader(payload)
    length, last = reader.varint("length so far"), reader.byte("end of the recording")
    reader.expect_end("length so far")
    if last > 1 or not length:
        raise CorruptError(f"length {length} with the mark {last}")
    return length, bool(last)


def split_chunk(payload: bytes) -> tuple[int, bytes]:
    """Inverse of :func:`chunk_payload`. Raises :class:`nfcodec.errors.FormatError`."""
    reader = ByteReader(payload)
    return reader.varint("chunk index"), reader.rest()


def first_varint(kind: int, front: bytes) -> int | None:
    """The varint at the start of the payload of a section of type ``kind``, where that type has one.

    ``front`` is the payload or its first 10 bytes.
    """
    if kind == SectionType.METADATA:
        return front[0] if front else None
    return ByteReader(front).varint("chunk index") if kind in CHUNKED and front else None


def _limits_of(sample_type: str) -> tuple[float, float]:
    """The smallest and the largest sample of a type; of 64-bit integers rounded to binary64, as ranges are."""
    if sample_type in _LARGEST_FLOAT:
        return -_LARGEST_FLOAT[sample_type], _LARGEST_FLOAT[sample_type]
    bits = int(sample_type[1:])
    return (0.0, float(2**bits - 1)) if sample_type[0] == "u" else (-(2.0 ** (bits - 1)), float(2 ** (bits - 1) - 1))


def _flags(header: Header) -> int:
    flags = _SHAPES.index((header.modality, len(header.shape)))
    flags |= _HAS_ALPHA if header.alpha else 0
    flags |= _HAS_RATE if header.rate is not None else 0
    flags |= _HAS_RANGE if header.value_range is not None else 0
    if header.growing:
        return flags | _GROWING
    return flags | (_ONE_SECTION if header.sections == 1 else 0)


def pack_fields(header: Header) -> bytes:
    """The header fields, between their length byte and their CRC. ``header.problem()`` must be None."""
    out = bytearray([_flags(header)])
    out += encode_varint((header.channels - 1) << _SAMPLE_BITS | _SAMPLE_TYPES.index(header.sample_type))
    for length in header.shape[header.growing :]:
        out += encode_varint(length)
    out += header.init + _pack_quality(header) + encode_varint(header.chunk_rows)
    if header.sections != 1 and not header.growing:
        out += encode_varint(header.sections)
    if header.rate is not None:
        out += encode_varint(header.rate.numerator) + encode_varint(header.rate.denominator)
    if header.value_range is not None:
        out += struct.pack("<2d", *header.value_range)
    return bytes(out)


def _pack_quality(header: Header) -> bytes:
    out = bytearray() if header.turn is None else bytearray([_TURNED, *struct.pack("3b", *header.turn)])
    out += b"" if header.dither is None else bytes([_DITHERED, *_pack_dither(header.dither)])
    out += bytes([header.quality] if header.spacing is None else [_WIDER, header.spacing, header.quality])
    out[0] |= _PERCEPTUAL if header.perceptual else 0
    return bytes(out)


def _pack_dither(dither: tuple[int, ...]) -> bytes:
    packed = sum((d & 0x0F) << _DITHER_BITS * i for i, d in enumerate(dither))
    return packed.to_bytes(2, "little")


def _unpack_dither(data: bytes) -> tuple[int, ...]:
    packed = int.from_bytes(data, "little")
    if packed >> _DITHER_BITS * _DITHERS:
        raise CorruptError(f"reserved bits of a dither {packed:#06x}")
    found = (packed >> _DITHER_BITS * i & 0x0F for i in range(_DITHERS))
    return tuple(d - 16 if d > 7 else d for d in found)


@dataclass(frozen=True, slots=True)
class _Quality:
    """What the bytes of the quality say."""

    quality: int
    perceptual: bool
    spacing: int | None
    dither: tuple[int, ...] | None
    turn: tuple[int, ...] | None


def _unpack_quality(reader: ByteReader) -> _Quality:
    first = reader.byte("quality")
    mark, perceptual = first & ~_PERCEPTUAL, bool(first & _PERCEPTUAL)
    spacing, dither, turn = None, None, None
    if mark == _TURNED:
        turn = struct.unpack("3b", reader.take(3, "turn"))
        mark = reader.byte("quality")
    if mark == _DITHERED:
        dither = _unpack_dither(reader.take(2, "dither"))
        mark = reader.byte("quality")
    if mark == _WIDER:
        spacing = reader.byte("spacing")
        mark = reader.byte("quality")
    return _Quality(mark, perceptual, spacing, dither, turn)


def _unpack_kind(flags: int) -> tuple[str, int]:
    """Modality and number of axes from the flag byte."""
    if flags & _GROWING and flags & _ONE_SECTION:
        raise CorruptError("a growing file whose header counts its sections")
    if flags & 0x07 >= len(_SHAPES):
        raise CorruptError(f"modality code {flags & 0x07} does not exist")
    return _SHAPES[flags & 0x07]


def _unpack_rate(reader: ByteReader) -> Fraction:
    numerator, denominator = reader.varint("rate numerator"), reader.varint("rate denominator")
    if not numerator or not denominator or math.gcd(numerator, denominator) != 1:
        raise CorruptError(f"rate {numerator}/{denominator} is not a positive fraction in lowest terms")
    return Fraction(numerator, denominator)


def _unpack_samples(reader: ByteReader) -> tuple[int, str]:
    """Channels and sample type."""
    packed = reader.varint("channels and sample type")
    code = packed & ((1 << _SAMPLE_BITS) - 1)
    if code >= len(_SAMPLE_TYPES):
        raise CorruptError(f"sample type code {code} does not exist")
    return (packed >> _SAMPLE_BITS) + 1, _SAMPLE_TYPES[code]


def _unpack_sections(reader: ByteReader, flags: int) -> int:
    """Number of sections; one has a flag of its own and no other spelling."""
    if flags & _GROWING:
        return 0
    if flags & _ONE_SECTION:
        return 1
    sections = reader.varint("section count")
    if sections == 1:
        raise CorruptError("section count 1 spelled out instead of flagged")
    return sections


def unpack_fields(fields: bytes, version: int) -> Header:
    """Inverse of :func:`pack_fields`.

    Raises :class:`CorruptError`, :class:`nfcodec.errors.TruncatedError`, or :class:`UnsupportedFeatureError`.
    """
    reader = ByteReader(fields)
    flags = reader.byte("header flags")
    modality, axes = _unpack_kind(flags)
    channels, sample_type = _unpack_samples(reader)
    growing = bool(flags & _GROWING)
    shape = tuple(1 if growing and not i else reader.varint(f"length of axis {i}") for i in range(axes))
    init = reader.take(INIT_BYTES, "init prefix")
    quality = _unpack_quality(reader)
    header = Header(
        modality=modality,
        shape=shape,
        channels=channels,
        sample_type=sample_type,
        init=init,
        quality=quality.quality,
        perceptual=quality.perceptual,
        spacing=quality.spacing,
        dither=quality.dither,
        turn=quality.turn,
        chunk_rows=reader.varint("chunk rows"),
        alpha=bool(flags & _HAS_ALPHA),
        sections=_unpack_sections(reader, flags),
        rate=_unpack_rate(reader) if flags & _HAS_RATE else None,
        value_range=struct.unpack("<2d", reader.take(16, "value range")) if flags & _HAS_RANGE else None,
        version=version, growing=growing,
    )  # fmt: skip
    reader.expect_end("header")
    problem = header.problem()
    if problem:
        raise CorruptError(f"header with {problem}")
    return header
