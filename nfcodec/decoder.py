"""From the bytes of a file to a field, and from the field to samples on any grid.

Symbols are decoded chunk by chunk by integer arithmetic; only rendering uses floats. This module reaches
neither ``adapt`` nor ``meta``.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec import zoo
from nfcodec.coding.deltas import decode_deltas
from nfcodec.coding.planes import decode_plane
from nfcodec.coding.quantizer import dequantize
from nfcodec.container.layout import Header, SectionType, split_chunk
from nfcodec.container.metadata import unpack_metadata, unpack_tags
from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError, OptionError
from nfcodec.fields.coords import modules_per_axis, plan_axis, sample_positions
from nfcodec.fields.init import Init
from nfcodec.fields.modules import is_sound, module_count
from nfcodec.fields.render import render_box
from nfcodec.fields.resample import Thinner, density, thin
from nfcodec.fields.values import active_outputs, mid_side, to_values
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.options import DecodeOptions
from nfcodec.signal import Block, Floats, Ints, Metadata, SignalInfo

Positions = npt.NDArray[np.float64]

# Larger outputs are rendered in pieces of about so many samples, so that enlarging needs no more memory.
PIECE_SAMPLES = 1 << 22


def signal_info(header: Header) -> SignalInfo:
    """What the header says of the signal."""
    return SignalInfo(
        header.modality, header.shape, header.channels, header.sample_type,  # type: ignore[arg-type]
        header.alpha, header.rate, header.value_range,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AxisGrid:
    """One axis of the output: ``n`` samples of [start, stop) in native samples, each from ``k`` field samples."""

    start: float
    stop: float
    n: int
    k: int

    @property
    def positions(self) -> Positions:
        """Where the field is sampled: (n·k,) native positions."""
        return sample_positions(self.start, self.stop, self.n * self.k)

    def between(self, first: int, last: int) -> Positions:
        """The part [first, last) of :attr:`positions`, the same to the last bit."""
        index = np.arange(first, last, dtype=np.float64)
        return self.start + (index + 0.5) * ((self.stop - self.start) / (self.n * self.k))


def output_grid(info: SignalInfo, options: DecodeOptions) -> tuple[AxisGrid, ...]:
    """The grid that the options ask for. :class:`OptionError` where an option does not fit the signal."""
    spans = _spans(info, options)
    scales = _scales(info, options, spans)
    grids = []
    for axis, ((start, stop), scale) in enumerate(zip(spans, scales, strict=True)):
        n = max(1, _whole((stop - start) * scale))
        in_time = info.modality == "video" and axis == 0
        k = 1 if in_time else density(n / (stop - start))
        grids.append(AxisGrid(start, stop, n, k))
    return tuple(grids)


def _whole(x: float) -> int:
    """``x`` rounded; a number that is over every limit stands for infinity."""
    return round(min(x, 2.0**100))


def _spans(info: SignalInfo, options: DecodeOptions) -> list[tuple[float, float]]:
    spans = [(0.0, float(n)) for n in info.shape]
    if options.crop is not None:
        if info.modality not in ("image", "video"):
            raise OptionError(f"crop needs a picture or a video, this is {info.modality}")
        x, y, w, h = options.crop
        height, width = info.shape[-2:]
        if x + w > width or y + h > height:
            raise OptionError(f"crop {x},{y},{w},{h} reaches outside {width}x{height}")
        spans[-2:] = [(float(y), float(y + h)), (float(x), float(x + w))]
    if options.time is not None:
        spans[0] = _time_span(info, options.time)
    return spans


def _time_span(info: SignalInfo, time: tuple[float, float | None]) -> tuple[float, float]:
    if info.rate is None:
        raise OptionError(f"a time range needs sound or video, this is {info.modality}")
    rate, n = float(info.rate), info.shape[0]
    start = _whole(time[0] * rate)
    stop = n if time[1] is None else min(n, _whole(time[1] * rate))
    if start >= n:
        raise OptionError(f"time {time[0]} s starts after the end ({n / rate:.3f} s)")
    return float(start), float(max(stop, start + 1))


def _scales(info: SignalInfo, options: DecodeOptions, spans: list[tuple[float, float]]) -> list[float]:
    scales = [1.0] * len(spans)
    spatial = info.modality in ("image", "video")
    if options.scale is not None:
        if info.modality == "audio":
            raise OptionError("scale needs a picture, a video or an array; use rate for sound")
        first = len(spans) - 2 if spatial else 0
        scales[first:] = [options.scale] * (len(spans) - first)
    if options.size is not None:
        if not spatial:
            raise OptionError(f"size needs a picture or a video, this is {info.modality}")
        scales[-2:] = _size_scales(options.size, [b - a for a, b in spans[-2:]])
    for name, kind in (("rate", "audio"), ("fps", "video")):
        value = getattr(options, name)
        if value is not None:
            if info.modality != kind or info.rate is None:
                raise OptionError(f"{name} needs {kind}, this is {info.modality}")
            scales[0] = value / float(info.rate)
    return scales


def _size_scales(size: tuple[int, int], span: list[float]) -> list[float]:
    width, height = (min(n, 2**100) for n in size)
    sy, sx = height / span[0], width / span[1]
    return [sy or sx, sx or sy]


class Decoder:
    """One open file. ``info`` and ``metadata`` are there at once; samples come from :meth:`blocks`.

    ``inits``: paths of further inits to look for, beside the shipped ones.
    """

    def __init__(self, file: BinaryIO, *, limits: Limits = DEFAULT_LIMITS, inits: tuple[str, ...] = ()) -> None:
        self.limits = limits
        self.reader = Reader(file, limits=limits)
        self.header = self.reader.header
        self.info = signal_info(self.header)
        self.init = zoo.load_prefix(self.header.init, inits)
        self._check_field()
        self.index = list(self.reader.index())
        self._deltas = self._by_chunk(SectionType.DELTA)
        self._alphas = self._by_chunk(SectionType.ALPHA)
        # By number and maximum: the header of a small file can announce millions of chunks.
        if len(self._deltas) != self.chunks or max(self._deltas, default=0) >= self.chunks:
            raise CorruptError(f"{len(self._deltas)} DELTA sections for {self.chunks} chunks")
        if self.info.alpha != bool(self._alphas) or (self._alphas and set(self._alphas) != set(self._deltas)):
            raise CorruptError("ALPHA sections do not match the header")

    def _check_field(self) -> None:
        spec, info = self.init.spec, self.info
        fits = info.channels in (1, 3) if spec.offset else True
        if spec.axes != len(info.shape) or not fits:
            raise CorruptError(f"init {self.init.id} does not fit a {info.modality} of {info.channels} channels")

    def _by_chunk(self, kind: SectionType) -> dict[int, Entry]:
        return {e.first: e for e in self.index if e.type == kind and e.first is not None}

    # -- structure ---------------------------------------------------------------------------------------
    @property
    def chunk_length(self) -> int:
        """Samples of axis 0 in one chunk."""
        tile = self.init.spec.tile[0]
        rows = -(-self.info.shape[0] // tile)
        return min(self.header.chunk_rows, rows) * tile

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.info.shape[0] // self.chunk_length)

    @cached_property
    def kept(self) -> npt.NDArray[np.int64]:
        """Positions of the coded parameters."""
        return self.init.kept(active_outputs(self.init.spec, self.info.channels))

    @cached_property
    def metadata(self) -> Metadata:
        """ICC, EXIF, XMP and tags as stored."""
        payloads = [self.reader.read(e).payload for e in self.index if e.type == SectionType.METADATA]
        parts = dict(unpack_metadata(payloads, limits=self.limits))
        tags = unpack_tags(parts["tags"]) if "tags" in parts else ()
        return Metadata(parts.get("icc", b""), parts.get("exif", b""), parts.get("xmp", b""), tags)

    def sidecar(self) -> bytes:
        """The sound track of a video as a Matroska stream, or nothing."""
        for e in self.index:
            if e.type == SectionType.SOUND:
                return self.reader.read(e).payload
        return b""

    def chunk_shape(self, chunk: int) -> tuple[int, ...]:
        """Samples of a chunk along each axis; the last chunk may be shorter."""
        n = self.info.shape[0]
        first = min(self.chunk_length, n - chunk * self.chunk_length)
        return (first, *self.info.shape[1:])

    def symbols(self, chunk: int) -> npt.NDArray[np.int32]:
        """The integer deltas (M, K) of a chunk: exact on every machine."""
        _, payload = split_chunk(self.reader.read(self._deltas[chunk]).payload)
        return decode_chunk(self.init, self.header.quality, self.kept, payload, self._modules(chunk), self.limits)

    def _modules(self, chunk: int) -> tuple[int, int]:
        shape = self.chunk_shape(chunk)
        return module_count(self.init.spec, shape, self.info.channels), modules_per_axis(shape, self.init.spec.tile)[-1]

    def alpha(self, chunk: int) -> Ints | None:
        """The lossless alpha plane of a chunk (n, …), or None."""
        if not self.info.alpha:
            return None
        _, payload = split_chunk(self.reader.read(self._alphas[chunk]).payload)
        dtype = np.dtype(np.uint16 if self.info.sample_type == "u16" else np.uint8)
        return decode_plane(payload, self.chunk_shape(chunk), dtype, limits=self.limits)

    def digest(self) -> tuple[str, int]:
        """SHA-256 over all symbols in order (little-endian int32) and their number: equal on every machine."""
        total, count = hashlib.sha256(), 0
        for chunk in range(self.chunks):
            q = self.symbols(chunk)
            total.update(q.astype("<i4").tobytes())
            alpha = self.alpha(chunk)
            if alpha is not None:
                total.update(alpha.astype(alpha.dtype.newbyteorder("<")).tobytes())
            count += q.size
        return total.hexdigest(), count

    # -- rendering ---------------------------------------------------------------------------------------
    def output_info(self, options: DecodeOptions) -> SignalInfo:
        """What :meth:`blocks` delivers for these options."""
        shape = tuple(g.n for g in output_grid(self.info, options))
        wanted = options.rate or options.fps
        rate = self.info.rate
        if wanted is not None:
            rate = Fraction(wanted).limit_denominator(1_000_000) or Fraction(wanted)
        replace(self.header, shape=shape).check_limits(self.limits)
        return replace(self.info, shape=shape, rate=rate)

    def blocks(self, options: DecodeOptions) -> Iterator[Block]:
        """Render the requested grid chunk by chunk, as consecutive rows of the first axis.

        Raises :class:`~nfcodec.errors.LimitError` before anything of a size over the limits is rendered.
        """
        self.output_info(options)
        grids = output_grid(self.info, options)
        values, alphas = Thinner(grids[0].k), Thinner(grids[0].k)
        for chunk, pieces in self._pieces(grids):
            q, plane = self.symbols(chunk), self.alpha(chunk)
            for rows in pieces:
                out = values.push(self._render(chunk, q, rows, grids))
                alpha = None if plane is None else alphas.push(self._render_alpha(chunk, plane, rows, grids))
                if len(out):
                    yield self._block(out, alpha)
        out = values.finish()
        if len(out):
            yield self._block(out, alphas.finish() if self.info.alpha else None)

    def _pieces(self, grids: tuple[AxisGrid, ...]) -> Iterator[tuple[int, Iterator[Positions]]]:
        """Chunks, each with its field positions on the first axis in pieces of bounded size.

        At the native size a chunk is one piece, as it was for the encoder.
        """
        first, total = grids[0], grids[0].n * grids[0].k
        cells = math.prod(g.n * g.k for g in grids[1:])
        native = self.chunk_length * math.prod(self.info.shape[1:])
        step = max(1, max(PIECE_SAMPLES, native) // cells)

        def owner(index: int) -> int:
            return int(min(first.between(index, index + 1)[0] // self.chunk_length, self.chunks - 1))

        a = 0
        while a < total:
            chunk = owner(a)
            stop = bisect_right(range(total), chunk, a, key=owner)
            yield chunk, (first.between(b, min(b + step, stop)) for b in range(a, stop, step))
            a = stop

    def _block(self, values: Floats, alpha: Floats | None) -> Block:
        return Block(values, None if alpha is None else self._alpha_samples(alpha))

    def _render(self, chunk: int, q: npt.NDArray[np.int32], rows: Positions, grids: tuple[AxisGrid, ...]) -> Floats:
        local = [rows - chunk * self.chunk_length, *(g.positions for g in grids[1:])]
        out = render_chunk(self.init, self.header.quality, self.kept, q, self.info, self.chunk_shape(chunk), local)
        for axis, grid in enumerate(grids[1:], 1):
            out = thin(out, axis, grid.k)
        return out

    def _render_alpha(self, chunk: int, plane: Ints, rows: Positions, grids: tuple[AxisGrid, ...]) -> Floats:
        local = [rows - chunk * self.chunk_length, *(g.positions for g in grids[1:])]
        out = plane.astype(np.float32)
        for axis, where in enumerate(local):
            out = _linear(out, axis, where)
        for axis, grid in enumerate(grids[1:], 1):
            out = thin(out, axis, grid.k)
        return out

    def _alpha_samples(self, alpha: Floats) -> Ints:
        top = 65535 if self.info.sample_type == "u16" else 255
        return np.clip(np.rint(alpha), 0, top).astype(np.uint16 if top > 255 else np.uint8)


def _linear(plane: Floats, axis: int, positions: Positions) -> Floats:
    """Interpolate along one axis at native positions (sample i at i + ½): exact at the samples themselves."""
    n = plane.shape[axis]
    at = np.clip(positions - 0.5, 0, n - 1)
    low = np.minimum(at.astype(np.int64), max(n - 2, 0))
    share = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(plane.ndim)])
    below, above = np.take(plane, low, axis), np.take(plane, np.minimum(low + 1, n - 1), axis)
    return np.asarray(below + share * (above - below), np.float32)


def decode_chunk(
    init: Init, quality: int, kept: npt.NDArray[np.int64], payload: bytes, modules: tuple[int, int], limits: Limits
) -> npt.NDArray[np.int32]:
    """Integer deltas (M, K) of one DELTA payload; ``modules``: their number and the width of their grid."""
    count, width = modules
    return decode_deltas(
        payload, modules=count, scale=init.scales_at(quality)[kept], tensor_of=init.tensor_of[kept],
        width=width, limits=limits,
    )  # fmt: skip


def dequantized(init: Init, quality: int, kept: npt.NDArray[np.int64], q: npt.NDArray[np.int32]) -> Tensor:
    """Δ̂ (M, K) of integer deltas."""
    return torch.from_numpy(dequantize(q, init.steps_at(quality)[kept]))


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

    def outputs(channel: int) -> Tensor:
        def params_of(index: Tensor) -> dict[str, Tensor]:
            rows = q[flat[index.numpy()] + channel * per_signal]
            return init.params(dequantized(init, quality, kept, rows), kept)

        return render_box(spec, params_of, plans)

    return signal_values(init, info, [outputs(c) for c in range(channels)])


def signal_values(init: Init, info: SignalInfo, outputs: list[Tensor]) -> Floats:
    """Signal values (…, C) from raw outputs (…, K): one tensor, or for sound one of one output per channel."""
    if not is_sound(init.spec):
        return np.asarray(to_values(init.spec, outputs[0], info.channels).numpy(), np.float32)
    sound = mid_side(torch.cat(outputs, -1)).numpy()
    return np.asarray((sound + 1.0) / 2.0 if info.modality == "array" else sound, np.float32)
