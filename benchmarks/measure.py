"""Compare an original with what a decoder wrote, independently of what any encoder claims."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from machine import BenchmarkError
from peers import ffmpeg
from PIL import Image
from sources import Source

from nfcodec.metrics import ErrorSum

LARGEST_LAG = 3000
_LAG_WINDOW = 2**20  # samples used to find the lag

Scores = dict[str, float]


def image(source: Source, decoded: Path) -> Scores:
    """PSNR of 8-bit RGB."""
    with Image.open(source.path) as a, Image.open(decoded) as b:
        if a.size != b.size:
            raise BenchmarkError(f"{source.name}: decoded to {b.size}, not {a.size}")
        total = ErrorSum()
        total.add(np.asarray(a.convert("RGB")), np.asarray(b.convert("RGB")))
    return {"psnr": total.psnr(255)}


def ssimulacra2(source: Source, decoded: Path) -> float:
    """SSIMULACRA 2.1: 90 for no difference that is seen, 30 for low quality; needs the package of that name."""
    from ssimulacra2 import compute_ssimulacra2

    return float(compute_ssimulacra2(str(source.path), str(decoded)))


def butteraugli(source: Source, decoded: Path) -> float:
    """Minus the 3-norm of butteraugli's distances, so that more is better; needs ``butteraugli_main``,
    which is in Debian's libjxl-devtools."""
    said = subprocess.run(["butteraugli_main", source.path, decoded], capture_output=True, text=True, check=True).stdout
    return -float(said.split("3-norm:")[1].split()[0])


def looks_here() -> dict[str, bool]:
    """Which scores of how pictures look can be measured here."""
    return {
        "ssimulacra2": importlib.util.find_spec("ssimulacra2") is not None,
        "butteraugli": shutil.which("butteraugli_main") is not None,
    }


def find_lag(reference: np.ndarray, decoded: np.ndarray) -> int:
    """Samples by which ``decoded`` (T, C) is late, within ±LARGEST_LAG, by cross-correlation."""
    a = reference[:_LAG_WINDOW].astype(np.float64).sum(axis=1)
    b = decoded[:_LAG_WINDOW].astype(np.float64).sum(axis=1)
    n = 1 << int(np.ceil(np.log2(len(a) + len(b) + LARGEST_LAG)))
    correlation = np.fft.irfft(np.fft.rfft(b, n) * np.conj(np.fft.rfft(a, n)), n)
    lags = np.concatenate([np.arange(LARGEST_LAG + 1), np.arange(-LARGEST_LAG, 0)])
    return int(lags[np.argmax(correlation[lags])])


def shifted(decoded: np.ndarray, lag: int, length: int) -> np.ndarray:
    """``decoded`` moved ``lag`` samples earlier, cut or filled with silence to ``length``."""
    moved = decoded[lag:] if lag >= 0 else np.pad(decoded, ((-lag, 0), (0, 0)))
    return np.pad(moved[:length], ((0, max(0, length - len(moved))), (0, 0)))


def rgb_frames(path: Path, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """8-bit RGB frames (H, W, 3), each stored frame once."""
    width, height = size
    command = ffmpeg(
        "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while frame := process.stdout.read(width * height * 3):
            if len(frame) != width * height * 3:
                raise BenchmarkError(f"{path.name}: the frames are not {width}×{height}")
            yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)


def yuv(frame: np.ndarray) -> list[np.ndarray]:
    """Y (H, W), and U and V at half its size, of RGB (H, W, 3): BT.601 in full range, not rounded."""
    rgb = frame.astype(np.float64)
    luma = rgb @ (0.299, 0.587, 0.114)
    h, w = (n // 2 * 2 for n in luma.shape)
    colours = [(rgb[..., 2] - luma) / 1.772, (rgb[..., 0] - luma) / 1.402]
    return [luma, *(c[:h, :w].reshape(h // 2, 2, w // 2, 2).mean((1, 3)) for c in colours)]


def video(source: Source, decoded: Path) -> Scores:
    """PSNR of 8-bit RGB from the error summed over all frames of the clip, and that of Y, U and V, weighed 6:1:1."""
    total, planes = ErrorSum(), [ErrorSum() for _ in range(3)]
    try:
        for a, b in zip(rgb_frames(source.path, source.size), rgb_frames(decoded, source.size), strict=True):
            total.add(a, b)
            for plane, x, y in zip(planes, yuv(a), yuv(b), strict=True):
                plane.add(x, y)
    except ValueError as error:
        raise BenchmarkError(f"{source.name}: the decoded clip has another number of frames") from error
    luma, blue, red = (plane.psnr(255) for plane in planes)
    return {"psnr": total.psnr(255), "psnr_yuv": (6 * luma + blue + red) / 8}
