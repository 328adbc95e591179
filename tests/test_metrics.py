from __future__ import annotations

import math

import numpy as np
import pytest

from nfcodec import metrics
from nfcodec.errors import InputError, OptionError

RATES_A, PSNR_A = [0.11, 0.23, 0.5, 0.9, 1.6], [27.1, 29.4, 32.9, 35.2, 38.0]
RATES_B, PSNR_B = [0.15, 0.27, 0.45, 0.8, 1.3, 2.2], [29.0, 30.9, 33.1, 36.0, 37.9, 40.3]


def test_constant_error_of_one_step() -> None:
    a = np.full((8, 9, 3), 100, np.uint8)
    assert metrics.psnr(a, a + 1, 255) == pytest.approx(48.1308, abs=1e-4)
    assert metrics.psnr(a / 255.0, a / 255.0 + 1 / 255, 1.0) == pytest.approx(48.1308, abs=1e-4)
    assert metrics.mse(a, a + 1) == 1.0


def test_unsigned_samples_do_not_wrap() -> None:
    a, b = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert metrics.mse(a, b) == 255.0**2
    assert metrics.psnr(a, b, 255) == 0.0


def test_equal_signals() -> None:
    a = np.arange(12.0)
    assert metrics.psnr(a, a, 1.0) == math.inf
    assert metrics.snr(a, a) == math.inf


def test_per_file_average_differs_from_pooled() -> None:
    zero = np.zeros(1000)
    small, large = zero + 0.01, zero + 0.1
    per_file = (metrics.psnr(zero, small, 1.0) + metrics.psnr(zero, large, 1.0)) / 2
    pooled = metrics.psnr(np.stack([zero, zero]), np.stack([small, large]), 1.0)
    assert per_file == pytest.approx(30.0)
    assert pooled == pytest.approx(10 * math.log10(2 / (1e-4 + 1e-2)))


def test_snr_of_a_scaled_sine() -> None:
    sine = np.sin(np.arange(4800) * 0.05)
    stereo = np.stack([sine, 0.3 * sine], axis=1)
    assert metrics.snr(stereo, 0.9 * stereo) == pytest.approx(20.0)
    assert metrics.snr(sine, -sine) == pytest.approx(-20 * math.log10(2))
    assert metrics.snr(sine, 0 * sine) == pytest.approx(0.0)


def test_snr_of_silence_is_defined() -> None:
    silence = np.zeros((100, 2))
    assert metrics.snr(silence, silence) == math.inf
    assert metrics.snr(silence, silence + 1e-3) == -math.inf


def test_tiny_errors_do_not_underflow() -> None:
    assert metrics.snr(np.ones(10), np.ones(10) + 1e-12) == pytest.approx(240.0, abs=0.01)


def test_error_sum_equals_the_whole() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(1000, 2)), rng.normal(size=(1000, 2))
    total = metrics.ErrorSum()
    for i in range(0, 1000, 170):
        total.add(a[i : i + 170], b[i : i + 170])
    assert total.count == 2000
    assert total.psnr(1.0) == pytest.approx(metrics.psnr(a, b, 1.0), rel=1e-12)
    assert total.snr() == pytest.approx(metrics.snr(a, b), rel=1e-12)
    assert total.max_error == np.abs(a - b).max()


def test_error_sum_is_longer_than_one_chunk() -> None:
    n = metrics._CHUNK + 7
    a = np.zeros(n, np.int16)
    b = a.copy()
    b[-1], b[0] = -300, 400
    total = metrics.ErrorSum()
    total.add(a, b)
    assert total.mse == (300**2 + 400**2) / n
    assert total.max_error == 400


def test_not_a_number_is_not_hidden() -> None:
    a, b = np.zeros(5), np.zeros(5)
    b[2] = math.nan
    total = metrics.ErrorSum()
    total.add(a, b)
    total.add(a, a)
    assert math.isnan(total.psnr(1.0))
    assert math.isnan(total.snr())
    assert math.isnan(total.max_error)


