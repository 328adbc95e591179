"""Originals, brought once into one plain lossless form that every codec of a run reads."""

from __future__ import annotations

import glob
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from machine import BenchmarkError, checked
from peers import ffmpeg
from PIL import Image, ImageOps

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
VIDEOS = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v"}


@dataclass(frozen=True)
class Source:
    """One original: ``name`` for the results, ``path`` of its plain form, ``id`` of its bytes.

    ``extent`` turns bits into the rate: pixels for images, seconds × 1000 for sound and video.
    ``size``: (width, height) of images and video, (channels, sample rate) of sound.
    """

    name: str
    path: Path
    id: str
    extent: float
    size: tuple[int, int]


def _id(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()[:12]


def _chosen(folder: Path, suffixes: set[str], limit: int | None, folders: bool = False) -> Iterator[tuple[Path, str]]:
    """(original, stem of its plain form) in name order; the stem is unique within the run."""
    entries = sorted(folder.iterdir())
    found = [p for p in entries if (p.is_dir() if folders and p.is_dir() else p.suffix.lower() in suffixes)]
    if not found:
        raise BenchmarkError(f"no usable files in {folder}")
    stems = [p.stem for p in found]
    for path in found[:limit]:
        unique = stems.count(path.stem) == 1
        yield path, path.stem if unique else path.name.replace(".", "-")


def images(folder: Path, work: Path, limit: int | None) -> list[Source]:
    """8-bit RGB PNGs: upright, no alpha, no metadata."""
    result = []
    for path, stem in _chosen(folder, IMAGES, limit):
        plain = work / f"{stem}.png"
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        bare = Image.frombytes("RGB", image.size, image.tobytes())
        bare.save(plain, compress_level=6)
        result.append(Source(path.name, plain, _id(plain), image.width * image.height, image.size))
    return result


def _mirrored(start: int, length: int, side: int) -> np.ndarray:
    """Indices start … start + length - 1 into an axis of ``side`` samples, mirrored at its ends."""
    at = np.arange(start, start + length) % (2 * side)
    return np.where(at < side, at, 2 * side - 1 - at)


def resized(originals: list[Source], megapixels: float, work: Path) -> list[Source]:
    """Pictures of this size, 4:3: the middle of each original, continued by mirroring where it is too small."""
    work.mkdir(parents=True, exist_ok=True)
    width = round(math.sqrt(megapixels * 1e6 * 4 / 3))
    height = round(megapixels * 1e6 / width)
    result = []
    for source in originals:
        with Image.open(source.path) as image:
            pixels = np.asarray(image)
        rows = _mirrored(max(0, (pixels.shape[0] - height) // 2), height, pixels.shape[0])
        columns = _mirrored(max(0, (pixels.shape[1] - width) // 2), width, pixels.shape[1])
        path = work / source.path.name
        Image.fromarray(pixels[rows][:, columns]).save(path, compress_level=6)
        result.append(Source(source.name, path, _id(path), width * height, (width, height)))
    return result


def _video_input(path: Path, fps: float) -> list[str]:
    if not path.is_dir():
        return ["-i", str(path)]
    frames = [p for p in sorted(path.iterdir()) if p.suffix.lower() in IMAGES]
    if not frames:
        raise BenchmarkError(f"no frames in {path.name}")
    pattern = f"{glob.escape(str(path))}/*{frames[0].suffix}"
    return ["-framerate", f"{fps:g}", "-pattern_type", "glob", "-i", pattern]


def videos(
    folder: Path, work: Path, limit: int | None, frames: int | None, seconds: float | None, fps: float
) -> list[Source]:
    """FFV1 in Matroska without sound, cut to the first ``frames`` or ``seconds``; bit-exact pixels."""
    cut = ["-frames:v", str(frames)] if frames else []
    cut += ["-t", f"{seconds:g}"] if seconds else []
    result = []
    for path, stem in _chosen(folder, VIDEOS, limit, folders=True):
        plain = work / f"{stem}.mkv"
        bare = ["-map", "0:v:0", "-map_metadata", "-1", "-fps_mode", "passthrough", "-fflags", "+bitexact"]
        codec = ["-c:v", "ffv1", "-level", "3", "-flags:v", "+bitexact"]
        checked(ffmpeg(*_video_input(path, fps), *bare, *cut, "-an", *codec, plain))
        reader = imageio_ffmpeg.read_frames(str(plain))
        about = next(reader)
        reader.close()
        count, _ = imageio_ffmpeg.count_frames_and_secs(str(plain))
        size = (int(about["size"][0]), int(about["size"][1]))
        result.append(Source(path.name, plain, _id(plain), 1000 * count / about["fps"], size))
    return result
