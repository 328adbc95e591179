"""What became of the regions of a signal: symbols and bytes, before they are sections of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from nfcodec.container.layout import chunk_payload
from nfcodec.coords import sample_positions
from nfcodec.errors import UnsupportedMediaError
from nfcodec.lattice.code import KnownKey, RegionCoder, RegionSymbols
from nfcodec.lattice.fit.adapt import Adapted, Plan, adapt_region, region_weights
from nfcodec.lattice.fit.palette import Draft
from nfcodec.lattice.fit.window import Mirrored, cut_window
from nfcodec.lattice.heads import blocks, encode_heads
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.renderer import LatticeRenderer
from nfcodec.lattice.space import Box, LayerRun, Space, pack_run
from nfcodec.metrics import ErrorSum
from nfcodec.signal import SignalInfo
from nfcodec.silence import Silence
from nfcodec.types import Bytes, Floats, Ints, Symbols

# Layers of a smaller region share one section: twelve bytes of framing would be felt.
SPLIT_FROM = 4096


def check_field(init: LatticeInit, info: SignalInfo) -> None:
    """Raise :class:`UnsupportedMediaError` for signals that the init is not made for."""
    if not init.takes(info):
        raise UnsupportedMediaError(
            f"init {init.id} takes {init.modality} of {init.axes} axes and 1 or {init.planes.channels} channels, "
            f"not {info.modality} of {len(info.shape)} axes and {info.channels} channels"
        )


@dataclass(frozen=True)
class CodedRegion:
    """Symbols of one region of one level, and the payloads of its layers; none where the level is not coded. A picture
    has as many symbols as samples, so they are ``kept`` in as few bytes each as hold them. ``heads`` (h, w) of its
    blocks, default the first."""

    level: int
    kept: Ints
    payloads: tuple[bytes, ...]
    heads: Bytes | None = None

    @classmethod
    def of(cls, level: int, found: Adapted, payloads: tuple[bytes, ...]) -> CodedRegion:
        """From symbols int32 (P, K, *cells)."""
        largest = np.abs(found.symbols).max()
        kinds = (kind for kind in (np.int8, np.int16) if largest <= np.iinfo(kind).max)
        return cls(level, found.symbols.astype(next(kinds, np.int32)), payloads, found.heads)

    @property
    def symbols(self) -> Symbols:
        """The symbols int32 (P, K, *cells), anew at each call."""
        return self.kept.astype(np.int32)

    def runs(self, region: int, *, split: bool = True) -> list[LayerRun]:
        """The sections that hold the region; ``split``: a large one has a section for each layer."""
        if not self.payloads:
            return []
        if not split or sum(map(len, self.payloads)) < SPLIT_FROM:
            return [LayerRun(region, 0, self.payloads, self.level)]
        return [LayerRun(region, i, (p,), self.level) for i, p in enumerate(self.payloads)]


@dataclass(frozen=True)
class LevelFit:
    """Fits one level of an init to signals of ``channels``."""

    init: LatticeInit
    number: int
    channels: int

    @property
    def planes(self) -> int:
        """How many of its planes are coded."""
        return self.init.coded_planes(self.number, self.channels)

    def region(
        self, wide: Tensor | Mirrored | None, shape: tuple[int, ...], space: Space, box: Box, plan: Plan,
        coder: RegionCoder,
    ) -> CodedRegion:  # fmt: skip
        """One region, from the mirrored planes ``wide`` of a signal of ``shape`` samples; None for one without
        symbols."""
        level, planes = self.init.dithered(plan.dither, plan.quality).levels[self.number], self.planes
        spec = level.spec
        found = Adapted(np.zeros((len(spec.planes), spec.bases, *box.shape), np.int32))
        if not planes:
            return CodedRegion.of(self.number, found, ())
        if wide is not None:
            found = adapt_region(
                level, cut_window(wide, shape, space, box, spec.spacing),
                region_weights(level, wide, shape, space, box),
                plan, planes=planes, trade=plan.trade(self.init),
            )  # fmt: skip
        payloads = coder.encode(level.prior, RegionSymbols(found.symbols, plan.quality, planes))
        return CodedRegion.of(self.number, found, tuple(payloads))

    def known(self, coded: CodedRegion, quality: int) -> dict[KnownKey, Ints]:
        """The symbols of a region by what a decoder reads."""
        key = self.init.levels[self.number].prior, coded.payloads, coded.kept.shape[2:], quality, self.planes
        return {key: coded.kept} if coded.payloads else {}


@dataclass(frozen=True)
class CodedPicture:
    """All regions of all levels, and the error of what they decode to; ``heads`` (h, w) of the blocks of each row of
    regions, None where all are 0."""

    quality: int
    levels: list[list[CodedRegion]]
    error: ErrorSum
    overlays: tuple[Draft | None, ...] = ()
    dither: tuple[int, ...] | None = None
    heads: tuple[Bytes | None, ...] = ()

    def heads_of(self, chunk: int) -> Bytes | None:
        """The heads of a chunk."""
        return self.heads[chunk] if self.heads else None

    def head_sections(self) -> list[bytes]:
        """The payloads of the HEADS sections."""
        return [chunk_payload(i, encode_heads(h)) for i, h in enumerate(self.heads) if h is not None]

    def overlay_sections(self) -> list[bytes]:
        """The payloads of the OVERLAY sections."""
        return [chunk_payload(i, o.payload) for i, o in enumerate(self.overlays) if o is not None]

    def hashed(self, chunk: int, regions: Sequence[int]) -> Iterator[bytes]:
        """What the digest is of in a row of ``regions``: symbols region by region, numbers of the overlay, heads."""
        for coded in (level[index] for index in regions for level in self.levels):
            yield coded.symbols.astype("<i4").tobytes() if coded.payloads else b""
        over, heads = self.overlays[chunk] if self.overlays else None, self.heads_of(chunk)
        if over is not None:
            yield over.overlay.numbers().astype("<i4").tobytes()
        if heads is not None:
            yield heads.astype("<i4").tobytes()

    def known(self, fits: Sequence[LevelFit]) -> dict[KnownKey, Ints]:
        """The symbols of all regions by what a decoder reads; ``fits`` of the levels."""
        every = [(fit, region) for fit, level in zip(fits, self.levels, strict=True) for region in level]
        return {key: found for fit, region in every for key, found in fit.known(region, self.quality).items()}

    def payloads(self) -> list[bytes]:
        """Of all sections that hold the picture."""
        return [*self.overlay_sections(), *self.head_sections(), *(payload for _, payload in self.sections())]

    def sections(self) -> list[tuple[tuple[int, int], bytes]]:
        """((level, first layer), payload) of every CELLS section: coarse levels and layers first, each layer region by
        region."""
        runs = [run for level in self.levels for i, region in enumerate(level) for run in region.runs(i)]
        runs.sort(key=lambda run: (run.level, run.first))  # stable
        return [((run.level, run.first), pack_run(run, len(self.levels))) for run in runs]


@dataclass(frozen=True)
class Scene:
    """A picture (*n, C), what the lattice is to show of it (*n, C), and what lies over that, chunk by chunk. ``empty``:
    nothing of the lattice shows."""

    values: Floats
    below: Floats
    overlays: tuple[Draft | None, ...] = ()
    empty: bool = False


def chunk_heads(regions: Sequence[CodedRegion], space: Space) -> tuple[Bytes | None, ...]:
    """The heads (h, w) of each row of regions, None where all are 0; nothing where no region has any."""
    if all(region.heads is None for region in regions):
        return ()

    def of_region(box: Box) -> Bytes:
        heads = regions[box.index].heads
        return np.zeros([blocks(n) for n in box.shape], np.uint8) if heads is None else heads

    rows = [np.concatenate([of_region(box) for box in space.row(y)], 1) for y in range(space.rows)]
    return tuple(row if row.any() else None for row in rows)


def rendered(
    init: LatticeInit, spaces: Sequence[Space], picture: CodedPicture, info: SignalInfo, rows: int,
    quiet: Silence | None = None,
) -> Iterator[Floats]:  # fmt: skip
    """What a picture decodes to, ``rows`` of samples at a time: values (…, C) with its overlays and its silence
    ``quiet``."""
    levels, height = picture.levels, info.shape[0]
    renderer = LatticeRenderer(
        init.dithered(picture.dither, picture.quality), spaces, picture.quality, info,
        lambda region, level: levels[level][region].symbols, picture.heads_of,
    )  # fmt: skip
    for chunk, top in enumerate(range(0, height, rows)):
        bottom = min(height, top + rows)
        across = [sample_positions(0.0, float(n), n) for n in info.shape[1:]]
        native = [sample_positions(float(top), float(bottom), bottom - top), *across]
        values = renderer.render(native)
        if quiet:
            quiet.apply(values, native[0])
        over = picture.overlays[chunk] if picture.overlays else None
        yield values if over is None else over.overlay.over(values)
