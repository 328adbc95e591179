"""What differs between benchmarks of images and video, and how what a decoder wrote is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import measure
from sources import Source

Score = Callable[[Source, Path, bool], dict[str, float]]


@dataclass(frozen=True)
class Kind:
    """``score_name``: what rates are compared at, more is better; ``score_unit`` of it."""

    name: str
    rate_unit: str
    score_name: str
    decoded_suffix: str
    score: Score
    score_unit: str = "dB"

    @property
    def looks(self) -> bool:
        """Whether the score is of how pictures look."""
        return self.score_name in LOOKS


def _image(names: tuple[str, ...], source: Source, decoded: Path, aligns: bool) -> dict[str, float]:
    del aligns
    return measure.image(source, decoded) | {name: LOOKS[name](source, decoded) for name in names}


LOOKS: dict[str, Callable[[Source, Path], float]] = {
    "ssimulacra2": measure.ssimulacra2, "butteraugli": measure.butteraugli,
}  # fmt: skip
KINDS = {
    "images": Kind("images", "bpp", "psnr", ".png", partial(_image, ())),
    "video": Kind("video", "kbps", "psnr", ".mkv", lambda s, p, _: measure.video(s, p)),
}
IMAGE_SCORES, VIDEO_SCORES = ("psnr", *LOOKS), ("psnr", "psnr_yuv")


def kind_of(name: str, score: str) -> Kind:
    """The kind of a benchmark that compares by a score of its own. By one of how pictures look: every row has the
    others that can be measured here, too, so that a second table of the same working folder codes nothing again."""
    kind = KINDS[name]
    if score in LOOKS:
        names = tuple(n for n, here in measure.looks_here().items() if here or n == score)
        return replace(kind, score_name=score, score=partial(_image, names), score_unit="")
    return replace(kind, score_name=score)
