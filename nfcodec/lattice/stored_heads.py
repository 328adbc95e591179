"""Which heads of Y a file says that its blocks use: HEADS sections, chunk by chunk."""

from __future__ import annotations

from nfcodec.container.layout import SectionType, split_chunk
from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError
from nfcodec.lattice.heads import PictureHeads, decode_heads
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.space import Space
from nfcodec.limits import Limits
from nfcodec.recent import Recent
from nfcodec.types import Bytes

_CHUNKS_KEPT = 8


class StoredHeads:
    """The heads of a file. Raises :class:`CorruptError` for chunks that do not exist, and for inits without heads."""

    def __init__(self, init: LatticeInit, space: Space, reader: Reader, index: list[Entry], limits: Limits) -> None:
        self._reader, self._limits = reader, limits
        last = init.levels[-1]
        self._picture = PictureHeads(space, last.spec.spacing, self.chunk)
        self._count = last.filter.heads if last.filter else 1
        self._entries = {e.first: e for e in index if e.type == SectionType.HEADS and e.first is not None}
        if self._entries and self._count < 2:
            raise CorruptError(f"HEADS section with init {init.id}, which has none")
        if max(self._entries, default=0) >= space.rows:
            raise CorruptError(f"HEADS section {max(self._entries)} of a picture of {space.rows} rows of regions")
        self._recent: Recent[Bytes] = Recent(_CHUNKS_KEPT)

    def chunk(self, chunk: int) -> Bytes | None:
        """The heads of the blocks (h, w) of a row of regions, None where all are 0."""
        return self._recent.get(chunk, self._decoded) if chunk in self._entries else None

    def _decoded(self, chunk: int) -> Bytes:
        _, payload = split_chunk(self._reader.read(self._entries[chunk]).payload)
        return decode_heads(payload, self._picture.shape(chunk), self._count, limits=self._limits)
