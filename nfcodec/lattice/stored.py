"""Signals on a lattice: CELLS sections, regions and layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock

import numpy as np

from nfcodec.container.layout import Header, SectionType
from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError, UnsupportedFeatureError
from nfcodec.families import Box, Deltas, Preview
from nfcodec.lattice.code import RegionBytes, RegionCoder
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.order import MOST_QUALITY
from nfcodec.lattice.preview import preview
from nfcodec.lattice.renderer import LatticeRenderer, gathered
from nfcodec.lattice.space import Space, box_of, section_run, unpack_run
from nfcodec.lattice.spec import MOST_LAYERS
from nfcodec.lattice.stored_heads import StoredHeads
from nfcodec.lattice.stored_palette import StoredOverlay
from nfcodec.limits import Limits
from nfcodec.options import Tune
from nfcodec.parallel import ordered_map
from nfcodec.signal import Floats, SignalInfo
from nfcodec.types import Doubles, Indices, Positions, Span, Symbols
from nfcodec.values_field import ValuesField


class LatticeField(ValuesField):
    """The lattice of a file, region by region. Raises :class:`CorruptError` when header and sections do not match.

    ``partial``: layers that are not there are zeros; without any, a region is the mean of the init.
    """

    def __init__(
        self, init: LatticeInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits,
        coder: RegionCoder, *, partial: bool,
    ) -> None:  # fmt: skip
        self.init, self.reader, self.info, self.limits, self._coder = init, reader, info, limits, coder
        self.header: Header = reader.header
        self._reading = Lock()
        self.quality = self.header.quality + init.finer
        if self.quality > MOST_QUALITY:
            raise CorruptError(f"quality {self.header.quality} is too fine for cells of {self.header.spacing} samples")
        self.spaces = [Space.of(self.info.shape, level.spec) for level in init.levels]
        if self.header.chunk_rows != self.space.chunk_rows:
            raise CorruptError(f"{self.header.chunk_rows} rows of cells per chunk do not fit a lattice")
        self._planes = [init.coded_planes(i, info.channels) for i in range(len(init.levels))]
        self._layers = [len(v.spec.layers) if n else 0 for v, n in zip(init.levels, self._planes, strict=True)]
        self._entries = _by_region(index, self.space.count, self._layers, partial=partial)
        self._heads = StoredHeads(init, self.spaces[-1], reader, index, limits)
        self._renderer = LatticeRenderer(init, self.spaces, self.quality, info, self._decoded, self._heads.chunk)
        self.overlay = StoredOverlay(reader, index, info, self.chunk_length, limits)
        if self.overlay and len(info.shape) != 2:
            raise CorruptError(f"an overlay of a signal of {len(info.shape)} axes")

    @property
    def level(self) -> Level:
        """The first level."""
        return self.init.levels[0]

    @property
    def space(self) -> Space:
        """The cells of the first level."""
        return self.spaces[0]

    @property
    def chunk_length(self) -> int:
        """Samples of axis 0 in one row of regions."""
        return self.space.chunk_rows * self.level.spec.spacing[0]

    def symbols(self, chunk: int) -> Symbols:
        """The symbols of a row of regions, one region after the other and in each level after level, the numbers of its
        overlay, and the heads of its blocks: (n,)."""
        levels = [i for i, planes in enumerate(self._planes) if planes]
        parts = [self._decoded(r.index, level).ravel() for r in self.space.row(chunk) for level in levels]
        overlay, heads = self.overlay.chunk(chunk), self._heads.chunk(chunk)
        over = [] if overlay is None else [overlay.numbers()]
        return np.concatenate([*parts, *over, *([] if heads is None else [heads.astype(np.int32).ravel()])])

    @property
    def covered(self) -> bool:
        """Whether an overlay lies over the lattice."""
        return bool(self.overlay)

    @property
    def trade(self) -> float:
        """λ: squared error of the values, summed, per bit."""
        return self.init.plane_trade(self.quality) / self.init.planes.unit(self.info.channels)

    @property
    def tune(self) -> Tune:
        """As the header says it."""
        return "perceptual" if self.header.perceptual else "psnr"

    def deltas(self) -> Deltas:
        """Symbols int32 (P, K, *cells) and steps (P, K); :class:`UnsupportedFeatureError` where there are several
        levels, whose cells have no common places."""
        if len(self.spaces) > 1:
            levels = len(self.spaces)
            raise UnsupportedFeatureError(f"init {self.init.id}: the cells of {levels} levels are no one array")
        spec = self.level.spec
        out = np.empty((len(spec.planes), spec.bases, *self.space.cells), np.int32)
        for index in range(self.space.count):
            out[self.space.box(index).cells] = self._decoded(index, 0)
        return Deltas(out, self.level.steps(self.quality))

    def lacking(self) -> str:
        """Which layers are not there; those of all levels count in their order."""
        known: Counter[int] = Counter()
        for (region, _), entries in self._entries.items():
            known[region] += sum(section_run(e.first or 0)[3] for e in entries)
        regions = self.space.count
        least = min(known.values()) if len(known) == regions else 0
        most = sum(self._layers)
        if least == most:
            return ""
        ahead = sum(n > least for n in known.values())
        more = f", and of {ahead} of {regions} regions more" if ahead else ""
        return f"{least} of {most} layers are there{more}"

    def preview(self, step: int, box: Box, *, rough: bool) -> Preview | None:
        """From the first layers alone, see :mod:`nfcodec.lattice.preview`."""
        if len(self.spaces) > 1 or len(self.info.shape) != 2:
            return None
        return preview(self, step, box, rough=rough)

    def _decoded(self, region: int, level: int) -> Symbols:
        if not self._planes[level]:
            spec = self.init.levels[level].spec
            return np.zeros((len(spec.planes), spec.bases, *self.spaces[level].box(region).shape), np.int32)
        return self._coder.decode(self.init.levels[level].prior, self._coded(region, level, MOST_LAYERS))

    def _coded(self, region: int, level: int, layers: int) -> RegionBytes:
        payloads: list[bytes] = []
        for entry in self._entries.get((region, level), ()):
            if len(payloads) < layers:
                with self._reading:  # regions are decoded on threads
                    data = self.reader.read(entry).payload
                payloads += unpack_run(data, len(self.spaces)).payloads
        shape, quality, planes = self.spaces[level].box(region).shape, self.quality, self._planes[level]
        return RegionBytes(payloads[:layers], shape, quality, planes, self.limits)

    def lowest(self, rows: Span, columns: Span, bases: int, layers: int) -> Floats:
        """Last layers (P·bases, …) of the cells [rows) × [columns) from the first ``layers`` of the file alone, without
        D's correction: the lowest ``bases`` of every plane."""
        offset = self.level.base[:, :bases, None, None]

        def weights(coded: RegionBytes) -> Floats:
            symbols = self._coder.decode(self.level.prior, coded)
            sizes = self.level.sizes(symbols, self.quality)
            sizes = sizes[:, :bases] if sizes.ndim > 2 else sizes[:, :bases, None, None]
            found = symbols[:, :bases] * sizes + offset
            return np.asarray(found.reshape(-1, *symbols.shape[2:]), np.float32)

        part = box_of([rows, columns])
        touched = [region.index for region in self.space.touched(part)]
        found = ordered_map(weights, (self._coded(index, 0, layers) for index in touched))
        known = dict(zip(touched, found, strict=True))
        return gathered(self.space, part, lambda region: known[region.index])

    def coded_samples(self, index: list[Indices]) -> Doubles:
        """Whole planes (P, n_0, …) of a grid of samples, before Y and beneath overlays, in 2^-32."""
        return self._renderer.coded(index)

    def render(self, chunk: int, positions: list[Positions]) -> Floats:  # noqa: ARG002 (needs no chunk)
        """Values (n_0, …, C) on the grid of native positions."""
        return self._over(positions, lambda: self._renderer.render(positions))

    def render_dense(self, chunk: int, positions: list[Positions]) -> Floats:  # noqa: ARG002
        """Values (n_0, …, C) on a grid that is there to be low-passed: between the samples, from the samples."""
        return self._over(positions, lambda: self._renderer.render_dense(positions))

    def _over(self, positions: list[Positions], below: Callable[[], Floats]) -> Floats:
        return self.overlay.over(positions, below) if self.overlay else below()

    def sample(self, chunk: int, positions: Positions) -> Floats:  # noqa: ARG002
        """Values (N, C) at native positions (N, d)."""
        values = self._renderer.sample(positions)
        return self.overlay.at(positions, values) if self.overlay else values


