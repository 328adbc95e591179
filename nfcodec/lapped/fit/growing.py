"""Encode a recording while it is made: a chunk is final as soon as half a frame behind it is known.

The whole encoder looks a chunk ahead, to choose whether frames near the boundary are split. Here the first frame of a
chunk is never split, so that the chunk before it knows how wide the zone between them is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from nfcodec.container.writer import Writer
from nfcodec.lapped.channels import to_planes
from nfcodec.lapped.fit.encode import Chunk, LappedEncoder, whole_frames
from nfcodec.lapped.init import LappedInit
from nfcodec.neighbours import neighbours
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Block, Floats, Source


class GrowingLapped(LappedEncoder):
    """Encodes one recording that grows."""

    def __init__(self, source: Source, init: LappedInit, options: EncodeOptions, progress: Progress | None) -> None:
        super().__init__(source, init, options, progress)
        self.rows = init.spec.frames

    def write_signal(self, writer: Writer) -> int:
        """One FRAMES section for every chunk, each announced once its samples cannot change any more."""
        length = 0
        for before, here, after in neighbours(self._final(writer)):
            self._measure(before, here, after)
            length += len(here.values)
        return length

    def _final(self, writer: Writer) -> Iterator[Chunk]:
        """The chunks of the recording, written."""
        before: Chunk | None = None
        samples, half = self.rows * self.spacing, self.spacing // 2
        for number, (values, behind) in enumerate(with_lookahead(self.source.blocks(half), samples, half)):
            after = None if behind is None else replace(self._chunk(number + 1, behind), splits=self._unsplit)
            split = self._split((before, self._chunk(number, values), None))
            if before is not None:
                for own in split.splits:
                    own[0] = 0
            before = self._coded((before, split, after))
            self._write(writer, before)
            # The last half frame is not right before the next chunk is there.
            end = number * samples + len(values)
            writer.grown(end if after is None else end - half)
            self.tick(float(len(values)))
            yield before

    @property
    def _unsplit(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint8]], ...]:
        return tuple(np.zeros(1, np.uint8) for _ in self.groups)

    def _chunk(self, number: int, values: Floats) -> Chunk:
        planes = (to_planes(values[:, list(channels)]) for channels in self.groups)
        return Chunk(number, values, tuple(whole_frames(p, self.spacing) for p in planes), None)


def with_lookahead(blocks: Iterable[Block], samples: int, ahead: int) -> Iterator[tuple[Floats, Floats | None]]:
    """Stretches (samples, C) of a signal, each with at least ``ahead`` samples behind it as soon as they are known;
    the last one, which may be shorter, with None, the one before it with all that is left."""
    waiting: list[Floats] = []
    count = 0
    for block in blocks:
        waiting.append(block.values)
        count += len(block.values)
        if count >= samples + ahead:
            whole = np.concatenate(waiting)
            yield whole[:samples], whole[samples:]
            waiting, count = [whole[samples:]], count - samples
    if count:
        whole = np.concatenate(waiting)
        if count > samples:
            yield whole[:samples], whole[samples:]
            whole = whole[samples:]
        yield whole, None
