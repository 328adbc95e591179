"""Two installed versions of nfc against each other: bytes, PSNR, times and memory on the same files in the same run.

    python benchmarks/versions.py FILES… --before PYTHON --after PYTHON --name NAME
        [--efforts 1,5] [--qualities 15,30,45,60,75,90] [--threads 1] [--limit N] [--work DIR]

``--before`` and ``--after`` are the Python interpreters of two environments. Each runs one worker that stays, so that
times are after start; the two take turns file by file, so that a drift of the machine meets both. Every file is written
to disk, decoded from there, and compared with the original here. Finished rows are kept in the working folder; an
interrupted run goes on. Writes NAME.json to benchmarks/results: BD-rate of the mean curves and of each file, and the
medians of time (of the clock and of the processor) and memory. Of more than two efforts it draws both ladders, too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean, median
from typing import Any

import plots
from machine import describe
from results import delta, mean_curve, plain_command, say, today, whole_numbers, write_json

Row = dict[str, Any]
SIDES = ("before", "after")

# Runs in the other environments: it may use nothing but nfcodec's public functions and numpy.
WORKER = r"""
import json, os, resource, sys, time
import numpy as np
import nfcodec
from PIL import Image

if os.environ.get("OMP_NUM_THREADS"):
    try:
        import torch
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    except ImportError:
        pass
for line in sys.stdin:
    job = json.loads(line)
    options = nfcodec.EncodeOptions(quality=job["quality"], effort=job["effort"], **job["options"])
    start, used = time.perf_counter(), time.process_time()
    nfcodec.encode(job["file"], job["output"], options=options, force=True)
    middle, used = time.perf_counter(), time.process_time() - used
    decoded = nfcodec.decode_array(job["output"])
    end = time.perf_counter()
    original = np.asarray(Image.open(job["file"]))
    error = np.mean((np.asarray(decoded, np.float64) - original.reshape(decoded.shape)) ** 2)
    print(json.dumps({
        "bytes": os.path.getsize(job["output"]), "psnr": float(10 * np.log10(255.0**2 / max(error, 1e-9))),
        "encode_seconds": middle - start, "encode_cpu_seconds": used, "decode_seconds": end - middle,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }), flush=True)
"""


class Worker:
    """One environment's nfc in a process that stays."""

    def __init__(self, python: str, threads: int) -> None:
        environment = {"OMP_NUM_THREADS": str(threads), "PATH": "/usr/bin:/bin"}
        self.process = subprocess.Popen(
            [python, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, job: Row) -> Row:
        """Encode and decode one file."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended on {job}")
        found: Row = json.loads(line)
        return found


def measured(args: argparse.Namespace, rows: list[Row], log: Path) -> list[Row]:
    """All rows that are not there yet, the two versions in turns."""
    workers = {side: Worker(getattr(args, side), args.threads) for side in SIDES}
    done = {(r["side"], r["file"], r["quality"], r["effort"]) for r in rows}
    folder = Path(tempfile.mkdtemp(prefix="nfc-versions-"))
    for effort in args.efforts:
        for path in args.files:
            for quality in args.qualities:
                for side in SIDES:
                    key = (side, path.name, quality, effort)
                    if key in done:
                        continue
                    job = {"file": str(path), "output": str(folder / f"{side}.nfc"), "quality": quality}
                    row = dict(zip(("side", "file", "quality", "effort"), key, strict=True))
                    row |= workers[side]({**job, "effort": effort, "options": args.options})
                    rows.append(row)
                    with log.open("a") as file:
                        file.write(json.dumps(row) + "\n")
            say(f"effort {effort} {path.name}")
    return rows


def compared(rows: list[Row], effort: int) -> Row:
    """What changed at one effort: negative BD-rates mean fewer bytes after."""
    sides = {s: [r for r in rows if r["side"] == s and r["effort"] == effort] for s in SIDES}
    whole = delta(mean_curve(sides["before"]), mean_curve(sides["after"]))
    files = []
    for name in dict.fromkeys(r["file"] for r in sides["before"]):
        one = {s: mean_curve([r for r in sides[s] if r["file"] == name]) for s in SIDES}
        files.append(delta(one["before"], one["after"])["bd_rate_percent"])
    entry: Row = {"effort": effort, **whole, "files_bd_rate_percent": fmean(files), "worst_file_percent": max(files)}
    for name in ("encode_seconds", "encode_cpu_seconds", "decode_seconds"):
        entry |= {f"{name}_{s}": round(median(r[name] for r in sides[s]), 3) for s in SIDES}
    return entry | {f"peak_mb_{s}": round(max(r["peak_mb"] for r in sides[s]), 1) for s in SIDES}


def ladder(rows: list[Row], efforts: list[int]) -> list[Row]:
    """Both versions at every effort: BD-rate against the earlier one at the lowest effort, and processor time."""
    first = mean_curve([r for r in rows if r["side"] == "before" and r["effort"] == min(efforts)])
    found = []
    for side in SIDES:
        for effort in sorted(efforts):
            mine = [r for r in rows if r["side"] == side and r["effort"] == effort]
            rate = delta(first, mean_curve(mine))["bd_rate_percent"]
            seconds = round(fmean(r["encode_cpu_seconds"] for r in mine), 3)
            found.append({"side": side, "effort": effort, "bd_rate_percent": rate, "encode_cpu_seconds": seconds})
    return found


def main() -> int:
    """Measure, compare, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--before", required=True)
    parser.add_argument("--after", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--efforts", type=whole_numbers, default=[1, 5])
    parser.add_argument("--qualities", type=whole_numbers, default=[15, 30, 45, 60, 75, 90])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--work", type=Path, default=Path("work-versions"))
    parser.add_argument("--options", type=json.loads, default={}, help="further encode options, JSON")
    args = parser.parse_args()
    args.files = sorted(args.files)[: args.limit]
    args.work.mkdir(exist_ok=True)
    log = args.work / f"{args.name}.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    rows = measured(args, rows, log)
    names = {path.name for path in args.files}
    rows = [r for r in rows if r["file"] in names and r["quality"] in args.qualities and r["effort"] in args.efforts]
    steps = ladder(rows, args.efforts) if len(args.efforts) > 2 else []
    result = {
        "name": args.name, "command": plain_command(sys.argv), "date": today(), "machine": describe(),
        "threads": args.threads, "ladder": steps, "compared": [compared(rows, e) for e in args.efforts], "rows": rows,
    }  # fmt: skip
    results = Path(__file__).parent / "results"
    if steps:
        plots.draw_ladder(steps, results / args.name)
    write_json(results / f"{args.name}.json", result)
    for entry in result["compared"]:
        say(json.dumps(entry))
    return 0


if __name__ == "__main__":
    sys.exit(main())
