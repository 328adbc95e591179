"""In which order the bins of a chunk are coded, and what their networks see of those before them; whole numbers only.

A chunk is T frames of K bins in each plane. Its bins are coded block by block, from low to high frequency; within a
block the frames come in four *phases* from coarse to fine (every eighth, those halfway between them, then the other
even and at last the odd ones), and of each phase first the even, then the odd bins of the block. All bins of such a
*step* are coded at once. What a network sees of a frame are magnitudes around it, companded: of lower blocks in
frames t − 2 … t + 2, of this block in the two frames around t that belong to earlier phases, and of the even bins for
the odd ones. The second plane of a pair also sees this block of the first. Since the steps of frames differ, it sees
how much, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nfcodec.arrays import Array, namespace
from nfcodec.lapped.spec import LappedSpec
from nfcodec.lattice.order import HAT, LARGEST_FEATURE, companded, quality_features
from nfcodec.types import Bytes, Floats, Ints

REACH = 4  # frames on either side that a window may touch
LOWER = 16  # bins below a block that a window may touch
PLACES = 16  # hats over the place of a block on the axis of frequency
_STATIC = PLACES + 8 + 1 + 4 + 2 + 4
_LEVEL = 64  # the feature of equal steps; an eighth of an octave more or less counts 1


Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Phase:
    """The frames ``start``, ``start`` + ``period``, …; ``distance`` of the known frames on both sides, 0 for none."""

    period: int
    start: int
    distance: int


PHASES = (Phase(8, 0, 0), Phase(8, 4, 4), Phase(4, 2, 2), Phase(2, 1, 1))
STEPS = 2 * len(PHASES)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the order within a block: the frames of ``phase``, the bins of ``parity`` (0: even)."""

    phase: Phase
    parity: int

    @property
    def windows(self) -> tuple[Window, ...]:
        """What is seen of the plane itself: (frames away, first bin from the block's start, bins or 0 for a whole
        block, every how manieth)."""
        found = [(0, -LOWER, LOWER, 1), *((dt, -8, 8, 1) for dt in (-1, 1, -2, 2))]
        d = self.phase.distance
        found += [(-d, 0, 0, 1), (d, 0, 0, 1)] if d else []
        return (*found, *([(0, 0, 0, 2)] if self.parity else []))

    @property
    def compared(self) -> tuple[int, ...]:
        """The frames away whose steps are compared with those of the frame itself."""
        return tuple(sorted({-2, -1, 1, 2, -self.phase.distance, self.phase.distance} - {0}))


ORDER = tuple(Step(phase, parity) for phase in PHASES for parity in (0, 1))


def inputs(spec: LappedSpec, second: bool, step: Step) -> int:
    """How many features a network has."""
    sizes = [(size or spec.block) // every for _, _, size, every in step.windows]
    return sum(sizes) + (spec.block if second else 0) + len(step.compared) + 3 + _STATIC


@lru_cache(maxsize=1)
def _companded() -> Floats:
    return companded().astype(np.float32)


def magnitudes(symbols: Ints) -> Floats:
    """Features of symbols (…): 16 log2(1 + |q|), rounded, at most 127."""
    found: Floats = _companded().take(np.minimum(np.abs(symbols), 255))
    return found


@lru_cache(maxsize=512)
def place_features(block: int) -> Floats:
    """Hats (PLACES,) over log2(1 + block), two for every octave."""
    u = int(companded()[min(block, 255)])
    hats: Floats = np.maximum(0, HAT - np.abs(2 * u - HAT * np.arange(PLACES))).astype(np.float32)
    return hats


def frame_features(splits: Bytes, step: Step, quality: int, law: int) -> Floats:
    """What is known of every frame of a phase, block and magnitudes apart: (frames, _STATIC − PLACES).

    Quality; the law, 0 or 1; z of the frame, one hot; z of the frames beside it; whether these and the known ones
    exist.
    """
    length = len(splits)
    at = np.arange(step.phase.start, length, step.phase.period)
    wide = np.pad(splits, 1)
    d = step.phase.distance
    columns = [
        *(np.full(len(at), q) for q in quality_features(quality)),
        np.full(len(at), HAT * law), *(HAT * (splits[at] == z) for z in range(4)),
        HAT * wide[at], HAT * wide[at + 2],
        HAT * (at == 0), HAT * (at == length - 1), HAT * (at < d), HAT * (at + d >= length),
    ]  # fmt: skip
    return np.stack(columns, 1).astype(np.float32)


def step_features(levels: Ints, step: Step) -> Floats:
    """What is known of the steps of frames: (…, frames, blocks, n) of their ``levels`` (…, T, blocks), eighths of an
    octave, in the middle of blocks.

    Levels of other frames over that of the frame; the level itself; those of the blocks below and above over it.
    """
    here = levels[..., step.phase.start :: step.phase.period, :]
    at = np.arange(step.phase.start, levels.shape[-2], step.phase.period)
    others = [levels[..., np.clip(at + dt, 0, levels.shape[-2] - 1), :] for dt in step.compared]
    wide = np.concatenate([here[..., :1], here, here[..., -1:]], -1)
    found = [*(other - here for other in others), here, wide[..., :-2] - here, wide[..., 2:] - here]
    features: Floats = np.clip(np.stack(found, -1) + _LEVEL, 0, LARGEST_FEATURE).astype(np.float32)
    return features


def _windows(part: Array, size: int, block: int, every: int) -> Array:
    """Windows of ``size`` bins, one for every block, of magnitudes (…, bins): (…, blocks, size / every)."""
    if part.shape[-1] == size:
        found = part[..., None, ::every]
    elif isinstance(part, np.ndarray):
        found = np.lib.stride_tricks.sliding_window_view(part, size, -1)[..., ::block, ::every]
    else:
        found = part.unfold(-1, size, block)[..., ::every]
    return found


def seen(known: Array, first: Array | None, spec: LappedSpec, step: Step, blocks: tuple[int, int]) -> list[Array]:
    """What a step's networks see of magnitudes ``known`` (…, T + 2 · REACH, LOWER + K), for blocks [a, b): windows
    (…, frames, b − a, size). ``first``: the same of the first plane of a pair, for its second."""
    a, b = blocks
    frames = known.shape[-2] - 2 * REACH
    found = []
    planes: list[tuple[Array, tuple[Window, ...]]] = [(known, step.windows)]
    planes += [] if first is None else [(first, ((0, 0, 0, 1),))]
    for source, windows in planes:
        for dt, low, size, every in windows:
            width = size or spec.block
            rows = slice(REACH + dt + step.phase.start, REACH + dt + frames, step.phase.period)
            start = LOWER + low + a * spec.block
            stop = LOWER + low + (b - 1) * spec.block + width
            found.append(_windows(source[..., rows, start:stop], width, spec.block, every))
    return found


def features(windows: list[Array], of_frames: Array, of_blocks: Array) -> Array:
    """All features (…, frames, blocks, F) of a step: windows, and what is known of frames (…, frames, ·) and blocks
    (blocks, ·)."""
    xp = namespace(windows[0])
    shape = windows[0].shape[:-1]
    frames = xp.broadcast_to(of_frames[..., :, None, :], (*shape, of_frames.shape[-1]))
    places = xp.broadcast_to(of_blocks, (*shape, of_blocks.shape[-1]))
    return xp.concat([*windows, frames, places], axis=-1)


def frame_steps(frames: int) -> Iterator[tuple[int, Step]]:
    """The steps of a block that have any of so many frames, with their numbers."""
    for number, step in enumerate(ORDER):
        if step.phase.start < frames:
            yield number, step
