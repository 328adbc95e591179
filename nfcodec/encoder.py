"""From a signal to the bytes of a file, chunk by chunk.

Every chunk is decoded from its own bytes as soon as it is coded, by the functions that the decoder uses; the
reported PSNR is of those samples, and a difference in symbols is an :class:`InternalError`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from nfcodec import zoo
from nfcodec.adapt.chunk import Adapter
from nfcodec.coding.deltas import encode_deltas
from nfcodec.coding.planes import encode_plane
from nfcodec.container.layout import Header, SectionType, chunk_payload
from nfcodec.container.metadata import pack_metadata, pack_tags
from nfcodec.container.writer import Writer
from nfcodec.decoder import decode_chunk, render_chunk
from nfcodec.errors import InternalError, UnsupportedMediaError
from nfcodec.fields.coords import modules_per_axis, sample_positions
from nfcodec.fields.init import Init
from nfcodec.fields.modules import cut, is_sound
from nfcodec.fields.values import active_outputs
from nfcodec.media.samples import quantize
from nfcodec.metrics import ErrorSum
from nfcodec.options import EncodeOptions, Progress, ProgressEvent
from nfcodec.signal import Block, Floats, Ints, SignalInfo, Source

# A chunk is coded at once: enough modules to share its side information, few enough to stay small in memory.
CHUNK_MODULES = 4096


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of a signal: its final ``info``, the file's size in bytes, PSNR and SNR in dB, the SHA-256 of
    all symbols, and what had to be dropped or changed."""

    info: SignalInfo
    bytes: int
    psnr: float
    snr: float
    digest: str
    warnings: tuple[str, ...]


