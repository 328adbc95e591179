"""What nfc does with awkward image files: each one alone, in processes of its own.

    python benchmarks/odd_files.py DIR [--jobs 2] [--limit N] [--match GLOB]

ok       decoded to the size and mode that Pillow gives for the upright image
refused  ended with an exit code of its own and a message, quickly and with little memory
bad      traceback, crash, wrong size or mode, a slow (> 10 s) or large (> 1 GB) refusal, failed decode
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from machine import BenchmarkError, Child, build_fingerprint, describe, run_child
from nfc_tool import NfcTool
from PIL import Image
from results import plain_command, say, table, today, write_json

ROOT = Path(__file__).resolve().parent.parent
SLOWEST_REFUSAL, LARGEST_REFUSAL = 10.0, 1e9
TIMEOUT, MEMORY_BOUND = 300.0, 6e9
REFUSALS = {1, 2, 4, 5}
TURNED = {5, 6, 7, 8}  # EXIF orientations that swap width and height
# What an image of a Pillow mode may come back as: the same samples in a mode that a file can hold.
MODES = {
    "1": {"1", "L"}, "L": {"L"}, "LA": {"LA"}, "La": {"LA"}, "P": {"RGB", "P", "L"}, "P+": {"RGBA", "LA"},
    "PA": {"RGBA"}, "RGB": {"RGB"}, "RGB+": {"RGBA", "RGB"}, "L+": {"LA", "L"}, "RGBA": {"RGBA"}, "RGBa": {"RGBA"},
    "RGBX": {"RGB"}, "CMYK": {"RGB"}, "YCbCr": {"RGB"}, "LAB": {"RGB"}, "HSV": {"RGB"}, "F": {"F"},
    "I": {"I", "I;16"}, "I;16": {"I;16", "I"}, "I;16L": {"I;16", "I"}, "I;16B": {"I;16", "I"}, "I;16N": {"I;16", "I"},
}  # fmt: skip


def probe(path: Path) -> dict[str, Any]:
    """Size, mode and frames of the upright image, after loading it whole."""
    with Image.open(path) as image:
        image.load()
        width, height = image.size
        if image.getexif().get(0x0112) in TURNED:
            width, height = height, width
        mark = "+" if "transparency" in image.info and image.mode in ("P", "RGB", "L") else ""
        frames = getattr(image, "n_frames", 1)
        return {"size": [width, height], "mode": image.mode + mark, "frames": frames, "format": image.format}


def _probed(path: Path) -> dict[str, Any] | None:
    """:func:`probe` in a process of its own: some files lie about their size. None when Pillow refuses."""
    child = run_child([sys.executable, __file__, "--probe", path], timeout=60, memory_bound=3e9)
    return json.loads(child.stdout) if child.exit_code == 0 and child.stdout else None


def _bare(text: str) -> str:
    """A message without the folders of its paths, which say nothing about the file."""
    return re.sub(r"(?<![\w/])/(?:[^\s/'\":]+/)+", "", text.strip())[:200]


def _first_line(child: Child) -> str:
    return next((_bare(line) for line in child.stderr.splitlines() if line.strip()), "")


def _failure(child: Child) -> tuple[str, str]:
    """(class, reason) of an encode that did not succeed."""
    if child.killed:
        return "bad", f"killed: {child.killed}"
    if "Traceback (most recent call last)" in child.stderr:
        return "bad", f"traceback: {_bare(child.stderr.strip().splitlines()[-1])}"
    if child.exit_code not in REFUSALS:
        return "bad", f"exit code {child.exit_code}"
    if not _first_line(child):
        return "bad", "refused without a message"
    if child.seconds > SLOWEST_REFUSAL:
        return "bad", f"refusal took {child.seconds:.1f} s"
    if child.peak_bytes > LARGEST_REFUSAL:
        return "bad", f"refusal took {child.peak_mb:.0f} MB"
    return "refused", ""


def _difference(expected: dict[str, Any] | None, got: dict[str, Any] | None) -> str:
    """What is wrong with a decoded image, or nothing."""
    if got is None:
        return "the decoded file cannot be read"
    if expected is None:
        return "took a file that Pillow cannot load"
    if got["size"] != expected["size"]:
        return f"size {got['size']}, not {expected['size']}"
    if got["mode"].rstrip("+") not in MODES.get(expected["mode"], {expected["mode"]}):
        return f"mode {got['mode']} from {expected['mode']}"
    return ""


def examine(tool: NfcTool, quality: int, path: Path) -> dict[str, Any]:
    """Encode and decode one file and classify what happened."""
    expected = _probed(path)
    row: dict[str, Any] = {"file": path.name, "pillow": expected}
    with tempfile.TemporaryDirectory(prefix="nfc-bench-") as folder:
        suffix = ".tiff" if expected and expected["mode"] == "F" else ".png"
        coded, decoded = Path(folder, "out.nfc"), Path(folder, f"out{suffix}")
        bounds = {"timeout": TIMEOUT, "memory_bound": MEMORY_BOUND}
        child = run_child(tool.encode_command([path], quality, "-o", coded), **bounds)
        row |= {"exit_code": child.exit_code, "seconds": round(child.seconds, 2), "peak_mb": child.peak_mb}
        row |= {"stderr": _first_line(child), "class": "ok", "reason": ""}
        if child.exit_code != 0 or child.killed:
            row["class"], row["reason"] = _failure(child)
            left = sorted(p.name for p in Path(folder).iterdir())
            return row if not left else {**row, "class": "bad", "reason": f"left {', '.join(left)}"}
        child = run_child(tool.decode_command([coded], "-o", decoded), **bounds)
        row |= {"bytes": coded.stat().st_size, "decode_seconds": round(child.seconds, 2)}
        row |= {"decode_peak_mb": child.peak_mb}
        wrong = (
            f"decode: {child.killed or child.exit_code} {_first_line(child)}"
            if child.exit_code != 0
            else _difference(expected, _probed(decoded))
        )
        return {**row, "class": "bad", "reason": wrong} if wrong else row


def main() -> int:
    """Examine every file, write the result, print the table; exit code 1 when any is bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--match", default="*")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--quality", type=int, default=75)
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--name", default="odd-files")
    parser.add_argument("--nfc", default="nfc")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    if args.probe:
        print(json.dumps(probe(args.folder)))
        return 0
    tool = NfcTool(tuple(shlex.split(args.nfc)), args.effort)
    files = sorted(path for path in args.folder.glob(args.match) if path.is_file())[: args.limit]
    if not files or not tool.available():
        raise BenchmarkError(f"no files in {args.folder}" if not files else f"no command {tool.command[0]}")
    with ThreadPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(partial(examine, tool, args.quality), files))
    classes = dict(Counter(row["class"] for row in rows))
    refused_good = [r["file"] for r in rows if r["class"] == "refused" and r["pillow"] is not None]
    content = {
        "name": args.name,
        "command": plain_command(["odd_files.py", *sys.argv[1:]]),
        "date": today(),
        "machine": describe(),
        "build": build_fingerprint(),
        "classes": classes,
        "refused_though_pillow_loads": refused_good,
        "largest_refusal_mb": max((r["peak_mb"] for r in rows if r["class"] == "refused"), default=None),
        "slowest_refusal_seconds": max((r["seconds"] for r in rows if r["class"] == "refused"), default=None),
        "rows": rows,
    }
    write_json(args.results / f"{args.name}.json", content)
    shown = [r for r in rows if r["class"] != "ok"]
    cells = [(r["file"], r["class"], r["exit_code"], r["reason"] or r["stderr"]) for r in shown]
    print(table(["file", "class", "exit", "why"], cells))
    print(f"\n{classes}; refused though Pillow loads them: {len(refused_good)}")
    return int("bad" in classes)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"odd_files.py: {error}")
        sys.exit(1)
