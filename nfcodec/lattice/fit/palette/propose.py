"""An overlay for the blocks of a picture that have few colours, sample by sample where bits weigh more than errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfcodec.entropy.coder import FLAG_BITS
from nfcodec.entropy.ranking import Front, Ranker
from nfcodec.lattice.fit.palette.colours import candidates, colours_of
from nfcodec.lattice.palette import Overlay, encode_overlay
from nfcodec.types import Bytes, Doubles, Ints, Mask

# A spelled index costs about so much of its bits: some colours are more frequent than others.
_SPELLED = 0.8
# A sample takes another than its nearest colour only for bits worth so many times the error, and not one whose squared
# error is larger by more: at low qualities everything would be worth it.
_RELUCTANCE = 3.0
_MOST_ERROR = 800.0


@dataclass(frozen=True)
class Draft:
    """An overlay, its payload, and for each sample (h, w) what it costs in bits, errors included."""

    overlay: Overlay
    payload: bytes
    costs: Doubles

    @property
    def cost(self) -> float:
        """Bits of the payload and of the errors."""
        return float(self.costs.sum())


class _Choice:
    """Chooses indices by error and bits. ``samples`` (h, w, C); ``nearest`` (h, w): the index of the nearest colour,
    0 where nothing is opaque."""

    def __init__(self, samples: Bytes, palette: Bytes, nearest: Ints, error_bits: float) -> None:
        self._samples, self._nearest, self._error_bits = samples, nearest, error_bits
        self._alone = _alone(nearest)
        self._colours = np.concatenate([np.zeros((1, palette.shape[1])), palette.astype(np.float64)])
        self.costs: Doubles = np.zeros(nearest.shape)

    def __call__(self, ranker: Ranker, front: Front) -> Ints:
        at = np.arange(front.top, front.bottom), front.x
        nearest = self._nearest[at].astype(np.int64)
        options = np.concatenate([front.guesses, nearest[None]])
        bits = _bits(ranker, front)
        errors = ((self._colours[np.maximum(options, 0)] - self._samples[at]) ** 2).sum(2)
        free = self._alone[at] & (options > 0) & (errors - errors[-1] <= _MOST_ERROR)
        allowed = free | (options == nearest)
        errors *= self._error_bits
        errors[:, nearest == 0] = 0.0  # of what shows the lattice
        costs = np.where(allowed, bits + errors + _RELUCTANCE * (errors - errors[-1]), np.inf)
        best, here = costs.argmin(0), np.arange(len(nearest))
        self.costs[at] = (bits + errors)[best, here]
        chosen: Ints = options[best, here]
        return chosen


def _alone(plane: Ints) -> Mask:
    """Which samples (h, w) have no neighbour of their own index.

    Others keep their colour: were samples of an area free, it would go under one by one, since the first of many is
    dear and the others are cheap.
    """
    alike = np.zeros((plane.shape[0] + 2, plane.shape[1] + 2), np.bool_)
    down, across = plane[1:] == plane[:-1], plane[:, 1:] == plane[:, :-1]
    alike[1:-2, 1:-1] |= down
    alike[2:-1, 1:-1] |= down
    alike[1:-1, 1:-2] |= across
    alike[1:-1, 2:-1] |= across
    return ~alike[1:-1, 1:-1]


def _bits(ranker: Ranker, front: Front) -> Doubles:
    """Bits (STAGES + 1, n) until each guess is hit, and until an index is spelled."""
    chances = ranker.chances(front).astype(np.float64) / (1 << FLAG_BITS)
    missed = -np.log2(1.0 - chances)
    fresh = front.guesses >= 0
    for stage in range(1, len(fresh)):
        fresh[stage] &= (front.guesses[:stage] != front.guesses[stage]).all(0)
    before = np.concatenate([np.zeros((1, missed.shape[1])), np.cumsum(np.where(fresh, missed, 0.0), 0)])
    hit = np.where(fresh, before[:-1] - np.log2(chances), np.inf)
    return np.concatenate([hit, before[-1:] + _SPELLED * ranker.levels])


def draft(samples: Bytes, mask: Mask, error_bits: float, *, palettes: int = 1) -> Draft:
    """The best overlay for the samples (h, w, C) in a mask (h, w) that holds some.

    ``error_bits``: what one unit of squared error of 8-bit samples is worth; ``palettes``: how many to try in full.
    """
    colours = colours_of(samples, mask)
    drafts = []
    for _, palette, of in candidates(colours, error_bits)[:palettes]:
        nearest = np.where(mask, of[colours.of] + 1, 0)
        drafts.append(_made(samples, palette, nearest, error_bits))
    return min(drafts, key=lambda d: d.cost)


def final(samples: Bytes, mask: Mask, error_bits: float, found: Draft) -> Draft:
    """The palette of a draft again, in a smaller mask, without the colours that are not needed any more."""
    old = found.overlay
    used = np.unique(old.indices[mask & old.opaque])
    renumbered = np.zeros(len(old.palette) + 1, np.int64)
    renumbered[used] = np.arange(1, len(used) + 1)
    palette = old.palette[used - 1]
    return _made(samples, palette, np.where(mask, renumbered[old.indices], 0), error_bits)


def _made(samples: Bytes, palette: Bytes, nearest: Ints, error_bits: float) -> Draft:
    choice = _Choice(samples, palette, nearest, error_bits)
    payload, overlay = encode_overlay(palette, nearest.shape, choice)
    return Draft(overlay, payload, choice.costs)
