"""Rate control: the quality, and the rounding within it, that meets a size, a rate or a PSNR.

The logarithm of the size and the PSNR rise nearly linearly with the quality, and so they fall when symbols are drawn
towards zero before rounding. Quick drafts at effort 1 give the curve over the qualities; the difference between
efforts is nearly the same everywhere on it, so one attempt at the asked effort places the next one. What is left is
a secant in the rounding, at one quality. Where an encoder has no rounding to set, whole qualities must do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from nfcodec.encoder.curve import Curve, crossing
from nfcodec.errors import OptionError
from nfcodec.options import EncodeOptions
from nfcodec.signal import SignalInfo

T = TypeVar("T")

# Rounding bridges two qualities, mostly by drawing towards zero. Below quality 0 it saves bytes for many dB.
LEAST_ROUNDING, MOST_ROUNDING, LAST_ROUNDING = -0.02, 0.1, 0.4
_DRAFTS, _ATTEMPTS, _RETREATS = 5, 7, 3
_MOST = 12  # attempts, for an encoder that makes no sense
_START = 50
_BEST_PSNR = 200.0  # stands for infinity


@dataclass(frozen=True, slots=True)
class Trial:
    """What an attempt is made with. ``draft``: it only shows the way. ``deadline``: monotonic time or None."""

    quality: int
    rounding: float
    effort: int
    deadline: float | None = None
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """One encoding: bytes of the whole file, PSNR in dB of the decoded samples, and what came out."""

    trial: Trial
    size: int
    psnr: float
    result: T


@dataclass(frozen=True, slots=True)
class Goal:
    """What to meet: ``limit`` bytes at most (``sized``), or dB at least. ``name``: as the user knows it.

    ``fixed``: bytes of the file that are the same at every quality. ``snr``: the dB are of the SNR, which differs from
    the PSNR by the same number at every quality.
    """

    name: str
    limit: float
    sized: bool
    fixed: int = 0
    snr: bool = False

    def meets(self, attempt: Attempt[T]) -> bool:
        """Whether the attempt keeps to the target."""
        return attempt.size <= self.limit if self.sized else attempt.psnr >= self.limit

    def gap(self, attempt: Attempt[T]) -> float:
        """How far the attempt is above the limit: a log ratio of sizes, or dB. It rises with the quality."""
        if self.sized:
            return self._log(attempt.size)
        return min(attempt.psnr, _BEST_PSNR) - self.limit

    def _log(self, size: float) -> float:
        return math.log(max(size - self.fixed, 1.0) / max(self.limit - self.fixed, 1.0))

    @property
    def window(self) -> tuple[float, float]:
        """Gaps that are good enough to stop at: 0.8 % or 0.04 dB."""
        return (self._log(0.992 * self.limit), 0.0) if self.sized else (0.0, 0.04)

    @property
    def aim(self) -> float:
        """The gap to try for."""
        return self._log(0.9965 * self.limit) if self.sized else 0.016

    @property
    def slope(self) -> float:
        """What one step of quality usually changes."""
        return 0.03 if self.sized else 0.18

    def pull(self, effort: int) -> float:
        """What a rounding of one step would usually change, were it linear so far."""
        return (0.8 if self.sized else 5.0) * (1.0 if effort == 1 else 1.4)

    @property
    def gain(self) -> float:
        """What effort usually changes."""
        return -0.015 if self.sized else 0.12

    @property
    def rough(self) -> float:
        """How near drafts must come: about two steps of quality."""
        return 1.6 * self.slope

    def better(self, a: Attempt[T], b: Attempt[T]) -> bool:
        """Whether ``a`` is to be written rather than ``b``."""
        return self._rank(a) > self._rank(b)

    def _rank(self, attempt: Attempt[T]) -> tuple[bool, bool, float]:
        if not self.meets(attempt):
            return False, False, -abs(self.gap(attempt))
        return True, self.good(attempt), attempt.psnr if self.sized else -attempt.size

    def good(self, attempt: Attempt[T]) -> bool:
        """Whether the attempt is near enough to the limit to stop at."""
        low, high = self.window
        return low <= self.gap(attempt) <= high


def goal_of(options: EncodeOptions, info: SignalInfo, fixed: int = 0) -> Goal | None:
    """The target of the options, or None. ``fixed`` bytes beside what quality changes.

    :class:`OptionError` for a rate of a signal without time, or an SNR of one that is no sound.
    """
    if options.bpp is not None:
        size = math.floor(options.bpp * info.samples / 8)
        return Goal(f"{options.bpp:g} bits per sample, {size} bytes,", size, True, fixed)
    if options.kbps is not None:
        size = math.floor(options.kbps * 125.0 * _seconds(info))
        return Goal(f"{options.kbps:g} kbit/s, {size} bytes,", size, True, fixed)
    if options.target_size is not None:
        return Goal(f"{options.target_size} bytes", options.target_size, True, fixed)
    if options.target_psnr is not None:
        return Goal(f"{options.target_psnr:g} dB", options.target_psnr, False)
    if options.target_snr is not None:
        if info.modality != "audio":
            raise OptionError(f"a target SNR is of sound, this is {info.modality}")
        return Goal(f"{options.target_snr:g} dB SNR", options.target_snr, False, snr=True)
    return None


def _seconds(info: SignalInfo) -> float:
    if info.modality not in ("audio", "video") or not info.rate:
        raise OptionError(f"kbps is of sound or video, this is {info.modality}")
    return float(info.shape[0] / info.rate)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The attempt to write, and why it does not meet the target, if it does not."""

    attempt: Attempt[T]
    warning: str | None


