"""Fields of independent modules: DELTA sections, one per chunk."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nfcodec.blas import one_thread_each
from nfcodec.container.layout import Header, SectionType, split_chunk
from nfcodec.container.reader import Entry, Reader
from nfcodec.coords import modules_per_axis, plan_axis
from nfcodec.entropy.quantizer import dequantize, step_size
from nfcodec.errors import CorruptError
from nfcodec.families import Deltas
from nfcodec.limits import Limits
from nfcodec.modules.deltas import decode_deltas
from nfcodec.modules.init import Init
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.partition import is_sound, module_count
from nfcodec.modules.render import render_box
from nfcodec.modules.trade import trade_off
from nfcodec.modules.values import active_outputs, to_values
from nfcodec.options import Tune
from nfcodec.recent import Recent
from nfcodec.rotations import mid_side
from nfcodec.signal import Floats, SignalInfo
from nfcodec.types import Indices, Positions
from nfcodec.values_field import ValuesField


class ModuleField(ValuesField):
    """The modules of a file, chunk by chunk."""

    def __init__(
        self, init: Init, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, *, partial: bool
    ) -> None:  # fmt: skip
        self.init, self.reader, self.limits, self.partial = init, reader, limits, partial
        self.header: Header = reader.header
        self.info = info
        self.entries = {e.first: e for e in index if e.type == SectionType.DELTA and e.first is not None}
        chunks = -(-self.info.shape[0] // self.chunk_length)
        # By number and maximum: the header of a small file can announce millions of chunks.
        complete = len(self.entries) == chunks or partial
        if not complete or max(self.entries, default=0) >= chunks:
            raise CorruptError(f"{len(self.entries)} DELTA sections for {chunks} chunks")
        others = (SectionType.CELLS, SectionType.OVERLAY, SectionType.HEADS)
        wrong = next((e for e in index if e.type in others), None)
        if wrong is not None:
            raise CorruptError(f"{SectionType(wrong.type).name} section with init {init.id}, which is no lattice")
        # A chunk is rendered piece by piece, then the next one; points come in any order.
        self._rendered: Recent[npt.NDArray[np.int32]] = Recent(1)
        self._sampled: Recent[npt.NDArray[np.int32]] = Recent(4)

    @property
    def chunk_length(self) -> int:
        """Samples of axis 0 in one chunk."""
        tile = self.init.spec.tile[0]
        rows = -(-self.info.shape[0] // tile)
        return min(self.header.chunk_rows, rows) * tile

    @cached_property
    def kept(self) -> npt.NDArray[np.int64]:
        """Positions of the coded parameters."""
        return self.init.kept(active_outputs(self.init.spec, self.info.channels))

    def _chunk_shape(self, chunk: int) -> tuple[int, ...]:
        n = self.info.shape[0]
        return (min(self.chunk_length, n - chunk * self.chunk_length), *self.info.shape[1:])

    @property
    def trade(self) -> float:
        """λ: squared error of the values, summed, per bit. Sound is fitted on a scale from −1 to 1, grey pictures as
        three equal channels."""
        grey = self.info.modality in ("image", "video") and self.info.channels == 1
        unit = 4.0 if is_sound(self.init.spec) else 3.0 if grey else 1.0
        return trade_off(self.init.coarsest, self.header.quality) / unit

    def symbols(self, chunk: int) -> npt.NDArray[np.int32]:
        """The integer deltas of a chunk, module by module (M·K,)."""
        return self._rows(chunk).ravel()

    @property
    def tune(self) -> Tune:
        """There is one encoder for all."""
        return "perceptual"

    def deltas(self) -> Deltas:
        """Symbols (modules, K) and steps (K,)."""
        chunks = -(-self.info.shape[0] // self.chunk_length)
        rows = np.concatenate([self._rows(chunk) for chunk in range(chunks)])
        return Deltas(rows, step_size(self.init.steps_at(self.header.quality)[self.kept]).astype(np.float32))

    def lacking(self) -> str:
        """How many chunks are there."""
        chunks = -(-self.info.shape[0] // self.chunk_length)
        return "" if len(self.entries) == chunks else f"{len(self.entries)} of {chunks} chunks are there"

    def _rows(self, chunk: int) -> npt.NDArray[np.int32]:
        """The integer deltas (M, K) of a chunk."""
        return self._rendered.get(chunk, self._decoded)

    def _decoded(self, chunk: int) -> npt.NDArray[np.int32]:
        shape = self._chunk_shape(chunk)
        count = module_count(self.init.spec, shape, self.info.channels)
        if chunk not in self.entries:
            return np.zeros((count, len(self.kept)), np.int32)
        _, payload = split_chunk(self.reader.read(self.entries[chunk]).payload)
        modules = count, modules_per_axis(shape, self.init.spec.tile)[-1]
        return decode_chunk(self.init, self.header.quality, self.kept, payload, modules, self.limits)

    def render(self, chunk: int, positions: list[Positions]) -> Floats:
        """Values (n_0, …, C) on the grid of native positions."""
        local = [positions[0] - chunk * self.chunk_length, *positions[1:]]
        shape, q = self._chunk_shape(chunk), self._rows(chunk)
        return render_chunk(self.init, self.header.quality, self.kept, q, self.info, shape, local)

    def sample(self, chunk: int, positions: Positions) -> Floats:
        """Values (N, C) at native positions (N, axes)."""
        init, info = self.init, self.info
        tile = np.array(init.spec.tile)
        counts = modules_per_axis(self._chunk_shape(chunk), init.spec.tile)
        local = positions.copy()
        local[:, 0] -= chunk * self.chunk_length
        owner = np.clip(local // tile, 0, np.array(counts) - 1).astype(np.int64)
        inside = (2.0 * (local - owner * tile) / tile - 1.0).astype(np.float32)[:, None]
        flat = np.ravel_multi_index(tuple(owner.T), counts)
        q, outputs = self._sampled.get(chunk, self._decoded), []
        for channel in range(info.channels if is_sound(init.spec) else 1):
            rows = q[flat + channel * int(np.prod(counts))]
            params = init.params(dequantized(init, self.header.quality, self.kept, rows), self.kept)
            with one_thread_each():
                outputs.append(field_kind(init.spec.kind).forward(init.spec, params, inside)[:, 0])
        return signal_values(init, info, outputs)


def decode_chunk(
    init: Init, quality: int, kept: npt.NDArray[np.int64], payload: bytes, modules: tuple[int, int], limits: Limits
) -> npt.NDArray[np.int32]:
    """Integer deltas (M, K) of one DELTA payload; ``modules``: their number and the width of their grid."""
    count, width = modules
    return decode_deltas(
        payload, modules=count, scale=init.scales_at(quality)[kept], tensor_of=init.tensor_of[kept],
        width=width, limits=limits,
    )  # fmt: skip


def dequantized(init: Init, quality: int, kept: npt.NDArray[np.int64], q: npt.NDArray[np.int32]) -> Floats:
    """Δ̂ (M, K) of integer deltas."""
    return dequantize(q, init.steps_at(quality)[kept])


def render_chunk(
    init: Init, quality: int, kept: npt.NDArray[np.int64], q: npt.NDArray[np.int32], info: SignalInfo,
    shape: tuple[int, ...], positions: list[Positions],
) -> Floats:  # fmt: skip
    """Signal values (n_0, …, C) of a chunk of ``shape`` samples at positions local to the chunk."""
    spec = init.spec
    counts = modules_per_axis(shape, spec.tile)
    plans = [plan_axis(p, t, c) for p, t, c in zip(positions, spec.tile, counts, strict=True)]
    touched = [np.arange(p.first, p.first + p.local.shape[0]) for p in plans]
    flat = np.ravel_multi_index(np.meshgrid(*touched, indexing="ij"), counts).reshape(-1)
    per_signal = math.prod(counts)
    channels = info.channels if is_sound(spec) else 1

    def outputs(channel: int) -> Floats:
        def params_of(index: Indices) -> dict[str, Floats]:
            rows = q[flat[index] + channel * per_signal]
            return init.params(dequantized(init, quality, kept, rows), kept)

        return render_box(spec, params_of, plans)

    return signal_values(init, info, [outputs(c) for c in range(channels)])


def signal_values(init: Init, info: SignalInfo, outputs: list[Floats]) -> Floats:
    """Signal values (…, C) from raw outputs (…, K): one array, or for sound one of one output per channel."""
    if not is_sound(init.spec):
        return np.asarray(to_values(init.spec, outputs[0], info.channels), np.float32)
    sound = mid_side(np.concatenate(outputs, -1))
    return np.asarray((sound + 1.0) / 2.0 if info.modality == "array" else sound, np.float32)
