"""Frequency tables of logistic densities: what the lattice's prior believes about a symbol.

Scale index s = 0 … 47 stands for b = 2^((s − 18)/4) steps, fraction f = −4 … 3 for a centre at f/8 of a step. The
probability of v is the logistic density around f/8, integrated over v ± 1/2: the difference of
1/(1 + exp(−x/b)) at x = (8v ± 4 − f)/8. One part in 4096 comes from a density four times as wide (s + 8, at most
47), because real symbols have heavier tails than the logistic. More would help loud symbols and cost more on
quiet ones: nearly all symbols are zeros that should cost next to nothing.

The density is symmetric, so f < 0 is coded as −v under −f. From s = 26 on (b ≥ 4) an eighth of a step does not
matter, and the table of f = 0 serves all fractions. That leaves the ``ROWS`` rows: 5s + f, then 130 + (s − 26).

The counts come from the literals :data:`THETA` by integer arithmetic alone: with θ = exp(−1/8b), every
exp(−x/b) above is a power of θ. Do not "simplify" this into ``np.exp``, see :mod:`nfcodec.entropy.tables`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from nfcodec.entropy.tables import LMAX, TOTAL, TOTAL_BITS, escape_counts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.integer[Any]]

EIGHTHS = 8  # fractions of a step
_HALF = EIGHTHS // 2
FINE = 26  # scales below this one keep the fraction
TAIL = 1  # parts of _PARTS that have the wide density
_PARTS = 4096
_WIDER = 8  # scale indices, a factor of four
_LEAST_LAST = 4  # counts that one of the two last supported numbers must still deserve
_LEAST_ESCAPE = 4
_LEAST_SUPPORT = 2

_THETA_BITS = 64
_ONE = 1 << _THETA_BITS
# round(2^64 · exp(−1/8b)), b = 2^((s − 18)/4), s = 0 … 47. Part of the format: never regenerate. (Computed once
# with 50 decimal digits; tests/coding/test_logistic.py repeats that.)
THETA = (
    0x0F218DE07D409166, 0x17BB0545F6B0FAE9, 0x22A555477F039740, 0x2FA0539653587581,
    0x3E3CE5F781592F41, 0x4DF142566EFB93AB, 0x5E2D58D8B3BCDF1B, 0x6E6B3AF6ABB5C837,
    0x7E39BFF0395CBFF0, 0x8D41899609D8A47A, 0x9B4597E37CB04FF4, 0xA820ECBEF4986210,
    0xB3C2A028D327CD57, 0xBE29706C5A1E2C87, 0xC75F7CF564105743, 0xCF768BA8237F28BA,
    0xD684FF70B1153A0E, 0xDCA382521DCAE624, 0xE1EB51276C110C3C, 0xE6750E8B0AE51E61,
    0xEA5800A66CABCFB9, 0xEDA99FD38DE03130, 0xF07D5FDE38151E73, 0xF2E4A20987112CB0,
    0xF4EEC2157EB872D5, 0xF6A9340730CF84C5, 0xF81FAB5445AEBC8A, 0xF95C464FA2B53F0E,
    0xFA67BA655CE58087, 0xFB497EF17D854408, 0xFC07F55FF77D2494, 0xFCA88DE21602CEF6,
    0xFD2FE8706985FA4A, 0xFDA1F215CDFF7511, 0xFE01FEAB551127CC, 0xFE52DF45B0B2F5AB,
    0xFE96F5A114B36758, 0xFED044DCA3BF3302, 0xFF007FD55FFDDE39, 0xFF29156C556FC1C3,
    0xFF4B3AFDB8F17CC7, 0xFF67F547F45F3F72, 0xFF801FFAAB554446, 0xFF94741F0D7B7CFC,
    0xFFA58D848375DA94, 0xFFB3EF57077B10F6, 0xFFC007FF555FFF77, 0xFFCA34688F6EAD5A,
)  # fmt: skip
SCALES = len(THETA)
ROWS = (_HALF + 1) * FINE + SCALES - FINE


def row_of(scale: int, fraction: int) -> tuple[int, bool]:
    """The table row of scale 0 … 47 and fraction −4 … 3, and whether the symbol is coded with its sign changed."""
    if scale >= FINE:
        return (_HALF + 1) * FINE + scale - FINE, False
    return (_HALF + 1) * scale + abs(fraction), fraction < 0


def _scale_and_fraction(row: int) -> tuple[int, int]:
    """The scale and the fraction 0 … 4 of a row."""
    fine = (_HALF + 1) * FINE
    return divmod(row, _HALF + 1) if row < fine else (row - fine + FINE, 0)


def _power(scale: int, exponent: int) -> int:
    """θ^exponent in units of 2^−64, rounded down at every factor."""
    power = _ONE
    for _ in range(exponent):
        power = power * THETA[scale] >> _THETA_BITS
    return power


def _upper(scale: int, first: int) -> Iterator[int]:
    """P(x > n/8) around 0 in units of 2^−64 for n = first, first + 8, …; ``first`` ≥ 0."""
    power, step = _power(scale, first), _power(scale, EIGHTHS)
    while True:
        yield (power << _THETA_BITS) // (_ONE + power)
        power = power * step >> _THETA_BITS


def _mixed(scale: int, first: int) -> Iterator[int]:
    """As :func:`_upper` for the mixture with the wide density, in units of 2^−64/4096."""
    wide = min(scale + _WIDER, SCALES - 1)
    for near, far in zip(_upper(scale, first), _upper(wide, first), strict=True):
        yield (_PARTS - TAIL) * near + TAIL * far


def _until_thin(masses: Iterator[int]) -> list[int]:
    """P(v ≥ 1), P(v ≥ 2), …, P(v ≥ L + 1): L is the last number worth a place of its own in the table."""
    least = _LEAST_LAST * _PARTS * _ONE >> TOTAL_BITS
    found = list(islice(masses, _LEAST_SUPPORT + 1))
    for mass in islice(masses, LMAX - _LEAST_SUPPORT):
        if found[-1] - mass < least:
            break
        found.append(mass)
    return found


def _count(mass: int) -> int:
    """``mass`` in units of 2^−20, to the nearest."""
    unit = _PARTS * _ONE >> TOTAL_BITS
    return (mass + unit // 2) // unit


@lru_cache(maxsize=ROWS)
def row_counts(row: int) -> tuple[int, ...]:
    """Counts of one row in coding order: 0, +1, −1, +2, −2, …, +L, −L, escape; they sum to ``TOTAL``.

    Zero comes first, see :func:`nfcodec.entropy.tables.row_counts`.
    """
    scale, fraction = _scale_and_fraction(row)
    above = _until_thin(_mixed(scale, _HALF - fraction))
    below = list(islice(_mixed(scale, _HALF + fraction), len(above)))
    sides = [max(1, _count(side[k] - side[k + 1])) for k in range(len(above) - 1) for side in (above, below)]
    escape = max(_LEAST_ESCAPE, _count(above[-1] + below[-1]))
    return (TOTAL - sum(sides) - escape, *sides, escape)


def support(row: int) -> int:
    """L: the largest magnitude that ``row`` codes without escape, 2 … ``LMAX``."""
    return len(row_counts(row)) // 2 - 1


@lru_cache(maxsize=1)
def _selection() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """:func:`row_of` of every scale and fraction, both (SCALES · 8,), fraction −4 first."""
    import numpy as np

    found = [row_of(s, f) for s in range(SCALES) for f in range(-_HALF, _HALF)]
    return np.array([r for r, _ in found], np.uint8), np.array([n for _, n in found], np.bool_)


def rows_of(scale: Ints, fraction: Ints) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """:func:`row_of` of arrays: table rows, and which symbols are coded with their sign changed."""
    import numpy as np

    index = scale.astype(np.intp) * EIGHTHS + (fraction + _HALF)
    rows, negative = _selection()
    return rows.take(index), negative.take(index)


def _charged(counts: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Bits that the coder charges: it turns counts into 24-bit frequencies that are never zero."""
    import numpy as np

    spare = (1 << 24) - len(counts)
    cumulative = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    bits: npt.NDArray[np.float64] = 24 - np.log2(np.diff(cumulative * spare >> TOTAL_BITS) + 1)
    return bits


