"""GradNCP's bootstrapped target (Tack et al. 2023, §3.2; after Flennerhag et al. 2022) for the first steps.

There, L further steps on the full context make a target θ* of the adapted parameters θ, and μ(θ, θ*) joins the outer
loss, θ* a constant. Here the L further steps are rounds of the encoder that look ahead, made by the init that training
goes on from, which stays fixed: what they change in a batch depends on the batch alone, never grows stale, and may be
kept from one training to the next. The first steps learn to put out, before rounding, what the rounds ended in, on
the symbols that these changed; all other symbols are taught by R + D/λ alone, which also says what a wrong change
costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.errors import CorruptError, OptionError
from nfcodec.lattice.fit.adapt import Plan, adapt_region
from nfcodec.lattice.fit.first_step import analysis
from nfcodec.lattice.fit.window import whole_window
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.train.config import BootstrapConfig
from nfcodec.media.atomic import atomic_output

# The effort whose rounds teach: they look ahead, on the full context.
_EFFORT = 9
# The hinge asks for this much more, in steps, than that rounding gives the symbol wanted.
_MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Lesson:
    """What further rounds changed in a batch. ``index``: (m,) of the changed symbols within (N, P, K, *cells) flat;
    ``weights``: (m,) what they became, as weights: symbols times the teacher's steps. Constants."""

    index: Tensor
    weights: Tensor

    def distance(self, form: str, y: Tensor, sizes: Tensor) -> Tensor:
        """How far ``y`` (N, P, K, *cells), in steps ``sizes`` (N, P, K), is from the lesson: (N,), in steps, summed
        over the symbols that changed. ``form``: "norm" is the Euclidean norm times the root of their number, "square"
        the sum of squares, "hinge" what lacks until rounding gives them."""
        each = sizes.detach()[(..., *(None,) * (y.ndim - 3))].expand_as(y).flatten()[self.index]
        off = y.flatten()[self.index] - self.weights / each
        found = (off.abs() - 0.5 + _MARGIN).clamp(min=0.0) if form == "hinge" else off.square()
        owner = self.index // (y.numel() // len(y))
        total = torch.zeros(len(y), device=y.device).index_add(0, owner, found)
        if form != "norm":
            return total
        count = torch.zeros_like(total).index_add(0, owner, torch.ones_like(found))
        return ((total + 1e-12) * count).sqrt()  # no root of zero, whose slope is infinite


@dataclass(frozen=True)
class Teacher:
    """Further rounds with an ``init`` of one level, as a config asks for. Lessons depend on the batch alone: ``kept``
    is a folder for them, whose files are called by what the caller calls the batch, ``known`` those in memory."""

    init: LatticeInit
    config: BootstrapConfig
    kept: Path | None = None
    known: dict[str, Lesson] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.init.levels) > 1:
            raise OptionError("bootstrap: lattices of several levels have no further rounds to learn from")

    def lesson(self, planes: Tensor, qualities: Sequence[int], name: str = "", *, again: bool = False) -> Lesson:
        """The lesson of planes (N, P, *n) of a batch called ``name``; ``again``: it will be asked for again."""
        if name in self.known:
            return self.known[name]
        found = self._made(planes, qualities, name)
        if again and name:
            self.known[name] = found
        return found

    def _made(self, planes: Tensor, qualities: Sequence[int], name: str) -> Lesson:
        path = self.kept / f"{name}.npz" if self.kept is not None and name else None
        if path is not None and path.exists():
            return _read(path, planes.device)
        found = [self._changes(p, q) for p, q in zip(planes.cpu(), qualities, strict=True)]
        size = found[0][2]
        index = np.concatenate([i + n * size for n, (i, _, _) in enumerate(found)]).astype(np.int64)
        weights = np.concatenate([w for _, w, _ in found]).astype(np.float32)
        if path is not None:
            _write(path, index, weights)
        return _lesson(index, weights, planes.device)

    def _changes(self, planes: Tensor, quality: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], int]:
        """Where rounds changed the symbols of one signal (P, *n), what weights they became, and how many there are."""
        [level] = self.init.levels
        window = whole_window(planes, level.spec)
        with torch.inference_mode():
            weights = analysis(level, window)
        last = replace(Plan.of(quality, _EFFORT), rounds=self.config.rounds)
        trade = last.trade(self.init)
        plans = (replace(last, rounds=0), last)
        before, after = (
            adapt_region(level, window, weights, p, planes=len(planes), trade=trade).symbols for p in plans
        )  # fmt: skip
        changed = np.flatnonzero(before != after)
        sizes = np.broadcast_to(level.steps(quality)[(..., *(None,) * level.spec.axes)], after.shape)
        return changed, (after * sizes).ravel()[changed], after.size


def _lesson(index: npt.NDArray[np.int64], weights: npt.NDArray[np.float32], device: torch.device) -> Lesson:
    return Lesson(torch.from_numpy(index).to(device), torch.from_numpy(weights).to(device))


def _write(path: Path, index: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path, force=True) as temporary, temporary.open("wb") as file:
        np.savez(file, index=index, weights=weights)


def _read(path: Path, device: torch.device) -> Lesson:
    try:
        with np.load(path) as found:
            return _lesson(found["index"], found["weights"], device)
    except (OSError, ValueError, KeyError) as error:
        raise CorruptError(f"{path} holds no lesson: {error}") from error
