"""Time and memory of nfc on large inputs, and what Ctrl-C leaves behind.

    python benchmarks/limits.py [--images PNG…] [--sounds FLAC…] [--clip VIDEO] [--interrupt-after SECONDS]

Makes a 12-megapixel PNG and a ten-minute 44.1 kHz stereo WAV, tiled from the given files or generated from a
fixed seed, then encodes and decodes each (and the clip) in processes of their own.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from machine import BenchmarkError, build_fingerprint, describe, json_lines, run_child
from nfc_tool import NfcTool
from PIL import Image
from results import plain_command, say, table, today, write_json

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 4000, 3000
RATE, MINUTES = 44_100, 10
DECODED = {"image": ".png", "sound": ".wav", "clip": ".mkv"}


def _generated_image() -> np.ndarray:
    """Noise of every scale, coarse scales stronger, as in photographs."""
    rng = np.random.default_rng(0)
    picture = np.full((HEIGHT, WIDTH, 3), 128.0, np.float32)
    for step in (1000, 250, 100, 50, 20, 10, 4, 2, 1):
        grid = rng.normal(size=(HEIGHT // step, WIDTH // step, 3)).astype(np.float32) * (2.0 + 3.0 * step**0.4)
        for channel in range(3):
            plane = Image.fromarray(grid[..., channel])
            picture[..., channel] += np.asarray(plane.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def make_image(inputs: list[Path], output: Path) -> None:
    """12 megapixels, tiled row by row from the inputs."""
    if not inputs:
        Image.fromarray(_generated_image()).save(output, compress_level=1)
        return
    tiles = []
    for path in inputs:
        with Image.open(path) as image:
            tiles.append(image.convert("RGB"))
    canvas, x, y, row, k = Image.new("RGB", (WIDTH, HEIGHT)), 0, 0, 0, 0
    while y < HEIGHT:
        tile = tiles[k % len(tiles)]
        canvas.paste(tile, (x, y))
        x, row, k = x + tile.width, max(row, tile.height), k + 1
        if x >= WIDTH:
            x, y, row = 0, y + row, 0
    canvas.save(output, compress_level=1)


def _generated_second(index: int) -> np.ndarray:
    """A decaying chord over quiet noise, another one each second."""
    rng = np.random.default_rng(index)
    t = np.arange(RATE) / RATE
    sound = rng.normal(size=(RATE, 2)) * 0.005
    for pitch in rng.choice(48, 4, replace=False):
        tone = np.sin(2 * np.pi * 110 * 2 ** (pitch / 12) * t) * np.exp(-3 * t) * 0.15
        sound += tone[:, None] * rng.uniform(0.3, 1.0, 2)
    return np.clip(sound * 32767, -32768, 32767).astype(np.int16)


def make_sound(inputs: list[Path], output: Path) -> None:
    """Ten minutes of 16-bit stereo; the samples of the inputs are taken as if they were at 44.1 kHz."""
    total = RATE * 60 * MINUTES
    with soundfile.SoundFile(output, "w", RATE, 2, "PCM_16") as file:
        written = k = 0
        while written < total:
            if inputs:
                samples, _ = soundfile.read(inputs[k % len(inputs)], dtype="int16", always_2d=True)
                block = np.repeat(samples, 2, axis=1) if samples.shape[1] == 1 else samples[:, :2]
            else:
                block = _generated_second(k)
            file.write(block[: total - written])
            written, k = written + len(block), k + 1


def measure(tool: NfcTool, kind: str, source: Path, quality: int, timeout: float) -> dict[str, Any]:
    """Encode and decode one input; failures are results too."""
    row: dict[str, Any] = {"kind": kind, "file": source.name, "input_bytes": source.stat().st_size}
    with tempfile.TemporaryDirectory(prefix="nfc-bench-") as folder:
        coded, decoded = Path(folder, "out.nfc"), Path(folder, f"out{DECODED[kind]}")
        steps = {
            "encode": tool.encode_command([source], quality, "-o", coded),
            "decode": tool.decode_command([coded], "-o", decoded),
        }
        for step, command in steps.items():
            say(f"{step} {source.name}")
            child = run_child(command, timeout=timeout)
            row[step] = {"exit_code": child.exit_code, "seconds": child.seconds, "cpu_seconds": child.cpu_seconds}
            row[step]["peak_mb"] = child.peak_mb
            if child.exit_code != 0:
                words = child.stderr.replace(folder, "").replace(str(source.parent), "").strip().splitlines()
                row[step]["error"] = child.killed or (words or ["(silent)"])[-1]
                return row
            if step == "encode":
                line = json_lines(child.stdout)[-1]
                row |= {"bytes": coded.stat().st_size, **{k: line.get(k) for k in ("rate", "rate_unit", "psnr", "snr")}}
    return row


def interrupt(tool: NfcTool, source: Path, quality: int, after: float, timeout: float) -> dict[str, Any]:
    """Send Ctrl-C to a running encode; it must exit with 130 and leave nothing."""
    with tempfile.TemporaryDirectory(prefix="nfc-bench-") as folder:
        command = tool.encode_command([source], quality, "-o", Path(folder, "out.nfc"))
        child = run_child(command, timeout=timeout, interrupt_after=after)
        left = sorted(path.name for path in Path(folder).rglob("*"))
    row = {"file": source.name, "after_seconds": after, "seconds": child.seconds, "exit_code": child.exit_code}
    early = child.exit_code == 0 and child.seconds <= after
    good = child.exit_code == 130 and not left
    verdict = "finished before the interrupt" if early else "good" if good else "bad"
    traceback = "Traceback (most recent call last)" in child.stderr
    return {**row, "left": left, "traceback": traceback, "verdict": "bad" if traceback else verdict}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=Path, default=[])
    parser.add_argument("--sounds", nargs="+", type=Path, default=[])
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--only", choices=("image", "sound", "clip"), action="append")
    parser.add_argument("--interrupt-after", type=float, help="seconds; also interrupts an encode of each input")
    parser.add_argument("--quality", type=int, default=75)
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--field-args", default="")
    parser.add_argument("--timeout", type=float, default=3600.0)
    parser.add_argument("--name", default="limits")
    parser.add_argument("--nfc", default="nfc")
    parser.add_argument("--work", type=Path, default=ROOT / "work-limits")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def inputs_of(args: argparse.Namespace) -> dict[str, Path]:
    """The large inputs by kind, made afresh."""
    args.work.mkdir(parents=True, exist_ok=True)
    kinds = args.only or ["image", "sound", *(["clip"] if args.clip else [])]
    inputs: dict[str, Path] = {}
    if "image" in kinds:
        inputs["image"] = args.work / "12-megapixels.png"
        make_image(args.images, inputs["image"])
    if "sound" in kinds:
        inputs["sound"] = args.work / "ten-minutes.wav"
        make_sound(args.sounds, inputs["sound"])
    if "clip" in kinds:
        if args.clip is None:
            raise BenchmarkError("--only clip needs --clip VIDEO")
        inputs["clip"] = args.clip
    return inputs


def main() -> int:
    """Measure, write the result, print the table; exit code 1 when anything failed."""
    args = parse()
    tool = NfcTool(tuple(shlex.split(args.nfc)), args.effort, tuple(shlex.split(args.field_args)))
    inputs = inputs_of(args)
    rows = [measure(tool, kind, path, args.quality, args.timeout) for kind, path in inputs.items()]
    after = args.interrupt_after
    stops = [interrupt(tool, p, args.quality, after, args.timeout) for p in inputs.values()] if after else []
    content = {
        "name": args.name,
        "command": plain_command(["limits.py", *sys.argv[1:]]),
        "date": today(),
        "machine": describe(),
        "build": build_fingerprint(),
        "settings": f"-q {args.quality} {tool.config}",
        "rows": rows,
        "interrupts": stops,
    }
    write_json(args.results / f"{args.name}.json", content)
    body = [
        (r["file"], step, r[step]["exit_code"], f"{r[step]['seconds']:.1f}", r[step]["peak_mb"], r.get("bytes"))
        for r in rows
        for step in ("encode", "decode")
        if step in r
    ]
    print(table(["file", "step", "exit", "seconds", "peak MB", "bytes"], body))
    if stops:
        cells = [(s["file"], s["exit_code"], f"{s['seconds']:.1f}", len(s["left"]), s["verdict"]) for s in stops]
        print("\n" + table(["interrupted", "exit", "seconds", "files left", "verdict"], cells))
    failed = any(r.get(s, {}).get("exit_code", 1) != 0 for r in rows for s in ("encode", "decode"))
    return int(failed or any(s["verdict"] == "bad" for s in stops))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"limits.py: {error}")
        sys.exit(1)
