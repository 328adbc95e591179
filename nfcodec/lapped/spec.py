"""The geometry of a lapped field: spacing, blocks of frequencies, chunks of frames.

A *frame* is a cell of a lattice in one axis: ``spacing`` samples, and as many functions, its *bins*. A frame may be
*split* into 2^z shorter ones, z = 0 … ``splits``, whose bins are interleaved: bin k of part i is number k · 2^z + i. So
the number of a bin always grows with its frequency.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise
from typing import Any

from nfcodec.errors import CorruptError

MOST_SPLITS = 3
LARGEST_SPACING = 8192
MOST_BANDS = 32
_LARGEST_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class LappedSpec:
    """``spacing``: samples of a frame at the usual sample ``rate`` (Hz); other rates have ``spacing`` times a power of
    two. ``block``: bins that the networks see and say at once. ``frames``: of the longest chunk. ``splits``: the
    largest z. ``sets``: of networks; with two, those of the second channel of a pair see the first one. ``bands``: the
    first bins of the bands whose steps follow the sound."""

    spacing: int
    rate: int
    block: int = 16
    frames: int = 256
    splits: int = MOST_SPLITS
    sets: int = 1
    bands: tuple[int, ...] = (0,)

    def validate(self) -> None:
        """Raise :class:`CorruptError` when the numbers cannot describe a lapped field."""
        whole = all(type(getattr(self, f.name)) is int for f in fields(self) if f.name != "bands")
        if not whole or not self._bands_are_sound() or not (
            0 < self.rate < 1 << 20
            and 4 <= self.block <= self.spacing <= LARGEST_SPACING
            and self.block % 2 == 0
            and self.spacing % self.block == 0
            and 1 <= self.frames <= _LARGEST_CHUNK
            and 0 <= self.splits <= MOST_SPLITS
            and self.spacing % (2 << self.splits) == 0
            and self.sets in (1, 2)
        ):
            raise CorruptError(f"impossible lapped spec {self}")

    def _bands_are_sound(self) -> bool:
        bands = self.bands
        if type(bands) is not tuple or not 1 <= len(bands) <= MOST_BANDS or any(type(b) is not int for b in bands):
            return False
        return bands[0] == 0 and bands[-1] < LARGEST_SPACING and all(a < b for a, b in pairwise(bands))

    def bands_of(self, spacing: int) -> tuple[int, ...]:
        """The first bins of the bands of frames of ``spacing`` bins."""
        return tuple(b for b in self.bands if b < spacing)

    def spacing_at(self, rate: Fraction | float | None) -> int:
        """Samples of a frame at a sample rate: the power of two times ``spacing`` that is nearest to equal duration (by
        ratio), at most 8,192, and of at least one block and two samples per part; None for the usual rate."""
        spacing = self.spacing
        if rate is None:
            return spacing
        # The usual rate of ``spacing`` is up to √2 times too low or too high; squares compare without roots.
        squared, usual = Fraction(rate) ** 2, Fraction(self.rate) ** 2
        while squared >= 2 * usual and 2 * spacing <= LARGEST_SPACING:
            spacing, usual = 2 * spacing, 4 * usual
        while 2 * squared < usual and self._fits(spacing // 2, spacing):
            spacing, usual = spacing // 2, usual / 4
        return spacing

    def _fits(self, spacing: int, double: int) -> bool:
        return 2 * spacing == double and spacing % self.block == 0 and spacing % (2 << self.splits) == 0

    def to_dict(self) -> dict[str, int | list[int]]:
        """Plain JSON-ready data; the inverse of :meth:`from_dict`."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"bands": list(self.bands)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LappedSpec:
        """Read what :meth:`to_dict` wrote; anything else is a :class:`CorruptError`."""
        try:
            spec = cls(**(data | {"bands": tuple(data.get("bands", (0,)))}))
            spec.validate()
        except TypeError as error:
            raise CorruptError(f"bad lapped spec {data!r}: {error}") from error
        return spec
