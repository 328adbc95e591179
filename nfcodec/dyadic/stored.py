"""The field of a file of SAMPLES sections: samples in their own type, and what lies between them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.container.layout import SectionType, split_chunk
from nfcodec.container.reader import Entry, Reader
from nfcodec.dyadic.between import Axis, interpolated, scattered
from nfcodec.dyadic.chunk import decode, unpack
from nfcodec.dyadic.init import DyadicInit
from nfcodec.dyadic.values import rounded
from nfcodec.errors import CorruptError, UnsupportedFeatureError
from nfcodec.families import Deltas
from nfcodec.limits import Limits
from nfcodec.media.samples import dtype_of
from nfcodec.options import Tune
from nfcodec.recent import Recent
from nfcodec.signal import Floats, Ints, SignalInfo
from nfcodec.types import Mask, Positions
from nfcodec.values_field import ValuesField

LARGEST_CHUNK = 1 << 20  # samples, but at least a row
_KEPT = 3  # chunks that are decoded last


class DyadicField(ValuesField):
    """The samples of a file, chunk by chunk."""

    def __init__(
        self, init: DyadicInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, *, partial: bool
    ) -> None:  # fmt: skip
        self.init, self.reader, self.info, self.limits, self.partial = init, reader, info, limits, partial
        self.dtype: np.dtype[Any] = dtype_of(info.sample_type)
        self.ends = info.value_range or (0.0, 0.0)
        self.entries = {e.first: e for e in index if e.type == SectionType.SAMPLES and e.first is not None}
        row = math.prod(info.shape[1:])
        self.chunk_length = min(reader.header.chunk_rows, info.shape[0])
        if self.chunk_length > 1 and self.chunk_length * row > LARGEST_CHUNK:
            raise CorruptError(f"{self.chunk_length} rows of {row} samples in a chunk, which is over {LARGEST_CHUNK}")
        self._chunks = -(-info.shape[0] // self.chunk_length)
        if max(self.entries, default=0) >= self._chunks or (len(self.entries) != self._chunks and not partial):
            raise CorruptError(f"{len(self.entries)} SAMPLES sections for {self._chunks} chunks")
        others = (SectionType.CELLS, SectionType.DELTA, SectionType.OVERLAY, SectionType.HEADS)
        wrong = next((e for e in index if e.type in others), None)
        if wrong is not None:
            raise CorruptError(f"{SectionType(wrong.type).name} section with init {init.id}")
        self._recent: Recent[Ints] = Recent(_KEPT)
        self._wrap = (False,) * len(info.shape)

    @property
    def tune(self) -> Tune:
        """There is one encoder for all."""
        return "perceptual"

    # -- samples -----------------------------------------------------------------------------------------
    def _shape(self, chunk: int) -> tuple[int, ...]:
        n = self.info.shape[0]
        return (min(self.chunk_length, n - chunk * self.chunk_length), *self.info.shape[1:])

    def _decoded(self, chunk: int) -> Ints:
        shape = self._shape(chunk)
        if chunk not in self.entries:
            value = self.ends[0] if self.dtype.kind != "f" else math.nan
            return np.full(shape, value).astype(self.dtype)
        _, payload = split_chunk(self.reader.read(self.entries[chunk]).payload)
        found = unpack(payload, shape, self.dtype, self.ends, self.limits)
        self._wrap = (False,) * (len(shape) - 2) + found.wrap[-len(shape) :] if len(shape) > 1 else found.wrap[1:]
        return decode(self.init, found, shape, self.limits)

    def _rows(self, start: int, stop: int) -> Ints:
        """Samples of the rows ``start`` … ``stop`` of the whole array."""
        parts = []
        for chunk in range(start // self.chunk_length, (stop - 1) // self.chunk_length + 1):
            top = chunk * self.chunk_length
            parts.append(self._recent.get(chunk, self._decoded)[max(0, start - top) : stop - top])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def symbols(self, chunk: int) -> npt.NDArray[np.int32]:
        """The samples of a chunk as whole numbers of 32 bits (n,), bit for bit, wide ones in two halves."""
        samples = self._recent.get(chunk, self._decoded).reshape(-1)
        if samples.dtype.itemsize < 4:
            return samples.view(f"u{samples.dtype.itemsize}").astype(np.int32)
        return samples.astype(samples.dtype.newbyteorder("<")).view("<i4").astype(np.int32)

    def samples(self, chunk: int, positions: list[Positions]) -> tuple[Ints, Mask]:
        """Samples (n_0, …) in the file's own type at native positions, and which are missing: exactly those that are
        coded at their centres, in between by cubic polynomials through four of them along each axis; next to missing
        ones the nearest."""
        found = self._samples(chunk, positions)
        return found, np.isnan(self._values_of(found))

    def _samples(self, chunk: int, positions: list[Positions]) -> Ints:
        self._recent.get(chunk, self._decoded)  # which tells whether axes wrap
        axes = [Axis.of(p, n, wrap=w) for p, n, w in zip(positions, self.info.shape, self._wrap, strict=True)]
        first, last = axes[0].span
        rows = self._rows(first, last)
        return interpolated(rows, [axes[0].shifted(first), *axes[1:]], self._values_of, self._rounded)

    def _values_of(self, samples: Ints) -> npt.NDArray[np.float64]:
        """Samples as numbers, with NaN for masked ones."""
        values = samples.astype(np.float64)
        low, high = self.ends
        values[~((values >= low) & (values <= high))] = np.nan
        return values

    def _rounded(self, numbers: npt.NDArray[np.float64]) -> Ints:
        """Numbers as samples of the file's own type."""
        return rounded(np.clip(numbers, *self.ends), self.dtype)

    def written(self, values: Floats) -> Ints:
        """Samples (n_0, …) of values (n_0, …, 1) in [0, 1]; what is NaN stays so in floats, and is the least sample in
        integers."""
        low, high = self.ends
        return self._rounded(low + values[..., 0].astype(np.float64) * (high - low))

    # -- the field ---------------------------------------------------------------------------------------
    @property
    def trade(self) -> float:
        """There is no trade: the bound says it all."""
        raise UnsupportedFeatureError("arrays are encoded within a bound, not by weighing errors against bytes")

    def deltas(self) -> Deltas:
        """Arrays have no weights that differ from those of an init."""
        raise UnsupportedFeatureError("an array's file holds samples, not changes of weights")

    def lacking(self) -> str:
        """How many chunks are there."""
        found = len(self.entries)
        return "" if found == self._chunks else f"{found} of {self._chunks} chunks are there"

    def _scaled(self, samples: npt.NDArray[Any]) -> Floats:
        low, high = self.ends
        with np.errstate(all="ignore"):
            values = (self._values_of(samples) - low) / ((high - low) or 1.0)
        return np.asarray(values, np.float32)

    def render(self, chunk: int, positions: list[Positions]) -> Floats:
        """Values (n_0, …, 1) on the grid of native positions; NaN where samples are masked."""
        return self._scaled(self._samples(chunk, positions))[..., None]

    def render_dense(self, chunk: int, positions: list[Positions]) -> Floats:
        """The same."""
        return self.render(chunk, positions)

    def sample(self, chunk: int, positions: Positions) -> Floats:
        """Values (N, 1) at native positions (N, d)."""
        self._recent.get(chunk, self._decoded)
        columns = zip(positions.T, self.info.shape, self._wrap, strict=True)
        axes = [Axis.of(p, n, wrap=w) for p, n, w in columns]
        first, last = axes[0].whole_span
        rows = self._rows(first, last)
        return self._scaled(scattered(rows, [axes[0].shifted(first), *axes[1:]], self._values_of))[:, None]