def _by_region(
    index: list[Entry], regions: int, layers: list[int], *, partial: bool
) -> dict[tuple[int, int], list[Entry]]:  # fmt: skip
    """The CELLS sections of every (region, level), in order of their layers, of which levels have ``layers``; complete
    unless ``partial``."""
    runs: dict[tuple[int, int], list[tuple[range, Entry]]] = {}
    for entry in index:
        if entry.type == SectionType.DELTA:
            raise CorruptError("DELTA section in a file of a lattice")
        if entry.type == SectionType.CELLS and entry.first is not None:
            region, level, first, count = section_run(entry.first, len(layers))
            if first + count > layers[level]:
                raise CorruptError(f"layers up to {first + count} of region {region}, there are {layers[level]}")
            runs.setdefault((region, level), []).append((range(first, first + count), entry))
    # By number and maximum: the header of a small file can announce millions of regions.
    wanted, last = regions * sum(n > 0 for n in layers), max((region for region, _ in runs), default=0)
    if last >= regions or (not partial and len(runs) != wanted):
        raise CorruptError(f"CELLS sections of {len(runs)} regions for {wanted} regions")
    return {at: _in_order(at[0], parts, layers[at[1]], partial=partial) for at, parts in runs.items()}


def _in_order(region: int, parts: list[tuple[range, Entry]], count: int, *, partial: bool) -> list[Entry]:
    """The sections of one region by layer. What comes after a layer that is missing cannot be decoded."""
    layers = [layer for run, _ in parts for layer in run]
    if len(set(layers)) != len(layers):
        raise CorruptError(f"a layer of region {region} comes twice")
    if len(layers) != count and not partial:
        raise CorruptError(f"{len(layers)} layers of region {region}, {count} are needed")
    known, entries = 0, []
    for run, entry in sorted(parts, key=lambda part: part[0].start):
        if run.start != known:
            break
        known = run.stop
        entries.append(entry)
    return entries
