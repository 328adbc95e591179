"""What every trainer does: its steps in a row, with reports and checkpoints on the way."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nfcodec.metrics import psnr_of

if TYPE_CHECKING:
    from torch import Tensor

NOTHING = math.nan  # a mean before its first value


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value


@dataclass(frozen=True, slots=True)
class Report:
    """Progress of training: outer step, total, recent loss and PSNR (dB), bits per sample, seconds left."""

    step: int
    total: int
    loss: float
    psnr: float
    bits: float
    eta: float


class Running(ABC):
    """A training with steps ``at`` of ``total``, and running means of its loss, squared error and bits per sample."""

    at: int
    loss: float
    error: float
    bits: float
    hurry: float = 0.0  # the share of the time for a run with a limit that is over

    @property
    @abstractmethod
    def total(self) -> int:
        """How many steps there are."""

    @abstractmethod
    def step(self) -> None:
        """Do the next step."""

    @abstractmethod
    def resume(self, path: Path) -> None:
        """Go on from :meth:`save`; the config must be the one that made the checkpoint."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the whole state; a crash while writing leaves the previous file."""

    def run(
        self, *, checkpoint: Path | None = None, every: float = 15.0, report: Callable[[Report], None] | None = None,
        until: int | None = None, minutes: float | None = None,
    ) -> None:  # fmt: skip
        """All remaining steps (up to ``until``); saves every ``every`` seconds and reports about once a second.
        ``minutes``: of which no more are taken; what depends on how far training has come, goes by the time then."""
        begin, first = time.monotonic(), self.at
        saved = told = begin
        while self.at < min(self.total, until or self.total) and self.hurry < 1.0:
            self.step()
            now = time.monotonic()
            self.hurry = 0.0 if minutes is None else (now - begin) / (60.0 * minutes)
            if report and (now - told > 1.0 or self.at == self.total):
                eta = (now - begin) / (self.at - first) * (self.total - self.at)
                eta = eta if minutes is None else max(0.0, min(eta, 60.0 * minutes - (now - begin)))
                numbers = _known(self.loss), psnr_of(_known(self.error)), _known(self.bits)
                report(Report(self.at, self.total, *numbers, eta))
                told = now
            if checkpoint and now - saved > every:
                self.save(checkpoint)
                saved = now
        if checkpoint:
            self.save(checkpoint)


def smooth(old: float, new: float) -> float:
    """A running mean that starts at its first value: where the old one is ``NOTHING``."""
    return new if math.isnan(old) else 0.98 * old + 0.02 * new


class Warmed(Protocol):
    """An outer loop whose learning rate warms up over ``warmup`` of its ``steps`` and falls to zero over the last share
    ``decay`` of them."""

    @property
    def steps(self) -> int:
        """Of the outer loop."""
        ...

    @property
    def warmup(self) -> int:
        """Steps."""
        ...

    @property
    def decay(self) -> float:
        """A share of the steps."""
        ...


def schedule(outer: Warmed, step: int) -> float:
    """Warm-up, constant, then a cosine to zero."""
    start = outer.steps * (1.0 - outer.decay)
    if step < outer.warmup:
        return (step + 1) / outer.warmup
    if step <= start:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - start) / (outer.steps - start))))


def cosine(at: int, steps: int, *, warmup: float) -> float:
    """A warm-up over at most ``warmup`` steps and a twentieth of all, then a cosine to zero."""
    warm = max(1.0, min(0.05 * steps, warmup))
    return min(1.0, (at + 1) / warm) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, at / steps)))


def averaged(keep: float, average: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
    """The running mean after ``count`` steps: of all of them at first."""
    return average.lerp(now, 1.0 - min(keep, 1.0 - 1.0 / (float(count) + 1.0)))
