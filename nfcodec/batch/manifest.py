"""The manifest: what happened to every item, one JSON object per line, only ever appended to.

    {"type": "run", "action": "encode", "settings": {…}, …}       a run began
    {"type": "start", "path": "a/b.png", "target": "a/b.nfc"}     a worker began with an item
    {"type": "slice", "targets": ["a/b.nfc", …]}                  before outputs go to a remote folder
    {"type": "done", "path": …, "target": …, "key": …, "bytes": …, "psnr": …, …}
    {"type": "failed", "path": …, "error": …, "message": …, …}
    {"type": "skipped", "path": …, "reason": …}
    {"type": "end", "done": …, "failed": …, "skipped": …, …}      a run ended by itself

Every record has a "time" in seconds since 1970; the latest of a path counts. Only the parent process writes. A line
that a crash has torn counts for nothing, and a whole one glued to its end does count, so manifests of several shards
can be concatenated: every record begins with ``{"type":``, which cannot stand inside of a JSON string.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from filelock import BaseFileLock, FileLock, Timeout

from nfcodec.batch.records import checked
from nfcodec.errors import InputError, OutputError
from nfcodec.media.reading import named, reason

NAME = "nfc-batch"
SUFFIX = ".jsonl"
_BEGIN = '{"type":'
_PATIENCE = 0.5  # seconds; whoever asks whether the manifest is open holds its lock for a moment
_VERDICTS = ("done", "failed", "skipped")

Record = dict[str, Any]


def manifest_path(output: Path, shard: tuple[int, int]) -> Path:
    """The manifest of one shard (i, n) in the output folder."""
    index, count = shard
    middle = "" if count == 1 else f".{index}-of-{count}"
    return output / f"{NAME}{middle}{SUFFIX}"


def manifests(output: Path) -> list[Path]:
    """All manifests of an output folder, of any shard."""
    return sorted(output.glob(f"{NAME}*{SUFFIX}"))


@dataclass(slots=True)
class BatchState:
    """What manifests say, the later line over the earlier one.

    ``last``: the last verdict of each path; ``begun``: targets that some attempt began to write.
    """

    runs: list[Record] = field(default_factory=list)
    last: dict[str, Record] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    ended: bool = False

    def add(self, record: Record) -> None:
        """Take one more line."""
        kind = record["type"]
        if kind == "run":
            self.runs.append(record)
        elif kind == "start":
            self.begun.add(record["target"])
        elif kind == "slice":
            self.begun.update(record["targets"])
        elif kind in _VERDICTS and record["time"] >= self.last.get(record["path"], record)["time"]:
            self.last[record["path"]] = record
        self.ended = kind == "end"

    def of(self, verdict: str) -> list[Record]:
        """The paths with this verdict, in order of the paths."""
        return [r for _, r in sorted(self.last.items()) if r["type"] == verdict]


def read_state(paths: Iterable[Path]) -> BatchState:
    """Merge manifests. Raises :class:`~nfcodec.errors.InputError` for one that cannot be read, and
    :class:`~nfcodec.errors.ManifestError` for one that says what no batch writes."""
    state = BatchState()
    for path in paths:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise InputError(f"cannot read {named(path)}: {reason(error)}") from error
        for record in _records(lines):
            with contextlib.suppress(KeyError, TypeError):
                state.add(checked(record, named(path)))
    return state


def _records(lines: Iterable[bytes]) -> Iterator[Record]:
    """The lines that are whole; of a torn line with the next one glued to it, the next one."""
    for line in lines:
        text = line.decode("utf-8", "replace")
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(text[text.rfind(_BEGIN) :])
            if isinstance(record, dict):
                yield record


class Manifest:
    """The manifest of a running batch, open for appending and locked against a second run."""

    def __init__(self, path: Path) -> None:
        """Open or begin it. Raises :class:`~nfcodec.errors.OutputError`, also when another run has it."""
        self.path = path
        self._file: IO[bytes] | None = None
        self._lock = _lock_of(path)
        with self._telling():
            self._file = open(path, "ab+", buffering=0)  # noqa: SIM115
        try:
            # Not before the file is open: FileLock makes folders that are missing.
            _take(self._lock, path)
            with self._telling():
                self._end_torn_line(self._file)
        except BaseException:
            self.close()
            raise

    def append(self, kind: str, **values: Any) -> None:
        """Write one record as one line; it is on the disk when this returns."""
        assert self._file is not None
        text = json.dumps({"type": kind, **values}, allow_nan=False, separators=(",", ":"))
        with self._telling():
            _write(self._file, text.encode() + b"\n")
            os.fsync(self._file.fileno())

    def merge(self, other: bytes) -> None:
        """Take the lines of another copy of this manifest that are not in it."""
        assert self._file is not None
        with self._telling():
            self._file.seek(0)
            own = set(self._file.read().splitlines())
            new = [line for line in other.splitlines() if line not in own]
            _write(self._file, b"".join(line + b"\n" for line in new))
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close it and let go of the lock."""
        if self._file is not None and not self._file.closed:
            if os.fstat(self._file.fileno()).st_size == 0:
                with contextlib.suppress(OSError):  # nothing came of it
                    self.path.unlink()
            self._file.close()
        self._lock.release()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _end_torn_line(file: IO[bytes]) -> None:
        """Begin on a new line where a crash left half of one."""
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                _write(file, b"\n")

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {named(self.path)}: {reason(error)}") from error


def _write(file: IO[bytes], data: bytes) -> None:
    """All of ``data``: an unbuffered file may take less at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def is_open(path: Path) -> bool:
    """Whether a run is writing this manifest now; False where locks cannot be had."""
    lock = _lock_of(path)
    if not os.path.exists(lock.lock_file):
        return False
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


def _lock_of(path: Path) -> BaseFileLock:
    """The lock of a manifest, on a file of its own: locking may empty the file that it is given.

    It goes with the process. The file stays: whoever removed it could leave two runs with a lock each.
    """
    return FileLock(path.with_name(f".{path.name}.lock"), thread_local=False)


def _take(lock: BaseFileLock, path: Path) -> None:
    """Take the lock; file systems without locks do without."""
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        hint = "wait for it, or give each its own --shard"
        raise OutputError(f"another nfc batch is writing {named(path.parent)}", hint=hint) from error
    except (OSError, NotImplementedError):
        return
