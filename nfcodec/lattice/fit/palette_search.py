"""Where an overlay pays: blocks of few colours, weighed against what the lattice makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nfcodec.lattice.fit.palette import BLOCK, Draft, blocky, draft, even_blocks, final, grown, per_block
from nfcodec.signal import Floats, SignalInfo
from nfcodec.types import Doubles, Ints, Mask

# With fewer blocks of few colours and edges the picture is taken for a photograph, and no time is spent on it: 7 of 8
# photographs have less, 23 of 24 drawings more.
_LEAST_SHARE = 0.02
# Looking takes longer than all of effort 1, so that below effort 3 it must be worth it.
_LEAST_SHARE_IN_HASTE, _HASTE = 0.1, 2


@dataclass(frozen=True)
class EvenParts:
    """What an overlay could hold: 8-bit samples (h, w, C) and the blocks of few colours."""

    samples: npt.NDArray[np.uint8]
    blocks: Mask

    @cached_property
    def mask(self) -> Mask:
        """The samples (h, w) of the blocks."""
        return blocky(self.blocks, self.samples.shape[:2])


def even_parts(values: Floats, info: SignalInfo, *, effort: int, seen: Mask | None = None) -> EvenParts | None:
    """The parts of a picture with values (h, w, C) that have few colours; None where there is hardly any.

    ``seen``: which samples (h, w) speak for that; None for all.
    """
    if info.modality != "image" or info.sample_type not in ("u1", "u8") or info.value_range is not None:
        return None
    samples = np.clip(np.rint(values * 255.0), 0, 255).astype(np.uint8)
    blocks, edged = even_blocks(samples)
    least = _LEAST_SHARE if effort > _HASTE else _LEAST_SHARE_IN_HASTE
    speak = np.ones_like(edged) if seen is None else per_block(seen.astype(np.float64)) >= BLOCK**2 / 2
    share = (edged & speak).sum() / max(int(speak.sum()), 1)
    return EvenParts(samples, blocks) if share >= least else None


def lattice_costs(regions: list[tuple[Ints, int]], columns: int, spacing: int) -> Doubles:
    """About how many bits each sample of the cells costs: ``regions`` are symbols and bytes of each, ``columns`` in a
    row.

    The bytes of a region go to its cells by the sizes of their symbols.
    """
    rows = []
    for start in range(0, len(regions), columns):
        parts = [_spread(*region) for region in regions[start : start + columns]]
        rows.append(np.concatenate(parts, 1))
    return grown(np.concatenate(rows) / spacing**2, spacing)


def _spread(symbols: Ints, size: int) -> Doubles:
    weight: Doubles = np.log2(1.0 + 2.0 * np.abs(symbols)).sum((0, 1))
    return 8.0 * size * weight / max(float(weight.sum()), 1e-9)


@dataclass(frozen=True)
class Overlays:
    """One overlay, or none, for each chunk, and which samples (h, w) do not show the lattice."""

    drafts: tuple[Draft | None, ...]
    opaque: Mask


class OverlaySearch:
    """Overlays of one picture, one for each ``length`` rows."""

    def __init__(self, parts: EvenParts, length: int, error_bits: float, *, palettes: int) -> None:
        """``error_bits``: what one unit of squared error of 8-bit samples is worth; ``palettes``: how many to try."""
        self._parts, self._length, self._error_bits = parts, length, error_bits
        self._drafts: list[Draft | None] = []
        for rows in self._chunks():
            mask = parts.mask[rows]
            found = draft(parts.samples[rows], mask, error_bits, palettes=palettes) if mask.any() else None
            self._drafts.append(found)

    def _chunks(self) -> Iterator[slice]:
        for top in range(0, len(self._parts.samples), self._length):
            yield slice(top, top + self._length)

    def cheaper(self, lattice: Doubles) -> Mask:
        """The blocks that cost less in the overlay than the samples (h, w) of the lattice, errors included."""
        costs = np.full_like(lattice, np.inf)
        for found, rows in zip(self._drafts, self._chunks(), strict=True):
            if found is not None:
                costs[rows] = found.costs
        return self._parts.blocks & (per_block(costs) < per_block(lattice))

    def finals(self, blocks: Mask) -> Overlays:
        """The overlays of some of the blocks."""
        mask, out = blocky(blocks, self._parts.samples.shape[:2]), list[Draft | None]()
        for found, rows in zip(self._drafts, self._chunks(), strict=True):
            if found is None or not mask[rows].any():
                out.append(None)
            elif np.array_equal(mask[rows], self._parts.mask[rows]):
                out.append(found)
            else:
                out.append(final(self._parts.samples[rows], mask[rows], self._error_bits, found))
        return Overlays(tuple(out), mask)
