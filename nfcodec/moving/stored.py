"""Moving pictures of a file: GROUP sections, group by group, and of each only what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from nfcodec.container.layout import SectionType, split_chunk
from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError, UnsupportedFeatureError
from nfcodec.families import Deltas
from nfcodec.lattice.native import native_index
from nfcodec.lattice.planes import offset_of
from nfcodec.limits import Limits
from nfcodec.moving.expected import Expected
from nfcodec.moving.group import Picture, pictures, unpack_group
from nfcodec.moving.init import MovingInit
from nfcodec.moving.motion import Past
from nfcodec.moving.picture import Canvas, Frame
from nfcodec.moving.prediction import SAMPLE_BITS, Reference, Whole
from nfcodec.moving.schedule import Schedule
from nfcodec.moving.values import values_of
from nfcodec.options import Tune
from nfcodec.recent import Recent
from nfcodec.resample import interpolate, interpolate_points
from nfcodec.signal import SignalInfo
from nfcodec.types import Floats, Indices, Positions, Symbols
from nfcodec.values_field import ValuesField

# Samples of pictures that are made values of at once.
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture: its samples as a reference, what the motion of its heirs goes on from, and what was coded, if that is
    to be kept."""

    frame: Frame | None
    reference: Reference
    past: Past

    def forget(self) -> None:
        """Keep the samples alone."""
        self.reference.forget()


class Group:
    """One group; its pictures are decoded when they are asked for."""

    def __init__(
        self, canvas: Canvas, payload: bytes, length: int, limits: Limits, *, goes_on: bool, keep: bool = False
    ) -> None:  # fmt: skip
        """``keep``: what was coded of its pictures."""
        self._keep = keep
        anchors, payloads = unpack_group(payload, length)
        self.length, self._canvas, self._limits = length, canvas, limits
        self.pictures = pictures(anchors, length, goes_on=goes_on)
        self._payloads = dict(zip((p.at for p in self.pictures), payloads, strict=True))
        self._known: dict[int, Decoded] = {}
        self._expected: set[int] = set()
        self._running: Iterator[tuple[int, Decoded]] = iter(())

    def first(self) -> Decoded:
        """The first picture, which needs no others."""
        return self.decode([0], None)[0]

    def expect(self, wanted: Iterable[int]) -> None:
        """The pictures at these places are going to be asked for."""
        self._expected |= set(wanted)

    def decode(self, wanted: Iterable[int], after: Group | None) -> dict[int, Decoded]:
        """The pictures at the places ``wanted``, and maybe others, by place; ``after``: the next group. Those that are
        expected are decoded on while the caller has something else to do."""
        wanted = set(wanted)
        self._go_on(wanted)
        if not wanted <= self._known.keys():
            self._running = self._begun(wanted | self._expected, after)
            self._go_on(wanted)
        if self._expected <= self._known.keys():
            self._running = iter(())  # it holds this group, which would outlive its use
        return self._known

    def _go_on(self, wanted: set[int]) -> None:
        """Wait for what is being decoded until nothing ``wanted`` is missing, or nothing is running."""
        while not wanted <= self._known.keys():
            picture = next(self._running, None)
            if picture is None:
                return
            self._known[picture[0]] = picture[1]

    def _begun(self, needed: set[int], after: Group | None) -> Iterator[tuple[int, Decoded]]:
        """Pictures that are not known, by place, as they are decoded."""
        needed = set(needed)
        for picture in reversed(self.pictures):
            if picture.at in needed:
                needed.update(picture.references)
        missing = [p for p in self.pictures if p.at in needed and p.at not in self._known]
        if after is not None and self.length in needed and self.length not in self._known:
            missing.insert(0, Picture(self.length, (), 0))
        make = partial(self._made, after)
        return zip([p.at for p in missing], Schedule(missing, make, dict(self._known)).run(), strict=True)

    def _made(self, after: Group | None, picture: Picture, references: list[Decoded]) -> Decoded:
        if picture.at == self.length and after is not None:
            return after.first()
        return self._decoded(picture, references)

    def _decoded(self, picture: Picture, references: list[Decoded]) -> Decoded:
        heir = next((r for r, at in zip(references, picture.references, strict=True) if at == picture.heir), None)
        past = Past.of(None if heir is None else heir.past)
        expected = Expected([r.reference for r in references], picture.distances)
        frame = self._canvas.read(self._payloads[picture.at], past, expected, self._limits)
        past = past.after(frame.motion, picture.distances)
        return Decoded(frame if self._keep else None, Reference(self._canvas.shown(frame, expected)), past)


