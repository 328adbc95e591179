"""Processor time and memory of a large picture, and processor time of a small one after start.

    python benchmarks/large.py DIR --name large [--size 4000x3000] [--tunes perceptual,psnr] [--threads 2]

The large picture is tiled from the pictures of DIR, every other tile enlarged four times with a little grain, so that
it has smooth parts and busy ones. It is encoded and decoded to PNG by the command. The small one, 768 × 512, is tiled
from six pictures; it is encoded and decoded in one process and on one thread, after a first one. Processor times are
user and system together: they can be compared, if roughly, where other programs share the machine. Writes NAME.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import build_fingerprint, checked, describe, json_lines
from PIL import Image
from results import plain_command, say, today, write_json

ROOT = Path(__file__).resolve().parents[1]
Picture = npt.NDArray[np.uint8]
TILE, LARGER = 256, 4


def crops(folder: Path) -> list[Path]:
    """The pictures of a folder, in an order of chance that is always the same."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg"))
    return [files[i] for i in np.random.default_rng(3).permutation(len(files))]


def tile(path: Path, side: int) -> Picture:
    """A picture as a square; an enlarged one gets grain of two 8-bit steps."""
    with Image.open(path) as image:
        found = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))
    grain = np.random.default_rng(0).normal(0.0, 2.0 if side > TILE else 0.0, (side, side, 1))
    return np.clip(found + grain, 0, 255).astype(np.uint8)


def tiled(files: list[Path], width: int, height: int, *, enlarged: bool) -> Picture:
    """A picture of tiles; ``enlarged``: every other large one is a single picture."""
    side, left = (TILE * LARGER if enlarged else TILE), iter(files * 9)
    out = np.zeros((-(-height // side) * side, -(-width // side) * side, 3), np.uint8)
    for n, (y, x) in enumerate(np.ndindex(out.shape[0] // side, out.shape[1] // side)):
        part = out[y * side : (y + 1) * side, x * side : (x + 1) * side]
        if enlarged and (n + y) % 2 == 0:
            part[...] = tile(next(left), side)
            continue
        for j, i in np.ndindex(side // TILE, side // TILE):
            part[j * TILE : (j + 1) * TILE, i * TILE : (i + 1) * TILE] = tile(next(left), TILE)
    return out[:height, :width]


def whole(picture: Path, work: Path, tune: str, threads: int) -> dict[str, Any]:
    """The whole commands on the large picture."""
    coded, decoded, environment = work / "large.nfc", work / "decoded.png", {"OMP_NUM_THREADS": str(threads)}
    nfc = [sys.executable, "-m", "nfcodec"]
    encode = checked([*nfc, "encode", picture, "-o", coded, "-f", "--tune", tune], environment=environment)
    decode = checked([*nfc, "decode", coded, "-o", decoded, "-f"], environment=environment)
    row: dict[str, Any] = {"tune": tune, "threads": threads, "bytes": coded.stat().st_size}
    for name, child in (("encode", encode), ("decode", decode)):
        row |= {f"{name}_seconds": child.seconds, f"{name}_cpu_seconds": child.cpu_seconds}
        row[f"{name}_peak_mb"] = child.peak_mb
    say(json.dumps(row))
    return row


def least(work: Callable[[], object], repeats: int) -> float:
    """The least processor seconds of some runs."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def after_start(small: str) -> list[dict[str, Any]]:
    """Of the small picture, in this process."""
    import torch

    import nfcodec

    torch.set_num_threads(1)
    coded, rows = small + ".nfc", []
    for effort, tune in ((1, "perceptual"), (1, "perceptual"), (5, "perceptual"), (5, "psnr")):
        options = nfcodec.EncodeOptions(effort=effort, quality=50, tune=tune)
        encode = least(lambda options=options: nfcodec.encode(small, coded, options=options, force=True), 2)
        decode = least(lambda: nfcodec.decode_array(coded), 3)
        rows.append({"effort": effort, "tune": tune, "encode_cpu_seconds": encode, "decode_cpu_seconds": decode})
    return rows[1:]  # the first one starts everything


def main() -> int:
    """Measure and write."""
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps({"rows": after_start(sys.argv[2])}))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="large")
    parser.add_argument("--size", default="4000x3000")
    parser.add_argument("--tunes", default="perceptual,psnr")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    work = args.work or ROOT / f"work-{args.name}"
    work.mkdir(parents=True, exist_ok=True)
    files, (width, height) = crops(args.folder), map(int, args.size.split("x"))
    small, large = work / "small.png", work / "large.png"
    Image.fromarray(tiled(files, 768, 512, enlarged=False)).save(small)
    Image.fromarray(tiled(files, width, height, enlarged=True)).save(large, compress_level=1)
    content: dict[str, Any] = {
        "name": args.name, "command": plain_command(["large.py", *sys.argv[1:]]), "date": today(),
        "machine": describe(), "build": build_fingerprint(), "size": args.size, "large": [],
    }  # fmt: skip
    child = checked([sys.executable, Path(__file__).resolve(), "--worker", small], environment={"OMP_NUM_THREADS": "1"})
    content["small"] = json_lines(child.stdout)[-1]["rows"]
    for tune in filter(None, args.tunes.split(",")):
        content["large"].append(whole(large, work, tune, args.threads))
        write_json(args.results / f"{args.name}.json", content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
