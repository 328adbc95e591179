"""Quality, step sizes and λ: what a bit is worth.

At quality q a weight of sensitivity F (squared output error per squared weight change, summed over a module)
gets the step size δ = Δ_q / sqrt(F), so every weight adds the same Δ_q²/12 of squared error. The slope of the
high-rate curve of a uniform quantizer then sets λ = (ln 4 / 12)·Δ_q² squared error per bit; a little more is
better where most deltas are zero (docs/math.md).
"""

from __future__ import annotations

LAMBDA = 0.13


def error_unit(coarsest: float, quality: float) -> float:
    """Δ_q in signal units; continuous in quality, so λ differs between qualities that share their steps."""
    return float(coarsest * 2.0 ** (-quality * 23 / 64 / 8))


def trade_off(coarsest: float, quality: float) -> float:
    """λ in squared error (summed over a module's samples and channels) per bit."""
    return LAMBDA * error_unit(coarsest, quality) ** 2
