"""Residuals of clips: each is encoded as the encoder does it, and what its predictions missed is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nfcodec.lattice.fit.adapt import Plan
from nfcodec.lattice.planes import offset_of
from nfcodec.moving.expected import Expected
from nfcodec.moving.fit.encode import falling
from nfcodec.moving.fit.picture import PictureFit
from nfcodec.moving.fit.search import Shown
from nfcodec.moving.fit.structure import anchors
from nfcodec.moving.group import pictures
from nfcodec.moving.init import MovingInit
from nfcodec.moving.motion import BLOCK, Past
from nfcodec.moving.picture import Canvas, Frame
from nfcodec.moving.prediction import SAMPLE_BITS, Reference, Whole
from nfcodec.moving.train.config import ClipConfig, MovingConfig
from nfcodec.moving.train.tasks import Residuals
from nfcodec.train.signals import Clip
from nfcodec.types import Floats, Mask


@dataclass(frozen=True)
class Missed:
    """What a prediction missed: ``planes`` (P, H, W) in 2^-13, which blocks (h, w) are ``coded``, the ``quality``."""

    planes: Whole
    coded: Mask
    quality: int


@dataclass(frozen=True)
class Predicted:
    """A picture (P, H, W) with references, what was ``expected`` of it in 2^-13, and the ``frame`` that is coded."""

    planes: Floats
    expected: Whole
    frame: Frame


def missed(init: MovingInit, frames: Clip, quality: int) -> Iterator[Missed]:
    """The residuals of a clip uint8 (T, H, W, 3), encoded as one group."""
    for one in encoded(init, frames, quality):
        off = np.rint(one.planes * 2.0**SAMPLE_BITS).astype(np.int32) - one.expected
        yield Missed(off.astype(np.int16), one.frame.motion.coded, one.frame.quality)


def encoded(init: MovingInit, frames: Clip, quality: int) -> Iterator[Predicted]:
    """The pictures with references of a clip uint8 (T, H, W, 3), encoded as one group."""
    canvas = Canvas(init, (frames.shape[1], frames.shape[2]), 3)
    fit, made = PictureFit(canvas), dict[int, Shown]()
    for picture in pictures(anchors(len(frames), [], goes_on=False), len(frames), goes_on=False):
        values = frames[picture.at].astype(np.float32) / np.float32(255.0)
        planes = np.asarray(init.pictures.planes.to_planes(values, offset_of("video")), np.float32)
        plan = Plan.of(falling(quality, picture), 1)
        references = [made[r] for r in picture.references]
        past, distances = Past.of(None), picture.distances
        fitted = fit.moved(planes, references, plan, past, distances) if references else fit.alone(planes, plan, past)
        made[picture.at] = Shown(Reference(fitted.planes))
        if references:
            expected = Expected([r.reference for r in references])
            found = expected.of(fitted.frame.motion, fitted.frame.lights)
            yield Predicted(planes, found, fitted.frame)


def residuals(init: MovingInit, clips: Sequence[Clip], config: MovingConfig) -> Residuals:
    """Crops of the residuals of all clips, as the config asks for them; they depend on its seed alone."""
    random, crops, quality = np.random.default_rng(config.seed), list[Whole](), list[int]()
    for clip in clips:
        for one in missed(init, *drawn(clip, config.clips, random)):
            found = list(_cut(one, config))
            crops += found
            quality += [one.quality] * len(found)
    size = config.outer.crop
    stacked = np.stack(crops) if crops else np.zeros((0, 3, size, size), np.int16)
    return Residuals(stacked, np.array(quality, np.int64), init.pictures.planes)


def none(config: MovingConfig, init: MovingInit) -> Residuals:
    """What stands for residuals where none are trained on."""
    size = config.outer.crop
    return Residuals(np.zeros((1, 3, size, size), np.int16), np.zeros(1, np.int64), init.pictures.planes)


def drawn(clip: Clip, config: ClipConfig, random: np.random.Generator) -> tuple[Clip, int]:
    """A part of a clip, at a random place, and a random quality."""
    height, width = (
        min(a, b) // BLOCK * BLOCK for a, b in zip(clip.shape[1:3], (config.height, config.width), strict=True)
    )
    top, left = (int(random.integers(n - m + 1)) for n, m in zip(clip.shape[1:3], (height, width), strict=True))
    part = clip[:, top : top + height, left : left + width]
    return part, int(random.integers(config.lowest, config.highest + 1))


def _cut(one: Missed, config: MovingConfig) -> Iterator[Whole]:
    """Crops, half a crop apart, of which enough is coded."""
    side = config.outer.crop // BLOCK
    for y in range(0, one.coded.shape[0] - side + 1, side // 2):
        for x in range(0, one.coded.shape[1] - side + 1, side // 2):
            if one.coded[y : y + side, x : x + side].mean() >= config.clips.share:
                at = (slice(None), slice(y * BLOCK, (y + side) * BLOCK), slice(x * BLOCK, (x + side) * BLOCK))
                yield one.planes[at]
