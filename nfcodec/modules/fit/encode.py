"""Encode a signal as independent modules, chunk by chunk.

Every chunk is decoded from its own bytes as soon as it is coded, by the functions that the decoder uses; the
reported PSNR is of those samples, and a difference in symbols is an :class:`InternalError`.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from nfcodec.container.layout import SectionType, chunk_payload
from nfcodec.container.writer import Writer
from nfcodec.coords import modules_per_axis, sample_positions
from nfcodec.deadline import share
from nfcodec.encoder.base import Encoder
from nfcodec.entropy.lossless import encode_plane
from nfcodec.errors import InternalError, UnsupportedMediaError
from nfcodec.modules.deltas import encode_deltas
from nfcodec.modules.fit.adapt import Adapter
from nfcodec.modules.init import Init
from nfcodec.modules.partition import audible_modules, cut, is_sound
from nfcodec.modules.stored import decode_chunk, render_chunk
from nfcodec.modules.values import active_outputs
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Block, Floats, SignalInfo, Source
from nfcodec.silence import Silence

# A chunk is coded at once: enough modules to share its side information, few enough to stay small in memory.
CHUNK_MODULES = 4096


def chunk_rows(init: Init, info: SignalInfo) -> int:
    """Rows of modules along axis 0 that make a chunk."""
    if len(info.shape) == 1:
        per_row = info.channels
    else:
        per_row = math.prod(modules_per_axis(info.shape[1:], init.spec.tile[1:]))
    rows = -(-info.shape[0] // init.spec.tile[0])
    return max(1, min(rows, CHUNK_MODULES // per_row))


def field_values(init: Init, info: SignalInfo, values: Floats) -> Floats:
    """Signal values as the field sees them: arrays on a sound field move from [0, 1] to [-1, 1]."""
    return values * 2.0 - 1.0 if is_sound(init.spec) and info.modality == "array" else values


class ModuleEncoder(Encoder):
    """Encodes one source with an init of independent modules."""

    def __init__(self, source: Source, init: Init, options: EncodeOptions, progress: Progress | None) -> None:
        super().__init__(source, init, options, progress)
        self.init = init
        self._check_field()
        self.adapter = Adapter(init, options.quality, options.effort, active_outputs(init.spec, self.info.channels))
        self.kept = self.adapter.coding.kept
        self.rows = chunk_rows(init, self.info)
        self._deadline = None if options.max_time is None else time.monotonic() + options.max_time

    def _check_field(self) -> None:
        spec, info = self.init.spec, self.info
        fits = info.channels in (1, 3) if spec.offset else info.modality in ("audio", "array")
        if spec.axes != len(info.shape) or not fits:
            raise UnsupportedMediaError(
                f"init {self.init.id} takes {self.init.modality} of {spec.axes} axes, "
                f"not {info.modality} of {len(info.shape)} axes and {info.channels} channels"
            )

    def write_signal(self, writer: Writer) -> int:
        """One DELTA section per chunk, and its ALPHA."""
        length = 0
        for chunk, block in enumerate(self.source.blocks(self.rows * self.init.spec.tile[0])):
            self._chunk(writer, chunk, block, self.find_silence(block.values, length))
            length += len(block.values)
            writer.grown(length)
        return length

    @property
    def _chunks(self) -> int:
        """How many there will be; a source may be wrong about its length."""
        return -(-self.info.shape[0] // (self.rows * self.init.spec.tile[0]))

    def _chunk(self, writer: Writer, chunk: int, block: Block, silence: Silence | None) -> None:
        shown = self.shown(block.values, block.alpha)
        values = field_values(self.init, self.info, shown)
        targets = torch.from_numpy(cut(self.init.spec, values))
        samples = math.prod(block.values.shape[:-1]) / len(targets)
        heard = None if silence is None else audible_modules(self.init.spec, silence, block.values.shape)
        q = np.zeros((len(targets), len(self.kept)), np.int32)
        if not self.constant and (heard is None or heard.any()):
            adapter = replace(self.adapter, deadline=share(self._deadline, self._chunks - chunk))
            some = targets if heard is None else targets[torch.from_numpy(heard)]
            q[slice(None) if heard is None else heard] = adapter.deltas(some, lambda n: self.tick(n * samples))
        coding = self.adapter.coding
        width = modules_per_axis(block.values.shape[:-1], self.init.spec.tile)[-1]
        payload = encode_deltas(q, coding.scale, coding.tensor_of, width=width)
        writer.add(SectionType.DELTA, chunk_payload(chunk, payload))
        self.symbols.update(q.astype("<i4").tobytes())
        if block.alpha is not None:
            writer.add(SectionType.ALPHA, chunk_payload(chunk, encode_plane(block.alpha)))
            self.hash_alpha(block.alpha)
        self._compare(Block(shown, block.alpha), payload, q, silence)

    def _compare(self, block: Block, payload: bytes, q: npt.NDArray[np.int32], silence: Silence | None) -> None:
        """Decode the chunk from its bytes and add its error, on samples as they would be written."""
        shape = block.values.shape[:-1]
        width = modules_per_axis(shape, self.init.spec.tile)[-1]
        quality, limits = self.options.quality, self.options.limits
        decoded = decode_chunk(self.init, quality, self.kept, payload, (len(q), width), limits)
        if not np.array_equal(decoded, q):
            raise InternalError("the coded symbols do not decode to themselves")
        native = [sample_positions(0.0, float(n), n) for n in shape]
        rendered = render_chunk(self.init, quality, self.kept, decoded, self.info, shape, native)
        if silence:
            silence.apply(rendered, native[0])
        self.measure(self.error, block.values, rendered, block.alpha)


class GrowingModules(ModuleEncoder):
    """Encodes a recording that grows, a chunk of about a second after the other: every module is adapted from θ0 alone,
    so what was coded never changes (the sequential modules of Woo et al. 2025)."""

    def __init__(self, source: Source, init: Init, options: EncodeOptions, progress: Progress | None) -> None:
        super().__init__(source, init, options, progress)
        self.rows = max(1, min(CHUNK_MODULES // self.info.channels, round((self.info.rate or 1) / init.spec.tile[0])))
