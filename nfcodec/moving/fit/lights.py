"""Finds in which light references are like a picture: in small, so that motion hardly matters."""

from __future__ import annotations

import numpy as np

from nfcodec.moving.fit.search import Searched, Shown
from nfcodec.moving.light import GAIN_BITS, LARGEST_GAIN, LARGEST_OFFSET, Light
from nfcodec.types import Floats

# A light must take this share of the mean error away, and that must be over so much.
_SHARE, _LEAST = 0.4, 1 / 255
_OFFSET_UNIT = 2.0**-9


def lights_of(luma: Floats, references: list[Shown]) -> tuple[Light, ...]:
    """Lights of all references for a luma (H, W); none where they change little."""
    small = Searched(luma).pyramid[-1]
    found = tuple(_light(small, shown.pyramid[-1]) for shown in references)
    return found if any(not light.plain for light in found) else ()


def _light(wanted: Floats, shown: Floats) -> Light:
    """The light by least squares, of one small luma on another."""
    off = float(np.abs(wanted - shown).mean())
    if off < _LEAST:
        return Light()
    spread = shown - shown.mean()
    power = float((spread * spread).mean())
    gain = float((spread * wanted).mean()) / power if power > 1e-6 else 1.0
    whole = int(np.clip(np.rint(gain * (1 << GAIN_BITS)), 0, LARGEST_GAIN))
    rest = float(wanted.mean() - shown.mean() * whole / (1 << GAIN_BITS)) / _OFFSET_UNIT
    light = Light(whole, int(np.clip(np.rint(rest), -LARGEST_OFFSET, LARGEST_OFFSET)))
    lit = shown * (light.gain / (1 << GAIN_BITS)) + light.offset * _OFFSET_UNIT
    return light if np.abs(wanted - lit).mean() < (1.0 - _SHARE) * off else Light()