Encode = Callable[[Trial], Attempt[T]]


def find(
    encode: Encode[T], goal: Goal, *, effort: int, draft: int = 1, deadline: float | None = None, fine: bool = True
) -> Found[T]:  # fmt: skip
    """Search for the goal. ``draft``: the effort of drafts. ``fine``: the encoder heeds :attr:`Trial.rounding`.
    After ``deadline`` (monotonic seconds) no further attempt begins, and the best one so far is taken."""
    return _Search(encode, goal, effort, draft, deadline, fine).run()


class _Search(Generic[T]):
    def __init__(
        self, encode: Encode[T], goal: Goal, effort: int, draft: int, deadline: float | None, fine: bool
    ) -> None:
        self.encode, self.goal, self.deadline, self.fine = encode, goal, deadline, fine
        self.effort, self.draft = effort, draft
        self.best: Attempt[T] | None = None
        self.curve = Curve(goal.slope)
        self.pull = goal.pull(effort)
        # Gaps by rounding, of the qualities tried at the asked effort.
        self.tried: dict[int, dict[float, float]] = {}
        self._allowance: float | None = None

    def run(self) -> Found[T]:
        self._survey()
        if self.deadline is not None and self.effort != self.draft:
            # A search needs about three attempts; equal shares make them comparable.
            self._allowance = max(0.0, self.deadline - time.monotonic()) / 3.0
        if not self._late:
            (self._close_in if self.fine else self._bisect)()
        assert self.best is not None
        return Found(self.best, None if self.goal.meets(self.best) else self._warning(self.best))

    def _warning(self, best: Attempt[T]) -> str:
        reached = f"{best.size} bytes" if self.goal.sized else f"{best.psnr:.2f} dB"
        if self._late:
            return f"the target of {self.goal.name} was not met before the time was up: the file has {reached}"
        extreme = "smallest" if self.goal.sized else "best"
        return f"the target of {self.goal.name} cannot be met: the {extreme} possible file has {reached}"

    # -- attempts ----------------------------------------------------------------------------------------
    @property
    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _make(self, quality: int, rounding: float, effort: int) -> float:
        """Encode, keep the result if it is the best, and return its gap."""
        deadline = self.deadline
        if deadline is not None and self._allowance is not None:
            deadline = min(deadline, time.monotonic() + self._allowance)
        attempt = self.encode(Trial(quality, rounding, effort, deadline, effort != self.effort))
        if self.best is None or self.goal.better(attempt, self.best):
            self.best = attempt
        gap = self.goal.gap(attempt)
        if effort == self.effort:
            self.tried.setdefault(quality, {})[rounding] = gap
        return gap

    @property
    def _gain(self) -> float:
        return 0.0 if self.effort == self.draft else self.goal.gain

    def _good(self, gap: float) -> bool:
        low, high = self.goal.window
        return low <= gap <= high

    @property
    def _done(self) -> bool:
        return any(self._good(gap) for line in self.tried.values() for gap in line.values())

    @property
    def _near(self) -> bool:
        """Whether the best attempt meets the goal, and not by far."""
        best = self.best
        return best is not None and self.goal.meets(best) and abs(self.goal.gap(best)) < self.goal.rough

    @property
    def _made(self) -> int:
        return sum(map(len, self.tried.values()))

    def _survey(self) -> None:
        """Drafts, until one is near the goal or at an end of the qualities."""
        quality = _START
        for _ in range(_DRAFTS):
            gap = self._make(quality, 0.0, self.draft)
            self.curve.add(quality, gap)
            if abs(gap - self.goal.aim) < self.goal.rough or self._late:
                return
            quality = round(self.curve.where(self.goal.aim))
            if quality in self.curve:
                return

    # -- with rounding -----------------------------------------------------------------------------------
    def _close_in(self) -> None:
        """Attempts at the asked effort, until one is good; a noisy encoder is asked for less and less."""
        if self._done:
            return
        for retreat in range(_RETREATS + 1):
            self._approach(self.goal.aim - retreat * self.goal.slope / 2.0 * (1 if self.goal.sized else -1))
            if self._late or self._near:
                return
        if self.best is not None and self.goal.meets(self.best):
            return
        end = (0, LAST_ROUNDING) if self.goal.sized else (100, 0.0)
        if end[1] not in self.tried.get(end[0], {}):
            self._make(*end, self.effort)

    def _approach(self, aim: float) -> None:
        quality, rounding = self._start(aim)
        for _ in range(_ATTEMPTS):
            if rounding in self.tried.get(quality, {}) or self._late or self._made >= _MOST:
                return
            gap = self._make(quality, rounding, self.effort)
            if self._good(gap):
                return
            quality, rounding = self._next(quality, aim)

    def _start(self, aim: float) -> tuple[int, float]:
        """Where to begin: from the nearest attempt there is, or from the drafts alone."""
        points = [(abs(g - aim), q, r) for q, line in self.tried.items() for r, g in line.items()]
        return self._next(min(points)[1], aim) if points else self._place(aim)

    def _next(self, quality: int, aim: float) -> tuple[int, float]:
        usual = self.goal.pull(self.effort)
        wanted, self.pull = crossing(self.tried[quality], aim, self.pull, (usual / 6.0, usual * 6.0))
        if LEAST_ROUNDING <= wanted <= self._most(quality):
            return quality, round(wanted, 4)
        return self._place(aim)

    def _most(self, quality: int) -> float:
        return LAST_ROUNDING if quality == 0 and self.goal.sized else MOST_ROUNDING

    def _place(self, aim: float) -> tuple[int, float]:
        """The coarsest quality that can reach ``aim``, and the rounding there."""
        for quality in range(101):
            wanted, most = (self._expected(quality, aim) - aim) / self.pull, self._most(quality)
            if wanted >= LEAST_ROUNDING:
                if quality and wanted > most and most in self.tried.get(quality, {}):
                    return quality - 1, LEAST_ROUNDING
                return quality, round(min(wanted, most), 4)
        return 100, 0.0

    def _expected(self, quality: int, aim: float) -> float:
        """The gap without rounding: the curve of the drafts, moved to where attempts at the asked effort were."""
        if not self.tried:
            return self.curve.at(quality) + self._gain
        known = sorted(self.tried)
        moved = [self._level(q, aim) - self.curve.at(q) for q in known]
        return self.curve.at(quality) + float(np.interp(quality, known, moved))

    def _level(self, quality: int, aim: float) -> float:
        """The gap of a quality without rounding, as told by the attempt that came nearest to ``aim``."""
        rounding, gap = min(self.tried[quality].items(), key=lambda point: abs(point[1] - aim))
        return gap + self.pull * rounding

    # -- with whole qualities ----------------------------------------------------------------------------
    def _bisect(self) -> None:
        """The highest quality below the limit for a size, the lowest above it for a PSNR."""
        gaps = {q: line[0.0] for q, line in self.tried.items()}
        low = max((q for q, gap in gaps.items() if self._below(gap)), default=-1)
        high = min((q for q, gap in gaps.items() if not self._below(gap)), default=101)
        while high - low > 1 and not (self._late or self._done):
            expected = {q: self._expected(q, 0.0) for q in range(low + 1, high)}
            if self._clear(low, high, expected):
                return
            below = sum(map(self._below, expected.values()))
            quality = low + min(max(below + (0 if self.goal.sized else 1), 1), len(expected))
            if self._below(self._make(quality, 0.0, self.effort)):
                low = quality
            else:
                high = quality

    def _below(self, gap: float) -> bool:
        return gap <= 0.0 if self.goal.sized else gap < 0.0

    def _clear(self, low: int, high: int, expected: dict[int, float]) -> bool:
        """Whether the neighbour of an attempt that meets the target would surely not: it need not be tried."""
        margin = self.goal.slope / 4.0
        if self.goal.sized:
            return low in self.tried and expected[low + 1] > margin
        return high in self.tried and expected[high - 1] < -margin
