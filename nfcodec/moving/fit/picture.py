"""Fits one picture of a group to its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nfcodec.lattice.fit.adapt import Plan
from nfcodec.lattice.given import NOTHING, Given
from nfcodec.lattice.space import Box
from nfcodec.moving.expected import Expected
from nfcodec.moving.fit import choice
from nfcodec.moving.fit.lights import lights_of
from nfcodec.moving.fit.painting import overlay_of
from nfcodec.moving.fit.search import Shown
from nfcodec.moving.fit.transform import Residual, picture_symbols
from nfcodec.moving.given import given_of
from nfcodec.moving.motion import Motion, Past, standing
from nfcodec.moving.painting import colour_planes
from nfcodec.moving.picture import PAINTED, Canvas, Frame, alone
from nfcodec.moving.prediction import SAMPLE_BITS, Whole
from nfcodec.types import Floats, Ints, Mask

_UNIT = np.float32(2.0**-SAMPLE_BITS)


@dataclass(frozen=True)
class Fitted:
    """A picture as it is coded: ``payload``, ``frame``, its decoded ``planes`` and what the motion of its heirs
    goes on from."""

    payload: bytes
    frame: Frame
    planes: Whole
    past: Past


@dataclass(frozen=True)
class PictureFit:
    """Fits pictures on a ``canvas``."""

    canvas: Canvas

    def trade(self, plan: Plan) -> float:
        """λ of planes."""
        return plan.trade(self.canvas.init.pictures)

    def alone(self, planes: Floats, plan: Plan, past: Past) -> Fitted:
        """A picture of its own (P, H, W)."""
        level, coded = self.canvas.init.level(alone=True), self.canvas.planes
        symbols = picture_symbols(level, self._all(planes), plan, coded=coded, trade=self.trade(plan))
        frame = Frame(plan.quality, alone(self.canvas.blocks), symbols if symbols.any() else None)
        nothing = Expected(())
        return Fitted(self.canvas.write(frame, past, nothing), frame, self.canvas.shown(frame, nothing), past)

    def _all(self, planes: Floats) -> Floats:
        """All planes of the lattice: those that are not coded are zero."""
        more = len(self.canvas.init.residuals.spec.planes) - len(planes)
        return np.concatenate([planes, np.zeros((more, *planes.shape[1:]), np.float32)]) if more else planes

    def painted(self, samples: Ints, seen: Mask, references: list[Shown], past: Past) -> Fitted:
        """A picture of few colours, samples uint8 (H, W, C), of which some (H, W) are ``seen``."""
        canvas, changed = self.canvas, seen
        below = [shown.reference for shown in references]
        if below:
            before = colour_planes(samples.reshape(-1, samples.shape[-1]), canvas.planes).T.reshape(-1, *canvas.shape)
            changed = seen & (before != below[0].planes).any(0)
        if not changed.any():
            return Fitted(b"", canvas.nothing, canvas.shown(canvas.nothing, Expected(below)), past)
        payload, overlay = overlay_of(samples, changed)
        frame = Frame(PAINTED, standing(canvas.blocks), None, overlay)
        return Fitted(bytes([PAINTED]) + payload, frame, canvas.shown(frame, Expected(below)), past)

    def moved(
        self, planes: Floats, references: list[Shown], plan: Plan, past: Past, distances: Sequence[int]
    ) -> Fitted:  # fmt: skip
        """A picture (P, H, W) from its references, so many pictures ahead."""
        canvas, trade = self.canvas, self.trade(plan)
        lights, expected = lights_of(planes[0], references), Expected([r.reference for r in references], distances)
        if lights:
            references = [Shown(reference) for reference in expected.lit(lights)]
        motion = choice.moved(planes[0], references, trade, past, distances)
        frame = replace(self._residual(planes, expected.of(motion, lights), motion, plan), lights=lights)
        payload, shown = canvas.write(frame, past, expected), canvas.shown(frame, expected)
        return Fitted(payload, frame, shown, past.after(frame.motion, distances))

    def _residual(self, planes: Floats, expected: Whole, motion: Motion, plan: Plan) -> Frame:
        canvas, trade = self.canvas, self.trade(plan)
        left = self._all(planes - expected * _UNIT)
        residual = Residual(canvas.init.residuals, left, plan, coded=canvas.planes, trade=trade)
        found = residual.first()
        motion = replace(motion, coded=found.worth)
        if not motion.coded.any():
            return Frame(plan.quality, motion, None)
        cells = canvas.cells(motion)
        symbols = residual.refined(found.symbols * cells.coded, cells.coded, self._given(expected, motion, plan))
        symbols = symbols[cells.box.cells]
        return Frame(plan.quality, motion, np.ascontiguousarray(symbols, np.int32))

    def _given(self, expected: Whole, motion: Motion, plan: Plan) -> Given | None:
        """What the prior is told of all cells."""
        canvas, level = self.canvas, self.canvas.init.residuals
        if level.prior.told == NOTHING or not plan.rounds:
            return None
        cells = canvas.cells(motion)
        whole = Box(-1, (0, 0), cells.coded.shape)
        return given_of(level, expected, motion, cells.coded, whole, plan.quality)
