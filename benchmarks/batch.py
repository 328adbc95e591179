"""Many small pictures: one ``nfc encode`` after the other, ``nfc batch``, and a loop of AVIF in one process.

    python benchmarks/batch.py DIR [--count 2000] [--single 20] [--jobs auto] [--effort 1] [--name batch]

Crops of 64 to 256 pixels a side are cut from the pictures in DIR (the same ones every time) and kept as PNG. A row
has images per second over the whole run, start included, the sum of all bytes, and the peak memory: of all processes
of the run together, each shared page counted once (PSS), sampled five times a second. One-by-one encoding takes
seconds each, so only ``--single`` crops are encoded that way. AVIF is Pillow's, speed 6, 4:4:4, in this process's
child; its quality is chosen to come near in bits, not in PSNR, and both are given.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import BenchmarkError, build_fingerprint, describe
from PIL import Image
from results import plain_command, say, table, today, write_json

ROOT = Path(__file__).resolve().parent.parent
SIDES = (64, 96, 128, 160, 192, 224, 256)
_AVIF = """
import json, sys
from pathlib import Path
from PIL import Image
source, target, quality = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for path in sorted(source.rglob("*.png")):
    with Image.open(path) as image:
        image.save(target / f"{path.stem}.avif", speed=6, quality=quality, subsampling="4:4:4")
"""


def cut(pictures: list[Path], folder: Path, count: int) -> list[Path]:
    """``count`` crops as PNG, in folders of a hundred."""
    rng, paths = np.random.default_rng(2026), []
    for i in range(count):
        side = int(rng.choice(SIDES))
        with Image.open(pictures[i % len(pictures)]) as image:
            x, y = (int(rng.integers(0, max(1, n - side))) for n in image.size)
            crop = image.convert("RGB").crop((x, y, min(x + side, image.width), min(y + side, image.height)))
        path = folder / f"{i // 100:03d}" / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        crop.save(path)
        paths.append(path)
    return paths


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(c) for t in Path(f"/proc/{pid}/task").glob("*/children") for c in t.read_text().split()]
    except OSError:  # it has ended meanwhile
        return []
    return [pid, *(d for child in children for d in _descendants(child))]


def _pss(pid: int) -> int:
    """Bytes of a process and all its children, shared pages divided among those that share them."""
    return sum(map(_own_pss, _descendants(pid)))


def _own_pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def watched(command: list[str]) -> dict[str, Any]:
    """Run a command; its seconds, and the peak memory of its whole tree."""
    peak, done = [0], threading.Event()
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def watch() -> None:
            while not done.wait(0.2):
                peak[0] = max(peak[0], _pss(process.pid))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        out, err = process.communicate()
        seconds = time.perf_counter() - began
        done.set()
        thread.join()
    if process.returncode:
        raise BenchmarkError(f"{command[0]} failed with {process.returncode}:\n  {err.strip()[-500:]}")
    return {"seconds": round(seconds, 3), "peak_mb": round(peak[0] / 1e6, 1), "stdout": out}


def row(way: str, paths: list[Path], run: dict[str, Any], size: int, psnr: float, note: str = "") -> dict[str, Any]:
    """One way of encoding ``paths``."""
    pixels = sum(math.prod(Image.open(path).size) for path in paths)
    rates = {
        "images": len(paths),
        "seconds": run["seconds"],
        "images_per_second": round(len(paths) / run["seconds"], 3),
    }
    quality = {"bytes": size, "bpp": round(size * 8 / pixels, 4), "psnr": round(psnr, 3)}
    return {"way": way, **rates, **quality, "peak_mb": run["peak_mb"], "note": note}


def one_by_one(nfc: list[str], paths: list[Path], folder: Path, options: list[str]) -> dict[str, Any]:
    """A process for each picture."""
    folder.mkdir()
    results, seconds, peak = [], 0.0, 0.0
    for path in paths:
        run = watched([*nfc, "encode", str(path), "-d", str(folder), *options, "--json"])
        results.append(json.loads(run["stdout"]))
        seconds, peak = seconds + run["seconds"], max(peak, run["peak_mb"])
    size, psnr = sum(r["bytes"] for r in results), [r["psnr"] for r in results if r["psnr"] is not None]
    run = {"seconds": round(seconds, 3), "peak_mb": peak}
    return row("nfc encode, one by one", paths, run, size, float(np.mean(psnr)))


def batch(
    nfc: list[str], source: Path, paths: list[Path], folder: Path, options: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    """One ``nfc batch`` over all, and the same again with everything done."""
    command = [*nfc, "batch", str(source), "-d", str(folder), *options, "--json", "--progress", "none"]
    run = watched(command)
    summary = json.loads(run["stdout"].splitlines()[-1])
    if summary["done"] != len(paths):
        raise BenchmarkError(f"nfc batch did {summary['done']} of {len(paths)}")
    note = f"{' '.join(options)}; {round(summary['seconds'], 2)} s without start-up of the program"
    again = watched([*command, "--resume"])
    resumed = {"seconds": again["seconds"], "images": len(paths), "peak_mb": again["peak_mb"]}
    return row("nfc batch", paths, run, summary["bytes_out"], summary["psnr"], note), resumed


def avif(source: Path, paths: list[Path], folder: Path, quality: int) -> dict[str, Any]:
    """A loop of Pillow's AVIF encoder."""
    folder.mkdir()
    run = watched([sys.executable, "-c", _AVIF, str(source), str(folder), str(quality)])
    size, psnrs = 0, []
    for path in paths:
        coded = folder / f"{path.stem}.avif"
        size += coded.stat().st_size
        a, b = (np.asarray(Image.open(p).convert("RGB"), np.float64) for p in (path, coded))
        error = float(np.mean((a - b) ** 2))
        psnrs += [10 * math.log10(255**2 / error)] if error else []
    return row("Pillow AVIF, speed 6", paths, run, size, float(np.mean(psnrs)), f"quality {quality}")


