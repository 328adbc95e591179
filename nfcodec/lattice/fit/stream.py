"""Encode a signal of one axis on a lattice, chunk by chunk: it never has to be in memory as a whole.

A chunk is one region. It is fitted between its neighbours, so that work is one chunk behind reading for every level,
and once more for what is shown of it. All layers of a region come together, since there is no end of the file to wait
for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nfcodec.container.layout import SectionType
from nfcodec.container.writer import Writer
from nfcodec.coords import sample_positions
from nfcodec.deadline import share
from nfcodec.encoder.base import Encoder
from nfcodec.lattice.code import ALONE, RegionCoder
from nfcodec.lattice.fit.adapt import Plan
from nfcodec.lattice.fit.coded import CodedRegion, LevelFit, check_field
from nfcodec.lattice.fit.window import mirrored
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.native import PLANE_UNIT
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.renderer import LevelRenderer
from nfcodec.lattice.space import Space, pack_run
from nfcodec.lattice.synthesis import whole_to_values
from nfcodec.neighbours import neighbours
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Floats, Source
from nfcodec.silence import Silence
from nfcodec.types import Doubles, Symbols


@dataclass(frozen=True)
class Chunk:
    """A chunk on its way through the levels: its ``values`` (n, C), the ``planes`` (P, n) of these, what the levels so
    far have ``shown`` of them, the region of each level so far, and where it is silent."""

    number: int
    values: Floats
    planes: Tensor
    shown: Doubles
    coded: tuple[CodedRegion, ...] = ()
    silence: Silence | None = None

    def left(self) -> Tensor:
        """The planes that are not shown yet."""
        return self.planes - torch.from_numpy((self.shown * PLANE_UNIT).astype(np.float32))


class StreamEncoder(Encoder):
    """Encodes one signal of one axis with a lattice init."""

    def __init__(
        self, source: Source, init: LatticeInit, options: EncodeOptions, progress: Progress | None,
        coder: RegionCoder = ALONE,
    ) -> None:  # fmt: skip
        super().__init__(source, init, options, progress)
        self.init, self.coder = init, coder
        spec = init.levels[0].spec
        check_field(init, self.info)
        self.length = spec.region[0] * spec.spacing[0]
        self.offset = offset_of(self.info.modality)
        self.plan = Plan.of(options.quality, options.effort)
        self._deadline = None if options.max_time is None else time.monotonic() + options.max_time

    def write_signal(self, writer: Writer) -> int:
        """One CELLS section for every region of every level, chunk by chunk."""
        chunks: Iterator[Chunk] = self._read()
        for number in range(len(self.init.levels)):
            chunks = self._shown(number, self._fitted(number, chunks))
        length = 0
        for chunk in chunks:
            self._write(writer, chunk)
            length += len(chunk.values)
            self.tick(float(len(chunk.values)))
        self.rows = Space.of((length,), self.init.levels[0].spec).chunk_rows if length else 0
        return length

    def _read(self) -> Iterator[Chunk]:
        for number, block in enumerate(self.source.blocks(self.length)):
            planes = self.init.planes.to_planes(torch.from_numpy(block.values), self.offset)
            silence = self.find_silence(block.values, number * self.length)
            yield Chunk(number, block.values, planes, np.zeros(planes.shape), silence=silence)

    # -- levels ------------------------------------------------------------------------------------------
    def _fitted(self, number: int, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Chunks with a region of level ``number``, fitted to what the levels before it left."""
        spec, places = self.init.levels[number].spec, self.init.places(number)
        fit, left = LevelFit(self.init, number, self.info.channels), -(-self.info.shape[0] // self.length)
        for before, here, after in neighbours(chunks):
            planes = torch.cat([c.left()[places] for c in (before, here, after) if c is not None], 1)
            shape = (planes.shape[1],)
            space = Space.of(shape, spec)
            levels = max(1, left - here.number) * len(self.init.levels)
            plan = replace(self.plan, deadline=share(self._deadline, levels))
            unheard = here.silence is not None and here.silence.covers(len(here.values))
            wide = None if self.constant or unheard else mirrored(planes, space, spec.spacing)
            box = space.box(0 if before is None else 1)
            yield replace(here, coded=(*here.coded, fit.region(wide, shape, space, box, plan, self.coder)))

    def _shown(self, number: int, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Chunks with what level ``number`` shows of them."""
        level, places = self.init.levels[number], self.init.places(number)
        for before, here, after in neighbours(chunks):
            some = [c for c in (before, here, after) if c is not None]
            length, start = sum(len(c.values) for c in some), 0 if before is None else self.length
            stop = start + len(here.values)
            of_region = partial(_symbols, some, number)
            renderer = LevelRenderer(level, Space.of((length,), level.spec), self.options.quality, of_region)
            shown = here.shown.copy()
            shown[places] += renderer.whole([np.arange(start, stop)])
            yield replace(here, shown=shown)

    # -- the file ----------------------------------------------------------------------------------------
    def _write(self, writer: Writer, chunk: Chunk) -> None:
        """Write the regions of a chunk, and add its error."""
        for coded in chunk.coded:
            for run in coded.runs(chunk.number, split=False):
                writer.add(SectionType.CELLS, pack_run(run, len(self.init.levels)))
                self.symbols.update(coded.symbols.astype("<i4").tobytes())
        values = whole_to_values(chunk.shown, self.info.channels, self.offset)
        if chunk.silence:
            chunk.silence.apply(values, sample_positions(0.0, float(len(values)), len(values)))
        self.error.add(self.written(chunk.values), self.written(values))


def _symbols(chunks: list[Chunk], level: int, region: int) -> Symbols:
    return chunks[region].coded[level].symbols
