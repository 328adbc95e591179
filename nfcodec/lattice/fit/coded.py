"""What became of the regions of a signal: symbols and bytes, before they are sections of a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from nfcodec.errors import UnsupportedMediaError
from nfcodec.lattice.code import KnownKey, RegionCoder, RegionSymbols
from nfcodec.lattice.fit.adapt import Plan, adapt_region, region_weights
from nfcodec.lattice.fit.window import Mirrored, cut_window
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.space import Box, LayerRun, Space
from nfcodec.signal import SignalInfo
from nfcodec.types import Ints, Symbols

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
    has as many symbols as samples, so they are ``kept`` in as few bytes each as hold them."""

    level: int
    kept: Ints
    payloads: tuple[bytes, ...]

    @classmethod
    def of(cls, level: int, symbols: Symbols, payloads: tuple[bytes, ...]) -> CodedRegion:
        """From symbols int32 (P, K, *cells)."""
        largest = np.abs(symbols).max()
        kinds = (kind for kind in (np.int8, np.int16) if largest <= np.iinfo(kind).max)
        return cls(level, symbols.astype(next(kinds, np.int32)), payloads)

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
        level, planes = self.init.levels[self.number], self.planes
        spec = level.spec
        symbols = np.zeros((len(spec.planes), spec.bases, *box.shape), np.int32)
        if not planes:
            return CodedRegion.of(self.number, symbols, ())
        if wide is not None:
            symbols = adapt_region(
                level, cut_window(wide, shape, space, box, spec.spacing),
                region_weights(level, wide, shape, space, box),
                plan, planes=planes, trade=plan.trade(self.init),
            )  # fmt: skip
        payloads = coder.encode(level.prior, RegionSymbols(symbols, plan.quality, planes))
        return CodedRegion.of(self.number, symbols, tuple(payloads))

    def known(self, coded: CodedRegion, quality: int) -> dict[KnownKey, Ints]:
        """The symbols of a region by what a decoder reads."""
        key = self.init.levels[self.number].prior, coded.payloads, coded.kept.shape[2:], quality, self.planes
        return {key: coded.kept} if coded.payloads else {}
