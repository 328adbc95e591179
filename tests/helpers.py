"""Signals, files and small inits for the tests of the whole codec."""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nfcodec import api, zoo
from nfcodec.container.layout import crc_bytes
from nfcodec.container.reader import Reader
from nfcodec.container.varint import ByteReader
from nfcodec.container.writer import Writer
from nfcodec.decoder import Decoder
from nfcodec.encoder import Encoded, encode_signal
from nfcodec.errors import NfcError
from nfcodec.media import open_sink, open_source
from nfcodec.media.samples import dequantize, quantize
from nfcodec.metrics import ErrorSum
from nfcodec.options import DecodeOptions, DecodeResult, EncodeOptions, EncodeResult
from nfcodec.signal import Block, Metadata, SignalInfo, Source

INITS = Path(__file__).parent / "data"


# What a test has put in the place of an init: see with_region.
STAND_INS: dict[str, str] = {}


def init(name: str) -> str:
    """The path of a test init: image, masked, audio, video or tiny-lattice; the id of a shipped one as it is."""
    path = INITS / f"{name}.safetensors"
    return STAND_INS.get(name, str(path) if path.exists() else name)


@cache
def with_region(name: str, *region: int) -> str:
    """The path of a lattice init that cuts signals into regions of so many cells, and is otherwise that of the name."""
    found = zoo.read_init(INITS / f"{name}.safetensors")
    path = Path(tempfile.mkdtemp(prefix="nfc-init-")) / f"{name}.safetensors"
    specs = [replace(level.spec, region=region) for level in found.levels]
    levels = [
        replace(level, spec=spec, prior=replace(level.prior, spec=spec))
        for spec, level in zip(specs, found.levels, strict=True)
    ]
    zoo.write_init(replace(found, levels=tuple(levels)), path)
    return str(path)


# -- signals ---------------------------------------------------------------------------------------------
def painting(height: int, width: int, seed: int = 0, channels: int = 3) -> Any:
    """A picture of slopes, discs and weak textures: uint8 (H, W, channels)."""
    rng = np.random.default_rng((7, seed))
    y, x = np.mgrid[:height, :width].astype(np.float64)
    out = np.full((height, width, channels), rng.uniform(60, 190, channels))
    out += (x / 48)[..., None] * rng.normal(0, 20, channels) + (y / 48)[..., None] * rng.normal(0, 20, channels)
    for _ in range(6):
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(4, 28)
        edge = 0.5 - 0.5 * np.tanh((np.hypot(y - cy, x - cx) - r) / rng.uniform(0.8, 6))
        out += edge[..., None] * rng.normal(0, 45, channels)
    for _ in range(3):
        fy, fx = rng.normal(0, 0.7, 2)
        out += (np.sin(fy * y + fx * x + rng.uniform(0, 6)) * rng.uniform(0, 9))[..., None]
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def sound(samples: int, channels: int, seed: int = 0) -> Any:
    """Sums of sines with slow envelopes: float32 (samples, channels) in [-1, 1]."""
    rng = np.random.default_rng((11, seed))
    t = np.arange(samples)[:, None] / 8000.0
    out = np.zeros((samples, channels))
    for _ in range(6):
        f = 60.0 * 2.0 ** rng.uniform(0, 4.5)
        size = rng.uniform(0.02, 0.2, channels) * (1 + np.sin(t * rng.uniform(1, 20))) / 2
        out += size * np.sin(2 * np.pi * f * t + rng.uniform(0, 6, channels))
    return np.clip(out, -1, 1).astype(np.float32)


def moving(frames: int, height: int, width: int, seed: int = 0) -> Any:
    """Blobs that move over a slope: uint8 (T, H, W, 3)."""
    rng = np.random.default_rng((13, seed))
    t, y, x = np.mgrid[:frames, :height, :width].astype(np.float64)
    out = np.full((frames, height, width, 3), rng.uniform(60, 190, 3))
    out += (x / 48)[..., None] * rng.normal(0, 25, 3)
    for _ in range(4):
        cy, cx, vy, vx = rng.uniform(0, height), rng.uniform(0, width), *rng.normal(0, 1, 2)
        d = ((y - cy - vy * t) ** 2 + (x - cx - vx * t) ** 2) / rng.uniform(3, 14) ** 2
        out += np.exp(-d)[..., None] * rng.normal(0, 70, 3)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


# -- files -----------------------------------------------------------------------------------------------
def save(path: Path, info: SignalInfo, samples: Any, alpha: Any = None) -> Path:
    """Write samples (n, …, C) without loss in the format of the suffix."""
    values = dequantize(samples, info.sample_type, info.value_range, signed=info.modality == "audio")
    sink = open_sink(path, info, Metadata(), format=path.suffix[1:])
    sink.write(Block(values, alpha))
    sink.close()
    return path


def save_picture(path: Path, samples: Any, alpha: Any = None) -> Path:
    """Write a picture (H, W, 1 or 3) of uint8, uint16 or bool, with alpha of the same type or without."""
    kind = {"bool": "u1", "uint8": "u8", "uint16": "u16"}[samples.dtype.name]
    info = SignalInfo("image", samples.shape[:2], samples.shape[2], kind, alpha is not None)
    return save(path, info, samples.astype(np.uint8) if kind == "u1" else samples, alpha)


def save_sound(path: Path, values: Any, rate: int = 8000, kind: str = "i16") -> Path:
    """Write sound (n, C) in [-1, 1] as samples of ``kind``."""
    info = SignalInfo("audio", values.shape[:1], values.shape[1], kind, rate=Fraction(rate))
    return save(path, info, quantize(values, info))


