"""Frequency tables of whole numbers: what the coder believes about a symbol of a given *row*.

Row r stands for deltas that, before rounding, follow a Laplace distribution of scale b = 2^((r − 18)/4)
steps: rows are a quarter of an octave apart, and halving the step size is the same as adding 4 to the row.
After rounding to the nearest step P(0) = 1 − exp(−1/2b); we keep that probability of zero and give the other
numbers a two-sided geometric tail, P(±k) ∝ θ^k with (1 − θ)/(1 + θ) = P(0). For large b both agree; for small
b the geometric tail is heavier, as real deltas are.

The counts come from the literals :data:`THETA` by integer arithmetic alone. Do not "simplify" this into
``np.exp``: libm differs between machines in the last bit, and one count off by one ruins every file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TOTAL_BITS = 20
TOTAL = 1 << TOTAL_BITS
LMAX = 1023  # the largest magnitude that any row codes without escape
ROW_OF_ONE = 18  # the row whose scale b is exactly one step
_THETA_BITS = 24
_UNIT = 1 << 40  # weight of the symbol zero before normalization
_LEAST_LAST = 4  # counts that the last supported magnitude must still deserve
_LEAST_ESCAPE = 4
_LEAST_SUPPORT = 2

# round(2^24 · p/(2 − p)) with p = exp(−1/2b), b = 2^((r − 18)/4), r = 0 … 47. Part of the format: never
# regenerate. (Computed once with 50 decimal digits; tests/coding/test_tables.py repeats that.)
THETA = (
    102, 619, 2815, 10055, 29357, 72393, 155063, 295450,
    510914, 815395, 1217672, 1720675, 2321624, 3012634, 3781579, 4613068,
    5489514, 6392234, 7302562, 8202863, 9077411, 9913017, 10699408, 11429329,
    12098409, 12704856, 13249038, 13733016, 14160085, 14534353, 14860390, 15142941,
    15386710, 15596212, 15775669, 15928957, 16059577, 16170653, 16264945, 16344871,
    16412536, 16469759, 16518110, 16558932, 16593376, 16622423, 16646908, 16667539,
)  # fmt: skip
ROWS = len(THETA)

ESCAPE_CLASSES = 32  # bit lengths of an escaped excess, see escape_counts


def _weights(row: int) -> list[int]:
    """Unnormalized weights of the magnitudes 0, 1, 2, … until they vanish."""
    weights = [_UNIT]
    while weights[-1]:
        weights.append(weights[-1] * THETA[row] >> _THETA_BITS)
    return weights


def _last_supported(weights: list[int], total: int) -> int:
    """The largest magnitude worth a place of its own in the table."""
    last = _LEAST_SUPPORT
    while last < LMAX and weights[last + 1] << TOTAL_BITS >= _LEAST_LAST * total:
        last += 1
    return last


@lru_cache(maxsize=ROWS)
def row_counts(row: int) -> tuple[int, ...]:
    """Counts of one row in coding order: 0, +1, −1, +2, −2, …, +L, −L, escape; they sum to ``TOTAL``.

    Zero comes first so that a run of zeros leaves the coder at the bottom of its interval, where the trailing
    zero bytes of the payload are dropped.
    """
    weights = _weights(row)
    weights += [0] * (_LEAST_SUPPORT + 2 - len(weights))
    total = 2 * sum(weights) - weights[0]
    last = _last_supported(weights, total)
    one_side = [max(1, ((w << TOTAL_BITS) + total // 2) // total) for w in weights[1 : last + 1]]
    escape = max(_LEAST_ESCAPE, (2 * sum(weights[last + 1 :]) << TOTAL_BITS) // total)
    zero = TOTAL - 2 * sum(one_side) - escape
    return (zero, *(c for c in one_side for _ in "+-"), escape)


def support(row: int) -> int:
    """L: the largest magnitude that ``row`` codes without escape, 2 … ``LMAX``."""
    return len(row_counts(row)) // 2 - 1


@lru_cache(maxsize=1)
def escape_counts() -> tuple[int, ...]:
    """Counts of the bit length k = 0 … 31 of an escaped excess: halving with every bit, at least 1."""
    tail = tuple(max(1, 1 << max(0, TOTAL_BITS - 1 - k)) for k in range(1, ESCAPE_CLASSES))
    return (TOTAL - sum(tail), *tail)


@lru_cache(maxsize=1)
def magnitude_bits() -> npt.NDArray[np.float64]:
    """Ideal code lengths in bits, float64 (ROWS, LMAX + 1): entry [r, k] is the cost of +k or of −k in row r.

    Escapes are included. For the ENCODER's decisions only; nothing between bytes and symbols may look at it.
    The array is shared and read-only.
    """
    import numpy as np

    bits = np.zeros((ROWS, LMAX + 1))
    for row in range(ROWS):
        counts = np.asarray(row_counts(row), dtype=np.float64)
        cost = TOTAL_BITS - np.log2(counts)
        last = support(row)
        bits[row, 0] = cost[0]
        bits[row, 1 : last + 1] = cost[1:-1:2]
        excess = np.arange(1, LMAX - last + 1)  # magnitude − L; 2⌊log2⌋ + 1 bits, one more for the sign
        bits[row, last + 1 :] = cost[-1] + 2 * np.floor(np.log2(excess)) + 2
    bits.flags.writeable = False
    return bits


def code_lengths() -> npt.NDArray[np.float64]:
    """:func:`magnitude_bits` unfolded, float64 (ROWS, 2·LMAX + 1): entry [r, LMAX + v] is the cost of v."""
    import numpy as np

    half = magnitude_bits()
    return np.concatenate([half[:, :0:-1], half], axis=1)


def row_of_scale(scale: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The nearest rows for Laplace scales (mean magnitudes before rounding, in steps), clipped to 0 … ROWS − 1.

    Float arithmetic: for whoever makes an init or encodes, never for decoding.
    """
    import numpy as np

    exact = 4 * np.log2(np.maximum(np.asarray(scale, dtype=np.float64), 1e-30)) + ROW_OF_ONE
    rows: npt.NDArray[np.int64] = np.clip(np.rint(exact), 0, ROWS - 1).astype(np.int64)
    return rows
