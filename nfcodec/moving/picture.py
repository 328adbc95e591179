"""One picture of a group: from its payload and its references to its samples.

A payload is a byte, the quality, lights of the references where 128 is added to it, and one stream: the motion of all
blocks, then the symbols of those that are coded. An empty one is a picture like its first reference, or, without any,
the mean of all pictures. A byte of 101 is followed by an overlay: a painted picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nfcodec.entropy.adaptive import Reader, Stream, Writer
from nfcodec.errors import CorruptError
from nfcodec.lattice.given import NOTHING, Given
from nfcodec.lattice.palette import Overlay, decode_overlay
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.moving import motion as moves
from nfcodec.moving import motion_code, residual
from nfcodec.moving.expected import Expected
from nfcodec.moving.given import given_of
from nfcodec.moving.init import MovingInit
from nfcodec.moving.light import BYTES, Light
from nfcodec.moving.motion import Motion, Past
from nfcodec.moving.painting import painted
from nfcodec.moving.prediction import SAMPLE_BITS, Whole, clipped
from nfcodec.moving.residual import Cells
from nfcodec.types import Symbols

_SHIFT = 2.0 ** (SAMPLE_BITS - 32)


# In the place of the quality: a painted picture.
PAINTED = 101
LARGEST_QUALITY = 100
# Added to the quality: lights follow.
_LIT = 128


@dataclass(frozen=True, slots=True)
class Frame:
    """What is coded of a picture: its ``quality``, its ``motion`` (of one of its own: all blocks, standing), and the
    ``symbols`` (P, K, h, w) of the box of its coded blocks, None where there is none; or what it is ``painted``
    with.
    ``lights``: in which its references are seen, none where they stay as they are."""

    quality: int
    motion: Motion
    symbols: Symbols | None
    painted: Overlay | None = None
    lights: tuple[Light, ...] = ()

    def numbers(self) -> npt.NDArray[np.int32]:
        """Everything as one row of numbers."""
        if self.painted is not None:
            return np.concatenate([np.array([PAINTED], np.int32), self.painted.numbers()])
        rest = [] if self.symbols is None else [self.symbols.ravel()]
        rest += [np.array([[light.gain, light.offset] for light in self.lights], np.int32).ravel()]
        return np.concatenate([np.array([self.quality], np.int32), self.motion.numbers(), *rest])


@dataclass(frozen=True, slots=True)
class Canvas:
    """What all pictures of a file share: the ``init``, ``shape`` (H, W) in samples and the number of ``planes``."""

    init: MovingInit
    shape: tuple[int, int]
    planes: int

    @property
    def blocks(self) -> tuple[int, int]:
        """Blocks along each axis."""
        return moves.grid(*self.shape)

    def cells(self, motion: Motion) -> Cells:
        """The cells that are coded."""
        return Cells.of(motion.coded, self.shape, self.init.residuals.spec.spacing)

    @property
    def nothing(self) -> Frame:
        """What an empty payload stands for."""
        return Frame(0, moves.standing(self.blocks), None)

    def exchange(self, stream: Stream, past: Past, frame: Frame, expected: Expected, *, given: bool) -> Frame:
        """Write a frame where it is ``given``, or read one, of which ``frame`` has quality and lights alone."""
        if expected:
            known = frame.motion if given else None
            motion = motion_code.exchange(stream, past, known, self.blocks, expected.distances)
            motion = frame.motion if given else motion  # of which the prediction is known
        else:
            motion = alone(self.blocks)
        if not motion.coded.any():
            return replace(frame, motion=motion, symbols=None)
        cells = self.cells(motion)
        symbols = residual.exchange(
            stream, self.init.level(alone=not expected), frame.symbols if given else None, cells, quality=frame.quality,
            planes=self.planes, counts=past.counts if expected else None,
            given=self._told(frame, motion, cells, expected),
        )  # fmt: skip
        return replace(frame, motion=motion, symbols=symbols)

    def _told(self, frame: Frame, motion: Motion, cells: Cells, expected: Expected) -> Given | None:
        """What the prior of a residual is told."""
        level = self.init.level(alone=not expected)
        if level.prior.told == NOTHING:
            return None
        return given_of(level, expected.of(motion, frame.lights), motion, cells.coded, cells.box, frame.quality)

    def write(self, frame: Frame, past: Past, expected: Expected) -> bytes:
        """The payload of a frame; the ``past`` learns of it."""
        if frame.symbols is None and (not expected or (frame.motion.stands and not frame.lights)):
            return b""
        stream = Writer()
        self.exchange(stream, past, frame, expected, given=True)
        front = frame.quality | (_LIT if frame.lights else 0)
        return bytes([front, *b"".join(light.pack() for light in frame.lights)]) + stream.finish()

    def read(
        self, payload: bytes, past: Past, expected: Expected, limits: Limits = DEFAULT_LIMITS
    ) -> Frame:  # fmt: skip
        """Inverse of :meth:`write`; :class:`CorruptError` for what it cannot have written."""
        if not payload:
            return self.nothing
        if payload[0] == PAINTED:
            overlay = decode_overlay(payload[1:], self.shape, self.planes, limits=limits)
            return Frame(PAINTED, moves.standing(self.blocks), None, overlay)
        quality, count = payload[0] & ~_LIT, len(expected) if payload[0] & _LIT else 0
        front = 1 + BYTES * count
        if quality > LARGEST_QUALITY or len(payload) < front or (payload[0] & _LIT and not expected):
            raise CorruptError(f"quality {quality} and {count} lights in a picture of {len(payload)} bytes")
        lights = tuple(Light.unpack(payload[at : at + BYTES]) for at in range(1, front, BYTES))
        if lights and all(light.plain for light in lights):
            raise CorruptError("lights that change nothing")
        stream = Reader(payload[front:], limits=limits)
        begun = replace(self.nothing, quality=quality, lights=lights)
        frame = self.exchange(stream, past, begun, expected, given=False)
        stream.finish()
        if frame.symbols is None and frame.motion.stands and not lights:
            raise CorruptError(f"a picture like its references in {len(payload)} bytes, where it needs none")
        return frame

    def shown(self, frame: Frame, expected: Expected) -> Whole:
        """The planes (P, H, W) of a frame."""
        if expected and frame.painted is None:
            return self.added(expected.of(frame.motion, frame.lights), frame, alone=False)
        below = expected.references[0].planes if expected else np.zeros((self.planes, *self.shape), np.int16)
        return self.added(below, frame, alone=True)

    def added(self, expected: Whole, frame: Frame, *, alone: bool) -> Whole:
        """``expected`` planes with the residual of a frame."""
        if frame.painted is not None:
            return painted(expected, frame.painted)
        if frame.symbols is None:
            return expected
        level = self.init.level(alone=alone)
        more = residual.rendered(level, frame.symbols, self.cells(frame.motion), frame.quality, self.shape)
        found = expected.copy()
        h, w = more.planes.shape[1:]
        part = found[:, more.top : more.top + h, more.left : more.left + w]
        whole = more.planes[: self.planes]
        whole *= _SHIFT
        whole += 0.5
        np.floor(whole, out=whole)
        whole += part
        part[...] = clipped(whole)
        return found


def alone(shape: tuple[int, int]) -> Motion:
    """The blocks of a picture of its own: all are coded."""
    return replace(moves.standing(shape), coded=np.ones(shape, bool))


