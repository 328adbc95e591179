"""Motion search: coarse to fine over a pyramid of lumas, what neighbours suggest, then quarter samples.

Costs count bits: an error e of the luma costs e² / λ where no residual will be coded for it, and |e| / √λ where one
pays (as in the search of video encoders: Sullivan, Wiegand 1998), with a smooth passage at |e| = √λ / 2 (Huber).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nfcodec.moving.motion import BLOCK, LARGEST_VECTOR, grid, middle
from nfcodec.moving.prediction import SAMPLE_BITS, Reference, taps
from nfcodec.types import Doubles, Floats, Indices

_LEVELS = 3  # halvings of the pyramid
_REACH = 10  # samples of the smallest picture that vectors are searched in
_MARGIN = 40  # samples around a picture that vectors may show
_SMALL = 4  # blocks of so few samples look further
_AT_ONCE = 256  # blocks, whose samples stay near the processor's cache
_BORDER = 24  # samples around the phases of a picture, of which the taps leave a block and more that are all alike
_UNIT = np.float32(2.0**-SAMPLE_BITS)
_LONGEST = 1 << 14  # of the distances whose logarithms are kept
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
        self.shape, self.size = grid(*luma.shape), luma.shape
        self._given: Floats | None = luma

    @cached_property
    def luma(self) -> Floats:
        """The luma with whole blocks, its border repeated."""
        return _whole(self._luma(), self.shape)

    def _luma(self) -> Floats:
        assert self._given is not None, "only what can be made anew is forgotten"
        return self._given

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
    size, small = _parts(off, trade)
    size *= small
    return size


def _parts(off: Floats, trade: float) -> tuple[Floats, Floats]:
    """Two factors of what errors (…) cost; they are written over."""
    size = np.abs(off, out=off)
    small = np.minimum(size, np.float32(0.5 * np.sqrt(trade)))
    size += size
    size -= small
    size *= np.float32(1.0 / trade)
    return size, small


def error_bits(off: Floats, trade: float) -> Floats:
    """What errors (…, n) of blocks cost, (…); they are written over."""
    return np.asarray(np.einsum("...i,...i", *_parts(off, trade)), np.float32)


def _whole(luma: Floats, shape: tuple[int, int]) -> Floats:
    h, w = (BLOCK * n - m for n, m in zip(shape, luma.shape, strict=True))
    return np.pad(luma, ((0, h), (0, w)), mode="edge")


def _cut(plane: Floats, side: int) -> Floats:
    """(n, side, side) blocks of a plane of whole blocks."""
    h, w = (n // side for n in plane.shape)
    return np.ascontiguousarray(plane.reshape(h, side, w, side).swapaxes(1, 2).reshape(-1, side, side))


class Shown(Searched):
    """A reference: its luma at whole samples, and in between."""

    def __init__(self, reference: Reference) -> None:
        shape = reference.planes.shape[1:]
        self.shape, self.size, self._given = grid(*shape), shape, None
        self.reference = reference
        self._phases: dict[tuple[int, int], Floats] = {}
        self._windows: dict[int, Floats] = {}

    def forget(self) -> None:
        """Keep the samples alone."""
        self.reference.forget()
        self._phases.clear()
        self._windows.clear()
        for name in ("luma", "wide", "pyramid", "blocks"):
            self.__dict__.pop(name, None)

    def _luma(self) -> Floats:
        luma: Floats = self.reference.planes[0].astype(np.float32) * _UNIT
        return luma

    @cached_property
    def wide(self) -> list[Floats]:
        """The pyramid with a repeated border."""
        return [np.pad(p, _MARGIN, mode="edge") for p in self.pyramid]

    def _phase(self, y: int, x: int) -> Floats:
        """The luma y / 4 and x / 4 of a sample further down and to the right, about, with a border."""
        if (y, x) not in self._phases:
            if y:
                found = _filtered(self._phase(0, x), 0, y)
            elif x:
                found = _filtered(self._phase(0, 0), 1, x)
            else:
                height, width = self.size
                found = np.pad(self.luma[:height, :width], _BORDER, mode="edge")
            self._phases[y, x] = found
        return self._phases[y, x]

    def _blocks_of(self, phase: int) -> Floats:
        """All blocks of a phase, by their corners: a view."""
        if phase not in self._windows:
            self._windows[phase] = sliding_window_view(self._phase(*divmod(phase, 4)), (BLOCK, BLOCK))
        return self._windows[phase]

    def phases(self, vectors: Indices, corners: Indices) -> Iterator[tuple[Indices, Floats]]:
        """Samples (m, 256) of blocks with ``corners`` (n, 2), moved by vectors (n, 2) in quarter samples: some
        of them at a time, and which these are."""
        most = np.array(self.size) + 3
        place = np.clip(corners + (vectors >> 2), -BLOCK - 4, most) + _BORDER
        phases = (vectors[:, 0] & 3) * 4 + (vectors[:, 1] & 3)
        for number in np.flatnonzero(np.bincount(phases)).tolist():
            every = np.flatnonzero(phases == number)
            for at in range(0, len(every), _AT_ONCE):
                mine = every[at : at + _AT_ONCE]
                found = self._blocks_of(number)[place[mine, 0], place[mine, 1]]
                yield mine, found.reshape(len(mine), -1)

    def quarters(self, vectors: Indices, corners: Indices) -> Floats:
        """All of :meth:`phases`: (n, 256)."""
        out = np.empty((len(vectors), BLOCK * BLOCK), np.float32)
        for mine, samples in self.phases(vectors, corners):
            out[mine] = samples
        return out


def _filtered(plane: Floats, axis: int, quarter: int) -> Floats:
    """A plane a number of quarters of a sample further along an axis, in floats."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (3, 4)
    wide, n = np.pad(plane, pad, mode="edge"), plane.shape[axis]
    out = np.zeros_like(plane)
    for i, tap in enumerate(taps(quarter)):
        if tap:
            out += np.float32(tap) * (wide[i : i + n] if axis == 0 else wide[:, i : i + n])
    return out


