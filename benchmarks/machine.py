"""The machine under a benchmark, and child processes on it with their time and memory."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).with_name("launch.py")


class BenchmarkError(RuntimeError):
    """A benchmark cannot go on: a tool is missing or gave something that cannot be compared."""


@dataclass(frozen=True)
class Child:
    """A finished child process.

    ``peak_bytes``: largest resident set of the process or of any child it waited for (the largest one of
    them, not their sum). ``killed``: "timeout" or "memory" when the launcher ended it, else "".
    """

    exit_code: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    killed: str
    stdout: str
    stderr: str

    @property
    def peak_mb(self) -> float:
        return round(self.peak_bytes / 1e6, 1)


def run_child(
    command: Sequence[str | os.PathLike[str]],
    *,
    timeout: float = 24 * 3600,
    environment: Mapping[str, str] | None = None,
    interrupt_after: float | None = None,
    memory_bound: float | None = None,
) -> Child:
    """Run ``command`` through the launcher; ``environment`` adds to the present one."""
    with tempfile.TemporaryDirectory(prefix="nfc-bench-") as folder:
        paths = {name: str(Path(folder, name)) for name in ("stdout", "stderr", "report")}
        job = {
            "command": [os.fspath(part) for part in command],
            "timeout": timeout,
            "interrupt_after": interrupt_after,
            "memory_bound": memory_bound,
            **paths,
        }
        subprocess.run(
            [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(job)],
            env={**os.environ, **(environment or {})},
            check=False,
        )
        if not Path(paths["report"]).exists():
            raise BenchmarkError(f"cannot start {job['command'][0]}")
        report = json.loads(Path(paths["report"]).read_text())
        texts = (Path(paths[name]).read_text(errors="replace") for name in ("stdout", "stderr"))
        return Child(
            report["exit_code"],
            report["seconds"],
            report["cpu_seconds"],
            report["peak_bytes"],
            report.get("killed", ""),
            *texts,
        )


def checked(command: Sequence[str | os.PathLike[str]], **options: Any) -> Child:
    """Like :func:`run_child`, but a failure ends the benchmark with the child's last words."""
    child = run_child(command, **options)
    if child.exit_code != 0:
        words = child.stderr.strip().splitlines()[-8:] or ["(silent)"]
        name = Path(command[0]).name
        raise BenchmarkError(f"{name} failed with {child.killed or child.exit_code}:\n  " + "\n  ".join(words))
    return child


def json_lines(text: str) -> list[dict[str, Any]]:
    """The JSON objects among the lines of ``text``."""
    return [json.loads(line) for line in text.splitlines() if line.lstrip().startswith("{")]


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe() -> dict[str, Any]:
    """What a reader needs to judge the timings; no paths and no host names."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "numpy", "pillow", "nfcodec")},
    }


def build_fingerprint() -> str:
    """Hash of the package's code and inits, so that rows of another build are not taken for this one's."""
    spec = importlib.util.find_spec("nfcodec")
    if spec is None or not spec.submodule_search_locations:
        return "unknown"
    root = Path(next(iter(spec.submodule_search_locations)))
    files = sorted(root.rglob("*.py")) + sorted((root.parent / "models").rglob("*.safetensors"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]