def chunk_rows(init: Init, info: SignalInfo) -> int:
    """Rows of modules along axis 0 that make a chunk."""
    if len(info.shape) == 1:
        per_row = info.channels
    else:
        per_row = math.prod(modules_per_axis(info.shape[1:], init.spec.tile[1:]))
    rows = -(-info.shape[0] // init.spec.tile[0])
    return max(1, min(rows, CHUNK_MODULES // per_row))


def field_values(init: Init, info: SignalInfo, values: Floats) -> Floats:
    """Signal values as the field sees them: arrays on a sound field move from [0, 1] to [-1, 1]."""
    return values * 2.0 - 1.0 if is_sound(init.spec) and info.modality == "array" else values


class Encoder:
    """Encodes one source with one init. Use :func:`encode_signal`."""

    def __init__(self, source: Source, init: Init, options: EncodeOptions, progress: Progress | None) -> None:
        self.source, self.init, self.options = source, init, options
        self.info = source.info
        self._check_field()
        self.adapter = Adapter(init, options.quality, options.effort, active_outputs(init.spec, self.info.channels))
        self.kept = self.adapter.coding.kept
        self.rows = chunk_rows(init, self.info)
        self.error = ErrorSum()
        self.symbols = hashlib.sha256()
        self._progress = progress
        self._done = 0.0

    @property
    def _constant(self) -> bool:
        """Whether the range of values says it all, whatever the deltas are."""
        return self.info.value_range is not None and self.info.value_range[0] == self.info.value_range[1]

    def _check_field(self) -> None:
        spec, info = self.init.spec, self.info
        fits = info.channels in (1, 3) if spec.offset else info.modality in ("audio", "array")
        if spec.axes != len(info.shape) or not fits:
            raise UnsupportedMediaError(
                f"init {self.init.id} takes {self.init.modality} of {spec.axes} axes, "
                f"not {info.modality} of {len(info.shape)} axes and {info.channels} channels"
            )

    def run(self, out: BinaryIO) -> Encoded:
        """Encode everything and write the file to ``out``."""
        with Writer() as writer:
            length = 0
            for chunk, block in enumerate(self.source.blocks(self.rows * self.init.spec.tile[0])):
                self._chunk(writer, chunk, block)
                length += len(block.values)
            if not length:
                raise UnsupportedMediaError("the input holds no samples")
            self.info = replace(self.info, shape=(length, *self.info.shape[1:]))
            self._metadata(writer)
            size = writer.finish(self._header(), out)
        psnr, snr = self.error.psnr(self.info.measured_peak), self.error.snr()
        return Encoded(self.info, size, psnr, snr, self.symbols.hexdigest(), tuple(self.source.warnings))

    # -- one chunk ---------------------------------------------------------------------------------------
    def _chunk(self, writer: Writer, chunk: int, block: Block) -> None:
        values = field_values(self.init, self.info, block.values)
        targets = cut(self.init.spec, values)
        share = math.prod(block.values.shape[:-1]) / len(targets)
        if self._constant:
            q = np.zeros((len(targets), len(self.kept)), np.int32)
        else:
            q = self.adapter.deltas(targets, lambda modules: self._tick(modules * share))
        coding = self.adapter.coding
        width = modules_per_axis(block.values.shape[:-1], self.init.spec.tile)[-1]
        payload = encode_deltas(q, coding.scale, coding.tensor_of, width=width)
        writer.add(SectionType.DELTA, chunk_payload(chunk, payload))
        self.symbols.update(q.astype("<i4").tobytes())
        if block.alpha is not None:
            writer.add(SectionType.ALPHA, chunk_payload(chunk, encode_plane(block.alpha)))
            self.symbols.update(block.alpha.astype(block.alpha.dtype.newbyteorder("<")).tobytes())
        self._compare(block.values, payload, q, width)

    def _compare(self, values: Floats, payload: bytes, q: npt.NDArray[np.int32], width: int) -> None:
        """Decode the chunk from its bytes and add its error, on samples as they would be written."""
        shape = values.shape[:-1]
        quality, limits = self.options.quality, self.options.limits
        decoded = decode_chunk(self.init, quality, self.kept, payload, (len(q), width), limits)
        if not np.array_equal(decoded, q):
            raise InternalError("the coded symbols do not decode to themselves")
        native = [sample_positions(0.0, float(n), n) for n in shape]
        rendered = render_chunk(self.init, quality, self.kept, decoded, self.info, shape, native)
        self.error.add(self._written(values), self._written(rendered))

    def _written(self, values: Floats) -> Ints:
        return self.info.measured(quantize(values, self.info))

    def _tick(self, samples: float) -> None:
        self._done += samples
        if self._progress:
            total = max(float(self.info.samples), self._done)
            known = self.error.psnr(self.info.measured_peak) if self.error.count else None
            self._progress(ProgressEvent("encode", self._done, total, known))

    # -- the rest of the file ----------------------------------------------------------------------------
    def _metadata(self, writer: Writer) -> None:
        kept = self.source.metadata
        parts = {"icc": kept.icc, "exif": kept.exif, "xmp": kept.xmp, "tags": pack_tags(kept.tags)}
        for kind, data in parts.items():
            if data and kind not in self.options.strip:
                writer.add(SectionType.METADATA, pack_metadata(kind, data))
        if "sound" not in self.options.strip:
            sound = self.source.sidecar()
            if sound:
                writer.add(SectionType.SOUND, sound)

    def _header(self) -> Header:
        info = self.info
        return Header(
            modality=info.modality, shape=info.shape, channels=info.channels, sample_type=info.sample_type,
            init=self.init.sha256[: zoo.PREFIX], quality=self.options.quality, chunk_rows=self.rows,
            alpha=info.alpha, rate=info.rate, value_range=info.value_range,
        )  # fmt: skip


def choose_init(info: SignalInfo, name: str | None) -> Init:
    """The init to use: the one asked for, or the default of the signal's kind."""
    if name is None:
        rate = float(info.rate) if info.rate is not None else None
        name = zoo.default_id(info.modality, len(info.shape), rate)
    return zoo.load(name)


def encode_signal(
    source: Source, out: BinaryIO, options: EncodeOptions, *, progress: Progress | None = None
) -> Encoded:
    """Encode ``source`` to ``out`` (binary, written once from start to end).

    Raises :class:`~nfcodec.errors.UnsupportedMediaError` when the init does not fit the signal.
    """
    return Encoder(source, choose_init(source.info, options.init), options, progress).run(out)