def test_impossible_comparisons() -> None:
    with pytest.raises(InputError, match="shapes"):
        metrics.psnr(np.zeros(3), np.zeros(4), 1.0)
    with pytest.raises(InputError, match="nothing"):
        metrics.mse(np.zeros(0), np.zeros(0))
    with pytest.raises(InputError, match="nothing"):
        metrics.ErrorSum().snr()
    with pytest.raises(OptionError, match="peak"):
        metrics.psnr(np.zeros(3), np.ones(3), 0.0)


def _picture(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    smooth = np.add.outer(np.sin(np.arange(height) / 9), np.cos(np.arange(width) / 7))
    picture = 127 + 50 * smooth[..., None] + rng.normal(size=(height, width, 3)) * 8
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def test_ms_ssim_of_a_picture_with_itself_is_one() -> None:
    a = _picture(180, 301)
    assert metrics.ms_ssim(a, a, 255) == pytest.approx(1.0, abs=1e-12)
    assert metrics.ms_ssim(a[..., 0], a[..., 0], 255) == pytest.approx(1.0, abs=1e-12)


def test_ms_ssim_falls_with_noise_and_does_not_see_the_scale_of_values() -> None:
    a = _picture(200, 190)
    rng = np.random.default_rng(3)
    noise = rng.normal(size=a.shape)
    values = [metrics.ms_ssim(a, a + s * noise, 255) for s in (0, 4, 16, 64)]
    assert all(v is not None for v in values)
    assert values == sorted(values, reverse=True)
    assert 0.0 < values[-1] < 0.9
    assert metrics.ms_ssim(a / 255, (a + 16 * noise) / 255, 1.0) == pytest.approx(values[2], rel=1e-9)


def test_ms_ssim_of_a_shifted_flat_picture_has_a_closed_form() -> None:
    a = np.full((176, 176), 100.0)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert metrics.ms_ssim(a, a + 20, 255) == pytest.approx(luminance**0.1333, rel=1e-6)


def test_ms_ssim_in_strips_equals_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    a = _picture(203, 177)
    b = np.clip(a.astype(int) + 9, 0, 255)
    expected = metrics.ms_ssim(a, b, 255)
    monkeypatch.setattr(metrics, "_STRIP", 10_000)
    assert metrics.ms_ssim(a, b, 255) == pytest.approx(expected, rel=1e-12)


def test_ms_ssim_against_a_plain_reference() -> None:
    a = _picture(176, 180)[..., 1].astype(float)
    b = a + np.random.default_rng(4).normal(size=a.shape) * 10
    g = np.exp(-((np.arange(11) - 5.0) ** 2) / 4.5)
    window = np.outer(g, g) / g.sum() ** 2

    def mean(x: np.ndarray) -> np.ndarray:
        return np.einsum("ijkl,kl->ij", np.lib.stride_tricks.sliding_window_view(x, (11, 11)), window)

    expected = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        ma, mb = mean(a), mean(b)
        va, vb, cov = mean((a) ** 2) - ma**2, mean(b**2) - mb**2, mean(a * b) - ma * mb
        term = (2 * cov + 7.65**2) / (va + vb + 7.65**2)
        if scale == 4:
            term = term * (2 * ma * mb + 2.55**2) / (ma**2 + mb**2 + 2.55**2)
        expected *= term.mean() ** weight
        if scale < 4:
            a, b = (x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).mean((1, 3)) for x in (_even(a), _even(b)))
    c = _picture(176, 180)[..., 1].astype(float)
    d = c + np.random.default_rng(4).normal(size=c.shape) * 10
    assert metrics.ms_ssim(c, d, 255) == pytest.approx(expected, rel=1e-9)


def _even(x: np.ndarray) -> np.ndarray:
    return np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2)), mode="edge")


