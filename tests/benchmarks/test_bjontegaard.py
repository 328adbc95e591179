"""Bjøntegaard deltas of the benchmarks."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest

from nfcodec.errors import OptionError

pytest.importorskip("scipy", reason="needs the extra [bench]")
_PLACE = Path(__file__).resolve().parents[2] / "benchmarks" / "bjontegaard.py"
_spec = importlib.util.spec_from_file_location("bjontegaard", _PLACE)
assert _spec is not None and _spec.loader is not None
bjontegaard = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bjontegaard)

RATES_A, PSNR_A = [0.11, 0.23, 0.5, 0.9, 1.6], [27.1, 29.4, 32.9, 35.2, 38.0]
RATES_B, PSNR_B = [0.15, 0.27, 0.45, 0.8, 1.3, 2.2], [29.0, 30.9, 33.1, 36.0, 37.9, 40.3]


def test_bd_rate_of_doubled_rates_is_one_hundred_percent() -> None:
    doubled = [2 * r for r in RATES_A]
    assert bjontegaard.bd_rate(RATES_A, PSNR_A, doubled, PSNR_A) == pytest.approx(100.0)
    assert bjontegaard.bd_rate(doubled, PSNR_A, RATES_A, PSNR_A) == pytest.approx(-50.0)
    assert bjontegaard.bd_rate(RATES_A, PSNR_A, RATES_A, PSNR_A) == pytest.approx(0.0, abs=1e-12)


def test_bd_psnr_of_a_raised_curve() -> None:
    assert bjontegaard.bd_psnr(RATES_A, PSNR_A, RATES_A, [p + 0.7 for p in PSNR_A]) == pytest.approx(0.7)


def test_bd_is_antisymmetric() -> None:
    there = bjontegaard.bd_rate(RATES_A, PSNR_A, RATES_B, PSNR_B)
    back = bjontegaard.bd_rate(RATES_B, PSNR_B, RATES_A, PSNR_A)
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1.0, abs=1e-12)
    forth = bjontegaard.bd_psnr(RATES_A, PSNR_A, RATES_B, PSNR_B)
    assert bjontegaard.bd_psnr(RATES_B, PSNR_B, RATES_A, PSNR_A) == pytest.approx(-forth, abs=1e-12)


def test_bd_known_values() -> None:
    # From an implementation of PCHIP and its integral written by hand, which agreed with scipy to 1e-11.
    assert bjontegaard.bd_rate(RATES_A, PSNR_A, RATES_B, PSNR_B) == pytest.approx(-20.01814190991049, abs=1e-9)
    assert bjontegaard.bd_psnr(RATES_A, PSNR_A, RATES_B, PSNR_B) == pytest.approx(0.9458229428380514, abs=1e-9)


def test_order_of_points_does_not_matter() -> None:
    flipped = bjontegaard.bd_rate(RATES_A[::-1], PSNR_A[::-1], RATES_B, PSNR_B)
    assert flipped == pytest.approx(bjontegaard.bd_rate(RATES_A, PSNR_A, RATES_B, PSNR_B))


@pytest.mark.parametrize(
    ("rates", "values", "message"),
    [
        (RATES_A, [p + 50 for p in PSNR_A], "overlap"),
        ([0.1, 0.2, 0.3], [30.0, 29.0, 31.0], "rise"),
        ([0.1, 0.1, 0.3], [30.0, 31.0, 32.0], "rise"),
        ([0.1], [30.0], "two or more"),
        ([0.1, 0.2], [30.0, 31.0, 32.0], "two or more"),
        ([0.0, 0.2], [30.0, 31.0], "positive"),
        ([0.1, 0.2], [30.0, math.inf], "finite"),
    ],
)
def test_bd_rate_refuses_what_it_cannot_compare(rates: list[float], values: list[float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        bjontegaard.bd_rate(RATES_A, PSNR_A, rates, values)


def test_bd_psnr_needs_common_rates() -> None:
    with pytest.raises(OptionError, match="overlap in rate"):
        bjontegaard.bd_psnr(RATES_A, PSNR_A, [r + 10 for r in RATES_A], PSNR_A)
