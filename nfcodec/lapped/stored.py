"""Recordings as lapped frames: FRAMES sections, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from nfcodec.container.layout import SectionType, split_chunk
from nfcodec.container.reader import Entry, Reader
from nfcodec.container.varint import ByteReader
from nfcodec.errors import CorruptError, NfcError, UnsupportedFeatureError
from nfcodec.families import Deltas
from nfcodec.lapped.channels import groups_of, to_values
from nfcodec.lapped.code import ChunkBytes, ChunkSymbols, Decoded, decode_chunks
from nfcodec.lapped.gains import exponents
from nfcodec.lapped.init import PSNR, LappedInit
from nfcodec.lapped.interpolation import interpolated, touched
from nfcodec.lapped.synthesis import synthesized
from nfcodec.limits import Limits
from nfcodec.options import Tune
from nfcodec.parallel import begun, ordered_map
from nfcodec.recent import Recent
from nfcodec.signal import Floats, SignalInfo
from nfcodec.types import Bytes, Doubles, Indices, Positions, Symbols
from nfcodec.values_field import ValuesField

# Chunks that are decoded side by side when a recording is decoded from one to the next.
AHEAD = 16
# From so many on the next ones are begun early: parts of a recording are read without decoding what is behind them.
_BEGIN = 4


@dataclass(frozen=True, slots=True)
class _Run:
    """Chunks that are being decoded: ``count`` from the first on, of which some are ``wanted``; ``result`` has them,
    group by group, or raises what is wrong with them."""

    count: int
    wanted: list[int]
    result: Callable[[], list[tuple[Decoded, ...]]]


def _decoded(init: LappedInit, quality: int, groups: list[list[ChunkBytes]]) -> list[tuple[Decoded, ...]]:
    """Chunks, all in one call: the more there are the less Python there is between lists, and threads would only wait
    for each other in it."""
    return list(zip(*(decode_chunks(init, quality, some) for some in groups), strict=True))


class LappedField(ValuesField):
    """The frames of a file. Raises :class:`CorruptError` when header and sections do not match.

    ``partial``: chunks that are not there are silent.
    """

    def __init__(
        self, init: LappedInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, *, partial: bool
    ) -> None:  # fmt: skip
        self.init, self.reader, self.info, self.limits = init, reader, info, limits
        self.header = reader.header
        self.spacing = init.spec.spacing_at(info.rate)
        self.groups = groups_of(info.channels)
        self.frames = -(-info.shape[0] // self.spacing)
        self.chunks = -(-self.frames // self.rows)
        if self.header.chunk_rows != self.rows:
            raise CorruptError(f"{self.header.chunk_rows} frames per chunk do not fit init {init.id}")
        self.entries = {e.first: e for e in index if e.type == SectionType.FRAMES and e.first is not None}
        # By number and maximum: the header of a small file can announce millions of chunks.
        if max(self.entries, default=-1) >= self.chunks or (len(self.entries) != self.chunks and not partial):
            raise CorruptError(f"{len(self.entries)} FRAMES sections for {self.chunks} chunks")
        wrong = next((e for e in index if e.type in _OTHERS), None)
        if wrong is not None:
            raise CorruptError(f"{SectionType(wrong.type).name} section with init {init.id}, whose field is lapped")
        self._decoded: Recent[tuple[Decoded, ...]] = Recent(AHEAD + 4)
        # A stretch reaches into the chunks beside it, whose weights are asked for again.
        self._weighted: Recent[tuple[Doubles, ...]] = Recent(3)
        self._next, self._ahead = -1, 1
        self._coming: _Run | None = None

    @property
    def rows(self) -> int:
        """Frames of a chunk, the last excepted."""
        # Nobody knew how long a growing recording would become.
        return self.init.spec.frames if self.header.growing else min(self.init.spec.frames, self.frames)

    @property
    def chunk_length(self) -> int:
        """Samples of a chunk."""
        return self.rows * self.spacing

    @property
    def trade(self) -> float:
        """λ: squared error of the values, summed, per bit."""
        law = self.init.laws[0]
        return law.trade * law.step(self.header.quality) ** 2

    @property
    def tune(self) -> Tune:
        """By the law of the first chunk that holds anything."""
        for chunk in sorted(self.entries):
            payloads = [p for p in self._payloads(chunk) if p]
            if payloads:
                return "psnr" if payloads[0][0] & 1 == PSNR else "perceptual"
        return "perceptual"

    def symbols(self, chunk: int) -> Symbols:
        """All integers of a chunk, group after group: (n,)."""
        return np.concatenate([d.chunk.numbers() for d in self._chunk(chunk)])

    def deltas(self) -> Deltas:
        """:class:`UnsupportedFeatureError`: steps differ from chunk to chunk."""
        raise UnsupportedFeatureError(f"init {self.init.id}: the symbols of lapped frames have no common steps")

    def lacking(self) -> str:
        """How many chunks are there."""
        return "" if len(self.entries) == self.chunks else f"{len(self.entries)} of {self.chunks} chunks are there"

    # -- chunks ------------------------------------------------------------------------------------------
    def _frames_of(self, chunk: int) -> int:
        return min(self.rows, self.frames - chunk * self.rows)

    def _payloads(self, chunk: int) -> list[bytes]:
        """The payload of every group."""
        if chunk not in self.entries:
            return [b""] * len(self.groups)
        reader = ByteReader(split_chunk(self.reader.read(self.entries[chunk]).payload)[1])
        lengths = [reader.varint("length of a group") for _ in self.groups[1:]]
        found = [reader.take(length, "group of channels") for length in lengths]
        return [*found, reader.rest()]

    def _read(self, chunk: int) -> list[ChunkBytes]:
        frames, both = self._frames_of(chunk), zip(self._payloads(chunk), self.groups, strict=True)
        return [ChunkBytes(data, len(group), frames, self.spacing, self.limits) for data, group in both]

    def _chunk(self, chunk: int) -> tuple[Decoded, ...]:
        """A chunk, group by group."""
        return self._decoded.get(chunk, self._decode_run)

    def _decode_run(self, first: int) -> tuple[Decoded, ...]:
        """A chunk, and more and more of those behind it as long as they are asked for in a row; these are kept. Once
        they are many, the next ones are decoded while the caller makes samples of these."""
        in_row = first == self._next
        run = self._coming if in_row and self._coming else self._run(first, 2 * self._ahead if in_row else 1)
        self._coming, self._ahead, self._next = None, run.count, first + run.count
        chunks = run.result()
        for i, chunk in list(zip(run.wanted, chunks, strict=True))[1:]:
            self._decoded.put(i, chunk)
        if self._ahead >= _BEGIN and self._next < self.chunks:
            # What is damaged there is told when it is asked for.
            with suppress(NfcError):
                self._coming = self._run(self._next, 2 * self._ahead)
        return chunks[0]

    def _run(self, first: int, count: int) -> _Run:
        """Begin to decode a chunk and the next ones of the same length, up to ``count`` or AHEAD."""
        count = min(count, AHEAD)
        length, stop = self._frames_of(first), min(first + count, self.chunks)
        alike = [i for i in range(first, stop) if self._frames_of(i) == length]
        wanted = [i for i in alike if i == first or not self._decoded.has(i)]
        read = [self._read(i) for i in wanted]
        groups = [[chunk[group] for chunk in read] for group in range(len(self.groups))]
        return _Run(count, wanted, begun(partial(_decoded, self.init, self.header.quality), groups))

    # -- samples -----------------------------------------------------------------------------------------
    def _weights_of(self, chunk: int) -> tuple[Doubles, ...]:
        """The weights (P, T, K) of a chunk, group by group."""
        return tuple(ordered_map(partial(weights_of, self.init, self.header.quality), self._chunk(chunk)))

    def _weights(self, group: int, first: int, last: int) -> tuple[Doubles, Bytes]:
        """Weights (P, n, K) and splits (n,) of the frames [first, last)."""
        weights, splits = [], []
        for chunk in range(first // self.rows, -(-last // self.rows)):
            decoded = self._chunk(chunk)[group]
            a, b = max(first - chunk * self.rows, 0), last - chunk * self.rows
            weights.append(self._weighted.get(chunk, self._weights_of)[group][:, a:b])
            splits.append(decoded.chunk.splits[a:b])
        return np.concatenate(weights, 1), np.concatenate(splits)

    def stretch(self, start: int, stop: int) -> Floats:
        """The native samples [start, stop), exact: (n, C)."""
        first, last = start // self.spacing, -(-stop // self.spacing)
        a, b = max(0, first - 1), min(self.frames, last + 1)
        out = np.empty((stop - start, self.info.channels), np.float32)
        for number, channels in enumerate(self.groups):
            weights, splits = self._weights(number, a, b)
            planes = synthesized(weights, splits)[:, start - a * self.spacing : stop - a * self.spacing]
            out[:, list(channels)] = to_values(planes)
        return out

    def render(self, chunk: int, positions: list[Positions]) -> Floats:  # noqa: ARG002 (needs no chunk)
        """Values (n, C) at native positions."""
        where = positions[0]
        number = np.floor(where).astype(np.int64)
        if (where == number + 0.5).all() and len(where) == number[-1] - number[0] + 1:
            return self.stretch(int(number[0]), int(number[-1]) + 1)
        return self._between(where)

    def sample(self, chunk: int, positions: Positions) -> Floats:  # noqa: ARG002
        """Values (N, C) at native positions (N, 1)."""
        return self._between(positions[:, 0])

    def _between(self, where: Positions) -> Floats:
        """Values (n, C) at native positions (n,); beyond the ends they stay what they are there."""
        length = self.info.shape[0]
        inside = np.clip(where, 0.0, float(length))
        a, b = touched(inside)
        a, b = max(0, a), min(length, b)
        return interpolated(self.stretch(a, b), a, inside)


_OTHERS = (SectionType.CELLS, SectionType.OVERLAY, SectionType.HEADS, SectionType.DELTA)


def weights_of(init: LappedInit, quality: int, decoded: Decoded) -> Doubles:
    """Weights (P, T, K) in 2^-20 of a chunk."""
    chunk = decoded.chunk
    law = init.laws[chunk.law]
    corrections = init.corrections_of(chunk.law, decoded.scales, chunk.symbols)
    return law.weights(chunk.symbols, corrections, step_exponents(init, quality, chunk))


def step_exponents(init: LappedInit, quality: int, chunk: ChunkSymbols) -> Indices:
    """Exponents (T, K) of the steps of a chunk, 256ths of an octave."""
    bins = chunk.symbols.shape[2]
    return init.laws[chunk.law].exponent(quality) + exponents(chunk.gains, init.spec.bands_of(bins), bins)
