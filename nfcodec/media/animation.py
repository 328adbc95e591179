"""Animated pictures (GIF, APNG, WebP, AVIF) as silent videos, composed by Pillow.

Frame times and the loop count become text tags: ``durations`` in milliseconds, separated by commas and
written once when all are equal; ``loop``, how often it plays in all, where 0 means for ever; ``source`` is
``animation``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import MediaReadError
from nfcodec.limits import Limits
from nfcodec.media.image_metadata import read_metadata
from nfcodec.media.losses import note_extras
from nfcodec.media.metadata import make_tags
from nfcodec.media.opening import check_size, pillow
from nfcodec.media.pixels import pillow_array, split_alpha, turn
from nfcodec.media.reading import named
from nfcodec.media.samples import dequantize
from nfcodec.media.timing import plain_rate
from nfcodec.signal import Block, SignalInfo

if TYPE_CHECKING:
    from PIL import Image

# What browsers use for frames without a time.
_DEFAULT_MS = 100.0
_GREY = ("1", "L", "LA")


@dataclass(frozen=True, slots=True)
class _Survey:
    """What only a look at every frame tells: times in ms, and whether any has colour or transparency."""

    durations: tuple[float, ...]
    colour: bool
    alpha: bool

    @property
    def rate(self) -> Fraction:
        """Frames per second on average, so that the number of frames tells the length."""
        total = sum(Fraction(ms).limit_denominator(1000) for ms in self.durations)
        return plain_rate(len(self.durations) * 1000 / total) if total else Fraction(1000) / Fraction(_DEFAULT_MS)

    @property
    def channels(self) -> int:
        return 3 if self.colour else 1

    @property
    def mode(self) -> str:
        return ("RGB" if self.colour else "L") + ("A" if self.alpha else "")


class AnimationSource:
    """Frames of a moving picture; takes over ``file`` and ``image``."""

    def __init__(self, path: Path, file: IO[bytes], image: Image.Image, limits: Limits, notes: list[str]) -> None:
        self.warnings = notes
        self._path, self._file, self._image = path, file, image
        self._form = image.format or "picture"
        self._first = int(bool(getattr(image, "default_image", False)))
        self._count = int(getattr(image, "n_frames", 1)) - self._first
        limits.check("max_frames", self._count, f"animation of {self._count} frames")
        with pillow(path, self._form, notes):
            image.seek(self._first)
            image.load()
            metadata, self._orientation = read_metadata(image, path, self._form, limits, notes)
            self._note_losses()
            note_extras(path, self._form, image, notes)
            plays = _plays(image)
        self._survey = self._look()
        self.metadata = replace(metadata, tags=metadata.tags + _timing_tags(self._survey.durations, plays))
        self.info = self._describe(limits)

    def _note_losses(self) -> None:
        if self._first:
            self.warnings.append("dropped the still picture that is shown where animation is not supported")
        if self._image.mode.startswith("I"):
            self.warnings.append("16 bits per sample are reduced to 8: animations have 8")

    def _describe(self, limits: Limits) -> SignalInfo:
        width, height = self._image.size if self._orientation < 5 else self._image.size[::-1]
        check_size((width, height), limits)
        return SignalInfo(
            modality="video",
            shape=(len(self._survey.durations), height, width),
            channels=self._survey.channels,
            sample_type="u8",
            alpha=self._survey.alpha,
            rate=self._survey.rate,
        )

    def _look(self) -> _Survey:
        """Compose every frame once: information must be complete before the first block, and damage found."""
        durations, colour, alpha = [], False, False
        for image in self._images():
            durations.append(max(0.0, float(image.info.get("duration") or 0.0)))
            colour = colour or not (image.mode in _GREY or image.mode.startswith("I"))
            alpha = alpha or _transparent(image)
        if not durations:
            raise MediaReadError(f"cannot read {named(self._path)}: the animation has no frames")
        return _Survey(tuple(durations), colour, alpha)

    def _images(self) -> Iterator[Image.Image]:
        for number in range(self._first, self._first + self._count):
            with pillow(self._path, self._form, self.warnings):
                self._image.seek(number)
                self._image.load()
            yield self._image

    def _frame(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """One upright frame (H, W, C + alpha)."""
        mode = self._survey.mode
        with pillow(self._path, self._form, self.warnings):
            if image.mode.startswith("I"):
                samples = np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], len(mode), axis=-1)
                samples[..., self._survey.channels :] = 255
            else:
                samples = pillow_array(image, mode)
        return turn(samples, self._orientation)

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` frames: values (n, H, W, C) in [0, 1], alpha (n, H, W)."""
        waiting: list[npt.NDArray[np.uint8]] = []
        for image in self._images():
            waiting.append(self._frame(image))
            if len(waiting) == rows:
                yield self._block(waiting)
                waiting = []
        if waiting:
            yield self._block(waiting)

    def _block(self, frames: list[npt.NDArray[np.uint8]]) -> Block:
        samples, alpha = split_alpha(np.stack(frames), self._survey.channels)
        return Block(dequantize(samples, "u8"), None if alpha is None else np.ascontiguousarray(alpha))

    def sidecar(self) -> bytes:
        """No sound track."""
        return b""

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._image.close()
        self._file.close()


def _transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    extrema: Any = image.convert("RGBA").getextrema()
    return bool(extrema[-1][0] < 255)


def _plays(image: Image.Image) -> int:
    """How often an animation plays in all, 0 for ever: what WebP and APNG say, where GIF counts the repetitions."""
    told = int(image.info.get("loop", 1))
    return told + 1 if image.format == "GIF" and told and "loop" in image.info else told


def _timing_tags(durations: tuple[float, ...], plays: int) -> tuple[tuple[str, str], ...]:
    shown = durations[:1] if len(set(durations)) == 1 else durations
    text = ",".join(f"{ms:.10g}" for ms in shown)
    return make_tags({"source": "animation", "durations": text, "loop": str(plays)})
