"""Samples of exact colours over a lattice: a palette and a plane of indices (FORMAT.md §19)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.entropy import tables
from nfcodec.entropy.coder import SymbolDecoder, SymbolEncoder, encode_symbols
from nfcodec.entropy.ranking import Choose, get_plane, put_plane
from nfcodec.errors import CorruptError, InternalError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.types import Ints

Colours = npt.NDArray[Any]  # uint8 or uint16

_ROW_BITS = 6
MOST_COLOURS = (1 << 2 * _ROW_BITS) - 1


@dataclass(frozen=True, slots=True)
class Overlay:
    """``indices`` int32 (h, w): 0 where the lattice shows, else 1 + the colour in ``palette`` (K, C).

    Colours are uint8, of 16-bit pictures uint16; the largest number of either is worth 1.
    """

    palette: Colours
    indices: npt.NDArray[np.int32]

    @property
    def opaque(self) -> npt.NDArray[np.bool_]:
        """Where the lattice does not show (h, w)."""
        return self.indices > 0

    def numbers(self) -> npt.NDArray[np.int32]:
        """All indices, then all colours: int32 (n,)."""
        return np.concatenate([self.indices.ravel(), self.palette.astype(np.int32).ravel()])

    def part(self, rows: slice, columns: slice) -> Overlay:
        """The overlay of some of the samples."""
        return Overlay(self.palette, self.indices[rows, columns])

    def values(self) -> npt.NDArray[np.float32]:
        """Colours (h, w, C) in [0, 1]; those of samples that are not opaque mean nothing."""
        full = np.float32(np.iinfo(self.palette.dtype).max)
        colours: npt.NDArray[np.float32] = self.palette.astype(np.float32) / full
        return colours[np.maximum(self.indices - 1, 0)]

    def over(self, below: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The values (h, w, C) of what shows with ``below`` under the overlay."""
        return np.where(self.opaque[..., None], self.values(), below)


def encode_overlay(palette: Colours, shape: tuple[int, int], choose: Choose) -> tuple[bytes, Overlay]:
    """The payload, and what it holds: a plane of ``shape`` over ``palette`` (K, C), 1 ≤ K ≤ 4095, whose indices
    ``choose`` gives front by front."""
    if not 1 <= len(palette) <= MOST_COLOURS:
        raise InternalError(f"palette of {len(palette)} colours")
    encoder = SymbolEncoder()
    encoder.put_bits(np.array(divmod(len(palette), 1 << _ROW_BITS)), _ROW_BITS)
    for column in _differences(palette):
        row = min(range(tables.ROWS), key=lambda r, c=column: len(encode_symbols(c, np.full(len(c), r))))  # type: ignore[misc]
        encoder.put_bits(np.array([row]), _ROW_BITS)
        encoder.put(column, np.full(len(column), row))
    indices = put_plane(encoder, shape, len(palette), choose).astype(np.int32)
    return encoder.finish(), Overlay(palette, indices)


def decode_overlay(
    data: bytes, shape: tuple[int, int], channels: int, *, deep: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Overlay:
    """Inverse of :func:`encode_overlay`; ``deep``: of a 16-bit picture.

    Raises :class:`CorruptError` and :class:`LimitError`.
    """
    decoder = SymbolDecoder(data, limits=limits)
    high, low = decoder.get_bits(2, _ROW_BITS).tolist()
    colours = (high << _ROW_BITS) + low
    if not colours:
        raise CorruptError("palette without a colour")
    palette = _palette([_column(decoder, colours) for _ in range(channels)], np.uint16 if deep else np.uint8)
    indices = get_plane(decoder, shape, colours)
    decoder.finish()
    return Overlay(palette, indices)


def _column(decoder: SymbolDecoder, colours: int) -> Ints:
    row = int(decoder.get_bits(1, _ROW_BITS)[0])
    if row >= tables.ROWS:
        raise CorruptError(f"table row {row} of a palette")
    return decoder.get(np.full(colours, row))


def _differences(palette: Colours) -> list[Ints]:
    """For each channel, green first, what is new against the colour before; red and blue relative to green."""
    wide = palette.astype(np.int64)
    columns = [wide[:, 0]] if wide.shape[1] == 1 else [wide[:, 1], wide[:, 0] - wide[:, 1], wide[:, 2] - wide[:, 1]]
    return [np.diff(column, prepend=0) for column in columns]


def _palette(differences: list[Ints], kind: type[np.uint8 | np.uint16]) -> Colours:
    sums = [np.cumsum(column.astype(np.int64)) for column in differences]
    columns = sums if len(sums) == 1 else [sums[0] + sums[1], sums[0], sums[0] + sums[2]]
    palette = np.stack(columns, 1)
    if palette.min() < 0 or palette.max() > np.iinfo(kind).max:
        raise CorruptError(f"colour {palette.min()}…{palette.max()} of a palette")
    return palette.astype(kind)
