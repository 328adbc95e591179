"""Kill a real batch at random moments, resume it each time, and compare with a run that nobody disturbed.

    python benchmarks/batch_kills.py DIR [--count 500] [--kills 50] [--jobs 2] [--seed 1] [--name batch-kills]

A kill (SIGKILL) hits the parent in three of five cases and one of the workers otherwise. After each one only whole
files may have their names, and every "done" line must have its file. At the end the trees must be equal byte for
byte, no path may have two "done" lines, and nothing may be left beside the outputs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from batch import ROOT, cut
from machine import BenchmarkError, build_fingerprint, describe
from results import plain_command, say, today, write_json


def tree(folder: Path) -> dict[str, bytes]:
    """All files but the manifest."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.lstrip(".").startswith("nfc-batch"):
            # A worker whose parent was killed takes a moment to end, and may get or lose a name meanwhile.
            with suppress(FileNotFoundError):
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def done(folder: Path) -> Counter[str]:
    """How often each path has a "done" line."""
    found: Counter[str] = Counter()
    for path in folder.glob("nfc-batch*.jsonl"):
        for line in path.read_bytes().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record["type"] == "done":
                found[record["path"]] += 1
    return found


def workers(pid: int) -> list[int]:
    """The worker processes of a batch."""
    children = [int(c) for task in Path(f"/proc/{pid}/task").glob("*/children") for c in task.read_text().split()]
    return [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def disturb(process: subprocess.Popen[bytes], folder: Path, chance: random.Random) -> str:
    """Wait for some progress and kill somebody; returns whom, or "nobody" when the batch was faster."""
    goal = sum(done(folder).values()) + chance.randrange(1, 9)
    while process.poll() is None and sum(done(folder).values()) < goal:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.3))
    try:
        victims = workers(process.pid)
        if victims and chance.random() < 0.4:
            os.kill(chance.choice(victims), signal.SIGKILL)
            return "worker"
    except OSError:
        return "nobody"
    if process.poll() is not None:
        return "nobody"
    process.kill()
    process.wait()
    return "parent"


def check(folder: Path, expected: dict[str, bytes], *, final: bool = False) -> None:
    """Raise :class:`BenchmarkError` when a promise is broken."""
    found = tree(folder)
    whole = {n: data for n, data in found.items() if ".tmp-" not in n}
    wrong = [n for n, data in whole.items() if expected[n] != data]
    twice = [n for n, times in done(folder).items() if times > 1]
    lost = [n for n in done(folder) if n.replace(".png", ".nfc") not in whole]
    if wrong or twice or lost or (final and found != expected):
        raise BenchmarkError(f"wrong {wrong[:3]}, twice {twice[:3]}, lost {lost[:3]}, {len(found)} files")


def main() -> int:
    """Run, write the result, print it; exit code 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="batch-kills")
    parser.add_argument("--nfc", default=f"{sys.executable} -m nfcodec")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    pictures = sorted(p for p in args.folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chance, kills, began = random.Random(args.seed), Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nfc-bench-") as work:
        source, calm, wild = (Path(work, name) for name in ("crops", "calm", "wild"))
        cut(pictures, source, args.count)
        command = [*shlex.split(args.nfc), "batch", str(source), "-e1", "--progress", "none", "-j", args.jobs]
        subprocess.run([*command, "-d", str(calm)], check=True, stderr=subprocess.DEVNULL)
        expected = tree(calm)
        while kills["parent"] + kills["worker"] < args.kills:
            with subprocess.Popen([*command, "-d", str(wild), "--resume"], stderr=subprocess.DEVNULL) as process:
                while process.poll() is None and kills["parent"] + kills["worker"] < args.kills:
                    kills[disturb(process, wild, chance)] += 1
                process.kill()
            check(wild, expected)
            if kills["nobody"] > 3:
                raise BenchmarkError(f"the batch was done after {dict(kills)}: more pictures (--count) are needed")
        subprocess.run([*command, "-d", str(wild), "--resume"], check=True, stderr=subprocess.DEVNULL)
        check(wild, expected, final=True)
    content = {
        "name": args.name, "command": plain_command(["batch_kills.py", *sys.argv[1:]]), "date": today(),
        "machine": describe(), "build": build_fingerprint(), "pictures": args.count,
        "kills": {"parent": kills["parent"], "worker": kills["worker"]}, "identical": True, "done_twice": 0,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    write_json(args.results / f"{args.name}.json", content)
    print(f"{args.count} pictures, {dict(kills)}: the tree is identical, and nothing was done twice")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"batch_kills.py: {error}")
        sys.exit(1)