def large(nfc: list[str], path: Path, folder: Path, options: list[str], cores: int) -> list[dict[str, Any]]:
    """One large picture on one thread and on all: what the schedule takes for the speed of a further core."""
    found = []
    for threads in dict.fromkeys((1, cores)):
        target = folder / f"large-{threads}.nfc"
        run = watched([*nfc, "encode", str(path), "-o", str(target), *options, "--threads", str(threads), "--json"])
        found.append({"threads": threads, "seconds": json.loads(run["stdout"])["seconds"], "peak_mb": run["peak_mb"]})
    if len({(folder / f"large-{t['threads']}.nfc").read_bytes() for t in found}) != 1:
        raise BenchmarkError("the bytes depend on the number of threads")
    return found


def main() -> int:
    """Measure, write the result, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--single", type=int, default=20)
    parser.add_argument("--jobs", default="auto")
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--quality", type=int, default=75)
    parser.add_argument("--avif-quality", type=int, default=60)
    parser.add_argument("--large", type=Path, help="a large picture, to measure what threads are worth")
    parser.add_argument("--name", default="batch")
    parser.add_argument("--nfc", default=f"{sys.executable} -m nfcodec")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    pictures = sorted(p for p in args.folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not pictures:
        raise BenchmarkError(f"no pictures in {args.folder}")
    nfc, options, machine = shlex.split(args.nfc), [f"-q{args.quality}", f"-e{args.effort}"], describe()
    with tempfile.TemporaryDirectory(prefix="nfc-bench-") as work:
        source = Path(work, "crops")
        paths = cut(pictures, source, args.count)
        rows = [one_by_one(nfc, paths[: args.single], Path(work, "single"), options)]
        done, resumed = batch(nfc, source, paths, Path(work, "batch"), [*options, "-j", args.jobs])
        rows += [done, avif(source, paths, Path(work, "avif"), args.avif_quality)]
        threads = large(nfc, args.large, Path(work), options, machine["cores"]) if args.large else []
    content = {
        "name": args.name, "command": plain_command(["batch.py", *sys.argv[1:]]), "date": today(), "machine": machine,
        "build": build_fingerprint(), "crops": {"count": args.count, "sides": list(SIDES), "seed": 2026}, "rows": rows,
        "faster_than_one_by_one": round(rows[1]["images_per_second"] / rows[0]["images_per_second"], 2),
        "resume_of_finished": resumed, "large": threads,
    }  # fmt: skip
    write_json(args.results / f"{args.name}.json", content)
    names = ("way", "images", "images_per_second", "bpp", "psnr", "peak_mb", "note")
    print(table(names, [[r[n] for n in names] for r in rows]))
    print(
        f"\nnfc batch: {content['faster_than_one_by_one']} times one by one; resumed when done: {resumed['seconds']} s"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"batch.py: {error}")
        sys.exit(1)
