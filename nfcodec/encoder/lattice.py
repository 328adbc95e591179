"""Encode a picture on a lattice, region by region.

The reported PSNR is of the symbols that are written, rendered by the functions that the decoder uses. That the bytes
decode to these symbols is checked on the finished file (``EncodeOptions.verify``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.adapt.deadline import share
from nfcodec.adapt.lattice.region import Plan, adapt_region, region_weights
from nfcodec.adapt.lattice.window import cut_window, mirrored
from nfcodec.coding.planes import encode_plane
from nfcodec.coding.prior import encode_region
from nfcodec.container.layout import SectionType, chunk_payload, front_size, section_size
from nfcodec.container.writer import Writer
from nfcodec.decoder.lattice import LatticeRenderer
from nfcodec.encoder.base import Encoder
from nfcodec.encoder.progress import SearchProgress
from nfcodec.encoder.targets import Attempt, Trial, find, goal_of
from nfcodec.errors import UnsupportedMediaError
from nfcodec.fields.coords import sample_positions
from nfcodec.fields.parallel import ordered_map
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.regions import LAYERS, LayerRun, Layout, Region, pack_run
from nfcodec.lattice.synthesis import to_planes
from nfcodec.metrics import ErrorSum
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Block, Floats, Ints, Source

Symbols = npt.NDArray[np.int32]

# Layers of a smaller region share one section: twelve bytes of framing would be felt.
_SPLIT_FROM = 4096


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

    def sections(self) -> list[tuple[int, bytes]]:
        """(first layer, payload) of every CELLS section: coarse layers first, each layer region by region."""
        runs = [run for i, region in enumerate(self.regions) for run in region.runs(i)]
        return [(run.first, pack_run(run)) for layer in range(LAYERS) for run in runs if run.first == layer]


class LatticeEncoder(Encoder):
    """Encodes one picture with a lattice init."""

    def __init__(self, source: Source, init: LatticeInit, options: EncodeOptions, progress: Progress | None) -> None:
        super().__init__(source, init, options, progress)
        self.init = init
        self._check_field()
        self.layout = Layout.of(self.info.shape, init.spec.spacing)
        self.rows = self.layout.chunk_rows
        self._chunk_length = self.rows * init.spec.spacing[0]
        self._deadline = None if options.max_time is None else time.monotonic() + options.max_time

    def _check_field(self) -> None:
        info = self.info
        if len(info.shape) != self.init.spec.axes or info.channels not in (1, 3):
            raise UnsupportedMediaError(
                f"init {self.init.id} takes pictures of 1 or 3 channels, "
                f"not {info.modality} of {len(info.shape)} axes and {info.channels} channels"
            )

    def write_signal(self, writer: Writer) -> int:
        """CELLS sections, coarse layers first, and one ALPHA section per row of regions."""
        values, alpha = self._collect()
        planes = [] if alpha is None else list(self._alpha_payloads(alpha))
        picture = self._choose(values, planes)
        self.quality, self.error = picture.quality, picture.error
        cells = picture.sections()
        for _, payload in (c for c in cells if c[0] == 0):
            writer.add(SectionType.CELLS, payload)
        for payload in planes:
            writer.add(SectionType.ALPHA, payload)
        for _, payload in (c for c in cells if c[0] > 0):
            writer.add(SectionType.CELLS, payload)
        self._hash(picture.regions, alpha)
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
        rest = [*alpha, *(payload for _, payload in self.metadata_sections())]
        wide = mirrored(to_planes(torch.from_numpy(values)), self.layout, self.init.spec.spacing)

        def attempt(trial: Trial) -> Attempt[CodedPicture]:
            plan = Plan.of(trial.quality, trial.effort, rounding=trial.rounding, deadline=trial.deadline)
            regions = list(self._encoded(wide, plan))
            picture = CodedPicture(trial.quality, regions, self._error(values, regions, trial.quality))
            size = self._file_size([payload for _, payload in picture.sections()] + rest)
            return Attempt(trial, size, picture.error.psnr(self.info.measured_peak), picture)

        options, deadline = self.options, self._deadline
        goal = goal_of(options, self.info.samples, self._file_size(rest))
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

    def _file_size(self, payloads: list[bytes]) -> int:
        """Bytes of a file of these sections."""
        return front_size(replace(self.header(), sections=len(payloads))) + sum(section_size(len(p)) for p in payloads)

    # -- regions -----------------------------------------------------------------------------------------
    def _encoded(self, wide: Tensor, plan: Plan) -> Iterator[CodedRegion]:
        """Every region alone, on one thread each; a single one has all threads to itself."""
        many = self.layout.count > 1
        workers = torch.get_num_threads() if many else 1

        def coded(index: int) -> CodedRegion:
            rounds = -(-(self.layout.count - index) // workers)
            fair = replace(plan, deadline=share(plan.deadline, rounds))
            return self._region(wide, self.layout.region(index), fair)

        for index, region in enumerate((ordered_map if many else map)(coded, range(self.layout.count))):
            self.tick(float(np.prod(self.layout.region(index).shape) * np.prod(self.init.spec.spacing)))
            yield region

    def _region(self, wide: Tensor, region: Region, plan: Plan) -> CodedRegion:
        planes, spacing = self.info.channels, self.init.spec.spacing
        if self.constant:
            symbols = np.zeros((3, self.init.spec.bases, *region.shape), np.int32)
        else:
            window = cut_window(wide, self.info.shape, self.layout, region, spacing)
            weights = region_weights(self.init, wide, self.info.shape, self.layout, region)
            symbols = adapt_region(self.init, window, weights, plan, planes=planes)
        payloads = tuple(encode_region(self.init.prior, symbols, quality=plan.quality, planes=planes))
        return CodedRegion(symbols, payloads)

    def _error(self, values: Floats, regions: list[CodedRegion], quality: int) -> ErrorSum:
        """The error of the rendered picture, on samples as they would be written."""
        renderer = LatticeRenderer(self.init, self.layout, quality, self.info.channels, lambda i: regions[i].symbols)
        columns, error = sample_positions(0.0, float(self.info.shape[1]), self.info.shape[1]), ErrorSum()
        for top in range(0, len(values), self._chunk_length):
            part = values[top : top + self._chunk_length]
            rows = sample_positions(float(top), float(top + len(part)), len(part))
            error.add(self.written(part), self.written(renderer.render([rows, columns])))
        return error

    def _hash(self, regions: list[CodedRegion], alpha: Ints | None) -> None:
        """The digest in the decoder's order: row of regions by row, each followed by its alpha."""
        for y in range(self.layout.rows):
            for region in self.layout.row(y):
                self.symbols.update(regions[region.index].symbols.astype("<i4").tobytes())
            if alpha is not None:
                self.hash_alpha(alpha[y * self._chunk_length : (y + 1) * self._chunk_length])