def _excess_bits(excess: Ints) -> npt.NDArray[np.float64]:
    """Bits of escaped excesses ≥ 1: the length, the sign, the bits below the leading one."""
    import numpy as np

    length = np.frexp(excess.astype(np.float64))[1] - 1
    bits: npt.NDArray[np.float64] = _charged(escape_counts())[length] + 1 + length
    return bits


@lru_cache(maxsize=1)
def _escapes() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Support and bits of the escape entry of every row, both (ROWS,)."""
    import numpy as np

    rows = range(ROWS)
    return np.array([support(r) for r in rows]), np.array([_charged(row_counts(r))[-1] for r in rows])


@lru_cache(maxsize=1)
def code_lengths() -> npt.NDArray[np.float32]:
    """Bits of −LMAX … LMAX in every row, float32 (ROWS, 2·LMAX + 1), escapes included; shared and read-only.

    For the ENCODER's decisions only; nothing between bytes and symbols may look at it.
    """
    import numpy as np

    bits = np.empty((ROWS, 2 * LMAX + 1), np.float32)
    for row, line in enumerate(bits):
        charged, last = _charged(row_counts(row)), support(row)
        far = charged[-1] + _excess_bits(np.arange(1, LMAX - last + 1))
        line[LMAX:] = np.concatenate([charged[:1], charged[1:-1:2], far])
        line[:LMAX] = np.concatenate([charged[2:-1:2], far])[::-1]
    bits.flags.writeable = False
    return bits


def bits(symbols: Ints, scale: Ints, fraction: Ints) -> npt.NDArray[np.float32]:
    """What the coder charges for whole ``symbols`` (…) of any size under scales and fractions −4 … 3 (…)."""
    import numpy as np

    rows, negative = rows_of(scale, fraction)
    signed = np.where(negative, -symbols, symbols)
    column = np.clip(signed, -LMAX, LMAX).astype(np.intp) + LMAX
    found = code_lengths().ravel().take(rows.astype(np.intp) * (2 * LMAX + 1) + column)
    beyond = np.abs(signed) > LMAX
    if beyond.any():
        last, escape = _escapes()
        far = rows[beyond]
        found[beyond] = escape[far] + _excess_bits(np.abs(signed[beyond]) - last[far])
    return found
