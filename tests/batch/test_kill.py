"""Killed at any moment and resumed: the same tree, no item finished twice, nothing half-written."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nfcodec.batch.manifest import manifests

from .conftest import copied, fill, numbered, tree

JOBS = Path(__file__).with_name("jobs.py")
COUNT = 60

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc to find workers")


def children(pid: int) -> list[int]:
    """The child processes of ``pid`` that run spawned code."""
    return [int(p.name) for p in Path("/proc").glob("[0-9]*") if _is_worker(p, pid)]


def _is_worker(process: Path, parent: int) -> bool:
    try:
        fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[1]) == parent and b"spawn_main" in (process / "cmdline").read_bytes()
    except (OSError, IndexError, ValueError):
        return False


def start(folder: Path, workers: int = 2) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(JOBS), str(folder / "in"), str(folder / "out"), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


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


def gone(pid: int) -> bool:
    """Whether a process has ended, its parent's interest in it aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def killed(folder: Path, chance: random.Random) -> bool:
    """Run until a few more items are done, kill the parent or first a worker; returns whether it was too late."""
    process, victims = start(folder), []
    goal, limit = len(done(folder / "out")) + chance.randrange(4), time.monotonic() + 30
    try:
        while len(done(folder / "out")) < goal and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.03))
        victims = children(process.pid)
        if victims and chance.random() < 0.4:
            os.kill(chance.choice(victims), signal.SIGKILL)
            time.sleep(chance.uniform(0.0, 0.1))
    finally:
        process.kill()
        process.communicate()
    while not all(map(gone, victims)) and time.monotonic() < limit:
        time.sleep(0.005)
    assert all(map(gone, victims)), "workers outlive their parent"
    return process.returncode == 0


def test_kills_at_random_moments(tmp_path: Path) -> None:
    files = numbered(COUNT)
    fill(tmp_path / "in", files)
    chance, counts, torn = random.Random(4), [], 0
    while not killed(tmp_path, chance):
        check(tmp_path, files)
        counts.append(len(done(tmp_path / "out")))
        torn += any(".tmp-" in name for name in tree(tmp_path / "out"))
        assert len(counts) < 100
    assert len(counts) >= 10 and len(set(counts)) >= 8 and torn >= 3, "the kills came at telling moments"
    process = start(tmp_path)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0, errors.decode()
    check(tmp_path, files)
    assert tree(tmp_path / "out") == copied(files), "byte for byte, and no temporary file"
    assert sorted(done(tmp_path / "out")) == sorted(files)


def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    files = numbered(30)
    fill(tmp_path / "in", files)
    process = start(tmp_path)
    kills, limit = 0, time.monotonic() + 30
    while process.poll() is None and kills < 3 and time.monotonic() < limit:
        victims = children(process.pid)
        if len(done(tmp_path / "out")) > 4 * kills + 2 and victims:
            os.kill(victims[kills % len(victims)], signal.SIGKILL)
            kills += 1
        time.sleep(0.005)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0, errors.decode()
    assert kills >= 2 and tree(tmp_path / "out") == copied(files)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """As the command line does it: workers unwind, so that not even a temporary file stays."""
    files = numbered(40)
    fill(tmp_path / "in", files)
    code = "import signal, sys, runpy\n" + (
        "def stop(*_): raise KeyboardInterrupt\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, stop); signal.signal(signal.SIGTERM, stop)\n"
        f"    sys.path.insert(0, {str(JOBS.parent)!r})\n"
        "    import jobs\n"
        "    jobs.main()\n"
    )
    script = tmp_path / "program.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(tmp_path / "in"), str(tmp_path / "out"), "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        limit = time.monotonic() + 30
        while len(done(tmp_path / "out")) < 4 and time.monotonic() < limit:
            time.sleep(0.01)
        os.killpg(process.pid, number)
        errors = process.communicate(timeout=30)[1]
    assert process.returncode != 0 and errors.count(b"Traceback") == 1, "the workers say nothing"
    assert [n for n in tree(tmp_path / "out") if ".tmp-" in n] == []
    check(tmp_path, files)
    assert 4 <= len(done(tmp_path / "out")) < 40
    finish = start(tmp_path)
    finish.communicate(timeout=60)
    assert finish.returncode == 0 and tree(tmp_path / "out") == copied(files)
    check(tmp_path, files)