class MovingField(ValuesField):
    """The moving pictures of a file. Raises :class:`CorruptError` when header and sections do not match.

    ``partial``: groups that are not there are grey.
    """

    def __init__(
        self, init: MovingInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, *, partial: bool
    ) -> None:  # fmt: skip
        self.init, self.reader, self.info, self.limits, self.header = init, reader, info, limits, reader.header
        self.canvas = Canvas(init, (info.shape[1], info.shape[2]), init.planes(info.channels))
        if self.header.chunk_rows != self.chunk_length:
            raise CorruptError(f"{self.header.chunk_rows} frames per group do not fit init {init.id}")
        self.chunks = -(-info.shape[0] // self.chunk_length)
        self.entries = {e.first: e for e in index if e.type == SectionType.GROUP and e.first is not None}
        # By number and maximum: the header of a small file can announce millions of groups.
        if max(self.entries, default=-1) >= self.chunks or (len(self.entries) != self.chunks and not partial):
            raise CorruptError(f"{len(self.entries)} GROUP sections for {self.chunks} groups")
        wrong = next((e for e in index if e.type in _OTHERS), None)
        if wrong is not None:
            raise CorruptError(f"{SectionType(wrong.type).name} section with init {init.id}, whose field is moving")
        self._groups: Recent[Group] = Recent(2)

    @property
    def chunk_length(self) -> int:
        """Frames of a group, the last excepted."""
        return min(self.init.frames_of(self.canvas.shape), self.info.shape[0])

    @property
    def trade(self) -> float:
        """λ of pictures of their own: squared error of the values, summed, per bit."""
        pictures_of = self.init.pictures
        return pictures_of.plane_trade(self.header.quality) / pictures_of.planes.unit(self.info.channels)

    @property
    def tune(self) -> Tune:
        """There is one encoder for all."""
        return "perceptual"

    def symbols(self, chunk: int) -> Symbols:
        """All integers of a group, picture after picture in coded order: (n,)."""
        if chunk not in self.entries:
            return np.zeros(0, np.int32)
        group = self._read(chunk, keep=True)
        found = group.decode(range(group.length), self._after(chunk))
        frames = [found[p.at].frame for p in group.pictures]
        return np.concatenate([frame.numbers() for frame in frames if frame is not None])

    def deltas(self) -> Deltas:
        """:class:`UnsupportedFeatureError`: steps differ from picture to picture."""
        raise UnsupportedFeatureError(f"init {self.init.id}: the symbols of moving pictures have no common steps")

    def lacking(self) -> str:
        """How many groups are there."""
        return "" if len(self.entries) == self.chunks else f"{len(self.entries)} of {self.chunks} groups are there"

    # -- groups ------------------------------------------------------------------------------------------
    def _group(self, chunk: int) -> Group:
        return self._groups.get(chunk, self._read)

    def _read(self, chunk: int, *, keep: bool = False) -> Group:
        length = min(self.chunk_length, self.info.shape[0] - chunk * self.chunk_length)
        self.limits.check("max_symbols", length, "pictures of one group")
        payload = split_chunk(self.reader.read(self.entries[chunk]).payload)[1]
        return Group(self.canvas, payload, length, self.limits, goes_on=chunk + 1 < self.chunks, keep=keep)

    def _after(self, chunk: int) -> Group | None:
        return self._group(chunk + 1) if chunk + 1 in self.entries else None

    def _frames(self, chunk: int, frames: Indices) -> list[Whole]:
        """Planes (P, H, W) of frames (n,) of a group, counted from its first."""
        if chunk not in self.entries or (chunk + 1 < self.chunks and chunk + 1 not in self.entries):
            return [np.zeros((self.canvas.planes, *self.canvas.shape), np.int16)] * len(frames)
        found = self._group(chunk).decode(frames.tolist(), self._after(chunk))
        return [found[i].reference.planes for i in frames.tolist()]

    def piece(self, most: int, native: int) -> int:
        """Few pictures: a group of values would be large."""
        return min(most, native, _PIECE)

    def expect(self, chunk: int, rows: Callable[[], Positions]) -> None:
        """Pictures of a group are decoded while others are made values of."""
        if chunk in self.entries:
            self._group(chunk).expect(self._at(chunk, rows()).tolist())

    # -- samples -----------------------------------------------------------------------------------------
    def _at(self, chunk: int, where: Positions) -> Indices:
        """The frames (n,) of a group that are shown at native positions in time."""
        last = min(self.chunk_length, self.info.shape[0] - chunk * self.chunk_length) - 1
        return np.clip(np.floor(where).astype(np.int64) - chunk * self.chunk_length, 0, last)

    def render(self, chunk: int, positions: list[Positions]) -> Floats:
        """Values (n, h, w, C) on the grid of native positions: of samples exactly, between them by interpolation of the
        samples; in time those of the frame that is shown."""
        time, *space = positions
        native = [native_index(p, n) for p, n in zip(space, self.canvas.shape, strict=True)]
        out = np.empty((len(time), *(len(p) for p in space), self.info.channels), np.float32)
        for i, planes in enumerate(self._frames(chunk, self._at(chunk, time))):
            if all(index is not None for index in native):
                out[i] = self.values(planes.take(native[0], 1).take(native[1], 2))  # type: ignore[arg-type]
                continue
            found = planes.astype(np.float32) * np.float32(2.0**-SAMPLE_BITS)
            for axis, where in enumerate(space, 1):
                found = interpolate(found, axis, where)
            wide = np.zeros((len(self.init.pictures.planes.names), *found.shape[1:]), np.float32)
            wide[: len(found)] = found
            out[i] = self.init.pictures.planes.to_values(wide, self.info.channels, offset_of("video"))
        return out

    def values(self, planes: Whole) -> Floats:
        """Values (…, C) of whole planes (P, …), exact."""
        return values_of(planes, len(self.init.pictures.planes.names), self.info.channels)

    def sample(self, chunk: int, positions: Positions) -> Floats:
        """Values (N, C) at native positions (N, 3)."""
        frames, out = self._at(chunk, positions[:, 0]), np.empty((len(positions), self.info.channels), np.float32)
        for frame in np.flatnonzero(np.bincount(frames)):
            mine = np.flatnonzero(frames == frame)
            values = self.values(self._frames(chunk, np.array([frame]))[0])
            out[mine] = interpolate_points(values, positions[mine, 1:])
        return out


_OTHERS = (
    SectionType.CELLS, SectionType.OVERLAY, SectionType.HEADS, SectionType.DELTA, SectionType.FRAMES,
    SectionType.SAMPLES,
)  # fmt: skip
