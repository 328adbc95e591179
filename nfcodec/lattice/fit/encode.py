"""Encode a picture on a lattice, region by region.

The reported PSNR is of the symbols that are written, rendered by the functions that the decoder uses. That the bytes
decode to these symbols is checked on the finished file (``EncodeOptions.verify``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.container.layout import SectionType, chunk_payload, front_size, section_size
from nfcodec.container.writer import Writer
from nfcodec.coords import sample_positions
from nfcodec.deadline import share
from nfcodec.encoder.base import Encoder
from nfcodec.encoder.fill import extended, filled
from nfcodec.encoder.progress import SearchProgress
from nfcodec.encoder.targets import Attempt, Goal, Trial, find, goal_of
from nfcodec.entropy.lossless import encode_plane
from nfcodec.errors import UnsupportedMediaError
from nfcodec.lattice.code import ALONE, Known, KnownKey, RegionCoder, RegionSymbols
from nfcodec.lattice.fit.adapt import Plan, adapt_region, region_weights
from nfcodec.lattice.fit.labels import label_overlays
from nfcodec.lattice.fit.palette import Draft
from nfcodec.lattice.fit.palette_search import EvenParts, Overlays, OverlaySearch, even_parts, lattice_costs
from nfcodec.lattice.fit.window import cut_window, mirrored
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.regions import LAYERS, LayerRun, Layout, Region, pack_run
from nfcodec.lattice.stored import LatticeRenderer
from nfcodec.lattice.synthesis import to_planes
from nfcodec.metrics import ErrorSum
from nfcodec.options import EncodeOptions, Progress
from nfcodec.parallel import ordered_map
from nfcodec.signal import Block, Floats, Ints, Source

Symbols = npt.NDArray[np.int32]

# Layers of a smaller region share one section: twelve bytes of framing would be felt.
_SPLIT_FROM = 4096
# From this effort on several palettes are tried in full.
_AT_LENGTH = 5


@dataclass(frozen=True)
class CodedRegion:
    """Symbols of one region and the payloads of its layers."""

    symbols: Symbols
    payloads: tuple[bytes, ...]

    def runs(self, region: int) -> list[LayerRun]:
        """The sections that hold the region."""
        if sum(map(len, self.payloads)) < _SPLIT_FROM:
            return [LayerRun(region, 0, self.payloads)]
        return [LayerRun(region, i, (p,)) for i, p in enumerate(self.payloads)]


@dataclass(frozen=True)
class CodedPicture:
    """All regions, and the error of what they decode to."""

    quality: int
    regions: list[CodedRegion]
    error: ErrorSum
    overlays: tuple[Draft | None, ...] = ()

    def known(self, planes: int) -> dict[KnownKey, Symbols]:
        """The symbols of all regions by what a decoder reads."""
        return {(r.payloads, r.symbols.shape[2:], self.quality, planes): r.symbols for r in self.regions}

    def overlay_sections(self) -> list[bytes]:
        """The payloads of the OVERLAY sections."""
        return [chunk_payload(i, o.payload) for i, o in enumerate(self.overlays) if o is not None]

    def payloads(self) -> list[bytes]:
        """Of all sections that hold the picture."""
        return [*self.overlay_sections(), *(payload for _, payload in self.sections())]

    def sections(self) -> list[tuple[int, bytes]]:
        """(first layer, payload) of every CELLS section: coarse layers first, each layer region by region."""
        runs = [run for i, region in enumerate(self.regions) for run in region.runs(i)]
        return [(run.first, pack_run(run)) for layer in range(LAYERS) for run in runs if run.first == layer]


@dataclass(frozen=True)
class Scene:
    """A picture (h, w, C), what the lattice is to show of it as mirrored planes, and what lies over that, chunk by
    chunk. ``empty``: nothing of the lattice shows."""

    values: Floats
    wide: Tensor
    overlays: tuple[Draft | None, ...] = ()
    empty: bool = False


class LatticeEncoder(Encoder):
    """Encodes one picture with a lattice init."""

    def __init__(
        self, source: Source, init: LatticeInit, options: EncodeOptions, progress: Progress | None,
        coder: RegionCoder = ALONE,
    ) -> None:  # fmt: skip
        super().__init__(source, init, options, progress)
        self.init, self.coder = init, coder
        self._check_field()
        self.layout = Layout.of(self.info.shape, init.spec.spacing)
        self.rows = self.layout.chunk_rows
        self._chunk_length = self.rows * init.spec.spacing[0]
        self._deadline = None if options.max_time is None else time.monotonic() + options.max_time
        self._alpha: Ints | None = None

    def _check_field(self) -> None:
        info = self.info
        if len(info.shape) != self.init.spec.axes or info.channels not in (1, 3):
            raise UnsupportedMediaError(
                f"init {self.init.id} takes pictures of 1 or 3 channels, "
                f"not {info.modality} of {len(info.shape)} axes and {info.channels} channels"
            )

    def write_signal(self, writer: Writer) -> int:
        """OVERLAY sections, CELLS sections, coarse layers first, and one ALPHA section per row of regions."""
        values, alpha = self._collect()
        self._alpha = alpha
        planes = [] if alpha is None else list(self._alpha_payloads(alpha))
        picture = self._choose(values, planes)
        self.quality, self.error = picture.quality, picture.error
        cells = picture.sections()
        for payload in picture.overlay_sections():
            writer.add(SectionType.OVERLAY, payload)
        for _, payload in (c for c in cells if c[0] == 0):
            writer.add(SectionType.CELLS, payload)
        for payload in planes:
            writer.add(SectionType.ALPHA, payload)
        for _, payload in (c for c in cells if c[0] > 0):
            writer.add(SectionType.CELLS, payload)
        self._hash(picture, alpha)
        self.coder = Known(picture.known(self.info.channels), self.coder)
        return len(values)

    def _collect(self) -> tuple[Floats, Ints | None]:
        """The whole picture. Its rows are needed twice where a target is searched for."""
        blocks: list[Block] = list(self.source.blocks(self._chunk_length))
        if not blocks:
            raise UnsupportedMediaError("the input holds no samples")
        alpha = [b.alpha for b in blocks if b.alpha is not None]
        return np.concatenate([b.values for b in blocks]), np.concatenate(alpha) if alpha else None

    def _alpha_payloads(self, alpha: Ints) -> Iterator[bytes]:
        for chunk, top in enumerate(range(0, len(alpha), self._chunk_length)):
            yield chunk_payload(chunk, encode_plane(alpha[top : top + self._chunk_length]))

    # -- rate control ------------------------------------------------------------------------------------
    def _choose(self, values: Floats, alpha: list[bytes]) -> CodedPicture:
        """The picture at the quality asked for, or at the one that meets the target."""
        rest = [*alpha, *(payload for _, payload in self.metadata_sections)]
        values, parts = self._seen(values)
        scene, labels = Scene(values, self._wide(values)), label_overlays(values, self.info, self._chunk_length)

        def attempt(trial: Trial) -> Attempt[CodedPicture]:
            plan = Plan.of(trial.quality, trial.effort, rounding=trial.rounding, deadline=trial.deadline)
            if exact is not None:
                made = self._picture(exact, plan)
            elif parts is None:
                made = self._picture(scene, plan)
            else:
                made = self._overlaid(scene, parts, plan, trial.effort)
            size = self._file_size(made.payloads() + rest)
            return Attempt(trial, size, made.error.psnr(self.info.measured_peak), made)

        options, deadline = self.options, self._deadline
        goal = goal_of(options, self.info.samples, self._file_size(rest))
        exact = None if labels is None else self._below(values, labels)
        if exact is not None and goal is not None and goal.sized and not self._fits(exact, rest, goal):
            exact = None
            self.warnings.append("the few values of the picture are not kept exactly: that would be over the target")
        if goal is None:
            return attempt(Trial(options.quality, 0.0, options.effort, deadline)).result
        progress = self._progress = SearchProgress(self._progress, float(self.info.samples))

        def watched(trial: Trial) -> Attempt[CodedPicture]:
            self._done = 0.0
            progress.begin(draft=trial.draft)
            made = attempt(trial)
            progress.psnr = made.psnr
            return made

        found = find(watched, goal, effort=options.effort, deadline=deadline)
        progress.finish()
        self.warnings += [found.warning] if found.warning else []
        return found.attempt.result

    def _fits(self, scene: Scene, rest: list[bytes], goal: Goal) -> bool:
        """Whether the overlays of a scene without anything else meet a target."""
        drafts = [chunk_payload(i, d.payload) for i, d in enumerate(scene.overlays) if d is not None]
        return self._file_size(drafts + rest) <= goal.limit

    def _seen(self, values: Floats) -> tuple[Floats, EvenParts | None]:
        """The picture without what alpha hides, and what of it an overlay could hold."""
        shown, effort = self.shown(values, self._alpha), self.options.effort
        if shown is values:
            return values, even_parts(values, self.info, effort=effort)
        assert self._alpha is not None
        flat = extended(values, self._alpha == 0)
        parts = even_parts(flat, self.info, effort=effort, seen=self._alpha > 0)
        return shown if parts is None else flat, parts

    def _file_size(self, payloads: list[bytes]) -> int:
        """Bytes of a file of these sections."""
        return front_size(replace(self.header(), sections=len(payloads))) + sum(section_size(len(p)) for p in payloads)

    # -- overlays ----------------------------------------------------------------------------------------
    def _wide(self, values: Floats) -> Tensor:
        """Mirrored planes of the whole picture."""
        return mirrored(to_planes(torch.from_numpy(values)), self.layout, self.init.spec.spacing)

    def _below(self, values: Floats, overlays: Overlays) -> Scene:
        """The picture with ``overlays``."""
        return Scene(values, self._wide(filled(values, overlays.opaque)), overlays.drafts, bool(overlays.opaque.all()))

    def _overlaid(self, scene: Scene, parts: EvenParts, plan: Plan, effort: int) -> CodedPicture:
        """The picture with an overlay where that pays, seen at effort 1, and without one where it does not."""
        quick = replace(plan, rounds=0)
        plain = self._coded(scene, quick)
        rendered = np.concatenate(list(self._rendered(plain)))
        plain = replace(plain, error=self._error(scene.values, [rendered]))
        palettes = 1 if effort < _AT_LENGTH else 3
        search = OverlaySearch(parts, self._chunk_length, self._error_bits(plan), palettes=palettes)
        cheaper = search.cheaper(self._costs(plain, rendered, parts, plan))
        options = [(scene, plain)]
        # All blocks of few colours, too: what a border between lattice and overlay costs is in no block's account.
        for blocks in [cheaper, parts.blocks] if (cheaper != parts.blocks).any() else [cheaper]:
            if blocks.any():
                over = self._below(scene.values, search.finals(blocks))
                options.append((over, self._picture(over, quick)))
        scene, best = min(options, key=lambda option: self._weight(option[1], plan))
        return self._picture(scene, plan) if plan.rounds and not scene.empty else best

    def _error_bits(self, plan: Plan) -> float:
        """Bits that one unit of squared error of 8-bit samples is worth."""
        grey = 3.0 if self.info.channels == 1 else 1.0
        return grey / (255.0**2 * plan.trade(self.init))

    def _costs(
        self, picture: CodedPicture, rendered: Floats, parts: EvenParts, plan: Plan
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """What the lattice's samples (h, w) cost in bits, errors included; ``rendered``: what it decodes to."""
        errors = ((np.clip(rendered, 0.0, 1.0) * 255.0 - parts.samples) ** 2).sum(-1) * self._error_bits(plan)
        regions = [(r.symbols, sum(map(len, r.payloads))) for r in picture.regions]
        bits = lattice_costs(regions, self.layout.columns, self.init.spec.spacing[0])
        return np.asarray(errors + bits[: errors.shape[0], : errors.shape[1]], np.float64)

    def _weight(self, picture: CodedPicture, plan: Plan) -> float:
        """Bits of the picture and of its errors."""
        squared = picture.error.error * (255.0 / self.info.measured_peak) ** 2
        return 8.0 * sum(map(len, picture.payloads())) + squared * self._error_bits(plan)

    # -- regions -----------------------------------------------------------------------------------------
    def _picture(self, scene: Scene, plan: Plan) -> CodedPicture:
        picture = self._coded(scene, plan)
        return replace(picture, error=self._error(scene.values, self._rendered(picture)))

    def _coded(self, scene: Scene, plan: Plan) -> CodedPicture:
        """The picture before its error is known."""
        return CodedPicture(plan.quality, list(self._encoded(scene, plan)), ErrorSum(), scene.overlays)

    def _encoded(self, scene: Scene, plan: Plan) -> Iterator[CodedRegion]:
        """Every region alone, on one thread each; a single one has all threads to itself."""
        many = self.layout.count > 1
        workers = torch.get_num_threads() if many else 1

        def coded(index: int) -> CodedRegion:
            rounds = -(-(self.layout.count - index) // workers)
            fair = replace(plan, deadline=share(plan.deadline, rounds))
            return self._region(scene, self.layout.region(index), fair)

        for index, region in enumerate((ordered_map if many else map)(coded, range(self.layout.count))):
            self.tick(float(np.prod(self.layout.region(index).shape) * np.prod(self.init.spec.spacing)))
            yield region

    def _region(self, scene: Scene, region: Region, plan: Plan) -> CodedRegion:
        planes, spacing = self.info.channels, self.init.spec.spacing
        if self.constant or scene.empty:
            symbols = np.zeros((3, self.init.spec.bases, *region.shape), np.int32)
        else:
            window = cut_window(scene.wide, self.info.shape, self.layout, region, spacing)
            weights = region_weights(self.init, scene.wide, self.info.shape, self.layout, region)
            symbols = adapt_region(self.init, window, weights, plan, planes=planes)
        payloads = self.coder.encode(self.init.prior, RegionSymbols(symbols, plan.quality, planes))
        return CodedRegion(symbols, tuple(payloads))

    def _rendered(self, picture: CodedPicture) -> Iterator[Floats]:
        """What the picture decodes to, a row of regions at a time."""
        regions = picture.regions
        renderer = LatticeRenderer(
            self.init, self.layout, picture.quality, self.info.channels, lambda i: regions[i].symbols
        )  # fmt: skip
        height, width = self.info.shape
        columns = sample_positions(0.0, float(width), width)
        for chunk, top in enumerate(range(0, height, self._chunk_length)):
            bottom = min(height, top + self._chunk_length)
            values = renderer.render([sample_positions(float(top), float(bottom), bottom - top), columns])
            over = picture.overlays[chunk] if picture.overlays else None
            yield values if over is None else over.overlay.over(values)

    def _error(self, values: Floats, pieces: Iterable[Floats]) -> ErrorSum:
        """The error of a picture rendered in pieces, on samples as they would be written."""
        error, top = ErrorSum(), 0
        for rendered in pieces:
            rows = slice(top, top + len(rendered))
            self.measure(error, values[rows], rendered, None if self._alpha is None else self._alpha[rows])
            top += len(rendered)
        return error

    def _hash(self, picture: CodedPicture, alpha: Ints | None) -> None:
        """The digest in the decoder's order: row of regions by row, each followed by its overlay and its alpha."""
        for y in range(self.layout.rows):
            for region in self.layout.row(y):
                self.symbols.update(picture.regions[region.index].symbols.astype("<i4").tobytes())
            over = picture.overlays[y] if picture.overlays else None
            if over is not None:
                self.symbols.update(over.overlay.numbers().astype("<i4").tobytes())
            if alpha is not None:
                self.hash_alpha(alpha[y * self._chunk_length : (y + 1) * self._chunk_length])
