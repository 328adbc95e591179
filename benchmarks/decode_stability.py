"""Do the same .nfc files give the same symbols and the same samples on every kind of arithmetic?

    python benchmarks/decode_stability.py FILE.nfc… [--name decode-stability] [--samples]

Each setting of instruction set, BLAS kernel, thread count and library runs ``nfc verify --json`` (whose ``digest`` is
of the decoded symbols: it must not change) and ``nfc decode`` in fresh processes. Samples are compared with those of
the first setting; those of a lattice, of lapped frames and of moving pictures must not change, those of modules may be
off by one. Of videos all frames are compared, in RGB. Exit code 1 when a digest differs, or a sample that must not.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from machine import BenchmarkError, build_fingerprint, checked, describe, json_lines
from PIL import Image
from results import plain_command, say, table, today, write_json

EXACT = ("lattice", "lapped", "moving")  # kinds of fields whose samples are the same everywhere
VIDEOS = (".mkv", ".mp4", ".webm", ".mov", ".avi")
ROOT = Path(__file__).resolve().parent.parent
CAPABILITIES = {"default": "", "avx2": "avx2", "avx512": "avx512f"}  # torch's name: the flag it needs
LIBRARIES: tuple[dict[str, str], ...] = ({}, {"ONEDNN_MAX_CPU_ISA": "SSE41"}, {"MKL_CBWR": "COMPATIBLE"})
# Kernels of numpy's BLAS: the flag they need.
KERNELS = {"Prescott": "", "Haswell": "avx2", "Zen": "avx2", "SkylakeX": "avx512f"}
WITHOUT = {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX"}


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def settings() -> list[dict[str, str]]:
    """Environments to run under; torch would crash on instructions that the machine lacks."""
    flags = _cpu_flags()
    usable = [name for name, flag in CAPABILITIES.items() if not flag or flag in flags]
    combinations = itertools.product(usable, ("1", "2"), LIBRARIES)
    found = [{"ATEN_CPU_CAPABILITY": isa, "OMP_NUM_THREADS": n, **library} for isa, n, library in combinations]
    kernels = [name for name, flag in KERNELS.items() if not flag or flag in flags]
    for name, rest in itertools.product(kernels, ({}, WITHOUT)):
        found.append({"OPENBLAS_CORETYPE": name, "OPENBLAS_NUM_THREADS": "2" if rest else "1", **rest})
    return found


def _fields(nfc: list[str], files: list[Path]) -> dict[str, str]:
    """The kind of field of every file."""
    lines = json_lines(checked([*nfc, "info", *files, "--json"]).stdout)
    return {Path(line["path"]).name: line["field"] for line in lines}


def _samples(path: Path) -> np.ndarray:
    if path.suffix.lower() in VIDEOS:
        pipe = ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
        frames = subprocess.run(["ffmpeg", "-v", "error", "-i", path, *pipe], capture_output=True, check=True).stdout
        return np.frombuffer(frames, np.uint8).astype(np.int16)
    if path.suffix.lower() == ".wav":
        return np.asarray(soundfile.read(path, dtype="int16", always_2d=True)[0]).astype(np.int64)
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int64)


def _digests(nfc: list[str], files: list[Path], environment: dict[str, str]) -> dict[str, str]:
    lines = json_lines(checked([*nfc, "verify", *files, "--json"], environment=environment).stdout)
    return {Path(line["path"]).name: line["digest"] for line in lines}


def _decoded(nfc: list[str], files: list[Path], environment: dict[str, str]) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory(prefix="nfc-bench-") as folder:
        child = checked([*nfc, "decode", *files, "-d", folder, "--json"], environment=environment)
        lines = json_lines(child.stdout)
        return {Path(line["input"]).name: _samples(Path(line["output"])) for line in lines}


def compare(reference: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Shares of samples that differ by one step and by more."""
    if reference.shape != other.shape:
        raise BenchmarkError(f"decoded shapes differ: {reference.shape} and {other.shape}")
    difference = np.abs(reference - other)
    return {
        "differing": int((difference > 0).sum()),
        "samples": int(difference.size),
        "share_off_by_one": float(np.mean(difference == 1)),
        "share_off_by_more": float(np.mean(difference > 1)),
        "largest": int(difference.max(initial=0)),
    }


def measure(nfc: list[str], files: list[Path], *, only: bool = False) -> list[dict[str, Any]]:
    """One row per setting and file; ``only``: of samples alone."""
    rows: list[dict[str, Any]] = []
    first_digests: dict[str, str] = {}
    first_samples: dict[str, np.ndarray] = {}
    fields = _fields(nfc, files)
    for environment in settings():
        say(" ".join(f"{k}={v}" for k, v in environment.items()))
        samples = _decoded(nfc, files, environment)
        digests = dict.fromkeys(samples, "not asked for") if only else _digests(nfc, files, environment)
        first_digests, first_samples = first_digests or digests, first_samples or samples
        for path in files:
            name = path.name
            if name not in digests or name not in samples:
                raise BenchmarkError(f"nfc gave no JSON line for {name}")
            same = digests[name] == first_digests[name]
            row = {"file": name, "field": fields[name], "setting": environment, "digest": digests[name]}
            rows.append({**row, "same_digest": same, **compare(first_samples[name], samples[name])})
    return rows


def main() -> int:
    """Measure, write the result, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--name", default="decode-stability")
    parser.add_argument("--nfc", default="nfc")
    parser.add_argument("--samples", action="store_true", help="compare samples alone, which follow from the symbols")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    if len({path.name for path in args.files}) != len(args.files):
        raise BenchmarkError("two of the files have the same name")
    rows = measure(shlex.split(args.nfc), args.files, only=args.samples)
    equal = all(row["same_digest"] for row in rows)
    differing = sum(row["differing"] for row in rows if row["field"] in EXACT)
    content = {
        "name": args.name,
        "command": plain_command(["decode_stability.py", *sys.argv[1:]]),
        "date": today(),
        "machine": describe(),
        "build": build_fingerprint(),
        "digests_equal": None if args.samples else equal,
        "settings": len(settings()),
        "differing_samples_of_exact_fields": differing,
        "samples_of_exact_fields": sum(row["samples"] for row in rows if row["field"] in EXACT),
        "largest_difference": max(row["largest"] for row in rows),
        "largest_share_off_by_one": max(row["share_off_by_one"] for row in rows),
        "largest_share_off_by_more": max(row["share_off_by_more"] for row in rows),
        "rows": rows,
    }
    write_json(args.results / f"{args.name}.json", content)
    header = ["file", "setting", "digest", "differing", "off by 1", "off by more", "largest"]
    body = [
        (r["file"], " ".join(r["setting"].values()), "same" if r["same_digest"] else "DIFFERS")
        + (r["differing"], f"{r['share_off_by_one']:.2e}", f"{r['share_off_by_more']:.2e}", r["largest"])
        for r in rows
    ]
    print(table(header, body))
    say(f"{differing} of {content['samples_of_exact_fields']} samples of exact fields differ")
    return 0 if equal and not differing else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"decode_stability.py: {error}")
        sys.exit(1)
