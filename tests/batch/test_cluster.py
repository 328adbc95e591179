"""Shards on a local Ray cluster, with a worker killed in the middle. Skipped where Ray is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from nfcodec.batch.cluster import run_on_ray
from nfcodec.batch.request import BatchRequest, Counts, RunOptions
from nfcodec.errors import OptionError, OutputExistsError

from .conftest import copied, fill, lines, numbered, tree
from .jobs import Copy

# A process of its own: a cluster leaves threads, files and warnings behind.
PROGRAM = """
import json, os, signal, sys, threading, time
from pathlib import Path

def kill_one(out):
    while sum(p.read_text().count('"type":"done"') for p in out.glob("*.jsonl")) < 6:
        time.sleep(0.02)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if entry.read_bytes().startswith(b"ray::_shard"):
                os.kill(int(entry.parent.name), signal.SIGKILL)
                killed.append(entry.parent.name)
                return
        except OSError:
            pass

killed = []
if __name__ == "__main__":
    import ray
    from jobs import Copy
    from nfcodec.batch.cluster import run_on_ray
    from nfcodec.batch.request import BatchRequest, RunOptions
    folder = Path(sys.argv[1])
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    threading.Thread(target=kill_one, args=(folder / "out",), daemon=True).start()
    told = []
    request = BatchRequest((folder / "in",), folder / "out", Copy(pause=0.1))
    summary = run_on_ray(request, RunOptions(), listener=lambda verdict, record, counts: told.append(record["path"]))
    c = summary.counts
    failed = [r["path"] for r in summary.failures]
    print(json.dumps([[c.total, c.done, c.failed, c.skipped], failed, sorted(told), len(killed)]))
"""


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra [ray]")
def test_three_workers_and_one_killed(tmp_path: Path) -> None:
    files = {**numbered(40), "x.txt": b"", "bug.in": b"bug"}
    fill(tmp_path / "in", files)
    (tmp_path / "program.py").write_text(PROGRAM)
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, timeout=240, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    counts, failed, told, kills = json.loads(ran.stdout.splitlines()[-1])
    assert counts == [42, 40, 1, 1] and failed == ["bug.in"] and kills == 1
    assert tree(tmp_path / "out") == copied(numbered(40))
    done = [r["path"] for r in lines(tmp_path / "out", "done")]
    assert sorted(done) == sorted(numbered(40)), "nothing twice"
    assert set(told) == set(files)
    runs = lines(tmp_path / "out", "run")
    assert {tuple(r["shard"]) for r in runs} == {(1, 3), (2, 3), (3, 3)} and len(runs) == 4, "one went on"


def test_what_ray_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "in", numbered(2))
    request = BatchRequest((tmp_path / "in",), tmp_path / "out", Copy())  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="-f cannot"):
        run_on_ray(request, RunOptions(force=True))
    with pytest.raises(OptionError, match="--shard"):
        run_on_ray(BatchRequest(request.inputs, request.output, request.action, (1, 2)))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match="needs the package ray") as caught:
        run_on_ray(request)
    assert "nfcodec[ray]" in str(caught.value.hint)
    fill(tmp_path / "out", {"nfc-batch.1-of-3.jsonl": b"{}"})
    with pytest.raises(OutputExistsError, match="holds a batch already"):
        run_on_ray(request)


def test_counts_of_shards_add_up() -> None:
    from nfcodec.batch.cluster import _sum

    total = _sum([Counts(5, 3, 1, 1, 1, 10, 5, 30.0, 3, 2.0), Counts(4, 4, 0, 0, 0, 6, 2, 40.0, 1, 7.0)])
    assert total == Counts(9, 7, 1, 1, 1, 16, 7, 32.5, 4, 7.0)
