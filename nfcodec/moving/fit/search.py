"""Motion search: coarse to fine over a pyramid of lumas, then quarter samples, then what neighbours suggest.

Costs count bits: an error e of the luma costs e² / λ where no residual will be coded for it, and |e| / √λ where one
pays (as in the search of video encoders: Sullivan, Wiegand 1998), with a smooth passage at |e| = √λ / 2 (Huber).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from nfcodec.moving.motion import BLOCK, BOTH, FIRST, LARGEST_VECTOR, SECOND, Motion, grid, middle
from nfcodec.moving.prediction import SAMPLE_BITS, Reference
from nfcodec.types import Bytes, Doubles, Floats, Indices

_LEVELS = 3  # halvings of the pyramid
_REACH = 10  # samples of the smallest picture that vectors are searched in
_MARGIN = 40  # samples around a picture that vectors may show
_SMALL = 4  # blocks of so few samples look further
_UNIT = np.float32(2.0**-SAMPLE_BITS)
_AROUND = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)])
_WIDER = np.array([(y, x) for y in range(-2, 3) for x in range(-2, 3)])
_STRAIGHT = ((-1, 0), (1, 0), (0, -1), (0, 1))


def halved(plane: Floats) -> Floats:
    """Means over 2 × 2 samples of a plane with even sides."""
    h, w = plane.shape
    return np.asarray(plane.reshape(h // 2, 2, w // 2, 2).mean((1, 3)), np.float32)


class Searched:
    """A luma to search in, or for: whole blocks, in floats."""

    def __init__(self, luma: Floats) -> None:
        """``luma`` (H, W)."""
        h, w = grid(*luma.shape)
        self.shape, self.size = (h, w), luma.shape
        self.luma = np.pad(luma, ((0, h * BLOCK - luma.shape[0]), (0, w * BLOCK - luma.shape[1])), mode="edge")

    @cached_property
    def pyramid(self) -> list[Floats]:
        """The luma and its halves, largest first."""
        found = [self.luma]
        for _ in range(_LEVELS):
            found.append(halved(found[-1]))
        return found

    @cached_property
    def blocks(self) -> Floats:
        """The samples (n, 256) of all blocks."""
        return _cut(self.luma, BLOCK).reshape(-1, BLOCK * BLOCK)


def _price(off: Floats, trade: float) -> Floats:
    """What errors (…) cost, each."""
    size = np.abs(off)
    small = np.minimum(size, np.float32(0.5 * np.sqrt(trade)))
    size += size
    size -= small
    size *= small * np.float32(1.0 / trade)
    return size


def error_bits(off: Floats, trade: float) -> Floats:
    """What errors (n, 256) of blocks cost, (n,)."""
    return np.asarray(_price(off, trade).sum(1), np.float32)


def _cut(plane: Floats, side: int) -> Floats:
    """(n, side, side) blocks of a plane of whole blocks."""
    h, w = (n // side for n in plane.shape)
    return np.ascontiguousarray(plane.reshape(h, side, w, side).swapaxes(1, 2).reshape(-1, side, side))


class Shown(Searched):
    """A reference: its luma at whole samples, and in between."""

    def forget(self) -> None:
        """Keep the samples alone."""
        self.reference.forget()
        for name in ("wide", "pyramid", "blocks"):
            self.__dict__.pop(name, None)

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference.planes[0].astype(np.float32) * _UNIT)
        self.reference = reference

    @cached_property
    def wide(self) -> list[Floats]:
        """The pyramid with a repeated border."""
        return [np.pad(p, _MARGIN, mode="edge") for p in self.pyramid]

    def quarters(self, vectors: Indices, corners: Indices) -> Floats:
        """Samples (n, 256) of blocks with ``corners`` (n, 2), moved by vectors (n, 2) in quarter samples."""
        height, width = self.size
        out = np.empty((len(vectors), BLOCK, BLOCK), np.float32)
        rows = np.clip((corners[:, 0] + (vectors[:, 0] >> 2))[:, None] + np.arange(BLOCK), 0, height - 1)
        columns = np.clip((corners[:, 1] + (vectors[:, 1] >> 2))[:, None] + np.arange(BLOCK), 0, width - 1)
        phases = (vectors[:, 0] & 3) * 4 + (vectors[:, 1] & 3)
        for number in np.unique(phases).tolist():
            mine = np.flatnonzero(phases == number)
            plane = self.reference.phase(*divmod(number, 4))[0]
            out[mine] = plane.ravel().take(rows[mine][:, :, None] * width + columns[mine][:, None, :])
        return out.reshape(len(vectors), -1) * _UNIT


def _coarse(wanted: Floats, wide: Floats, side: int, trade: float) -> Indices:
    """Whole vectors (n, 2) of the blocks of ``side`` samples of the smallest picture, by full search."""
    h, w = wanted.shape
    share = (BLOCK // side) ** 2
    best, found = None, np.zeros(((h // side) * (w // side), 2), np.int64)
    reach = range(-_REACH, _REACH + 1)
    for y, x in sorted(((y, x) for y in reach for x in reach), key=lambda v: v[0] ** 2 + v[1] ** 2):
        part = wide[_MARGIN + y : _MARGIN + y + h, _MARGIN + x : _MARGIN + x + w]
        alone = _price(part - wanted, trade).reshape(h // side, side, w // side, side).sum((1, 3))
        cost = share * _around(alone).ravel()
        cost += float(vector_bits(np.array((y, x)) * (4 * BLOCK // side)))
        if best is None:
            best = cost
            continue
        better = cost < best
        best[better] = cost[better]
        found[better] = y, x
    return found


def _around(costs: Floats) -> Floats:
    """Of every block (h, w) the mean with the four beside it, at the border with itself: blocks of few samples alone
    find anything."""
    wide = np.pad(costs, 1, mode="edge")
    total = costs + wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    return np.asarray(total * np.float32(0.2), np.float32)


def _refined(
    wanted: Floats, wide: Floats, side: int, shape: tuple[int, int], candidates: Indices, trade: float
) -> Indices:  # fmt: skip
    """The best (n, 2) of whole vectors (n, c, 2), and of those one or two samples around it."""
    blocks = _cut(wanted, side).reshape(-1, 1, side * side)
    corners = np.indices(shape, np.int64).reshape(2, -1).T[:, None] * side + _MARGIN
    most = np.array(wide.shape) - side
    offsets = (np.arange(side)[:, None] * wide.shape[1] + np.arange(side)).ravel()
    for around in (None, _WIDER if side <= _SMALL else _AROUND):
        tried = candidates if around is None else candidates + around
        place = np.clip(corners + tried, 0, most)
        tried = place - corners
        flat = place[..., 0] * wide.shape[1] + place[..., 1]
        cost = (BLOCK // side) ** 2 * _price(wide.ravel().take(flat[..., None] + offsets) - blocks, trade).sum(2)
        cost += vector_bits(tried * (4 * BLOCK // side))
        candidates = np.take_along_axis(tried, cost.argmin(1)[:, None, None], 1)
    return candidates[:, 0]


def _neighbours(vectors: Indices, shape: tuple[int, int]) -> Indices:
    """Vectors (n, 4, 2) of the blocks above, below, left and right; those of a block itself at the border."""
    wide = np.pad(vectors.reshape(*shape, 2), ((1, 1), (1, 1), (0, 0)), mode="edge")
    h, w = shape
    return np.stack([wide[1 + y : 1 + y + h, 1 + x : 1 + x + w].reshape(-1, 2) for y, x in _STRAIGHT], 1)


def whole_vectors(wanted: Searched, shown: Shown, trade: float) -> Indices:
    """Vectors (n, 2) of all blocks in whole samples."""
    vectors = _coarse(wanted.pyramid[-1], shown.wide[-1], BLOCK >> _LEVELS, trade)
    for level in range(_LEVELS - 1, -1, -1):
        own = 2 * vectors[:, None]
        candidates = np.concatenate([own, 2 * _neighbours(vectors, wanted.shape), 0 * own], 1)
        lumas = wanted.pyramid[level], shown.wide[level]
        vectors = _refined(*lumas, BLOCK >> level, wanted.shape, candidates, trade)
    return vectors


def vector_bits(off: Indices) -> Doubles:
    """About how many bits a vector costs that is ``off`` (…, 2) by so much from what is expected."""
    size = np.log2(1.0 + np.abs(off)).sum(-1)
    return np.where((off == 0).all(-1), 0.5, 3.0 + 2.0 * size)


class BlockSearch:
    """The search for one reference, in quarter samples, at λ = ``trade``."""

    def __init__(self, wanted: Searched, shown: Shown, trade: float) -> None:
        self.wanted, self.shown, self.trade = wanted, shown, trade
        self.corners = np.indices(wanted.shape, np.int64).reshape(2, -1).T * BLOCK
        self.vectors = 4 * whole_vectors(wanted, shown, trade)
        self.errors = self._error(self.vectors)

    def _error(self, vectors: Indices, mine: Indices | None = None) -> Floats:
        where = slice(None) if mine is None else mine
        return error_bits(self.shown.quarters(vectors, self.corners[where]) - self.wanted.blocks[where], self.trade)

    def run(self) -> None:
        """Finer, and with an eye on the neighbours."""
        for _ in range(2):
            self._agree()
        for step in (2, 1):
            self._around(step)
        self._agree()

    def expected(self) -> Indices:
        """What neighbours let expect of every block, (n, 2)."""
        around = _neighbours(self.vectors, self.wanted.shape)
        there = np.ones(around.shape[:2], bool)
        return np.stack([middle(around[..., i], there) for i in (0, 1)], 1)

    def _try(self, vectors: Indices, expected: Indices) -> None:
        """Take vectors (n, 2) where they cost less."""
        mine = np.flatnonzero((vectors != self.vectors).any(1))
        if not len(mine):
            return
        errors = self._error(vectors[mine], mine)
        now = self.errors[mine] + vector_bits(self.vectors[mine] - expected[mine])
        then = errors + vector_bits(vectors[mine] - expected[mine])
        better = mine[then < now]
        self.errors[better], self.vectors[better] = errors[then < now], vectors[better]

    def _around(self, step: int) -> None:
        expected, start = self.expected(), self.vectors.copy()
        for offset in _AROUND:
            if offset.any():
                self._try(np.clip(start + step * offset, -LARGEST_VECTOR, LARGEST_VECTOR), expected)

    def _agree(self) -> None:
        """Try the vectors of neighbours, what is expected of them, and none."""
        expected, around = self.expected(), _neighbours(self.vectors, self.wanted.shape)
        for candidate in (expected, *around.swapaxes(0, 1), 0 * expected):
            self._try(candidate, self.expected())


def search(wanted: Floats, references: list[Shown], trade: float) -> Motion:
    """How the blocks of a luma (H, W) move, ``trade`` λ of its planes; all blocks are coded."""
    sought = Searched(wanted)
    found = [BlockSearch(sought, shown, trade) for shown in references]
    for one in found:
        one.run()
    modes = np.zeros(len(sought.blocks), np.uint8)
    if len(found) == 2:
        modes = _modes(sought, found, trade)
    vectors = np.zeros((2, len(modes), 2), np.int64)
    for number, one in enumerate(found):
        used = (modes == number) | (modes == BOTH)
        vectors[number, used] = one.vectors[used]
    shape = sought.shape
    return Motion(modes.reshape(shape), vectors.reshape(2, *shape, 2), np.ones(shape, bool))


def _modes(sought: Searched, found: list[BlockSearch], trade: float) -> Bytes:
    shown = [one.shown.quarters(one.vectors, one.corners) for one in found]
    both = error_bits(0.5 * (shown[0] + shown[1]) - sought.blocks, trade)
    bits = [vector_bits(one.vectors - one.expected()) for one in found]
    one = [f.errors + b + 2.0 for f, b in zip(found, bits, strict=True)]
    costs = np.stack([*one, both + bits[0] + bits[1] + 1.0])
    chosen: Bytes = np.array([FIRST, SECOND, BOTH], np.uint8).take(costs.argmin(0))
    return chosen