def save_frames(path: Path, samples: Any, alpha: Any = None, rate: int = 10) -> Path:
    """Write a clip (T, H, W, C) of uint8."""
    info = SignalInfo("video", samples.shape[:3], samples.shape[3], "u8", alpha is not None, Fraction(rate))
    return save(path, info, samples, alpha)


def samples_of(path: Path, alpha: bool = False) -> Any:
    """The samples of a media file as stored, (n, …, C), or its alpha (n, …)."""
    source = open_source(path)
    try:
        blocks = list(source.blocks(1 << 20))
        if alpha:
            return np.concatenate([b.alpha for b in blocks])
        return quantize(np.concatenate([b.values for b in blocks]), source.info)
    finally:
        source.close()


# -- the codec -------------------------------------------------------------------------------------------
def encode(source: Path, kind: str, output: Path | None = None, *, force: bool = True, **options: Any) -> EncodeResult:
    """Encode a file with the test init ``kind``."""
    return api.encode(source, output, options=EncodeOptions(init=init(kind), **options), force=force)


def decode(source: Path, kind: str, output: Path, **options: Any) -> DecodeResult:
    """Decode a file that was made with the test init ``kind``."""
    return api.decode(source, output, options=DecodeOptions(**options), init=init(kind), force=True)


def there_and_back(source: Path, kind: str, target: Path, **options: Any) -> tuple[EncodeResult, Any]:
    """Encode, check the reported PSNR against the decoded file, and return the result and the samples."""
    result = encode(source, kind, target.with_suffix(".nfc"), **options)
    decode(target.with_suffix(".nfc"), kind, target)
    a, b = samples_of(source), samples_of(target)
    assert a.shape == b.shape and a.dtype == b.dtype
    with contextlib.closing(open_source(source)) as original:
        peak, has_alpha = original.info.peak, original.info.alpha
    # Errors are measured where something is to be seen.
    seen = samples_of(source, alpha=True) > 0 if has_alpha else np.ones(a.shape[:-1], bool)
    assert math.isclose(result.psnr, psnr_of(a[seen], b[seen], peak), rel_tol=0, abs_tol=1e-6)
    return result, b


def decode_array(source: Path, kind: str, **options: Any) -> Any:
    """Decode to an array (n, …, C + alpha)."""
    return api.decode_array(source, options=DecodeOptions(**options), init=init(kind))


@dataclass(slots=True)
class MemorySource:
    """A source over arrays that are already in memory: values (n, …, C), alpha (n, …) or None."""

    info: SignalInfo
    values: Any
    alpha: Any = None
    metadata: Metadata = field(default_factory=Metadata)
    warnings: list[str] = field(default_factory=list)

    def blocks(self, rows: int) -> Iterator[Block]:
        for a in range(0, self.info.shape[0], rows):
            yield Block(self.values[a : a + rows], None if self.alpha is None else self.alpha[a : a + rows])

    def sidecar(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


def error_of(reference: Any, decoded: Any) -> ErrorSum:
    """The error of a whole signal."""
    total = ErrorSum()
    total.add(reference, decoded)
    return total


def memory(kind: str, samples: Any, rate: int = 8000) -> MemorySource:
    """A source over a picture or clip of uint8, or over sound in [-1, 1] that is rounded to 16 bits."""
    if kind == "audio":
        info = SignalInfo("audio", samples.shape[:1], samples.shape[1], "i16", rate=Fraction(rate))
        return MemorySource(info, dequantize(quantize(samples, info), "i16", signed=True))
    rates = {"rate": Fraction(10)} if kind == "video" else {}
    info = SignalInfo(kind, samples.shape[:-1], samples.shape[-1], "u8", **rates)
    return MemorySource(info, dequantize(samples, "u8"))


def pack(source: Source, kind: str, **options: Any) -> tuple[bytes, Encoded]:
    """The bytes of the .nfc file of a source, and what the encoder says of it."""
    out = io.BytesIO()
    encoded = encode_signal(source, out, EncodeOptions(init=init(kind), **options))
    return out.getvalue(), encoded


def opened(data: bytes, kind: str, **options: Any) -> Decoder:
    """A decoder over the bytes of a file."""
    return Decoder(io.BytesIO(data), inits=(init(kind),), **options)


def rewritten(data: bytes, change: Callable[[list[tuple[int, bytes]]], Iterable[tuple[int, bytes]]]) -> bytes:
    """The file with its sections changed."""
    reader = Reader(io.BytesIO(data))
    out = io.BytesIO()
    with Writer() as writer:
        for kind, payload in change([(s.type, s.payload) for s in reader.sections()]):
            writer.add(kind, payload)
        writer.finish(reader.header, out)
    return out.getvalue()


def unpack(data: bytes, kind: str, **options: Any) -> Any:
    """Float values (n, …, C) of a file."""
    return np.concatenate([b.values for b in opened(data, kind).blocks(DecodeOptions(**options))])


def psnr_of(a: Any, b: Any, peak: float) -> float:
    """PSNR in dB, from the definition."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return 10 * math.log10(peak**2 / error) if error else math.inf


def repaired(data: bytes) -> bytes:
    """A mutated file with the CRCs of its header and of every section set right, as far as they can be found."""
    out = bytearray(data)
    end = 6 + data[5] if len(data) > 5 else len(data)
    if end + 4 > len(out):
        return bytes(out)
    out[end : end + 4] = crc_bytes(bytes(out[:end]))
    at = end + 4
    while at < len(out):
        try:
            reader = ByteReader(bytes(out[at + 1 : at + 11]))
            size = reader.varint("length")
        except NfcError:
            break
        stop = at + 1 + (min(10, len(out) - at - 1) - reader.left) + size
        if stop + 4 > len(out):
            break
        out[stop : stop + 4] = crc_bytes(bytes(out[at:stop]))
        at = stop + 4
    return bytes(out)
