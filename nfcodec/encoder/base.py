"""What every encoder does: the header, metadata, progress, and the error of what was written."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import BinaryIO

import numpy as np

from nfcodec.container.growing import GrowingWriter
from nfcodec.container.layout import INIT_BYTES, Header, SectionType
from nfcodec.container.metadata import pack_metadata, pack_tags
from nfcodec.container.writer import Writer
from nfcodec.decoder import Decoder
from nfcodec.encoder.fill import filled
from nfcodec.errors import InternalError, UnsupportedMediaError
from nfcodec.families import Init
from nfcodec.lattice.code import ALONE, RegionCoder
from nfcodec.media.samples import quantize
from nfcodec.metrics import ErrorSum
from nfcodec.options import EncodeOptions, Progress, ProgressEvent
from nfcodec.signal import Floats, Ints, SignalInfo, Source
from nfcodec.silence import Silence, find_silence, pack_silence
from nfcodec.tags import TIMING


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of a signal: its final ``info``, the file's size in bytes, PSNR and SNR in dB, the SHA-256 of all
    symbols, the id of the init and the quality that were used, and what had to be dropped or changed. ``coder``:
    decodes what was written to verify it, without work that was done already. ``max_error``: of an array's samples."""

    info: SignalInfo
    bytes: int
    psnr: float
    snr: float
    digest: str
    init: str
    quality: int
    warnings: tuple[str, ...]
    coder: RegionCoder = ALONE
    max_error: float | None = None

    def verify(self, file: BinaryIO, options: EncodeOptions) -> None:
        """Raise :class:`InternalError` unless what was written, read from the start of ``file``, decodes to the symbols
        that were encoded."""
        file.seek(0)
        inits = (options.init,) if options.init else ()
        if Decoder(file, limits=options.limits, inits=inits, coder=self.coder).digest()[0] != self.digest:
            raise InternalError("the written file decodes to other symbols than were encoded")


# Seconds: a shorter silence costs more to name than to code.
_SHORTEST = 0.02


