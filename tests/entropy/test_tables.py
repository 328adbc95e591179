import hashlib
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from nfcodec.entropy import tables

ALL_COUNTS_SHA256 = "0ac0c1a9ae925d82c8be6db0580275a5134c0e71d0d879362de9c060132ac6da"


def test_counts_never_change():
    digest = hashlib.sha256()
    for row in range(tables.ROWS):
        digest.update((",".join(map(str, tables.row_counts(row))) + "\n").encode())
    digest.update((",".join(map(str, tables.escape_counts())) + "\n").encode())
    assert digest.hexdigest() == ALL_COUNTS_SHA256


@pytest.mark.parametrize("row", range(tables.ROWS))
def test_row_is_a_distribution(row):
    counts = tables.row_counts(row)
    last = tables.support(row)
    assert len(counts) == 2 * last + 2
    assert sum(counts) == tables.TOTAL
    assert min(counts) >= 1
    assert 2 <= last <= tables.LMAX
    assert counts[1:-1:2] == counts[2:-1:2]  # symmetric
    assert list(counts[1:-1:2]) == sorted(counts[1:-1:2], reverse=True)
    assert counts[0] >= counts[1]


def test_theta_follows_from_its_definition():
    with localcontext() as context:
        context.prec = 50
        for row, theta in enumerate(tables.THETA):
            scale = Decimal(2) ** (Decimal(row - tables.ROW_OF_ONE) / 4)
            p = (-1 / (2 * scale)).exp()
            assert theta == int((p / (2 - p) * 2**24).to_integral_value())


@pytest.mark.parametrize("row", range(tables.ROWS))
def test_rounding_of_the_counts_wastes_less_than_two_millibits(row):
    """Relative entropy between the geometric distribution and the table, the escape lumped together."""
    theta = tables.THETA[row] / 2**24
    last = tables.support(row)
    one_side = (1 - theta) / (1 + theta) * theta ** np.arange(last + 1)
    exact = np.concatenate([one_side[:1], np.repeat(one_side[1:], 2)])
    exact = np.append(exact, max(1 - exact.sum(), 1e-300))
    coded = np.array(tables.row_counts(row)) / tables.TOTAL
    assert 0 <= float((exact * np.log2(exact / coded)).sum()) + 1e-12 < 0.002


def test_rows_span_nearly_always_zero_to_very_loud():
    zero = [tables.row_counts(r)[0] / tables.TOTAL for r in range(tables.ROWS)]
    assert zero == sorted(zero, reverse=True)
    assert 1 - zero[0] < 1 / 4096
    assert 2 ** ((tables.ROWS - 1 - tables.ROW_OF_ONE) / 4) > 64


def test_code_lengths_mirror_the_magnitudes():
    half, both = tables.magnitude_bits(), tables.code_lengths()
    assert half.shape == (tables.ROWS, tables.LMAX + 1)
    assert both.shape == (tables.ROWS, 2 * tables.LMAX + 1)
    assert np.array_equal(both[:, tables.LMAX :], half)
    assert np.array_equal(both[:, ::-1], both)
    row = 18
    assert half[row, 0] == tables.TOTAL_BITS - math.log2(tables.row_counts(row)[0])
    with pytest.raises(ValueError):
        half[0, 0] = 1


def test_escapes_cost_their_prefix_their_bits_and_a_sign():
    half = tables.magnitude_bits()
    for row in range(40):
        last = tables.support(row)
        escape = tables.TOTAL_BITS - math.log2(tables.row_counts(row)[-1])
        assert half[row, last + 1 : last + 5] - escape == pytest.approx([2, 4, 4, 6])


def test_escape_counts():
    counts = tables.escape_counts()
    assert len(counts) == 32 and sum(counts) == tables.TOTAL and min(counts) == 1


@pytest.mark.parametrize(("scale", "row"), [(1, 18), (2, 22), (0.5, 14), (1e9, 47), (0, 0), (1e-9, 0)])
def test_row_of_scale(scale, row):
    assert tables.row_of_scale(scale) == row
