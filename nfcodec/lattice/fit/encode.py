"""Encode a picture on a lattice, region by region.

The reported PSNR is of the symbols that are written, rendered by the functions that the decoder uses. That the bytes
decode to these symbols is checked on the finished file (``EncodeOptions.verify``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.container.layout import SectionType, chunk_payload, front_size, section_size
from nfcodec.container.writer import Writer
from nfcodec.deadline import passed, share
from nfcodec.encoder.base import Encoder
from nfcodec.encoder.fill import extended, filled
from nfcodec.encoder.progress import SearchProgress
from nfcodec.encoder.targets import Attempt, Encode, Found, Goal, Trial, find, goal_of
from nfcodec.encoder.threads import torch_map
from nfcodec.entropy.lossless import encode_plane
from nfcodec.errors import UnsupportedMediaError
from nfcodec.lattice.code import ALONE, Known, RegionCoder
from nfcodec.lattice.fit.adapt import Plan
from nfcodec.lattice.fit.coded import CodedPicture, CodedRegion, LevelFit, Scene, check_field, chunk_heads, rendered
from nfcodec.lattice.fit.dither import best_dither
from nfcodec.lattice.fit.labels import label_overlays
from nfcodec.lattice.fit.palette_search import EvenParts, Overlays, OverlaySearch, even_parts, lattice_costs
from nfcodec.lattice.fit.spacings import promising
from nfcodec.lattice.fit.trial import Parts
from nfcodec.lattice.fit.turn import best_turn
from nfcodec.lattice.fit.window import Mirrored
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.native import PLANE_UNIT
from nfcodec.lattice.order import MOST_QUALITY
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.renderer import LevelRenderer
from nfcodec.lattice.space import Space
from nfcodec.metrics import ErrorSum
from nfcodec.options import EncodeOptions, Progress
from nfcodec.parallel import thread_count
from nfcodec.signal import Block, Floats, Ints, Source
from nfcodec.silence import Silence, pack_silence

# From this effort on several palettes are tried in full.
_AT_LENGTH = 5
# Squared errors say less of looks: wider cells are for pictures that cost at most this share with them.
_CLEARLY = 0.9
_USUAL = 50  # the quality that planes are turned for before a search knows its own


class LatticeEncoder(Encoder):
    """Encodes one picture with a lattice init."""

    def __init__(
        self, source: Source, init: LatticeInit, options: EncodeOptions, progress: Progress | None,
        coder: RegionCoder = ALONE,
    ) -> None:  # fmt: skip
        super().__init__(source, init, options, progress)
        self.perceptual = options.minded == "perceptual" and init.perceptual is not None
        self.own, self.coder = init.tuned(options.minded), coder
        check_field(init, self.info)
        self.use(None)
        self.offset = offset_of(self.info.modality)
        self._deadline = None if options.max_time is None else time.monotonic() + options.max_time
        self._alpha: Ints | None = None
        self._first: tuple[Plan, CodedPicture] | None = None
        self._alphas = dict[int, list[bytes]]()
        self._quiet: Silence | None = None

    def use(self, spacing: int | None) -> None:
        """Go on with cells so many samples apart; None: as they are in the init."""
        self.wider, self.init = spacing, self.own.at(spacing).turned(self.turn)
        levels = self.init.levels
        self.fits = [LevelFit(self.init, i, self.info.channels) for i in range(len(levels))]
        self.spaces = [Space.of(self.info.shape, level.spec) for level in levels]
        self.space = self.spaces[0]
        self.rows = self.space.chunk_rows
        self._chunk_length = self.rows * levels[0].spec.spacing[0]

    def write_signal(self, writer: Writer) -> int:
        """OVERLAY and HEADS sections, CELLS sections, coarse layers first, and one ALPHA section per row of regions."""
        values, self._alpha = self._collect()
        picture = self._fitted(values)
        self.quality, self.error, self.dither = picture.quality - self.init.finer, picture.error, picture.dither
        cells = picture.sections()
        first, later = ([p for at, p in cells if (at > (0, 0)) == more] for more in (False, True))
        for kind, payloads in (
            (SectionType.OVERLAY, picture.overlay_sections()), (SectionType.HEADS, picture.head_sections()),
            (SectionType.CELLS, first), (SectionType.ALPHA, self._alpha_payloads()), (SectionType.CELLS, later),
        ):  # fmt: skip
            for payload in payloads:
                writer.add(kind, payload)
        self._hash(picture, self._alpha)
        self.coder = Known(picture.known(self.fits), self.coder)
        return len(values)

    def _collect(self) -> tuple[Floats, Ints | None]:
        """The whole picture. Its rows are needed twice where a target is searched for."""
        blocks: list[Block] = list(self.source.blocks(self._chunk_length))
        if not blocks:
            raise UnsupportedMediaError("the input holds no samples")
        alpha = [b.alpha for b in blocks if b.alpha is not None]
        values = np.concatenate([b.values for b in blocks])
        self._quiet = self.find_silence(values, 0)
        return values, np.concatenate(alpha) if alpha else None

    def _alpha_payloads(self) -> list[bytes]:
        """Of the ALPHA sections, one per row of regions; made once for each height of these."""
        rows, alpha = self._chunk_length, self._alpha
        if alpha is not None and rows not in self._alphas:
            parts = enumerate(range(0, len(alpha), rows))
            self._alphas[rows] = [chunk_payload(i, encode_plane(alpha[top : top + rows])) for i, top in parts]
        return self._alphas.get(rows, [])

    # -- rate control ------------------------------------------------------------------------------------
    def _fitted(self, values: Floats) -> CodedPicture:
        """The picture at the quality asked for, or at the one that meets the target, with the cells that suit it."""
        plain = len(self.spaces) == 1 and self.init.axes == 2
        values, parts = self._seen(values, plain=plain)
        labels = label_overlays(values, self.info, self._chunk_length) if plain else None
        scene, options = Scene(values, values), self.options
        goal = goal_of(options, self.info, self._file_size(self._rest()))
        exact = None if labels is None else self._below(values, labels)
        if exact is not None and goal is not None and goal.sized and not self._fits(exact, goal):
            exact = None
            self.warnings.append("the few values of the picture are not kept exactly: that would be over the target")

        def attempt(trial: Trial) -> Attempt[CodedPicture]:
            quality = min(trial.quality + self.init.finer, MOST_QUALITY)  # a search may ask for more
            plan = Plan.of(
                quality, trial.effort, rounding=trial.rounding, deadline=trial.deadline, for_errors=not self.perceptual
            )
            if exact is not None:
                made = self._picture(exact, plan)
            elif parts is not None:
                made = self._overlaid(scene, parts, self._dithered(scene, plan), trial.effort)
            else:
                plan = self._dithered(scene, plan)
                made = self._first[1] if self._first and self._first[0] == plan else self._picture(scene, plan)
            self.dither = made.dither
            size = self._file_size(made.payloads() + self._rest())
            return Attempt(trial, size, made.error.psnr(self.info.measured_peak), made)

        smooth = plain and exact is None and parts is None
        if goal is not None:
            return self._searched(attempt, goal, scene if smooth else None)
        if smooth:
            self._settle(scene, options.quality, some := self._parts(scene))
            self._turn(some, options.quality)
        return attempt(Trial(options.quality, 0.0, options.effort, self._deadline)).result

    def _searched(self, attempt: Encode[CodedPicture], goal: Goal, scene: Scene | None) -> CodedPicture:
        """What meets the goal best. A ``scene`` is tried again with the cells that suit the quality that was found."""
        some = None if scene is None else self._parts(scene)
        self._turn(some, _USUAL)
        outer, found = self._progress, self._search(attempt, goal)
        if scene is not None and not passed(self._deadline):
            self._settle(scene, found.attempt.trial.quality, some)
            if self.wider is not None:
                self._progress = outer
                again = self._search(attempt, goal)
                if goal.better(again.attempt, found.attempt):
                    found = again
                else:
                    self.use(None)
        self.warnings += [found.warning] if found.warning else []
        return found.attempt.result

    def _search(self, attempt: Encode[CodedPicture], goal: Goal) -> Found[CodedPicture]:
        progress = self._progress = SearchProgress(self._progress, float(self.info.samples))

        def watched(trial: Trial) -> Attempt[CodedPicture]:
            self._done = 0.0
            progress.begin(draft=trial.draft)
            made = attempt(trial)
            progress.psnr = made.psnr
            return made

        found = find(watched, goal, effort=self.options.effort, deadline=self._deadline)
        progress.finish()
        return found

    def _settle(self, scene: Scene, quality: int, parts: Parts | None = None) -> None:
        """Use the spacing at which the first steps cost least, errors included; of some ``parts``, if there are any."""
        self.use(None)
        if self.constant or not self.own.spacings or passed(self._deadline):
            return
        luma = torch.from_numpy(scene.values.mean(-1)) * math.sqrt(len(self.own.planes.names))
        tried = promising(self.own, luma, quality)
        costs = dict[int | None, float]()
        heard, self._progress = self._progress, None  # the bar is of what comes after
        for spacing in [None, *tried] if tried else []:
            self.use(spacing)
            if parts is not None:
                costs[spacing] = parts.cost(self.init, quality + self.init.finer)
                continue
            plan = self._dithered(scene, Plan.of(quality + self.init.finer, 1))
            made = self._picture(scene, plan)
            costs[spacing] = self._weight(made, plan) * (_CLEARLY if spacing is None and self.perceptual else 1.0)
            if costs[spacing] <= min(costs.values()):
                self._first = plan, made
        self._progress, self._done = heard, 0.0
        self.use(min(costs, key=costs.__getitem__, default=None))

    def _turn(self, parts: Parts | None, quality: int) -> None:
        """Use the planes that suit the picture, by some parts of it."""
        if parts is not None and self.info.channels > 1 and not passed(self._deadline):
            self.turn = best_turn(self.init, parts, min(quality + self.init.finer, MOST_QUALITY))
            self.use(self.wider)

    def _parts(self, scene: Scene) -> Parts | None:
        """For choices by squared errors, from effort 2 on."""
        return Parts(scene.below) if self.options.effort > 1 and not (self.perceptual or self.constant) else None

    def _dithered(self, scene: Scene, plan: Plan) -> Plan:
        """The plan with the dither that suits the picture."""
        if len(self.spaces) > 1 or self.init.axes != 2 or self.constant or scene.empty:
            return plan
        wide = self._wide(0, torch.from_numpy(scene.below), None)
        return plan if wide is None else replace(plan, dither=best_dither(self.fits[0], wide, plan))

    def _rest(self) -> list[bytes]:
        """All payloads but those of the picture."""
        rest = [*self._alpha_payloads(), *(payload for _, payload in self.metadata_sections)]
        return rest + ([pack_silence(self._quiet)] if self._quiet else [])

    def _fits(self, scene: Scene, goal: Goal) -> bool:
        """Whether the overlays of a scene without anything else meet a target."""
        drafts = [chunk_payload(i, d.payload) for i, d in enumerate(scene.overlays) if d is not None]
        return self._file_size(drafts + self._rest()) <= goal.limit

    def _seen(self, values: Floats, *, plain: bool) -> tuple[Floats, EvenParts | None]:
        """The signal without what alpha hides, and what of it an overlay could hold, if it may have one (``plain``)."""
        shown, effort = self.shown(values, self._alpha), self.options.effort
        if not plain:
            return shown, None
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
    def _planes(self, values: Tensor) -> Tensor:
        """Planes (P, *n) of values (*n, C)."""
        planes: Tensor = self.init.planes.to_planes(values, self.offset)
        return planes

    def _below(self, values: Floats, overlays: Overlays) -> Scene:
        """The picture with ``overlays``."""
        below = filled(values, overlays.opaque)
        return Scene(values, below, overlays.drafts, bool(overlays.opaque.all()))

    def _overlaid(self, scene: Scene, parts: EvenParts, plan: Plan, effort: int) -> CodedPicture:
        """The picture with an overlay where that pays, seen at effort 1, and without one where it does not."""
        outer = self._progress
        self._progress = passes = SearchProgress(outer, float(self.info.samples))
        try:
            return self._cheapest(scene, parts, plan, effort, passes)
        finally:
            passes.finish()
            self._progress = outer

    def _cheapest(
        self, scene: Scene, parts: EvenParts, plan: Plan, effort: int, passes: SearchProgress
    ) -> CodedPicture:  # fmt: skip
        """See :meth:`_overlaid`; where no time is left, the first picture that there is."""
        quick = replace(plan, rounds=0)
        self._again(passes, draft=True)
        plain = self._coded(scene, quick)
        shown = np.concatenate(list(self._rendered(plain)))
        plain = replace(plain, error=self._error(scene.values, [shown]))
        if passed(plan.deadline):
            return plain
        palettes = 1 if effort < _AT_LENGTH else 3
        search = OverlaySearch(parts, self._chunk_length, self._error_bits(plan), palettes=palettes)
        cheaper = search.cheaper(self._costs(plain, shown, parts, plan))
        options = [(scene, plain)]
        # All blocks of few colours, too: what a border between lattice and overlay costs is in no block's account.
        for blocks in [cheaper, parts.blocks] if (cheaper != parts.blocks).any() else [cheaper]:
            if blocks.any():
                over = self._below(scene.values, search.finals(blocks))
                self._again(passes, draft=True)
                options.append((over, self._picture(over, quick)))
        scene, best = min(options, key=lambda option: self._weight(option[1], plan))
        if not plan.rounds or scene.empty:
            return best
        self._again(passes, draft=False)
        return self._picture(scene, plan)

    def _again(self, passes: SearchProgress, *, draft: bool) -> None:
        """A pass over the whole picture begins."""
        self._done = 0.0
        passes.begin(draft=draft)

    def _error_bits(self, plan: Plan) -> float:
        """Bits that one unit of squared error of 8-bit samples is worth."""
        return self.init.planes.unit(self.info.channels) / (255.0**2 * plan.trade(self.init))

    def _costs(
        self, picture: CodedPicture, shown: Floats, parts: EvenParts, plan: Plan
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """What the lattice's samples (h, w) cost in bits, errors included; ``shown``: what it decodes to."""
        errors = ((np.clip(shown, 0.0, 1.0) * 255.0 - parts.samples) ** 2).sum(-1) * self._error_bits(plan)
        regions = [(r.kept, sum(map(len, r.payloads))) for r in picture.levels[0]]
        bits = lattice_costs(regions, self.space.row_size, self.init.levels[0].spec.spacing[0])
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
        """The picture before its error is known: level after level, each fitted to what those before it left."""
        levels = list[list[CodedRegion]]()
        shown = None if self.constant or scene.empty else torch.from_numpy(scene.below)
        # One level has its planes made region by region.
        left = self._planes(shown) if shown is not None and len(self.spaces) > 1 else None
        for number in range(len(self.spaces)):
            levels.append(list(self._encoded(number, self._wide(number, shown, left), plan)))
            if left is not None and number + 1 < len(self.spaces):
                left = left - self._shown(number, levels[-1], plan.quality)
        heads = chunk_heads(levels[-1], self.spaces[-1])
        return CodedPicture(plan.quality, levels, ErrorSum(), scene.overlays, plan.dither, heads)

    def _wide(self, number: int, shown: Tensor | None, left: Tensor | None) -> Mirrored | None:
        """What a level is to show: the planes (P, *n) that are ``left``, or those of the values ``shown`` (*n, C)."""
        space, spacing = self.spaces[number], self.init.levels[number].spec.spacing
        if left is not None:
            return Mirrored(self._of_level(number, left), space, spacing)
        return None if shown is None else Mirrored(shown, space, spacing, self._planes)

    def _encoded(self, number: int, wide: Mirrored | None, plan: Plan) -> Iterator[CodedRegion]:
        """Every region of a level alone, on one thread each; a single one has all threads to itself. ``wide``: what the
        level is to show; None for nothing."""
        space, spec = self.spaces[number], self.init.levels[number].spec
        many = space.count > 1
        workers = thread_count() if many else 1

        def coded(index: int) -> CodedRegion:
            rounds = -(-(space.count * (len(self.spaces) - number) - index) // workers)
            fair = replace(plan, deadline=share(plan.deadline, rounds))
            return self.fits[number].region(wide, self.info.shape, space, space.box(index), fair, self.coder)

        for index, region in enumerate((torch_map if many else map)(coded, range(space.count))):
            self.tick(float(np.prod(space.box(index).shape) * np.prod(spec.spacing)) / len(self.spaces))
            yield region

    def _of_level(self, number: int, planes: Tensor) -> Tensor:
        """Those of all planes that a level has; they are not copied where it has all of them."""
        places = self.init.places(number)
        return planes if len(places) == len(planes) else planes[places]

    def _shown(self, number: int, regions: list[CodedRegion], quality: int) -> Tensor:
        """Planes (P, *n) of one level."""
        level = self.init.levels[number]
        renderer = LevelRenderer(level, self.spaces[number], quality, lambda i: regions[i].symbols)
        out = torch.zeros(len(self.init.planes.names), *self.info.shape)
        whole = renderer.whole([np.arange(n) for n in self.info.shape])
        out[self.init.places(number)] = torch.from_numpy((whole * PLANE_UNIT).astype(np.float32))
        return out

    def _rendered(self, picture: CodedPicture) -> Iterator[Floats]:
        """What the picture decodes to, a row of regions at a time."""
        return rendered(self.init, self.spaces, picture, self.info, self._chunk_length, self._quiet)

    def _error(self, values: Floats, pieces: Iterable[Floats]) -> ErrorSum:
        """The error of a picture rendered in pieces, on samples as they would be written."""
        error, top = ErrorSum(), 0
        for piece in pieces:
            rows = slice(top, top + len(piece))
            self.measure(error, values[rows], piece, None if self._alpha is None else self._alpha[rows])
            top += len(piece)
        return error

    def _hash(self, picture: CodedPicture, alpha: Ints | None) -> None:
        """The digest in the decoder's order: row of regions by row, each followed by its overlay and its alpha."""
        for y in range(self.space.rows):
            for part in picture.hashed(y, [region.index for region in self.space.row(y)]):
                self.symbols.update(part)
            if alpha is not None:
                self.hash_alpha(alpha[y * self._chunk_length : (y + 1) * self._chunk_length])
