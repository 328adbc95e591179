"""Palettes for the colours of a picture: k-means, and how many colours are worth their bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfcodec.lattice.fit.palette.blocks import packed
from nfcodec.types import Bytes, Doubles, Ints, Mask

_SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_ROUNDS = 5
# More colours than that are first gathered by their upper bits.
_MANY = 4095
# Estimates so many times the best one so far end the search.
_GIVE_UP = 1.5
# Bits per colour of a palette, and what is left of the entropy given the left neighbour when more of them are seen:
# both measured on drawings.
_COLOUR_BITS, _LEFT_OVER = 12.0, 0.45


@dataclass(frozen=True)
class Colours:
    """The colours that occur: ``colours`` (n, C), how often (n,), and which one each sample (h, w) has (−1: none)."""

    colours: Doubles
    counts: Doubles
    of: Ints


def colours_of(samples: Bytes, mask: Mask) -> Colours:
    """The colours of the samples (h, w, C) in a mask (h, w) that holds some."""
    codes = packed(samples)[mask]
    for drop in range(8):
        known, of, counts = np.unique(_coarser(codes, drop), return_inverse=True, return_counts=True)
        if len(known) <= _MANY:
            break
    where = np.full(mask.shape, -1, np.int64)
    where[mask] = of.ravel()
    chosen = samples[mask].astype(np.float64)
    sums = [np.bincount(of.ravel(), chosen[:, c], len(known)) for c in range(samples.shape[-1])]
    return Colours(np.stack(sums, 1) / counts[:, None], counts.astype(np.float64), where)


def _coarser(codes: Ints, drop: int) -> Ints:
    keep = (0xFF << drop & 0xFF) * 0x010101
    return codes & keep


def palette_of(colours: Colours, size: int) -> tuple[Bytes, Ints]:
    """At most ``size`` colours (K, C), dark to light, and which one (n,) stands for each of ``colours``."""
    centres = _centres(colours, size)
    for _ in range(_ROUNDS):
        nearest = _nearest(colours.colours, centres)
        weight = np.bincount(nearest, colours.counts, len(centres))
        sums = [np.bincount(nearest, colours.counts * c, len(centres)) for c in colours.colours.T]
        used = weight > 0
        centres = np.stack(sums, 1)[used] / weight[used, None]
    palette = np.unique(np.rint(centres).astype(np.uint8), axis=0)
    palette = palette[np.argsort(palette.astype(np.int64).sum(1), kind="stable")]
    return palette, _nearest(colours.colours, palette.astype(np.float64))


def _nearest(colours: Doubles, centres: Doubles) -> Ints:
    # Not a matrix product: numpy's wakes a thread per core, which then spins while other processes want to work.
    products = [np.multiply.outer(c, k) for c, k in zip(colours.T, centres.T, strict=True)]
    return np.asarray(((centres**2).sum(1) - 2.0 * sum(products)).argmin(1))


def _centres(colours: Colours, size: int) -> Doubles:
    """The most frequent colour, then always the one that is worst off."""
    at = int(colours.counts.argmax())
    chosen = [at]
    far = ((colours.colours - colours.colours[at]) ** 2).sum(1)
    while len(chosen) < size and far.max() > 0:
        at = int((far * colours.counts**0.7).argmax())
        chosen.append(at)
        far = np.minimum(far, ((colours.colours - colours.colours[at]) ** 2).sum(1))
    return colours.colours[chosen]


def candidates(colours: Colours, error_bits: float) -> list[tuple[float, Bytes, Ints]]:
    """(estimated bits, palette, colour of each of ``colours``) of palettes of several sizes, the best first.

    ``error_bits``: what one unit of squared error is worth.
    """
    found = []
    sizes = [s for s in _SIZES if s < len(colours.colours)]
    for size in [*sizes, len(colours.colours)]:
        palette, of = palette_of(colours, size)
        error = (((colours.colours - palette[of]) ** 2).sum(1) * colours.counts).sum()
        bits = error * error_bits + _COLOUR_BITS * len(palette) + _LEFT_OVER * _entropy(colours.of, of, len(palette))
        found.append((float(bits), palette, of))
        if bits > _GIVE_UP * min(f[0] for f in found):
            break
    return sorted(found, key=lambda f: f[0])


def _entropy(places: Ints, of: Ints, size: int) -> float:
    """Bits of all samples given the one to their left, by the frequencies of the pairs."""
    here, left = places[:, 1:], places[:, :-1]
    both = (here >= 0) & (left >= 0)
    pairs = np.bincount(of[left[both]] * size + of[here[both]], minlength=size * size).reshape(size, size)
    filled = pairs[pairs > 0]
    sums = pairs.sum(1)
    sums = sums[sums > 0]
    return float((sums * np.log2(sums)).sum() - (filled * np.log2(filled)).sum())
