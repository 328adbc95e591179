"""How long a command takes from its start to its end, and how decoding after the start fares beside another process.

    python benchmarks/startup.py FILE.nfc LARGE.nfc --name startup [--before CHECKOUT FILE LARGE] [--repeats 5]

FILE.nfc is of a Kodak picture, LARGE.nfc of one of 12 megapixels. For each command the least of ``--repeats`` runs is
taken, with its processor time; with ``--before`` another checkout of nfc takes turns with this one, run by run, so that
both meet the same machine; FILE and LARGE are the same pictures, as that checkout reads them. ``after start``: decoding
in a process that has decoded the file once, alone on one and on two threads, and on one thread in two processes at
once. Writes NAME.json to benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import build_fingerprint, describe, run_child
from results import plain_command, say, today, write_json

ROOT = Path(__file__).resolve().parents[1]
# The folder of a checkout goes before all others, and nothing of an editable install is taken for its own.
START = """
import sys
sys.path.insert(0, sys.argv.pop(1))
sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
"""
COMMAND = START + "from nfcodec.cli.app import main\nmain()"
WARM = START + """
import time
from nfcodec.decoder import Decoder
from nfcodec.options import DecodeOptions
def decode():
    with open(sys.argv[1], "rb") as file:
        for block in Decoder(file).blocks(DecodeOptions()):
            pass
decode()
times = []
for _ in range(int(sys.argv[2])):
    began = time.perf_counter(), time.process_time()
    decode()
    times.append((time.perf_counter() - began[0], time.process_time() - began[1]))
print(*min(times))
"""


@dataclass(frozen=True)
class Side:
    """A checkout of nfc, and where its outputs go."""

    name: str
    root: Path
    folder: Path
    file: Path
    large: Path

    def environment(self, threads: int) -> dict[str, str]:
        # Bytecode as an installed package has it, wherever the checkout lies.
        cache = {"PYTHONPYCACHEPREFIX": str(self.folder / "cache"), "PYTHONDONTWRITEBYTECODE": ""}
        return {"OMP_NUM_THREADS": str(threads), **cache}


def command(side: Side, args: list[str]) -> tuple[float, float]:
    """Seconds and processor seconds of a whole command, whatever its exit code."""
    child = run_child([sys.executable, "-c", COMMAND, str(side.root), *args], environment=side.environment(2))
    return child.seconds, child.cpu_seconds


def warm(side: Side, file: Path, threads: int, processes: int) -> tuple[float, float]:
    """Seconds and processor seconds of a decode after the start; the slower one of several processes at once."""
    environment = {**os.environ, **side.environment(threads)}
    run = [sys.executable, "-c", WARM, str(side.root), str(file), "6"]
    started = [
        subprocess.Popen(run, env=environment, cwd=side.folder, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    found = [tuple(map(float, p.communicate()[0].split())) for p in started]
    slowest = max(found)
    return slowest[0], slowest[1]


def cases(side: Side) -> dict[str, Callable[[], tuple[float, float]]]:
    """What is measured, by name."""
    file, large = side.file, side.large
    out, text = str(side.folder / "out.png"), side.folder / "text.txt"
    text.write_text("no picture\n")
    whole = {
        "decode": ["decode", str(file), "-o", out, "-f"], "thumb 12 MP": ["thumb", str(large), "-o", out, "-f"],
        "verify": ["verify", str(file)], "info": ["info", str(file)],
        "decode --scale 2": ["decode", str(file), "-o", out, "-f", "--scale", "2"],
    }  # fmt: skip
    refused = {
        "decode nope": ["decode", "nope.nfc"], "decode text": ["decode", str(text)], "encode nope": ["encode", "nope"],
        "encode text": ["encode", str(text)], "thumb nope": ["thumb", "nope", "-o", str(side.folder / "no.png")],
        "decode to what exists": ["decode", str(file), "-o", str(text)],
    }  # fmt: skip
    found: dict[str, Callable[[], tuple[float, float]]] = {}
    for name, args in {**whole, **{f"refuse: {n}": a for n, a in refused.items()}}.items():
        found[name] = lambda args=args: command(side, args)  # type: ignore[misc]
    for name, threads, processes in (("1 thread", 1, 1), ("2 threads", 2, 1), ("1 thread, 2 processes", 1, 2)):
        found[f"after start: {name}"] = lambda t=threads, p=processes: warm(side, file, t, p)  # type: ignore[misc]
    return found


def measured(sides: list[Side], repeats: int) -> dict[str, dict[str, Any]]:
    """Of every case and side the least seconds, and the least processor seconds."""
    by_side = {side.name: cases(side) for side in sides}
    rows: dict[str, dict[str, Any]] = {}
    for case in by_side[sides[0].name]:
        runs: dict[str, list[tuple[float, float]]] = {side.name: [] for side in sides}
        for _ in range(repeats):
            for side in sides:
                runs[side.name].append(by_side[side.name][case]())
        rows[case] = {
            name: {"seconds": round(min(s for s, _ in r), 3), "cpu_seconds": round(min(c for _, c in r), 3)}
            for name, r in runs.items()
        }
        say(f"{case}: {json.dumps(rows[case])}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("large", type=Path)
    parser.add_argument("--name", default="startup")
    parser.add_argument("--before", nargs=3, type=Path, metavar=("CHECKOUT", "FILE", "LARGE"))
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nfc-startup-") as folder:
        sides = [Side("now", ROOT, Path(folder, "now"), args.file.resolve(), args.large.resolve())]
        if args.before is not None:
            root, file, large = (path.resolve() for path in args.before)
            sides.insert(0, Side("before", root, Path(folder, "before"), file, large))
        for side in sides:
            side.folder.mkdir()
        rows = measured(sides, args.repeats)
    about = {"command": plain_command(["python", *sys.argv]), "date": today(), "machine": describe()}
    content = {**about, "build": build_fingerprint(), "rows": [{"case": name, **row} for name, row in rows.items()]}
    write_json(ROOT / "benchmarks" / "results" / f"{args.name}.json", content)


if __name__ == "__main__":
    main()
