"""How the cells of a level are cut into regions, and how regions, levels and layers are numbered in a file.

A region is a box of at most ``region`` cells; regions are numbered in order of the axes, the last one fastest. Its
symbols are coded in layers, coarse to fine. A section holds one layer of one region, or several consecutive ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.errors import CorruptError
from nfcodec.lattice.spec import LatticeSpec

# Sections are listed, and inputs refused, without numpy.
if TYPE_CHECKING:
    from nfcodec.types import Span

# (first layer, number of layers) of a section by its code.
_RUNS = ((0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 3))

Index = tuple[Any, ...]  # of the last axes of an array


@dataclass(frozen=True, slots=True)
class Box:
    """Cells [start, stop) along each axis; ``index``: of the region that they are, or are around."""

    index: int
    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def cells(self) -> Index:
        """Where the box lies in an array (…, *cells) of all cells."""
        return (..., *(slice(a, b) for a, b in zip(self.start, self.stop, strict=True)))

    def within(self, other: Box) -> Index:
        """Where the part of the box that lies in ``other`` is, in an array (…, *cells) of the cells of ``other``."""
        pairs = zip(self.start, self.stop, other.start, other.stop, strict=True)
        return (..., *(slice(max(a - c, 0), min(b, d) - c) for a, b, c, d in pairs))

    def touches(self, other: Box) -> bool:
        """Whether the boxes have cells in common."""
        pairs = zip(self.start, self.stop, other.start, other.stop, strict=True)
        return all(a < d and c < b for a, b, c, d in pairs)


def box_of(spans: Sequence[Span]) -> Box:
    """The cells [start, stop) of each axis."""
    return Box(-1, tuple(a for a, _ in spans), tuple(b for _, b in spans))


def strips(cells: Sequence[int], most: int = 512, first: int = 0) -> Iterator[slice]:
    """Rows of cells (the first axis) from the ``first`` on, some after the other: about ``most`` cells, which stay near
    the processor's cache."""
    rows = max(1, most // max(1, math.prod(cells[1:])))
    return (slice(start, min(start + rows, cells[0])) for start in range(first, cells[0], rows))


@dataclass(frozen=True, slots=True)
class Space:
    """All ``cells`` of a level along each axis, in regions of at most ``region`` cells."""

    cells: tuple[int, ...]
    region: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], spec: LatticeSpec) -> Space:
        """The cells of a signal of ``shape`` samples."""
        return cls(tuple(-(-n // s) for n, s in zip(shape, spec.spacing, strict=True)), spec.region)

    @property
    def whole(self) -> Box:
        """All cells."""
        return Box(-1, tuple(0 for _ in self.cells), self.cells)

    @property
    def counts(self) -> tuple[int, ...]:
        """Regions along each axis."""
        return tuple(-(-n // r) for n, r in zip(self.cells, self.region, strict=True))

    @property
    def count(self) -> int:
        """Number of regions."""
        return math.prod(self.counts)

    @property
    def rows(self) -> int:
        """Rows of regions: of all that have the same place along the first axis."""
        return self.counts[0]

    @property
    def row_size(self) -> int:
        """Regions in a row."""
        return math.prod(self.counts[1:])

    @property
    def chunk_rows(self) -> int:
        """Cells of one row of regions along the first axis, the last row excepted."""
        return min(self.region[0], self.cells[0])

    def _at(self, index: int, place: Sequence[int]) -> Box:
        start = tuple(i * r for i, r in zip(place, self.region, strict=True))
        stop = tuple(min(n, a + r) for n, a, r in zip(self.cells, start, self.region, strict=True))
        return Box(index, start, stop)

    def box(self, index: int) -> Box:
        """Region ``index``."""
        place, left = [], index
        for n in reversed(self.counts):
            left, at = divmod(left, n)
            place.append(at)
        return self._at(index, place[::-1])

    def around(self, box: Box, margin: int) -> Box:
        """A box with up to ``margin`` more cells on each side, as far as the signal goes."""
        start = tuple(max(0, a - margin) for a in box.start)
        return Box(box.index, start, tuple(min(n, b + margin) for n, b in zip(self.cells, box.stop, strict=True)))

    def row(self, y: int) -> list[Box]:
        """The regions of row ``y``, in order."""
        return [self.box(y * self.row_size + x) for x in range(self.row_size)]

    def touched(self, part: Box) -> Iterator[Box]:
        """The regions that have cells in a box, in order."""
        ranges = [range(a // r, -(-b // r)) for a, b, r in zip(part.start, part.stop, self.region, strict=True)]
        for place in itertools.product(*ranges):
            index = 0
            for at, n in zip(place, self.counts, strict=True):
                index = index * n + at
            yield self._at(index, place)


@dataclass(frozen=True, slots=True)
class LayerRun:
    """Consecutive layers of one region of one level: payloads of the layers ``first``, ``first`` + 1, …"""

    region: int
    first: int
    payloads: tuple[bytes, ...]
    level: int = 0


def section_run(index: int, levels: int = 1) -> tuple[int, int, int, int]:
    """Region, level, first layer and number of layers of the section with this index, in a file of so many levels."""
    place, code = divmod(index, len(_RUNS))
    return (*divmod(place, levels), *_RUNS[code])


def pack_run(run: LayerRun, levels: int = 1) -> bytes:
    """The payload of a CELLS section: its index, the lengths of all layers but the last, the layers."""
    place = run.region * levels + run.level
    out = bytearray(encode_varint(place * len(_RUNS) + _RUNS.index((run.first, len(run.payloads)))))
    for payload in run.payloads[:-1]:
        out += encode_varint(len(payload))
    return bytes(out) + b"".join(run.payloads)


def unpack_run(data: bytes, levels: int = 1) -> LayerRun:
    """Inverse of :func:`pack_run`; raises :class:`~nfcodec.errors.FormatError`."""
    reader = ByteReader(data)
    region, level, first, count = section_run(reader.varint("section index"), levels)
    lengths = [reader.varint("layer length") for _ in range(count - 1)]
    rest = reader.rest()
    if sum(lengths) > len(rest):
        raise CorruptError(f"layers of {lengths} bytes in a section of {len(rest)}")
    payloads, at = [], 0
    for length in lengths:
        payloads.append(rest[at : at + length])
        at += length
    return LayerRun(region, first, (*payloads, rest[at:]), level)
