"""References in another light: fades and flashes change whole pictures, which no vector explains.

A light is a gain of all planes and an offset of the first one (weighted prediction: Boyce 2004). In whole numbers: the
gain counts 128ths, the offset 2^-9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nfcodec.errors import CorruptError
from nfcodec.moving.prediction import Reference, clipped

GAIN_BITS = 7
_OFFSET_BITS = 4
LARGEST_GAIN = 255
LARGEST_OFFSET = 1023
BYTES = 3


@dataclass(frozen=True, slots=True)
class Light:
    """``gain`` 0 … 255 in 128ths; ``offset`` of the first plane within ±1023, in 2^-9."""

    gain: int = 1 << GAIN_BITS
    offset: int = 0

    @property
    def plain(self) -> bool:
        """Whether it changes nothing."""
        return self.gain == 1 << GAIN_BITS and not self.offset

    def pack(self) -> bytes:
        """Three bytes."""
        return bytes([self.gain]) + (self.offset + LARGEST_OFFSET).to_bytes(2, "little")

    @classmethod
    def unpack(cls, data: bytes) -> Light:
        """Inverse of :meth:`pack`; :class:`CorruptError` for an offset that is too large."""
        offset = int.from_bytes(data[1:], "little") - LARGEST_OFFSET
        if offset > LARGEST_OFFSET:
            raise CorruptError(f"offset {offset} of a light, {LARGEST_OFFSET} is the largest")
        return cls(data[0], offset)

    def on(self, reference: Reference) -> Reference:
        """A reference in this light."""
        if self.plain:
            return reference
        lit = (reference.planes.astype(np.int32) * self.gain + (1 << (GAIN_BITS - 1))) >> GAIN_BITS
        lit[0] += self.offset << _OFFSET_BITS
        return Reference(clipped(lit))


def lit(references: Sequence[Reference], lights: Sequence[Light]) -> list[Reference]:
    """References, each in its light; without lights as they are."""
    return [light.on(r) for r, light in zip(references, lights, strict=True)] if lights else list(references)