def test_ms_ssim_needs_176_samples() -> None:
    assert metrics.ms_ssim(np.zeros((175, 500)), np.zeros((175, 500)), 1.0) is None
    assert metrics.ms_ssim(np.zeros((176, 176)), np.zeros((176, 176)), 1.0) == pytest.approx(1.0)
    with pytest.raises(InputError, match="shapes"):
        metrics.ms_ssim(np.zeros((200, 200)), np.zeros((200, 201)), 1.0)
    with pytest.raises(InputError, match="images"):
        metrics.ms_ssim(np.zeros(200), np.zeros(200), 1.0)


def test_rates() -> None:
    assert metrics.bits_per_pixel(49_152, (512, 768)) == 1.0
    assert metrics.kbps(16_000, 2.0) == 64.0
    with pytest.raises(OptionError):
        metrics.bits_per_pixel(1, (0, 4))
    with pytest.raises(OptionError):
        metrics.kbps(1, 0.0)


def test_bd_rate_of_doubled_rates_is_one_hundred_percent() -> None:
    doubled = [2 * r for r in RATES_A]
    assert metrics.bd_rate(RATES_A, PSNR_A, doubled, PSNR_A) == pytest.approx(100.0)
    assert metrics.bd_rate(doubled, PSNR_A, RATES_A, PSNR_A) == pytest.approx(-50.0)
    assert metrics.bd_rate(RATES_A, PSNR_A, RATES_A, PSNR_A) == pytest.approx(0.0, abs=1e-12)


def test_bd_psnr_of_a_raised_curve() -> None:
    assert metrics.bd_psnr(RATES_A, PSNR_A, RATES_A, [p + 0.7 for p in PSNR_A]) == pytest.approx(0.7)


def test_bd_is_antisymmetric() -> None:
    there = metrics.bd_rate(RATES_A, PSNR_A, RATES_B, PSNR_B)
    back = metrics.bd_rate(RATES_B, PSNR_B, RATES_A, PSNR_A)
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1.0, abs=1e-12)
    forth = metrics.bd_psnr(RATES_A, PSNR_A, RATES_B, PSNR_B)
    assert metrics.bd_psnr(RATES_B, PSNR_B, RATES_A, PSNR_A) == pytest.approx(-forth, abs=1e-12)


def test_bd_known_values() -> None:
    # From scipy 1.17.1: PchipInterpolator(...).integrate over the common range.
    assert metrics.bd_rate(RATES_A, PSNR_A, RATES_B, PSNR_B) == pytest.approx(-20.01814190991049, abs=1e-9)
    assert metrics.bd_psnr(RATES_A, PSNR_A, RATES_B, PSNR_B) == pytest.approx(0.9458229428380514, abs=1e-9)


def test_order_of_points_does_not_matter() -> None:
    flipped = metrics.bd_rate(RATES_A[::-1], PSNR_A[::-1], RATES_B, PSNR_B)
    assert flipped == pytest.approx(metrics.bd_rate(RATES_A, PSNR_A, RATES_B, PSNR_B))


@pytest.mark.parametrize("n", [2, 3, 4, 9])
def test_pchip_integral_against_scipy(n: int) -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(n)
    for _ in range(20):
        x, y = np.sort(rng.uniform(0, 10, n)), rng.normal(size=n)
        low, high = np.sort(rng.uniform(x[0], x[-1], 2))
        expected = interpolate.PchipInterpolator(x, y).integrate(low, high)
        assert metrics.pchip_integral(x, y, low, high) == pytest.approx(expected, abs=1e-12)


def test_pchip_integral_of_a_line_is_exact() -> None:
    assert metrics.pchip_integral([0, 1, 4], [1, 3, 9], 0.5, 3.5) == pytest.approx(3.5**2 + 3.5 - 0.5**2 - 0.5)


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
        metrics.bd_rate(RATES_A, PSNR_A, rates, values)


def test_bd_psnr_needs_common_rates() -> None:
    with pytest.raises(OptionError, match="overlap in rate"):
        metrics.bd_psnr(RATES_A, PSNR_A, [r + 10 for r in RATES_A], PSNR_A)
