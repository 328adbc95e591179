"""The 48 invariants: breaks the code once for each and looks whether the numbered tests see it.

Invariants 1 to 48 are what a re-implementation of Meta-SparseINR, GradNCP and MCL-NF must hold; the test of number n is
called ``test_n_…``. Every break (breaks.toml) is one line changed in a copy of the package:

    python -m benchmarks.seeds breaks
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from results import plain_command, say, today, write_json

from benchmarks.seeds.context import Context
from nfcodec.train.settings import read_toml

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "seeds-breaks.json"


@dataclass(frozen=True)
class Break:
    """``old`` becomes ``new`` in a file of the package; the tests of ``number`` in ``test`` must fail then."""

    number: int
    invariant: str
    test: str
    file: str
    old: str
    new: str


BREAKS = tuple(Break(**b) for b in read_toml(Path(__file__).with_suffix(".toml"))["break"])


@contextmanager
def broken(change: Break, copy: Path) -> Iterator[None]:
    """The copy of the package with a break in it, whole again afterwards."""
    path = copy / "nfcodec" / change.file
    whole = path.read_text(encoding="utf-8")
    if whole.count(change.old) != 1:
        raise ValueError(f"break {change.number}: {change.old!r} stands {whole.count(change.old)} times")
    path.write_text(whole.replace(change.old, change.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(whole, encoding="utf-8")


def failed(copy: Path, change: Break) -> list[str]:
    """The numbered tests that fail in the copy."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-x"]
    node = [f"tests/{change.test}", "-k", f"test_{change.number:02d}_"]
    ran = subprocess.run([*command, *node], cwd=copy, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"break {change.number}: {ran.stdout[-600:]}")
    lines = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return [line.split("::")[1].split("[")[0].split(" ")[0] for line in lines]


def run(context: Context) -> Path:
    """Break everything once (or what is asked for); the result names for each number the test that failed."""
    rows = {row["number"]: row for row in json.loads(RESULT.read_text())["rows"]} if RESULT.exists() else {}
    with tempfile.TemporaryDirectory(prefix="nfc-breaks-") as folder:
        copy = Path(folder)
        for name in ("nfcodec", "tests", "models", "benchmarks"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, copy / name)
        for change in BREAKS:
            if context.wanted(number=change.number):
                with broken(change, copy):
                    seen = failed(copy, change)
                say(f"{change.number:2d} {change.invariant}: {', '.join(seen) or 'NOT SEEN'}")
                rows[change.number] = {
                    "number": change.number, "invariant": change.invariant, "file": change.file,
                    "test": f"tests/{change.test}::{seen[0]}" if seen else None, "old": change.old, "new": change.new,
                }  # fmt: skip
    command = f"python -m benchmarks.seeds {plain_command(sys.argv[1:])}"
    write_json(RESULT, {"name": "breaks", "command": command, "date": today(), "rows": [rows[n] for n in sorted(rows)]})
    return RESULT
