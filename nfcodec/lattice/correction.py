"""How a region corrects the prior: the scales of its symbols, where those of the shipped networks do not suit it.

Networks are right about pictures at large; a picture may be quieter or louder than others. So each layer of a region
may tell offsets of scale indices: for the means of each plane and for every pass (a *kind* of symbols), one for each of
``BINS`` parts of the range of indices. They are coded before the symbols, behind a flag that says if there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.entropy import logistic
from nfcodec.errors import CorruptError
from nfcodec.types import Doubles, Indices, Ints, Mask, Scales

LARGEST = 4  # of an offset, in scale indices
LAST_OF_BINS = (8, 14)  # the last scale index of each bin but the last
BINS = len(LAST_OF_BINS) + 1
# Scales of the tables that the flag and the offsets are coded with.
FLAG_SCALE, OFFSET_SCALE = 8, 15

_OFFSETS = np.arange(-LARGEST, LARGEST + 1)
# Magnitudes below this one are counted together; places of all fit 16 bits.
_FAR = 31
_WIDTH = 2 * _FAR + 1
_UNIT = 256.0  # costs are whole 256ths of a bit: sums of them are exact, in whatever order

# The patches, the table rows and the numbers (n,) of one step, as the range coder takes them.
Coded = tuple[Indices | None, Scales, Ints]
Offsets = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Seen:
    """How symbols (n,) of some patches are coded: their ``owners``, None where there is one patch only; their
    ``scale`` and ``fraction`` by the prior, and their ``values``, less the base."""

    owners: Indices | None
    scale: Scales
    fraction: Ints
    values: Ints


@dataclass(frozen=True, slots=True)
class Corrections:
    """``offsets`` (patches, kinds, BINS) of scale indices, within ±``LARGEST``."""

    offsets: Offsets

    def scales(self, kind: int, scale: Scales, owners: Indices | None) -> Scales:
        """The corrected scale indices of symbols (n,) of a kind."""
        offsets = self.offsets[:, kind]
        if not offsets.any():
            return scale
        moved = np.arange(logistic.SCALES) + offsets[:, _bins()]
        table: Scales = np.clip(moved, 0, logistic.SCALES - 1).astype(np.uint8)
        found: Scales = table[0].take(scale) if owners is None else table[owners, scale]
        return found

    def coded(self) -> list[Coded]:
        """The flags of all patches, and the offsets of those whose flag is 1."""
        patches, kinds, _ = self.offsets.shape
        flags: Mask = np.asarray(self.offsets.any((1, 2)))
        some = np.flatnonzero(flags)
        found: list[Coded] = [
            (_owners(np.arange(patches), patches), _rows(FLAG_SCALE, patches), flags.astype(np.int64))
        ]
        if len(some):
            values = self.offsets[some].ravel().astype(np.int64)
            found.append((_owners(np.repeat(some, kinds * BINS), patches), _rows(OFFSET_SCALE, len(values)), values))
        return found

    @classmethod
    def read(
        cls, get: Callable[[Indices | None, Scales], Ints], there: npt.NDArray[np.bool_], kinds: int
    ) -> Corrections:  # fmt: skip
        """Those of the patches that are ``there``, as :meth:`coded` has them, from symbols that ``get`` decodes. Raises
        :class:`CorruptError` for what is never written."""
        patches, present = len(there), np.flatnonzero(there)
        offsets = np.zeros((patches, kinds, BINS), np.int8)
        flags = get(_owners(present, patches), _rows(FLAG_SCALE, len(present)))
        some = present[flags == 1]
        if ((flags != 0) & (flags != 1)).any():
            raise CorruptError(f"a flag of corrections of {flags.max()}")
        if len(some):
            count = len(some) * kinds * BINS
            values = get(_owners(np.repeat(some, kinds * BINS), patches), _rows(OFFSET_SCALE, count))
            values = values.reshape(len(some), kinds, BINS)
            if np.abs(values).max() > LARGEST or not values.any((1, 2)).all():
                raise CorruptError("corrections that are out of range, or none where there are said to be some")
            offsets[some] = values
        return cls(offsets)


def best(patches: int, kinds: Iterable[list[Seen]]) -> Corrections:
    """The corrections that save most bits; for every kind what is ``seen`` of it."""
    costs = np.stack([_costs(patches, seen) for seen in kinds], 1)  # (patches, kinds, BINS, offsets)
    priced = costs + _prices(OFFSET_SCALE, _OFFSETS)
    chosen = priced.argmin(-1)
    flags = _prices(FLAG_SCALE, np.arange(2))
    told = np.take_along_axis(priced, chosen[..., None], -1).sum((1, 2, 3)) + flags[1]
    plain = costs[..., LARGEST].sum((1, 2)) + flags[0]
    offsets = np.where((told < plain)[:, None, None], _OFFSETS[chosen], 0)
    return Corrections(offsets.astype(np.int8))


def _costs(patches: int, seen: list[Seen]) -> Doubles:
    """What the symbols of a kind cost in 256ths of a bit with each offset: (patches, BINS, offsets)."""
    cells = logistic.SCALES * logistic.EIGHTHS * _WIDTH
    counts, far = np.zeros(patches * cells), np.zeros((patches, BINS, len(_OFFSETS)))
    for part in seen:
        value = np.clip(part.values, -_FAR, _FAR).astype(np.int16)
        _add_far(far, part, np.flatnonzero(np.abs(value) == _FAR))
        place = part.scale.astype(np.int16) * logistic.EIGHTHS + (part.fraction + np.int16(logistic.EIGHTHS // 2))
        place = place * _WIDTH + (value + _FAR)
        at = place if part.owners is None else place + part.owners * cells
        counts += np.bincount(at, minlength=len(counts))
    # Of every scale and patch, with the table of every scale.
    each = counts.reshape(patches, logistic.SCALES, -1) @ _table().reshape(logistic.SCALES, -1).T
    with_offset = each[:, np.arange(logistic.SCALES)[:, None], _moved()]
    bins = np.arange(BINS)[:, None] == _bins()
    return np.asarray(bins.astype(np.float64) @ with_offset + far, np.float64)


def _add_far(far: Doubles, part: Seen, at: Indices) -> None:
    """Add the costs of the symbols ``at`` some places."""
    if not len(at):
        return
    scale, values, fraction = part.scale[at], part.values[at], part.fraction[at]
    place = _bins()[scale] + (0 if part.owners is None else BINS * part.owners[at])
    for i, moved in enumerate(_moved().T):
        bits = _whole(logistic.bits(values, moved[scale], fraction))
        far[..., i] += np.bincount(place, bits, far[..., i].size).reshape(far.shape[:2])


def _owners(owners: Indices, patches: int) -> Indices | None:
    return None if patches == 1 else owners


def _rows(scale: int, count: int) -> Scales:
    return np.full(count, logistic.row_of(scale, 0)[0], np.uint8)


def _prices(scale: int, numbers: Ints) -> Doubles:
    """What numbers cost with the table of a scale, in 256ths of a bit."""
    return _whole(logistic.bits(numbers, np.full(len(numbers), scale), np.zeros(len(numbers), np.int64)))


def _whole(bits: npt.NDArray[np.floating[Any]]) -> Doubles:
    whole: Doubles = np.rint(bits * _UNIT).astype(np.float64)
    return whole


@lru_cache(maxsize=1)
def _bins() -> Indices:
    """The bin of every scale index."""
    return np.searchsorted(np.array(LAST_OF_BINS), np.arange(logistic.SCALES))


@lru_cache(maxsize=1)
def _moved() -> Indices:
    """Every scale index with every offset: (SCALES, offsets)."""
    moved: Indices = np.clip(np.arange(logistic.SCALES)[:, None] + _OFFSETS, 0, logistic.SCALES - 1)
    return moved


@lru_cache(maxsize=1)
def _table() -> Doubles:
    """Costs of small values in 256ths of a bit, of others 0: (SCALES, fractions, values)."""
    half = logistic.EIGHTHS // 2
    values, fractions = np.arange(-_FAR, _FAR + 1), np.arange(-half, half)[:, None]
    scales = np.arange(logistic.SCALES)[:, None, None]
    shape = logistic.SCALES, logistic.EIGHTHS, _WIDTH
    costs = _whole(logistic.bits(*(np.broadcast_to(x, shape) for x in (values, scales, fractions))))
    costs[..., [0, -1]] = 0.0
    return costs
