"""What motion makes of references: needed for the symbols of a residual, and again for what it is added to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from nfcodec.moving.light import Light, lit
from nfcodec.moving.motion import Motion
from nfcodec.moving.prediction import Reference, Whole, predicted


class Expected:
    """Predictions of one picture from its ``references``, so many pictures ahead (``distances``); the last one is
    kept."""

    def __init__(self, references: Sequence[Reference], distances: Sequence[int] = ()) -> None:
        self.references, self.distances = tuple(references), tuple(distances)
        self._lit: tuple[tuple[Light, ...], tuple[Reference, ...]] = ((), self.references)
        self._known: tuple[Motion, tuple[Light, ...], Whole] | None = None

    def __len__(self) -> int:
        """How many references there are."""
        return len(self.references)

    def lit(self, lights: tuple[Light, ...]) -> tuple[Reference, ...]:
        """The references as they are seen in ``lights``."""
        if self._lit[0] != lights:
            self._lit = lights, tuple(lit(self.references, lights))
        return self._lit[1]

    def of(self, motion: Motion, lights: tuple[Light, ...] = ()) -> Whole:
        """The planes (P, H, W) that the references make with a motion."""
        if self._known is None or not _alike(self._known[0], motion) or self._known[1] != lights:
            self._known = motion, lights, predicted(self.lit(lights), motion)
        return self._known[2]


def _alike(one: Motion, other: Motion) -> bool:
    """Whether two motions hold the same arrays; what is coded may differ."""
    names = [f.name for f in fields(Motion) if f.name != "coded"]
    return all(getattr(one, name) is getattr(other, name) for name in names)
