"""Colour pictures of 16 bit, which Pillow cuts to 8, read through the bundled ffmpeg."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nfcodec.media.ffmpeg import input_url, run
from nfcodec.media.pixels import ArrayStore, PixelStore
from nfcodec.media.png import read_png_header

if TYPE_CHECKING:
    from PIL import Image

_DEMUXER = {"PNG": "png_pipe", "TIFF": "tiff_pipe", "PPM": "ppm_pipe"}
_PIXELS = {"RGB": ("rgb48le", 3, 3), "RGBA": ("rgba64le", 4, 3), "LA": ("ya16le", 2, 1)}
_SECONDS = 120.0
# Pillow either drops the low byte or rounds, so its 8 bits may differ by one from ours.
_TOLERANCE = 1


@dataclass(frozen=True, slots=True)
class DeepPlan:
    """How a picture with 16 bits per colour is stored: its Pillow mode and what ffmpeg does not undo."""

    format: str
    mode: str
    orientation: int
    premultiplied: bool = False


def deep_plan(image: Image.Image, path: Path, orientation: int) -> DeepPlan | None:
    """The plan for a picture with more bits than Pillow delivers, or None; call it before ``load``."""
    mode = {"RGBa": "RGBA", "RGBX": "RGB"}.get(image.mode, image.mode)
    form = "PPM" if image.format in ("PPM", "PNM") else image.format or ""
    if mode not in _PIXELS:
        return None
    if form == "PNG":
        header = read_png_header(path)
        # Pillow reads 16-bit grey with alpha as RGBA.
        return DeepPlan(form, "LA" if header.colour_type == 4 else mode, orientation) if header.depth == 16 else None
    if form == "PPM" and _ppm_is_deep(path):
        return DeepPlan(form, mode, orientation)
    if form == "TIFF":
        return _tiff_plan(image, mode)
    return None


def _tiff_plan(image: Image.Image, mode: str) -> DeepPlan | None:
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(258, ())
    # Photometric 1 and 2 are grey and RGB; the others need a conversion that only Pillow does.
    if tags.get(262) not in (1, 2) or not bits or set(bits) != {16}:
        return None
    turned = tags.get(274, 1)
    return DeepPlan("TIFF", mode, turned if turned in range(1, 9) else 1, 1 in tags.get(338, ()))


def _ppm_is_deep(path: Path) -> bool:
    with open(path, "rb") as file:
        words = file.read(512).split(b"\n")
    fields = b" ".join(line.split(b"#")[0] for line in words).split()
    return len(fields) > 3 and fields[0] == b"P6" and fields[3].isdigit() and int(fields[3]) > 255


def read_deep(path: Path, plan: DeepPlan, size: tuple[int, int], key: tuple[int, ...] | None) -> PixelStore | None:
    """All samples of a picture with stored ``size`` (w, h) as uint16, or None when ffmpeg cannot."""
    form, stored, channels = _PIXELS[plan.mode]
    width, height = size
    command = ["-noautorotate", "-f", _DEMUXER[plan.format], "-i", input_url(path)]
    result = run([*command, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", form, "pipe:1"], timeout=_SECONDS)
    if result.code != 0 or len(result.output) != width * height * stored * 2:
        return None
    samples = np.frombuffer(result.output, "<u2").reshape(height, width, stored)
    if plan.premultiplied:
        samples = unmultiply(samples)
    return ArrayStore(samples, channels, plan.orientation, key)


def unmultiply(samples: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Colour (h, w, C) divided by its alpha, which TIFF may have multiplied in."""
    out = samples.copy()
    for row, source in zip(out, samples, strict=True):
        alpha = source[:, -1:].astype(np.float64)
        colour = source[:, :-1] * np.divide(65535.0, alpha, out=np.zeros_like(alpha), where=alpha > 0)
        row[:, :-1] = np.rint(np.minimum(colour, 65535.0)).astype(np.uint16)
    return out


def agrees(deep: PixelStore, flat: PixelStore, rows: int = 64) -> bool:
    """Whether both decoders see the same picture: a guard against layouts that ffmpeg reads differently."""
    if (deep.height, deep.width) != (flat.height, flat.width):
        return False
    middle = max(0, deep.height // 2 - rows // 2)
    (a, alpha), (b, other) = (s.read(middle, min(middle + rows, s.height)) for s in (deep, flat))
    if a.shape[:2] != b.shape[:2] or (alpha is None) != (other is None):
        return False
    visible = np.ones(a.shape[:2], bool) if alpha is None else alpha >= 0xFF00
    difference = np.abs((a >> 8).astype(np.int16) - b.astype(np.int16))[visible]
    return difference.size == 0 or int(difference.max()) <= _TOLERANCE
