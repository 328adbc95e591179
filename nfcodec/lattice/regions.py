"""How the cells of a picture are cut into regions, and how regions and layers are numbered in a file.

A region is at most ``REGION`` × ``REGION`` cells; regions are numbered row by row. Its symbols are coded in
``LAYERS`` layers, coarse to fine. A section holds one layer of one region, or several consecutive ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.errors import CorruptError

REGION = 128
LAYERS = 3
# (first layer, number of layers) of a section by its code.
_RUNS = ((0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 3))


@dataclass(frozen=True, slots=True)
class Region:
    """Cells [top, bottom) × [left, right) of a picture."""

    index: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True, slots=True)
class Layout:
    """The regions of a picture of ``cells`` (rows, columns)."""

    cells: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, ...], spacing: tuple[int, ...]) -> Layout:
        """The layout of a picture of (height, width) samples."""
        return cls((-(-shape[0] // spacing[0]), -(-shape[1] // spacing[1])))

    @property
    def chunk_rows(self) -> int:
        """Rows of cells in one row of regions, the last excepted."""
        return min(REGION, self.cells[0])

    @property
    def rows(self) -> int:
        """Rows of regions."""
        return -(-self.cells[0] // REGION)

    @property
    def columns(self) -> int:
        """Columns of regions."""
        return -(-self.cells[1] // REGION)

    @property
    def count(self) -> int:
        """Number of regions."""
        return self.rows * self.columns

    def region(self, index: int) -> Region:
        """Region ``index``."""
        y, x = divmod(index, self.columns)
        h, w = self.cells
        return Region(index, y * REGION, min(h, (y + 1) * REGION), x * REGION, min(w, (x + 1) * REGION))

    def around(self, region: Region, margin: int) -> Region:
        """A region with up to ``margin`` more cells on each side, as far as the picture goes."""
        h, w = self.cells
        return Region(
            region.index, max(0, region.top - margin), min(h, region.bottom + margin),
            max(0, region.left - margin), min(w, region.right + margin),
        )  # fmt: skip

    def row(self, y: int) -> list[Region]:
        """The regions of row ``y``, left to right."""
        return [self.region(y * self.columns + x) for x in range(self.columns)]

    def touched(self, rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[list[Region]]:
        """The regions that have cells in [rows) × [columns), row by row."""
        for y in range(self.rows):
            row = [r for r in self.row(y) if r.top < rows[1] and rows[0] < r.bottom]
            row = [r for r in row if r.left < columns[1] and columns[0] < r.right]
            if row:
                yield row


@dataclass(frozen=True, slots=True)
class LayerRun:
    """Consecutive layers of one region: payloads of the layers ``first``, ``first`` + 1, …"""

    region: int
    first: int
    payloads: tuple[bytes, ...]


def section_run(index: int) -> tuple[int, int, int]:
    """Region, first layer and number of layers of the section with this index."""
    region, code = divmod(index, len(_RUNS))
    return region, *_RUNS[code]


def pack_run(run: LayerRun) -> bytes:
    """The payload of a CELLS section: its index, the lengths of all layers but the last, the layers."""
    out = bytearray(encode_varint(run.region * len(_RUNS) + _RUNS.index((run.first, len(run.payloads)))))
    for payload in run.payloads[:-1]:
        out += encode_varint(len(payload))
    return bytes(out) + b"".join(run.payloads)


def unpack_run(data: bytes) -> LayerRun:
    """Inverse of :func:`pack_run`; raises :class:`~nfcodec.errors.FormatError`."""
    reader = ByteReader(data)
    region, first, count = section_run(reader.varint("section index"))
    lengths = [reader.varint("layer length") for _ in range(count - 1)]
    rest = reader.rest()
    if sum(lengths) > len(rest):
        raise CorruptError(f"layers of {lengths} bytes in a section of {len(rest)}")
    payloads, at = [], 0
    for length in lengths:
        payloads.append(rest[at : at + length])
        at += length
    return LayerRun(region, first, (*payloads, rest[at:]))
