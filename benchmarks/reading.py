"""How long reading media takes, and how much memory, by two checkouts of nfc in turns.

    python benchmarks/reading.py FILES… --name reading [--before CHECKOUT] [--repeats 5]

Each file is opened and read to its end, its sound track included, in a process of its own that has loaded all modules
before. Least seconds of the clock and of the processor (children included) of ``--repeats`` runs, and the largest peak
memory of the process and of its children. Writes NAME.json to benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import build_fingerprint, describe
from results import plain_command, say, table, today, write_json

ROOT = Path(__file__).resolve().parents[1]
READ = r"""
import sys
sys.path.insert(0, sys.argv[1])
sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
import json, resource, time
from pathlib import Path
import imageio_ffmpeg, numpy, PIL.Image, soundfile
import nfcodec.media.audio, nfcodec.media.image, nfcodec.media.video
from nfcodec.media import open_source

def used():
    both = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(r.ru_utime + r.ru_stime for r in both)

start, before, samples = time.perf_counter(), used(), 0
source = open_source(Path(sys.argv[2]))
for block in source.blocks({"video": 8, "audio": 1 << 16}.get(source.info.modality, 256)):
    samples += len(block.values)
sound = len(source.sidecar())
source.close()
peaks = [resource.getrusage(w).ru_maxrss / 1024 for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"seconds": time.perf_counter() - start, "cpu_seconds": used() - before, "peak_mb": peaks[0],
                  "child_peak_mb": peaks[1], "rows": samples, "sound_bytes": sound}))
"""


def read_once(root: Path, path: Path) -> dict[str, Any]:
    """One reading of one file by the checkout at ``root``."""
    command = [sys.executable, "-c", READ, str(root), str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd="/")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def best(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The least times and the largest memory of several runs."""
    least = {k: round(min(r[k] for r in runs), 3) for k in ("seconds", "cpu_seconds")}
    return {**runs[0], **least, **{k: round(max(r[k] for r in runs), 1) for k in ("peak_mb", "child_peak_mb")}}


def main() -> int:
    """Read all files, write the result, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--name", default="reading")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    sides = {"before": args.before, "after": ROOT} if args.before else {"after": ROOT}
    rows = []
    for path in args.files:
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for _ in range(args.repeats):
            for side, root in sides.items():
                runs[side].append(read_once(root.resolve(), path.resolve()))
        rows += [{"file": path.name, "side": side, **best(found)} for side, found in runs.items()]
        say(path.name)
    names = ("file", "side", "seconds", "cpu_seconds", "peak_mb", "child_peak_mb")
    print(table(list(names), [tuple(r[n] for n in names) for r in rows]))
    content = {
        "name": args.name, "command": plain_command(sys.argv), "date": today(), "machine": describe(),
        "build": build_fingerprint(), "repeats": args.repeats, "rows": rows,
    }  # fmt: skip
    write_json(ROOT / "benchmarks" / "results" / f"{args.name}.json", content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
