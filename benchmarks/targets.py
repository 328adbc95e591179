"""How near real files come to --bpp, --target-size and --target-psnr, and to --max-time.

    python benchmarks/targets.py DIR --name targets [--effort 5] [--limit N]

Sizes are those of the files on disk; PSNR is measured on what ``nfc decode`` writes. A size is met when the file is at
most 1 % below it and never above, a PSNR when the picture is at most 0.05 dB above it. Writes NAME.json to
benchmarks/results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import measure
import sources
from machine import build_fingerprint, checked, describe, json_lines
from PIL import Image
from results import plain_command, say, table, today, write_json

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {"--bpp": (0.1, 0.3, 1.0), "--target-size": (6000, 20000, 60000), "--target-psnr": (30.0, 35.0, 40.0)}
MAX_TIMES = (1.0, 3.0)


def gap(option: str, target: float, size: int, samples: int, psnr: float) -> float:
    """Percent below a size, or dB above a PSNR; negative when the wrong side was hit."""
    if option == "--target-psnr":
        return psnr - target
    limit = int(target * samples / 8) if option == "--bpp" else target
    return 100.0 * (limit - size) / limit


def measured(source: sources.Source, option: str, target: float, effort: int, work: Path) -> dict[str, Any]:
    """One file at one target."""
    out, back = work / "t.nfc", work / "t.png"
    value = str(int(target)) if option == "--target-size" else str(target)
    options = ["-f", "-e", str(effort), option, value, "--json"]
    child = checked(["nfc", "encode", str(source.path), "-o", str(out), *options])
    line = json_lines(child.stdout)[0]
    checked(["nfc", "decode", str(out), "-o", str(back), "-f"])
    psnr = measure.image(source, back)["psnr"]
    with Image.open(source.path) as image:
        samples = image.size[0] * image.size[1]
    row = {"file": source.name, "option": option, "target": target, "bytes": out.stat().st_size, "psnr": psnr}
    row |= {"quality": line["quality"], "seconds": line["seconds"], "warnings": line["warnings"]}
    if option == "--max-time":
        return {**row, "gap": target - line["seconds"], "met": line["seconds"] <= target}
    found = gap(option, target, row["bytes"], samples, psnr)
    return {**row, "gap": found, "met": 0.0 <= found <= (0.05 if option == "--target-psnr" else 1.0)}


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="targets")
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    work = ROOT / f"work-{args.name}"
    (work / "originals").mkdir(parents=True, exist_ok=True)
    rows = []
    for source in sources.images(args.folder, work / "originals", args.limit):
        for option, targets in {**TARGETS, "--max-time": MAX_TIMES}.items():
            for target in targets:
                rows.append(measured(source, option, target, args.effort, work))
                say(f"{source.name} {option} {target}: {rows[-1]['gap']:.3f}{'' if rows[-1]['met'] else ' NOT MET'}")
    content = {
        "name": args.name, "command": plain_command(["targets.py", *sys.argv[1:]]), "date": today(),
        "machine": describe(), "build": build_fingerprint(), "rows": rows,
    }  # fmt: skip
    write_json(args.results / f"{args.name}.json", content)
    groups = [[r for r in rows if r["option"] == o] for o in (*TARGETS, "--max-time")]
    body = [(g[0]["option"], len(g), sum(r["met"] for r in g), f"{max(r['gap'] for r in g):.3f}") for g in groups]
    print(table(["option", "files", "met", "largest gap"], body))
    return 0


if __name__ == "__main__":
    sys.exit(main())
