"""Pictures that were halved, encoded and enlarged again, for :mod:`nfcodec.lattice.train.enlarge`.

Encoding costs as much as a step of X, so encodings are kept and seen again, in other parts and turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from nfcodec.lattice.filtering import SampleFilter
from nfcodec.lattice.native import PLANE_UNIT
from nfcodec.lattice.planes import places
from nfcodec.lattice.train.config import DetailConfig
from nfcodec.lattice.train.model import LatticeModel, encode_level, of_level, shown_at
from nfcodec.lattice.train.tasks import Pieces
from nfcodec.resample import interpolate

Params = dict[str, Tensor]

_TOGETHER = 8  # pictures are encoded so many at a time


@dataclass(frozen=True)
class Tuned:
    """An init as it is used for one tune: its model, its parameters and its Y, if any, which stay; the X it has, maybe
    none."""

    model: LatticeModel
    params: Params
    detail: Params = field(default_factory=dict)
    filter: SampleFilter | None = None

    @property
    def planes(self) -> int:
        """Planes of its pictures."""
        return len(self.model.planes.names)

    @torch.no_grad()
    def shown(self, small: Tensor, qualities: list[int]) -> tuple[Tensor, Tensor]:
        """Planes (N, P, c, c) as decoded, with Y, at their own size and (N, P, 2c, 2c) at twice that, without
        the detail."""
        native, double = self.coded(small, qualities)
        if self.filter is not None:
            for one, wide, quality in zip(native, double, qualities, strict=True):
                added = filter_adds(self.filter, one, quality)
                one += added
                wide += twice(added)
        return native, double

    @torch.no_grad()
    def coded(self, small: Tensor, qualities: list[int]) -> tuple[Tensor, Tensor]:
        """The same of the lattice alone."""
        native = torch.zeros_like(small)
        double = small.new_zeros(*small.shape[:2], *(2 * n for n in small.shape[2:]))
        for i, spec in enumerate(self.model.specs):
            own, params = places(spec, self.model.planes), of_level(self.params, i)
            found = encode_level(self.model, spec, params, (small - native)[:, own], qualities)
            native[:, own] += shown_at(spec, params, found.layers, 1)
            double[:, own] += shown_at(spec, params, found.layers, 2)
        return native, double


def filter_adds(found: SampleFilter, planes: Tensor, quality: int) -> Tensor:
    """What Y adds to coded planes (P, h, w)."""
    whole = np.rint(planes.double().cpu().numpy() / PLANE_UNIT)
    added = (found(whole, quality) - whole) * PLANE_UNIT
    return torch.from_numpy(added.astype(np.float32)).to(planes)


def twice(planes: Tensor) -> Tensor:
    """Planes (P, 2h, 2w) at twice the size of planes (P, h, w), between the samples as Y is."""
    found = planes.cpu().numpy()
    for axis in (1, 2):
        found = interpolate(found, axis, np.arange(0.25, found.shape[axis], 0.5))
    return torch.from_numpy(found).to(planes)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as it was decoded and filtered, planes (P, c, c); what the field misses of its original at twice the
    size (P, 2c, 2c), both in half precision, and the mean square of that; its quality and the number of its tune."""

    native: Tensor
    missing: Tensor
    error: float
    quality: int
    tune: int

    def part(self, random: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """A square of ``size`` samples (P, size, size), the whole where it has no more, and the same of what is
        missing, turned and mirrored."""
        starts = [int(random.integers(max(1, n - size + 1))) for n in self.native.shape[1:]]
        rows, columns = (slice(a, a + size) for a in starts)
        wide = [slice(2 * a, 2 * (a + size)) for a in starts]
        turns, mirrored = int(random.integers(4)), bool(random.integers(2))
        parts = (self.native[:, rows, columns], self.missing[:, wide[0], wide[1]])
        turned = (torch.rot90(part, turns, (1, 2)) for part in parts)
        native, missing = (part.flip(2) if mirrored else part for part in turned)
        return native, missing


class Halves(Sequence[Encoded]):
    """``ring`` · 8 encoded pictures, made when they are first asked for: number i depends on the seed and i alone."""

    def __init__(
        self, tunes: Sequence[Tuned], pieces: Pieces, config: DetailConfig, *, seed: int, device: torch.device
    ) -> None:  # fmt: skip
        moved = [replace(t, params={n: p.detach().to(device) for n, p in t.params.items()}) for t in tunes]
        self._tunes, self._pieces, self._config, self._seed, self._device = moved, pieces, config, seed, device
        self._made: dict[int, list[Encoded]] = {}

    def __len__(self) -> int:
        return _TOGETHER * self._config.ring

    def __getitem__(self, index: int) -> Encoded:  # type: ignore[override]
        group, place = divmod(index, _TOGETHER)
        if group not in self._made:
            self._made[group] = self._encode(group)
        return self._made[group][place]

    def _encode(self, group: int) -> list[Encoded]:
        tune = group % len(self._tunes)
        pair = self._pieces.pairs(self._seed, group, _TOGETHER, lowest=self._config.lowest)
        native, double = self._tunes[tune].shown(pair.small.to(self._device), list(pair.qualities))
        missing = pair.large.to(self._device) - double
        errors = missing.square().mean((1, 2, 3)).tolist()
        every = zip(native.half(), missing.half(), errors, pair.qualities, strict=True)
        return [Encoded(n, m, e, q, tune) for n, m, e, q in every]
