"""The same frames of a clip, of nfc and of x264 at the same bytes, below each other: to look at.

    python benchmarks/video_strips.py CLIP… --name video-strips [--qualities 25,50,75] [--frames 25] [--show 4,11,16]

A clip is a file or a folder of numbered pictures. x264 (medium, -tune psnr, key frames every 32, no message) gets
the CRF that comes nearest to the bytes of nfc, from below. Pictures (original, nfc, x264) go to work-video-strips/,
bytes and PSNR of RGB to NAME.json in benchmarks/results.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from machine import build_fingerprint, checked, describe
from PIL import Image
from results import plain_command, say, today, write_json

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "work-video-strips"
X264 = ["-c:v", "libx264", "-preset", "medium", "-tune", "psnr", "-g", "32", "-pix_fmt", "yuv420p"]
X264 += ["-bsf:v", "filter_units=remove_types=6", "-f", "h264"]
_TRIES = 7


def frames(path: Path) -> np.ndarray:
    """uint8 (T, H, W, 3)."""
    about = ["-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0", path]
    width, height = map(int, checked(["ffprobe", "-v", "error", *about]).stdout.split(",")[:2])
    pipe = ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    data = subprocess.run(["ffmpeg", "-v", "error", "-i", path, *pipe], capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of all frames together."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def shortened(clip: Path, count: int) -> Path:
    """The first frames of a clip, without loss."""
    out = WORK / f"{clip.stem}.mkv"
    given = ["-framerate", "24", "-i", clip / "%05d.jpg"] if clip.is_dir() else ["-i", clip]
    checked(["ffmpeg", "-v", "error", "-y", *given, "-map", "0:v:0", "-frames:v", str(count), "-c:v", "ffv1", out])
    return out


def x264(source: Path, most: int, out: Path) -> tuple[float, int]:
    """Encode in at most so many bytes; the CRF, and the bytes."""
    low, high, size = 10.0, 51.0, 0
    for _ in range(_TRIES):
        crf = (low + high) / 2
        checked(["ffmpeg", "-v", "error", "-y", "-i", source, *X264, "-crf", f"{crf:.2f}", out])
        size = out.stat().st_size
        low, high = (crf, high) if size > most else (low, crf)
    checked(["ffmpeg", "-v", "error", "-y", "-i", source, *X264, "-crf", f"{high:.2f}", out])
    return high, out.stat().st_size


def row(source: Path, quality: int, shown: list[int]) -> dict[str, Any]:
    """One clip at one quality."""
    coded, decoded, other = (WORK / f"{source.stem}-{quality}{end}" for end in (".nfc", ".mkv", ".264"))
    checked(["nfc", "encode", "-f", "-e", "1", "-q", str(quality), source, "-o", coded])
    checked(["nfc", "decode", "-f", coded, "-o", decoded])
    crf, size = x264(source, coded.stat().st_size, other)
    a, b, c = (frames(p) for p in (source, decoded, other))
    strip = np.concatenate([np.concatenate([clip[i] for i in shown], 1) for clip in (a, b, c)])
    Image.fromarray(strip).save(WORK / f"{source.stem}-{quality}.png")
    return {
        "clip": source.stem, "quality": quality, "bytes": coded.stat().st_size, "psnr": round(psnr(a, b), 2),
        "x264_crf": round(crf, 2), "x264_bytes": size, "x264_psnr": round(psnr(a, c), 2),
    }  # fmt: skip


def main() -> int:
    """Encode, decode, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--qualities", default="25,50,75")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--show", default="4,11,16")
    args = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    shown, rows = [int(i) for i in args.show.split(",")], []
    for clip in args.clips:
        source = shortened(clip, args.frames)
        for quality in map(int, args.qualities.split(",")):
            rows.append(row(source, quality, shown))
            say(str(rows[-1]))
    content = {
        "name": args.name, "command": plain_command(["video_strips.py", *sys.argv[1:]]), "date": today(),
        "machine": describe(), "build": build_fingerprint(), "rows": rows,
    }  # fmt: skip
    write_json(ROOT / "benchmarks" / "results" / f"{args.name}.json", content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
