"""Encode a recording as lapped frames, chunk by chunk: it never has to be in memory as a whole.

A chunk goes through three stages, each between its neighbours, so that each is one chunk behind the one before: which
frames are split, their symbols and bytes, and what a decoder makes of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nfcodec.container.layout import SectionType, chunk_payload
from nfcodec.container.varint import encode_varint
from nfcodec.container.writer import Writer
from nfcodec.coords import sample_positions
from nfcodec.deadline import passed
from nfcodec.encoder.base import Encoder
from nfcodec.errors import UnsupportedMediaError
from nfcodec.lapped.channels import groups_of, to_planes, to_values
from nfcodec.lapped.code import ChunkSymbols, Coded, encode_chunk
from nfcodec.lapped.fit.analysis import coefficients, folded
from nfcodec.lapped.fit.gains import choose_gains
from nfcodec.lapped.fit.quantize import quantize
from nfcodec.lapped.fit.splits import choose_splits
from nfcodec.lapped.init import PERCEPTUAL, PSNR, LappedInit
from nfcodec.lapped.stored import step_exponents, weights_of
from nfcodec.lapped.synthesis import synthesized
from nfcodec.neighbours import neighbours
from nfcodec.options import EncodeOptions, Progress
from nfcodec.parallel import ordered_map
from nfcodec.signal import Floats, Source
from nfcodec.silence import Silence
from nfcodec.types import Bytes, Doubles

# By effort 1 … 9: how often prices are looked at, for the sake of the error. They drop what is quiet, and noise instead
# is heard sooner: for the ear magnitudes are only rounded, with a dead zone beyond half a step.
_ROUNDS = (1, 1, 2, 2, 2, 3, 3, 4, 6)
_DEAD = 0.16
_FIRST_SPLITS = 2  # the effort from which on frames are split


@dataclass(frozen=True)
class Chunk:
    """A chunk on its way: its ``values`` (n, C), whole frames of the ``planes`` (P, n) of every group, where it is
    silent, the ``splits`` of every group, and what was coded and made of it."""

    number: int
    values: Floats
    planes: tuple[Floats, ...]
    silence: Silence | None
    splits: tuple[Bytes, ...] = ()
    coded: tuple[Coded, ...] = ()
    weights: tuple[Doubles, ...] = ()

    def splits_of(self, group: int) -> Bytes:
        """The splits of a group that a decoder knows: none where nothing was coded."""
        return self.coded[group].decoded.chunk.splits


def whole_frames(planes: Floats, spacing: int) -> Floats:
    """Planes (P, n) up to the end of their last frame: the signal mirrored and faded out, which ends softly."""
    missing = -planes.shape[1] % spacing
    if not missing:
        return planes
    mirrored = np.resize(planes[:, ::-1].T, (missing, len(planes))).T
    return np.concatenate([planes, mirrored * np.linspace(1.0, 0.0, missing, dtype=np.float32)], 1)


class LappedEncoder(Encoder):
    """Encodes one recording with a lapped init."""

    def __init__(self, source: Source, init: LappedInit, options: EncodeOptions, progress: Progress | None) -> None:
        super().__init__(source, init, options, progress)
        if not init.takes(self.info):
            raise UnsupportedMediaError(
                f"init {init.id} takes {init.modality}, not {self.info.modality} of {len(self.info.shape)} axes"
            )
        self.init = init
        self.spacing = init.spec.spacing_at(self.info.rate)
        self.groups = groups_of(self.info.channels)
        self.law = PSNR if options.minded == "psnr" else PERCEPTUAL
        self._deadline = None if options.max_time is None else time.monotonic() + options.max_time

    def write_signal(self, writer: Writer) -> int:
        """One FRAMES section for every chunk."""
        split = map(self._split, neighbours(self._read()))
        coded = ordered_map(self._coded, neighbours(split))
        length = 0
        for before, here, after in neighbours(coded):
            self._write(writer, here)
            self._measure(before, here, after)
            length += len(here.values)
            self.tick(float(len(here.values)))
        self.rows = min(self.init.spec.frames, -(-length // self.spacing)) if length else 0
        return length

    def _read(self) -> Iterator[Chunk]:
        samples = self.init.spec.frames * self.spacing
        for number, block in enumerate(self.source.blocks(samples)):
            silence = self.find_silence(block.values, number * samples)
            planes = tuple(
                whole_frames(to_planes(block.values[:, list(channels)]), self.spacing) for channels in self.groups
            )
            yield Chunk(number, block.values, planes, silence)

    # -- stages ------------------------------------------------------------------------------------------
    def _split(self, chunks: tuple[Chunk | None, Chunk, Chunk | None]) -> Chunk:
        """The chunk with the splits of its frames."""
        before, here, after = chunks
        found = [self._splits_of(group, before, here, after) for group in range(len(self.groups))]
        return replace(here, splits=tuple(found))

    def _splits_of(self, group: int, before: Chunk | None, here: Chunk, after: Chunk | None) -> Bytes:
        own = here.planes[group]
        frames = own.shape[1] // self.spacing
        late = passed(self._deadline)
        if self.options.effort < _FIRST_SPLITS or self.constant or late or not own.any():
            return np.zeros(frames, np.uint8)
        step = self.init.laws[self.law].step(self.options.quality)
        front = [before.planes[group][:, -self.spacing :]] if before else []
        back = [after.planes[group][:, : self.spacing]] if after else []
        found = choose_splits(np.concatenate([*front, own, *back], 1), self.spacing, self.init.spec.splits, step)
        return found[len(front) : len(front) + frames]

    def _coded(self, chunks: tuple[Chunk | None, Chunk, Chunk | None]) -> Chunk:
        """The chunk with its bytes, and the weights that a decoder has."""
        before, here, after = chunks
        coded = tuple(self._group(group, before, here, after) for group in range(len(self.groups)))
        weights = tuple(weights_of(self.init, self.quality, c.decoded) for c in coded)
        return replace(here, coded=coded, weights=weights)

    def _group(self, group: int, before: Chunk | None, here: Chunk, after: Chunk | None) -> Coded:
        law, splits = self.init.laws[self.law], here.splits[group]
        bins = self._bins(group, before, here, after)
        gains = choose_gains(bins, self.init.spec.bands_of(self.spacing), law)
        front = ChunkSymbols(np.zeros(bins.shape, np.int32), splits, self.law, gains)
        if not self.constant and not (here.silence is not None and here.silence.covers(len(here.values))):
            sizes = law.compressed(bins, step_exponents(self.init, self.quality, front))
            front = quantize(self.init, self.quality, front, sizes, bins < 0, self._rounds, dead=_DEAD)
        return encode_chunk(self.init, self.quality, front)

    @property
    def _rounds(self) -> int:
        """How often prices are looked at."""
        if self.law == PERCEPTUAL:
            return 0
        return 1 if passed(self._deadline) else _ROUNDS[self.options.effort - 1]

    def _bins(self, group: int, before: Chunk | None, here: Chunk, after: Chunk | None) -> Floats:
        """Coefficients (P, T, K) of a group."""
        half, splits = self.spacing // 2, here.splits[group]
        own = here.planes[group]
        nothing = np.zeros((len(own), half), np.float32)
        x = np.concatenate([
            nothing if before is None else before.planes[group][:, -half:], own,
            nothing if after is None else after.planes[group][:, :half],
        ], 1)  # fmt: skip
        first = 0 if before is None else self.spacing >> int(before.splits[group][-1])
        last = 0 if after is None else self.spacing >> int(after.splits[group][0])
        return coefficients(folded(x, splits, self.spacing, first=first, last=last, behind=half), splits, self.spacing)

    # -- the file ----------------------------------------------------------------------------------------
    def _write(self, writer: Writer, chunk: Chunk) -> None:
        payloads = [c.payload for c in chunk.coded]
        lengths = b"".join(encode_varint(len(p)) for p in payloads[:-1])
        writer.add(SectionType.FRAMES, chunk_payload(chunk.number, lengths + b"".join(payloads)))
        for c in chunk.coded:
            self.symbols.update(c.decoded.chunk.numbers().astype("<i4").tobytes())

    def _measure(self, before: Chunk | None, here: Chunk, after: Chunk | None) -> None:
        """Add the error of a chunk, on samples as they would be written."""
        values, n = np.empty(here.values.shape, np.float32), len(here.values)
        for group, channels in enumerate(self.groups):
            front = [] if before is None else [before]
            back = [] if after is None else [after]
            parts = [
                *((c.weights[group][:, -1:], c.splits_of(group)[-1:]) for c in front),
                (here.weights[group], here.splits_of(group)),
                *((c.weights[group][:, :1], c.splits_of(group)[:1]) for c in back),
            ]
            weights = np.concatenate([w for w, _ in parts], 1)
            splits = np.concatenate([z for _, z in parts])
            start = len(front) * self.spacing
            values[:, list(channels)] = to_values(synthesized(weights, splits)[:, start : start + n])
        if here.silence:
            here.silence.apply(values, sample_positions(0.0, float(n), n))
        self.error.add(self.written(here.values), self.written(values))