def _coarse(wanted: Floats, wide: Floats, side: int, trade: float) -> Indices:
    """Whole vectors (n, 2) of the blocks of ``side`` samples of the smallest picture, by full search."""
    h, w = wanted.shape
    reach = np.arange(-_REACH, _REACH + 1)
    moved = sliding_window_view(wide, w, 1)[:, _MARGIN - _REACH : _MARGIN + _REACH + 1].swapaxes(0, 1)
    costs = np.empty((len(reach), len(reach), (h // side) * (w // side)), np.float32)
    for i, y in enumerate(reach.tolist()):
        price = _price(moved[:, _MARGIN + y : _MARGIN + y + h] - wanted, trade)
        rows = np.add.reduce([price[:, r::side] for r in range(side)])
        alone = np.add.reduce([rows[..., c::side] for c in range(side)])
        costs[i] = _around(alone).reshape(len(reach), -1)
    vectors = np.stack(np.meshgrid(reach, reach, indexing="ij"), -1).reshape(-1, 2)
    costs = costs.reshape(len(vectors), -1)
    costs *= (BLOCK // side) ** 2
    costs += vector_bits(vectors * (4 * BLOCK // side))[:, None]
    # Of equal ones the shortest.
    nearest = np.argsort((vectors**2).sum(1), kind="stable")
    found: Indices = vectors[nearest[costs[nearest].argmin(0)]]
    return found


def _around(costs: Floats) -> Floats:
    """Of every block (…, h, w) the mean with the four beside it, at the border with itself: blocks of few samples alone
    find anything."""
    wide = np.pad(costs, (*((0, 0) for _ in costs.shape[:-2]), (1, 1), (1, 1)), mode="edge")
    total = costs + wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1] + wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]
    return np.asarray(total * np.float32(0.2), np.float32)


def _refined(
    wanted: Floats, wide: Floats, side: int, shape: tuple[int, int], candidates: Indices, trade: float
) -> Indices:  # fmt: skip
    """The best (n, 2) of whole vectors (n, c, 2), and of those one or two samples around it."""
    blocks = _cut(wanted, side).reshape(-1, side * side)
    corners = np.indices(shape, np.int64).reshape(2, -1).T * side + _MARGIN
    step = _AT_ONCE // 4
    parts = [slice(at, at + step) for at in range(0, len(blocks), step)]
    windows = sliding_window_view(wide, (side, side))
    return np.concatenate([_best(blocks[p], corners[p], windows, candidates[p], trade) for p in parts])


def _best(blocks: Floats, corners: Indices, windows: Floats, candidates: Indices, trade: float) -> Indices:
    """:func:`_refined` of some blocks (n, side²), among all ``windows`` of a picture, by their corners."""
    side, most = windows.shape[-1], np.array(windows.shape[:2]) - 1
    for around in (None, _WIDER if side <= _SMALL else _AROUND):
        tried = candidates if around is None else candidates + around
        place = np.clip(corners[:, None] + tried, 0, most)
        tried = place - corners[:, None]
        off = windows[place[..., 0], place[..., 1]].reshape(*place.shape[:2], -1)
        off -= blocks[:, None]
        cost = (BLOCK // side) ** 2 * error_bits(off, trade) + vector_bits(tried * (4 * BLOCK // side))
        candidates = np.take_along_axis(tried, cost.argmin(1)[:, None, None], 1)
    return candidates[:, 0]


def neighbours(vectors: Indices, shape: tuple[int, int]) -> Indices:
    """Vectors (n, 4, 2) of the blocks above, below, left and right; those of a block itself at the border."""
    wide = np.pad(vectors.reshape(*shape, 2), ((1, 1), (1, 1), (0, 0)), mode="edge")
    h, w = shape
    return np.stack([wide[1 + y : 1 + y + h, 1 + x : 1 + x + w].reshape(-1, 2) for y, x in _STRAIGHT], 1)


def whole_vectors(wanted: Searched, shown: Shown, trade: float) -> Indices:
    """Vectors (n, 2) of all blocks in whole samples."""
    vectors = _coarse(wanted.pyramid[-1], shown.wide[-1], BLOCK >> _LEVELS, trade)
    for level in range(_LEVELS - 1, -1, -1):
        own = 2 * vectors[:, None]
        candidates = np.concatenate([own, 2 * neighbours(vectors, wanted.shape), 0 * own], 1)
        lumas = wanted.pyramid[level], shown.wide[level]
        vectors = _refined(*lumas, BLOCK >> level, wanted.shape, candidates, trade)
    return vectors


def vector_bits(off: Indices) -> Doubles:
    """About how many bits a vector costs that is ``off`` (…, 2) by so much from what is expected."""
    size = _logarithms()[np.minimum(np.abs(off), _LONGEST)].sum(-1)
    bits: Doubles = np.where(size == 0, 0.5, 3.0 + 2.0 * size)
    return bits


@lru_cache(maxsize=1)
def _logarithms() -> Doubles:
    """log2(1 + n)."""
    found: Doubles = np.log2(1.0 + np.arange(_LONGEST + 1))
    return found


class BlockSearch:
    """The search for one reference, in quarter samples, at λ = ``trade``."""

    def __init__(self, wanted: Searched, shown: Shown, trade: float) -> None:
        self.wanted, self.shown, self.trade = wanted, shown, trade
        self.corners = np.indices(wanted.shape, np.int64).reshape(2, -1).T * BLOCK
        self.vectors = 4 * whole_vectors(wanted, shown, trade)
        self.errors = self.error(self.vectors, np.arange(len(self.vectors)))

    def error(self, vectors: Indices, mine: Indices) -> Floats:
        """What blocks ``mine`` (n,) cost with vectors (n, 2)."""
        found = np.empty(len(mine), np.float32)
        for some, samples in self.shown.phases(vectors, self.corners[mine]):
            samples -= self.wanted.blocks[mine[some]]
            found[some] = error_bits(samples, self.trade)
        return found

    def run(self) -> None:
        """With an eye on the neighbours, and finer."""
        for _ in range(2):
            self._agree()
        for step in (2, 1):
            self._around(step)

    def expected(self) -> Indices:
        """What neighbours let expect of every block, (n, 2)."""
        around = neighbours(self.vectors, self.wanted.shape)
        there = np.ones(around.shape[:2], bool)
        return np.stack([middle(around[..., i], there) for i in (0, 1)], 1)

    def _try(self, vectors: Indices, expected: Indices) -> None:
        """Take vectors (n, 2) where they cost less; where one costs more than all does now, nobody looks."""
        bits, now = vector_bits(vectors - expected), self.errors + vector_bits(self.vectors - expected)
        mine = np.flatnonzero((bits < now) & (vectors != self.vectors).any(1))
        if not len(mine):
            return
        errors = self.error(vectors[mine], mine)
        won = errors + bits[mine] < now[mine]
        better = mine[won]
        self.errors[better], self.vectors[better] = errors[won], vectors[better]

    def _around(self, step: int) -> None:
        expected, start = self.expected(), self.vectors.copy()
        for offset in _AROUND:
            if offset.any():
                self._try(np.clip(start + step * offset, -LARGEST_VECTOR, LARGEST_VECTOR), expected)

    def _agree(self) -> None:
        """Try the vectors of neighbours, and what they let expect."""
        expected, around = self.expected(), neighbours(self.vectors, self.wanted.shape)
        for candidate in (expected, *around.swapaxes(0, 1)):
            self._try(candidate, self.expected())