class Encoder(ABC):
    """Encodes one source with one init. Use :func:`nfcodec.encoder.encode_signal`."""

    rows: int  # of modules or cells in one chunk
    perceptual = False  # whether the init is used in its perceptual tune, where it has one
    wider: int | None = None  # samples between the cells of a lattice, where these are not those of the init
    dither: tuple[int, ...] | None = None  # by how many 16ths of a step a lattice's grids of means are moved
    turn: tuple[int, ...] | None = None  # of a lattice's planes

    def __init__(
        self, source: Source, init: Init, options: EncodeOptions, progress: Progress | None
    ) -> None:
        self.source, self.options = source, options
        self.info = source.info
        self.init_id = init.id
        self.prefix = init.sha256[: INIT_BYTES]
        self.quality = options.quality
        self.error = ErrorSum()
        self.warnings: list[str] = []
        self.symbols = hashlib.sha256()
        self.coder: RegionCoder = ALONE
        self._silence: Silence | None = None
        self._progress = progress
        self._done = 0.0
        self._hid = False
        self.lists_silence = True

    @property
    def constant(self) -> bool:
        """Whether the range of values says it all, whatever the deltas are."""
        return self.info.value_range is not None and self.info.value_range[0] == self.info.value_range[1]

    @abstractmethod
    def write_signal(self, writer: Writer) -> int:
        """Write the sections of the signal; the number of rows of axis 0."""

    def run(self, out: BinaryIO) -> Encoded:
        """Encode everything and write the file to ``out``."""
        with Writer() as writer:
            length = self.write_signal(writer)
            if not length:
                raise UnsupportedMediaError("the input holds no samples")
            # The rate of a video is sure when its frames were read, like its length.
            self.info = replace(self.info, shape=(length, *self.info.shape[1:]), rate=self.source.info.rate)
            if self._silence:
                payload = pack_silence(self._silence)
                self.symbols.update(payload)
                writer.add(SectionType.SILENCE, payload)
            for kind, payload in self.metadata_sections:
                writer.add(kind, payload)
            size = writer.finish(self.header(), out)
        return self._outcome(size)

    def _outcome(self, size: int) -> Encoded:
        """What became of the signal, in a file of ``size`` bytes."""
        psnr, snr = self.error.psnr(self.info.measured_peak), self.error.snr()
        warnings = (*self.source.warnings, *self.warnings)
        digest = self.symbols.hexdigest()
        worst = float(np.ldexp(self.error.max_error, self.info.exponent)) if self.info.modality == "array" else None
        return Encoded(self.info, size, psnr, snr, digest, self.init_id, self.quality, warnings, self.coder, worst)

    def grow(self, out: BinaryIO, told: Callable[[int], None] | None = None) -> Encoded:
        """Encode a recording that is still being made: each chunk is final in ``out`` before the next one is looked at.

        ``self.rows`` must be known, since the header comes first. ``told``: see
        :class:`~nfcodec.container.growing.GrowingWriter`. Silent stretches are coded like all others, for nobody knows
        yet where they end.
        """
        self.lists_silence = False
        with GrowingWriter(out, replace(self.header(), growing=True), told) as writer:
            length = self.write_signal(writer)
            if not length:
                raise UnsupportedMediaError("the input holds no samples")
            self.info = replace(self.info, shape=(length,))
            for kind, payload in self.metadata_sections:
                writer.add(kind, payload)
            return self._outcome(writer.end(length))

    def shown(self, values: Floats, alpha: Ints | None) -> Floats:
        """Values (n, …, C) with those under an alpha (n, …) of 0, which nobody sees, continued from what is seen."""
        if alpha is None or alpha.all():
            return values
        hidden = values[alpha == 0]
        if not self._hid and (hidden != hidden[0]).any():
            self._hid = True
            self.warnings.append("colours under full transparency are not kept")
        if alpha.ndim == 2:
            return filled(values, alpha == 0)
        return np.stack([filled(frame, plane == 0) for frame, plane in zip(values, alpha, strict=True)])

    def measure(self, error: ErrorSum, values: Floats, rendered: Floats, alpha: Ints | None) -> None:
        """Add the error of what is to be seen of ``rendered`` to a sum."""
        error.add_seen(self.written(values), self.written(rendered), alpha)

    def written(self, values: Floats) -> Ints:
        """Samples as they would be written, for measuring errors."""
        return self.info.measured(quantize(values, self.info))

    def find_silence(self, values: Floats, start: int) -> Silence | None:
        """The silent stretches of a block (n, C) of a recording that begins at sample ``start``, and remember them;
        None where there are none. Blocks come in order, each once."""
        if self.info.modality != "audio" or not self.lists_silence:
            return None
        # Measured samples count from silence.
        found = find_silence(self.written(values) == 0, round(_SHORTEST * float(self.info.rate or 0)))
        before = self._silence or Silence(tuple(runs[:0] for runs in found.runs))
        self._silence = before.joined(found, start)
        return found or None

    def hash_alpha(self, alpha: Ints) -> None:
        """Add an alpha plane to the digest of the symbols."""
        self.symbols.update(alpha.astype(alpha.dtype.newbyteorder("<")).tobytes())

    def tick(self, samples: float) -> None:
        """Tell the progress that so many samples more are done."""
        self._done += samples
        if self._progress:
            total = max(float(self.info.samples), self._done)
            known = self.error.psnr(self.info.measured_peak) if self.error.count else None
            self._progress(ProgressEvent("encode", self._done, total, known))

    @cached_property
    def metadata_sections(self) -> list[tuple[SectionType, bytes]]:
        """What the file says beside the signal; known when all blocks were read."""
        kept, strip, sections = self.source.metadata, self.options.strip, []
        tags = [pair for pair in kept.tags if "tags" not in strip or pair[0] in TIMING]
        parts = {"icc": kept.icc, "exif": kept.exif, "xmp": kept.xmp, "tags": pack_tags(tags)}
        for kind, data in parts.items():
            if data and (kind not in strip or kind == "tags"):
                sections.append((SectionType.METADATA, pack_metadata(kind, data)))
        sound = b"" if "sound" in self.options.strip else self.source.sidecar()
        if sound:
            sections.append((SectionType.SOUND, sound))
        return sections

    def header(self) -> Header:
        """The header, without the number of sections."""
        info = self.info
        return Header(
            modality=info.modality, shape=info.shape, channels=info.channels, sample_type=info.sample_type,
            init=self.prefix, quality=self.quality, chunk_rows=self.rows,
            alpha=info.alpha, rate=info.rate, value_range=info.value_range, perceptual=self.perceptual,
            spacing=self.wider, dither=self.dither, turn=self.turn,
        )  # fmt: skip
