from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import error_of

from nfcodec import metrics
from nfcodec.errors import InputError, OptionError


def test_constant_error_of_one_step() -> None:
    a = np.full((8, 9, 3), 100, np.uint8)
    assert error_of(a, a + 1).psnr(255) == pytest.approx(48.1308, abs=1e-4)
    assert error_of(a / 255.0, a / 255.0 + 1 / 255).psnr(1.0) == pytest.approx(48.1308, abs=1e-4)
    assert error_of(a, a + 1).mse == 1.0


def test_unsigned_samples_do_not_wrap() -> None:
    a, b = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert error_of(a, b).mse == 255.0**2
    assert error_of(a, b).psnr(255) == 0.0


def test_equal_signals() -> None:
    a = np.arange(12.0)
    assert error_of(a, a).psnr(1.0) == math.inf
    assert error_of(a, a).snr() == math.inf


def test_per_file_average_differs_from_pooled() -> None:
    zero = np.zeros(1000)
    small, large = zero + 0.01, zero + 0.1
    per_file = (error_of(zero, small).psnr(1.0) + error_of(zero, large).psnr(1.0)) / 2
    pooled = error_of(np.stack([zero, zero]), np.stack([small, large])).psnr(1.0)
    assert per_file == pytest.approx(30.0)
    assert pooled == pytest.approx(10 * math.log10(2 / (1e-4 + 1e-2)))


def test_snr_of_a_scaled_sine() -> None:
    sine = np.sin(np.arange(4800) * 0.05)
    stereo = np.stack([sine, 0.3 * sine], axis=1)
    assert error_of(stereo, 0.9 * stereo).snr() == pytest.approx(20.0)
    assert error_of(sine, -sine).snr() == pytest.approx(-20 * math.log10(2))
    assert error_of(sine, 0 * sine).snr() == pytest.approx(0.0)


def test_snr_of_silence_is_defined() -> None:
    silence = np.zeros((100, 2))
    assert error_of(silence, silence).snr() == math.inf
    assert error_of(silence, silence + 1e-3).snr() == -math.inf


def test_tiny_errors_do_not_underflow() -> None:
    assert error_of(np.ones(10), np.ones(10) + 1e-12).snr() == pytest.approx(240.0, abs=0.01)


def test_error_sum_equals_the_whole() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(1000, 2)), rng.normal(size=(1000, 2))
    total = metrics.ErrorSum()
    for i in range(0, 1000, 170):
        total.add(a[i : i + 170], b[i : i + 170])
    assert total.count == 2000
    assert total.psnr(1.0) == pytest.approx(error_of(a, b).psnr(1.0), rel=1e-12)
    assert total.snr() == pytest.approx(error_of(a, b).snr(), rel=1e-12)
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
        error_of(np.zeros(3), np.zeros(4)).psnr(1.0)
    with pytest.raises(InputError, match="nothing"):
        _ = error_of(np.zeros(0), np.zeros(0)).mse
    with pytest.raises(InputError, match="nothing"):
        metrics.ErrorSum().snr()
    with pytest.raises(OptionError, match="peak"):
        error_of(np.zeros(3), np.ones(3)).psnr(0.0)


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
