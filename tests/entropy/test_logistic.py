import hashlib
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from reference_coder import frequencies

from nfcodec.entropy import logistic, tables
from nfcodec.entropy.coder import LOGISTIC, SymbolEncoder

ALL_COUNTS_SHA256 = "9c90410d421742e03f69733c92f6ba972a5418f58ff9ea7d91d6b94aa23ec75d"


def upper(x):
    """P(X > x) of the standard logistic, exact in both tails."""
    return np.where(x > 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


def mass(v, scale, fraction):
    """The density that row (scale, fraction) stands for, by another road."""
    found = 0.0
    for index, weight in ((scale, 4095 / 4096), (min(scale + 8, 47), 1 / 4096)):
        b = 2.0 ** ((index - 18) / 4)
        near, far = np.abs(v - fraction / 8) - 0.5, np.abs(v - fraction / 8) + 0.5
        found = found + weight * (upper(near / b) - upper(far / b))
    return found


def charged(row):
    return 24 - np.log2(np.diff(frequencies(logistic.row_counts(row))))


def test_counts_never_change():
    digest = hashlib.sha256()
    for row in range(logistic.ROWS):
        digest.update((",".join(map(str, logistic.row_counts(row))) + "\n").encode())
    assert digest.hexdigest() == ALL_COUNTS_SHA256


def test_theta_follows_from_its_definition():
    with localcontext() as context:
        context.prec = 50
        for scale, theta in enumerate(logistic.THETA):
            b = Decimal(2) ** (Decimal(scale - 18) / 4)
            assert theta == int(((-1 / (8 * b)).exp() * 2**64).to_integral_value())


def test_every_row_has_its_scale_and_fraction():
    fine = {logistic.row_of(s, f) for s in range(26) for f in range(-4, 5)}
    coarse = {logistic.row_of(s, f) for s in range(26, 48) for f in range(-4, 5)}
    assert {r for r, _ in fine} == set(range(130))
    assert coarse == {(r, False) for r in range(130, 152)}
    assert logistic.ROWS == 152
    assert logistic.row_of(7, 3) == (38, False)
    assert logistic.row_of(7, -4) == (39, True)
    assert logistic.row_of(7, 0) == (35, False)
    assert logistic.row_of(26, -4) == (130, False)


def test_rows_of_arrays():
    scale, fraction = (a.ravel() for a in np.meshgrid(np.arange(48, dtype=np.uint8), np.arange(-4, 4)))
    rows, negative = logistic.rows_of(scale, fraction)
    pairs = [logistic.row_of(int(s), int(f)) for s, f in zip(scale, fraction, strict=True)]
    assert list(zip(rows.tolist(), negative.tolist(), strict=True)) == pairs


@pytest.mark.parametrize("row", range(logistic.ROWS))
def test_row_is_a_distribution(row):
    counts, last = logistic.row_counts(row), logistic.support(row)
    assert len(counts) == 2 * last + 2
    assert sum(counts) == tables.TOTAL
    assert min(counts) >= 1
    assert counts[-1] >= 4
    assert 2 <= last <= tables.LMAX
    for side in (counts[1:-1:2], counts[2:-1:2]):
        assert list(side) == sorted(side, reverse=True)
    if row % 5 == 0 or row >= 130:
        assert counts[1:-1:2] == counts[2:-1:2]


@pytest.mark.parametrize("scale", range(48))
@pytest.mark.parametrize("fraction", [-4, -3, -1, 0, 2, 3])
def test_tables_are_the_integrated_density(scale, fraction):
    """Within a count of the exact mass; the relative entropy, escape lumped together, is below a millibit."""
    centre = fraction if scale < 26 else 0
    row, negative = logistic.row_of(scale, fraction)
    last, counts = logistic.support(row), np.array(logistic.row_counts(row))
    k = np.arange(1, last + 1)
    v = np.concatenate([[0], np.stack([k, -k], 1).ravel()]) * (-1 if negative else 1)
    exact = mass(v, scale, centre)
    assert np.abs(exact[1:] * tables.TOTAL - counts[1:-1]).max() <= 1.001
    exact = np.append(exact, max(1 - exact.sum(), 1e-300))
    coded = counts / tables.TOTAL
    assert 0 <= float((exact * np.log2(exact / coded)).sum()) + 1e-9 < 0.001


def test_the_centre_lies_towards_the_fraction():
    fractions = np.array([-4, -3, -2, -1, 1, 2, 3])
    minus, plus = (logistic.bits(np.full(7, v), np.full(7, 16), fractions) for v in (-1, 1))
    assert ((plus < minus) == (fractions > 0)).all()


def test_a_sure_zero_costs_nearly_nothing():
    """Most symbols are such zeros."""
    assert logistic.bits(np.array([0]), np.array([0]), np.array([0]))[0] < 3e-4


def test_fractions_mirror():
    v, s, f = np.meshgrid(np.arange(-2000, 2001, 29), np.arange(26), [1, 2, 3], indexing="ij")
    assert np.array_equal(logistic.bits(v, s, f), logistic.bits(-v, s, -f))


def test_coarse_scales_know_no_fraction():
    v, s, f = np.meshgrid(np.arange(-2000, 2001, 29), np.arange(26, 48), np.arange(-4, 4), indexing="ij")
    assert np.array_equal(logistic.bits(v, s, f), logistic.bits(v, s, 0 * f))


@pytest.mark.parametrize(
    ("scale", "fraction"), [(0, 0), (0, -4), (9, 3), (20, -2), (25, -4), (26, 3), (40, 1), (47, 0)]
)
def test_bits_are_what_the_coder_charges(scale, fraction):
    row, negative = logistic.row_of(scale, fraction)
    last, costs = logistic.support(row), charged(row)
    lengths = 24 - np.log2(np.diff(frequencies(tables.escape_counts())))
    for v in (0, 1, -1, 2, -2, last, -last, last + 1, -last - 1, last + 9, 1023, -1024, 5000, -(2**20), 2**22):
        signed = -v if negative else v
        index = 2 * abs(signed) - (signed > 0)
        wanted = costs[index] if abs(v) <= last else costs[-1]
        if abs(v) > last:
            length = (abs(v) - last).bit_length() - 1
            wanted += lengths[length] + 1 + length
        assert logistic.bits(np.array([v]), np.array([scale]), np.array([fraction]))[0] == pytest.approx(
            wanted, rel=1e-6
        )


def test_streams_are_as_long_as_the_bits_say():
    rng = np.random.default_rng(3)
    scale, fraction = rng.integers(0, 48, 20_000), rng.integers(-4, 4, 20_000)
    v = np.rint(rng.logistic(size=20_000) * 3.0 ** rng.integers(-2, 9, 20_000)).astype(np.int64)
    rows, negative = logistic.rows_of(scale, fraction)
    encoder = SymbolEncoder()
    encoder.put(np.where(negative, -v, v), rows, LOGISTIC)
    bits = logistic.bits(v, scale, fraction).sum(dtype=np.float64)
    assert math.isclose(8 * len(encoder.finish()), bits, rel_tol=2e-4)


def test_code_lengths_are_shared_and_small():
    assert logistic.code_lengths().shape == (152, 2047)
    assert logistic.code_lengths().nbytes < 2**21
    with pytest.raises(ValueError, match="read-only"):
        logistic.code_lengths()[0, 0] = 1
