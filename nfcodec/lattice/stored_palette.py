"""What lies over a lattice: OVERLAY sections, and how they change what is rendered.

The samples of an overlay have their colours exactly. In between, colours and opacity are interpolated, so that away
from the overlay the lattice is what it was, and within it has no part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nfcodec.container.layout import SectionType, split_chunk
from nfcodec.container.reader import Entry, Reader
from nfcodec.coords import sample_positions
from nfcodec.errors import CorruptError
from nfcodec.lattice.palette import Overlay, decode_overlay
from nfcodec.limits import Limits
from nfcodec.recent import Recent
from nfcodec.resample import LOBES, interpolate, interpolate_points
from nfcodec.signal import Floats, SignalInfo
from nfcodec.types import Positions, Span

_CHUNKS_KEPT = 2
_POINTS = 4096  # whose surroundings are looked at together


class StoredOverlay:
    """The overlay of a file, chunk by chunk. Raises :class:`CorruptError` for chunks that do not exist."""

    def __init__(self, reader: Reader, index: list[Entry], info: SignalInfo, length: int, limits: Limits) -> None:
        self._reader, self._length, self._limits = reader, length, limits
        shape, self._channels, self._deep = info.shape, info.channels, info.sample_type == "u16"
        self._shape = shape
        self._entries = {e.first: e for e in index if e.type == SectionType.OVERLAY and e.first is not None}
        if max(self._entries, default=0) * length >= shape[0]:
            raise CorruptError(f"OVERLAY section {max(self._entries)} of a picture of {shape[0]} rows")
        self._recent: Recent[Overlay] = Recent(_CHUNKS_KEPT)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def chunk(self, chunk: int) -> Overlay | None:
        """The overlay of a chunk, or None where the lattice shows everywhere."""
        return self._recent.get(chunk, self._decoded) if chunk in self._entries else None

    def _decoded(self, chunk: int) -> Overlay:
        _, payload = split_chunk(self._reader.read(self._entries[chunk]).payload)
        rows = min(self._length, self._shape[0] - chunk * self._length)
        return decode_overlay(payload, (rows, self._shape[1]), self._channels, deep=self._deep, limits=self._limits)

    def window(self, rows: Span, columns: Span) -> tuple[npt.NDArray[np.bool_], Floats]:
        """Which of the samples [rows) × [columns) are opaque (h, w), and their values (h, w, C)."""
        opaque = np.zeros((rows[1] - rows[0], columns[1] - columns[0]), np.bool_)
        values = np.zeros((*opaque.shape, self._channels), np.float32)
        for chunk in range(rows[0] // self._length, (rows[1] - 1) // self._length + 1):
            overlay, top = self.chunk(chunk), chunk * self._length
            if overlay is not None:
                start, stop = max(rows[0], top), min(rows[1], top + self._length)
                part = overlay.part(slice(start - top, stop - top), slice(*columns))
                out = slice(start - rows[0], stop - rows[0])
                opaque[out], values[out] = part.opaque, part.values()
        return opaque, values

    # -- rendering ---------------------------------------------------------------------------------------
    def over(self, positions: list[Positions], below: Callable[[], Floats]) -> Floats:
        """Values (n_0, n_1, C) on a grid of native positions; ``below`` gives those of the lattice."""
        native = [_native(p) for p in positions]
        if native[0] and native[1]:
            opaque, values = self.window(native[0], native[1])
            return values if opaque.all() else np.where(opaque[..., None], values, below())
        spans = [_around(p, n) for p, n in zip(positions, self._shape, strict=True)]
        weighted = self._weighted(spans)
        if weighted is None:
            return below()
        for axis, (where, (start, _)) in enumerate(zip(positions, spans, strict=True)):
            weighted = interpolate(weighted, axis, where - start)
        return _mixed(below(), weighted)

    def at(self, points: Positions, below: Floats) -> Floats:
        """Values (N, C) at native positions (N, 2), from those of the lattice."""
        out = below.copy()
        for start in range(0, len(points), _POINTS):
            part = slice(start, start + _POINTS)
            inside = np.clip(points[part], 0.0, self._shape)
            spans = [_around(np.sort(p), n) for p, n in zip(inside.T, self._shape, strict=True)]
            weighted = self._weighted(spans)
            if weighted is not None:
                out[part] = _mixed(out[part], interpolate_points(weighted, inside - [s[0] for s in spans]))
        return out

    def _weighted(self, spans: list[Span]) -> Floats | None:
        """Colours times opacity, and opacity (h, w, C + 1) of samples; None where all are clear."""
        opaque, values = self.window(spans[0], spans[1])
        if not opaque.any():
            return None
        opacity = opaque[..., None].astype(np.float32)
        return np.concatenate([values * opacity, opacity], -1)


def _mixed(below: Floats, weighted: Floats) -> Floats:
    return below * (np.float32(1.0) - weighted[..., -1:]) + weighted[..., :-1]


def _native(positions: Positions) -> Span | None:
    """The samples at which the positions are, if they are samples one after the other."""
    first = int(np.floor(positions[0]))
    span = first, first + len(positions)
    return span if np.array_equal(positions, sample_positions(float(first), float(span[1]), len(positions))) else None


def _around(positions: Positions, size: int) -> Span:
    """The samples that interpolation at ascending positions asks for."""
    return max(0, int(positions[0]) - LOBES), min(size, int(positions[-1]) + LOBES + 1)
