"""One open file: its header, its sections, and blocks of rendered samples."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from nfcodec import families, zoo
from nfcodec.container.layout import SectionType, split_chunk
from nfcodec.container.metadata import unpack_metadata, unpack_tags
from nfcodec.container.reader import Reader
from nfcodec.decoder.output import AxisGrid, Part, output_grid, output_part, signal_of
from nfcodec.entropy.lossless import decode_plane
from nfcodec.errors import CorruptError
from nfcodec.lattice.code import ALONE, RegionCoder
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.samples import dequantize
from nfcodec.media.timing import FrameTimes, plain_rate
from nfcodec.options import DecodeOptions
from nfcodec.resample import Thinner, thin
from nfcodec.signal import Block, Floats, Ints, Metadata, SignalInfo
from nfcodec.silence import Silence, pack_silence, unpack_silence
from nfcodec.tags import read_tags
from nfcodec.types import Positions

# Larger outputs are rendered in pieces of about so many samples, so that enlarging needs no more memory.
PIECE_SAMPLES = 1 << 22


class Decoder:
    """One open file. ``info`` and ``metadata`` are there at once; samples come from :meth:`blocks`.

    ``inits``: paths of further inits to look for, beside the shipped ones. ``partial``: take a truncated file for
    what is there of it; what is missing is rendered from the coarser layers, or as the mean signal of the init.
    ``coder``: codes the regions of a lattice, see :mod:`nfcodec.lattice.together`.
    """

    def __init__(
        self, file: BinaryIO, *, limits: Limits = DEFAULT_LIMITS, inits: tuple[str, ...] = (), partial: bool = False,
        coder: RegionCoder | None = None,
    ) -> None:  # fmt: skip
        self.limits = limits
        self.reader = Reader(file, limits=limits)
        self.header = self.reader.header
        self.info = signal_of(self.header)
        self.init = zoo.load_prefix(self.header.init, inits)
        self.index = list(self.reader.index(partial=partial))
        if self.header.perceptual and getattr(self.init, "perceptual", None) is None:
            raise CorruptError(f"init {self.init.id} has no perceptual tune")
        if self.header.spacing is not None and not getattr(self.init, "spacings", ()):
            raise CorruptError(f"init {self.init.id} has cells of one spacing alone")
        if (self.header.dither or self.header.turn) and self.init.kind != "lattice":
            raise CorruptError(f"init {self.init.id} has no planes to turn, and no grids of means to move")
        self.field = families.runtime(self.init.kind).open_field(
            self.init, self.reader, self.index, self.info, limits, coder or ALONE, partial=partial
        )
        self._alphas = {e.first: e for e in self.index if e.type == SectionType.ALPHA and e.first is not None}
        wanted = self.chunks if self.info.alpha else 0
        # By number and maximum, as for the field: the header of a small file can announce millions of chunks.
        if max(self._alphas, default=-1) >= wanted or (len(self._alphas) != wanted and not partial):
            raise CorruptError("ALPHA sections do not match the header")

    # -- structure ---------------------------------------------------------------------------------------
    @property
    def chunk_length(self) -> int:
        """Samples of axis 0 in one chunk."""
        return self.field.chunk_length

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.info.shape[0] // self.chunk_length)

    @cached_property
    def metadata(self) -> Metadata:
        """ICC, EXIF, XMP and tags as stored."""
        payloads = [self.reader.read(e).payload for e in self.index if e.type == SectionType.METADATA]
        parts = dict(unpack_metadata(payloads, limits=self.limits))
        tags = unpack_tags(parts["tags"]) if "tags" in parts else ()
        return Metadata(parts.get("icc", b""), parts.get("exif", b""), parts.get("xmp", b""), tags)

    @cached_property
    def times(self) -> FrameTimes | None:
        """When the frames of a video are shown, None where that is even."""
        if self.info.modality != "video":
            return None
        durations = read_tags(self.metadata.tags, frames=self.info.shape[0])[0].durations
        return FrameTimes.of_durations(durations) if any(durations) else None

    def sidecar(self) -> bytes:
        """The sound track of a video as a Matroska stream, or nothing."""
        for e in self.index:
            if e.type == SectionType.SOUND:
                return self.reader.read(e).payload
        return b""

    @cached_property
    def silence(self) -> Silence | None:
        """Where a recording is digitally silent, if the file says so."""
        entry = next((e for e in self.index if e.type == SectionType.SILENCE), None)
        if entry is None or self.info.modality != "audio":
            return None
        payload = self.reader.read(entry).payload
        self.limits.check("max_metadata", len(payload), "list of silent stretches")
        return unpack_silence(payload, self.info.shape[0], self.info.channels)

    def chunk_shape(self, chunk: int) -> tuple[int, ...]:
        """Samples of a chunk along each axis; the last chunk may be shorter."""
        n = self.info.shape[0]
        return (min(self.chunk_length, n - chunk * self.chunk_length), *self.info.shape[1:])

    def symbols(self, chunk: int) -> npt.NDArray[np.int32]:
        """The integers of a chunk: exact on every machine."""
        return self.field.symbols(chunk)

    @property
    def _opaque(self) -> int:
        """The largest alpha."""
        return 65535 if self.info.sample_type == "u16" else 255

    def alpha(self, chunk: int) -> Ints | None:
        """The lossless alpha plane of a chunk (n, …), or None."""
        if not self.info.alpha:
            return None
        dtype = np.dtype(np.uint16 if self._opaque > 255 else np.uint8)
        if chunk not in self._alphas:
            return np.full(self.chunk_shape(chunk), self._opaque).astype(dtype)
        _, payload = split_chunk(self.reader.read(self._alphas[chunk]).payload)
        return decode_plane(payload, self.chunk_shape(chunk), dtype, limits=self.limits)

    def digest(self) -> tuple[str, int]:
        """SHA-256 over all symbols in order (little-endian int32), alpha and silence, and the number of
        symbols: equal on every machine."""
        total, count = hashlib.sha256(), 0
        for chunk in range(self.chunks):
            q = self.symbols(chunk)
            total.update(q.astype("<i4").tobytes())
            alpha = self.alpha(chunk)
            if alpha is not None:
                total.update(alpha.astype(alpha.dtype.newbyteorder("<")).tobytes())
            count += q.size
        if self.silence:
            total.update(pack_silence(self.silence))
        return total.hexdigest(), count

    # -- rendering ---------------------------------------------------------------------------------------
    def output_info(self, options: DecodeOptions) -> SignalInfo:
        """What :meth:`blocks` delivers for these options."""
        shape = tuple(g.n for g in output_grid(self.info, options, self.times))
        wanted = options.rate or options.fps
        rate = self.info.rate
        if options.time is not None and self.times is not None:
            part = self.output_part(options)
            rate = plain_rate(Fraction(shape[0] / (part.stop - part.start)))
        if wanted is not None:
            rate = Fraction(wanted).limit_denominator(1_000_000) or Fraction(wanted)
        replace(self.header, shape=shape).check_limits(self.limits)
        return replace(self.info, shape=shape, rate=rate)

    def output_part(self, options: DecodeOptions) -> Part:
        """What range of time :meth:`blocks` delivers for these options."""
        return output_part(self.info, options, self.times)

    def blocks(self, options: DecodeOptions) -> Iterator[Block]:
        """Render the requested grid chunk by chunk, as consecutive rows of the first axis.

        Raises :class:`~nfcodec.errors.LimitError` before anything of a size over the limits is rendered.
        """
        self.output_info(options)
        grids = output_grid(self.info, options, self.times)
        values, alphas = Thinner(grids[0].k), Thinner(grids[0].k)
        for chunk, pieces in self._pieces(grids):
            plane = self.alpha(chunk)
            for rows in pieces:
                if all(g.k == 1 for g in grids) and (exact := self._exact(chunk, rows, grids)) is not None:
                    yield exact
                    continue
                out = values.push(self._render(chunk, rows, grids))
                alpha = None if plane is None else alphas.push(self._render_alpha(chunk, plane, rows, grids))
                if len(out):
                    yield self._block(out, alpha)
        out = values.finish()
        if len(out):
            yield self._block(out, alphas.finish() if self.info.alpha else None)

    def _pieces(self, grids: tuple[AxisGrid, ...]) -> Iterator[tuple[int, Iterator[Positions]]]:
        """Chunks, each with its field positions on the first axis in pieces of bounded size."""
        first, total = grids[0], grids[0].n * grids[0].k
        cells = math.prod(g.n * g.k for g in grids[1:])
        native = self.chunk_length * math.prod(self.info.shape[1:])
        step = max(1, self.field.piece(PIECE_SAMPLES, native) // cells)

        def owner(index: int) -> int:
            return int(min(first.between(index, index + 1)[0] // self.chunk_length, self.chunks - 1))

        a = 0
        while a < total:
            chunk = owner(a)
            stop = bisect_right(range(total), chunk, a, key=owner)
            self.field.expect(chunk, partial(first.between, a, stop))
            yield chunk, (first.between(b, min(b + step, stop)) for b in range(a, stop, step))
            a = stop

    def _block(self, values: Floats, alpha: Floats | None) -> Block:
        return Block(values, None if alpha is None else self._alpha_samples(alpha), self.field.written(values))

    def _exact(self, chunk: int, rows: Positions, grids: tuple[AxisGrid, ...]) -> Block | None:
        """A piece of the grid as samples in the file's own type, where the field has those."""
        found = self.field.samples(chunk, [rows, *(g.positions for g in grids[1:])])
        if found is None:
            return None
        samples, missing = found
        values = dequantize(samples, self.info.sample_type, self.info.value_range)[..., None]
        return Block(values, samples=samples, missing=missing)

    def _render(self, chunk: int, rows: Positions, grids: tuple[AxisGrid, ...]) -> Floats:
        render = self.field.render_dense if any(g.k > 1 for g in grids) else self.field.render
        out = render(chunk, [rows, *(g.positions for g in grids[1:])])
        if self.silence:
            self.silence.apply(out, rows)
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
        return np.clip(np.rint(alpha), 0, self._opaque).astype(np.uint16 if self._opaque > 255 else np.uint8)


def _linear(plane: Floats, axis: int, positions: Positions) -> Floats:
    """Interpolate along one axis at native positions (sample i at i + ½): exact at the samples themselves."""
    n = plane.shape[axis]
    at = np.clip(positions - 0.5, 0, n - 1)
    low = np.minimum(at.astype(np.int64), max(n - 2, 0))
    share = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(plane.ndim)])
    below, above = np.take(plane, low, axis), np.take(plane, np.minimum(low + 1, n - 1), axis)
    return np.asarray(below + share * (above - below), np.float32)
