"""Killed at any moment and resumed: the same tree, no item finished twice, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nfcodec.batch.manifest import manifests

from .conftest import copied, fill, numbered, tree
from .gate import Gate, kill_parent, kill_worker

JOBS = Path(__file__).with_name("jobs.py")
COUNT = 70
POINTS = ("begun", "half", "whole", "named")

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open and /proc to watch workers")


@contextmanager
def started(folder: Path, gate: Gate | None = None, workers: int = 2) -> Iterator[subprocess.Popen[bytes]]:
    """A batch from ``in`` to ``out``; it is no more when the block ends."""
    command = [sys.executable, str(JOBS), str(folder / "in"), str(folder / "out"), str(workers)]
    command += [gate.address] if gate else []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(folder: Path) -> None:
    """Let a batch come to its end without a gate."""
    with started(folder) as process:
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == 0, errors.decode()


def done(output: Path) -> list[str]:
    """The paths of whole "done" lines."""
    found = []
    for path in manifests(output):
        for line in path.read_bytes().split(b"\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record["type"] == "done":
                found.append(record["path"])
    return found


def check(folder: Path, files: dict[str, bytes]) -> None:
    """What holds at every moment: only whole files have names, and every line has its file."""
    expected = copied(files)
    found = {n: data for n, data in tree(folder / "out").items() if ".tmp-" not in n}
    assert {n: expected[n] for n in found} == found
    paths = done(folder / "out")
    assert len(paths) == len(set(paths)), "an item was done twice"
    assert {p.rsplit(".", 1)[0] + ".out" for p in paths} <= set(found)


def check_stopped(folder: Path, files: dict[str, bytes], source: str, point: str) -> None:
    """What a process that was killed at ``point`` of a file has left of it."""
    path = Path(source).relative_to(folder / "in").as_posix()
    target = Path(path).with_suffix(".out")
    size = {"begun": 0, "half": len(files[path]) // 2, "whole": len(files[path])}
    sizes = [p.stat().st_size for p in (folder / "out" / target.parent).glob(f".{target.name}.tmp-*")]
    assert (folder / "out" / target).exists() == (point == "named") and path not in done(folder / "out")
    assert (size.get(point) in sizes) == (point != "named"), (point, sizes)


def test_kills_at_all_moments(tmp_path: Path) -> None:
    """A worker and then its parent, at every point of the work on a file, after more and fewer files."""
    files = numbered(COUNT)
    fill(tmp_path / "in", files)
    counts = []
    for passed in (0, 3):
        for point in POINTS:
            with Gate() as gate, started(tmp_path, gate) as process:
                first = gate.until(process, point, passed)
                kill_worker(first)
                check(tmp_path, files)
                check_stopped(tmp_path, files, first.name, point)
                second = gate.until(process, point, passed)
                kill_parent(process)
                assert process.returncode == -signal.SIGKILL
            check(tmp_path, files)
            check_stopped(tmp_path, files, second.name, point)
            counts.append(len(done(tmp_path / "out")))
    assert counts == sorted(counts) and 0 < counts[-1] < COUNT, "every run goes on where the last one was"
    finish(tmp_path)
    check(tmp_path, files)
    assert tree(tmp_path / "out") == copied(files), "byte for byte, and no temporary file"
    assert sorted(done(tmp_path / "out")) == sorted(files)


def test_killed_workers_cost_nothing(tmp_path: Path) -> None:
    files = numbered(30)
    fill(tmp_path / "in", files)
    with Gate() as gate, started(tmp_path, gate) as process:
        for point in POINTS:
            kill_worker(gate.until(process, point, 3))
        gate.open_until_end(process)
        errors = process.communicate()[1]
    assert process.returncode == 0, errors.decode()
    check(tmp_path, files)
    assert tree(tmp_path / "out") == copied(files) and sorted(done(tmp_path / "out")) == sorted(files)


PROGRAM = """
import signal, sys
def stop(*_): raise KeyboardInterrupt
if __name__ == '__main__':
    signal.signal(signal.SIGINT, stop); signal.signal(signal.SIGTERM, stop)
    sys.path.insert(0, {folder!r})
    import jobs
    jobs.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """As the command line does it: workers unwind, so that not even a temporary file stays."""
    files = numbered(40)
    fill(tmp_path / "in", files)
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(folder=str(JOBS.parent)))
    with Gate() as gate:
        command = [sys.executable, str(script), str(tmp_path / "in"), str(tmp_path / "out"), "2", gate.address]
        with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
            waiting = gate.until(process, "half", 6)
            assert [n for n in tree(tmp_path / "out") if ".tmp-" in n] != [], "there is something to clear away"
            os.killpg(process.pid, number)
            errors = process.communicate(timeout=120)[1]
    assert Path(waiting.name).suffix == ".in"
    assert process.returncode != 0 and errors.count(b"Traceback") == 1, "the workers say nothing"
    assert [n for n in tree(tmp_path / "out") if ".tmp-" in n] == []
    check(tmp_path, files)
    assert 4 <= len(done(tmp_path / "out")) < 40
    finish(tmp_path)
    assert tree(tmp_path / "out") == copied(files)
    check(tmp_path, files)
