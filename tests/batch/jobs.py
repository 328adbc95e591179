"""A batch of jobs that need no codec: what an input says is what happens to it. Run as a program, it is a batch.

    python jobs.py IN OUT WORKERS [GATE]    resumes where a batch is; folders or URLs

Everything else than the words below is written backwards. At a gate (gate.py) workers stop with each file: "begun",
with an empty temporary file; "half" and "whole", when that much is in it; "named", when the file has its name and the
parent does not know yet.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nfcodec.batch.actions import stem_of
from nfcodec.batch.events import BatchItem, FoundFile, Refused, Skipped
from nfcodec.batch.keys import file_sha256, settings_key
from nfcodec.batch.places import place_of
from nfcodec.batch.request import BatchRequest, RunOptions
from nfcodec.batch.runner import run
from nfcodec.batch.task import Begun, Task, TaskFunction
from nfcodec.errors import MediaReadError, OutputError
from nfcodec.media.atomic import atomic_output

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import stop_at  # noqa: E402 - also when this file is the program


class Panic(BaseException):
    """As native code raises it."""


def copier(pause: float, shift: int, gate: str | None = None) -> TaskFunction:
    def work(task: Task, begun: Begun, coder: Any) -> dict[str, Any]:  # noqa: ARG001
        try:
            data = Path(task.source).read_bytes()
        except OSError as error:
            raise MediaReadError(f"cannot read {task.source}: {error.strerror}") from error
        begun(len(data))
        os.makedirs(os.path.dirname(task.target), exist_ok=True)
        with atomic_output(Path(task.target), force=task.force) as temporary:
            stop_at(gate, "begun", task.source)
            _happen(data, task, gate)
            half = len(data) // 2
            back = bytes((b + shift) % 256 for b in data[::-1])
            temporary.write_bytes(back[:half])
            stop_at(gate, "half", task.source)
            time.sleep(pause)
            temporary.write_bytes(back)
            stop_at(gate, "whole", task.source)
        stop_at(gate, "named", task.source)
        record = {
            "input_bytes": len(data),
            "bytes": len(data),
            "psnr": 30.0,
            "rate": 1.0,
            "rate_unit": "kbps",
            "threads": task.threads,
            "pid": os.getpid(),
        }
        return {**record, "sha256": file_sha256(task.source)}

    return work


def _happen(data: bytes, task: Task, gate: str | None) -> None:
    """Do what the first word of the input says; with "once", only the first time (a flag file remembers it)."""
    word, _, rest = data.decode("latin-1").partition(" ")
    if rest == "once":
        flag = Path(task.source + ".flag")
        if flag.exists():
            return
        flag.touch()
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "hang":
        stop_at(gate, "hang", task.source)
        time.sleep(600)
    elif word == "memory":
        raise MemoryError
    elif word == "panic":
        raise Panic("index out of bounds")
    elif word == "bug":
        raise ZeroDivisionError("division by zero")
    elif word == "full":
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise OutputError(f"cannot write {task.target}: {error.strerror}") from error


def broken() -> TaskFunction:
    raise MediaReadError("no codec here")


def stillborn() -> TaskFunction:
    os._exit(7)


@dataclass(frozen=True)
class Copy:
    """Copies backwards; ``shift`` is an option that matters for the output."""

    pause: float = 0.0
    shift: int = 0
    begin: Any = None
    limit: float = 0.0
    gate: str | None = None
    name: str = "copy"

    def sort(self, found: FoundFile) -> Any:
        if found.path.endswith(".txt"):
            return Skipped(found.path, "is a text")
        if found.path.endswith(".bad"):
            return Refused(found.path, "MediaReadError", f"cannot read {found.path}")
        size = os.stat(found.source).st_size if os.path.exists(found.source) else 0
        return BatchItem(found.path, found.source, stem_of(found.path) + ".out", float(size))

    def setup(self) -> Any:
        return self.begin or partial(copier, self.pause, self.shift, self.gate)

    def settings(self) -> dict[str, Any]:
        return {"shift": self.shift}

    def key(self) -> str:
        return settings_key(self.settings(), None)

    def per_sample(self) -> float:
        return 0.0

    def small(self) -> float:
        return self.limit


def main() -> None:
    source, output, workers = place_of(sys.argv[1]), place_of(sys.argv[2]), int(sys.argv[3])
    action = Copy(gate=sys.argv[4] if len(sys.argv) > 4 else None)
    summary = run(BatchRequest((source,), output, action), RunOptions(workers=workers, resume=True))  # type: ignore[arg-type]
    sys.exit(3 if summary.counts.failed else 0)


if __name__ == "__main__":
    main()
