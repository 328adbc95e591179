"""A job from beginning to end: counts, the manifest, going on, and everything in the way."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nfcodec.batch import batch_run
from nfcodec.batch.events import Skipped
from nfcodec.batch.manifest import manifests
from nfcodec.batch.request import BatchRequest, Counts, MaxFailures, RunOptions, Summary, request_of
from nfcodec.batch.runner import failed_of, preview, retry, run
from nfcodec.errors import InputError, MediaReadError, OptionError, OutputError, OutputExistsError

from .conftest import Told, copied, fill, lines, numbered, tree
from .jobs import Copy

Go = Callable[..., Summary]


def numbers(summary: Summary) -> tuple[int, int, int, int, int]:
    c = summary.counts
    assert c.done + c.failed + c.skipped == c.over and (c.over == c.total or summary.stopped)
    return c.total, c.done, c.kept, c.failed, c.skipped


def test_one_run(tmp_path: Path, go: Go) -> None:
    files = {**numbered(5), "x/a.txt": b"", "b.bad": b"", "die.in": b"die", "bug.in": b"bug"}
    fill(tmp_path / "in", files)
    told: Told = []
    summary = go(listener=lambda verdict, record, counts: told.append((verdict, record["path"], counts)))
    assert numbers(summary) == (9, 5, 0, 3, 1) and not summary.stopped
    assert tree(tmp_path / "out") == copied(numbered(5))
    assert sorted(path for _, path, _ in told) == sorted(files)
    assert {p for v, p, _ in told if v == "failed"} == {"b.bad", "die.in", "bug.in"}
    assert [r["path"] for r in summary.failures] == [r["path"] for r in lines(tmp_path / "out", "failed")]
    kinds = [r["type"] for r in lines(tmp_path / "out")]
    assert (kinds[0], kinds[-1]) == ("run", "end") and kinds.count("start") == 5 + 4
    size = sum(map(len, numbered(5).values()))
    assert (summary.counts.bytes_in, summary.counts.bytes_out) == (size, size)
    assert summary.counts.measured == 5 and summary.counts.psnr == pytest.approx(30.0)


def test_going_on_does_what_is_left(tmp_path: Path, go: Go) -> None:
    fill(tmp_path / "in", {**numbered(6), "bug.in": b"bug"})
    go()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.out")}
    fill(tmp_path / "in", {"new.in": b"new", "bug.in": b"mended"})
    summary = go(resume=True)
    assert numbers(summary) == (8, 8, 6, 0, 0)
    assert {p: p.stat().st_mtime_ns for p in before} == before, "what was done was left alone"
    assert tree(tmp_path / "out") == copied({**numbered(6), "new.in": b"new", "bug.in": b"mended"})
    assert numbers(go(resume=True)) == (8, 8, 8, 0, 0)


def test_done_is_a_line_and_a_file_of_that_size_and_the_same_question(tmp_path: Path, go: Go) -> None:
    names = ("gone", "short", "changed", "same", "lineless")
    fill(tmp_path / "in", {f"{n}.in": n.encode() for n in names})
    go()
    out = tmp_path / "out"
    (out / "gone.out").unlink()
    (out / "short.out").write_bytes(b"s")
    (tmp_path / "in" / "changed.in").write_bytes(b"CHANGED")
    (manifest,) = manifests(out)
    kept = [line for line in manifest.read_text().splitlines(True) if '"done","path":"lineless' not in line]
    manifest.write_text("".join(kept))
    assert numbers(go(resume=True)) == (5, 5, 1, 0, 0)
    assert tree(out) == copied({**{f"{n}.in": n.encode() for n in names}, "changed.in": b"CHANGED"})
    assert numbers(go(Copy(shift=1), resume=True)) == (5, 5, 0, 0, 0)
    assert tree(out)["same.out"] == bytes(b + 1 for b in b"emas")


def test_what_an_input_says_twice_is_done_once(tmp_path: Path, go: Go) -> None:
    """Equal contents are two items all the same."""
    fill(tmp_path / "in", {"a.in": b"same", "b.in": b"same"})
    assert numbers(go()) == (2, 2, 0, 0, 0) and len(lines(tmp_path / "out", "done")) == 2


def test_a_second_batch_is_refused(tmp_path: Path, go: Go) -> None:
    fill(tmp_path / "in", numbered(3))
    go()
    with pytest.raises(OutputExistsError, match="holds a batch already") as caught:
        go()
    assert "--resume" in str(caught.value.hint)
    assert numbers(go(force=True)) == (3, 3, 0, 0, 0)
    assert numbers(go(skip_existing=True)) == (3, 0, 0, 0, 3)


def test_outputs_in_the_way(tmp_path: Path, go: Go) -> None:
    fill(tmp_path / "in", numbered(3))
    fill(tmp_path / "out", {"b/001.out": b"precious"})
    with pytest.raises(OutputExistsError, match=r"b/001\.out exists already"):
        go()
    assert tree(tmp_path / "out") == {"b/001.out": b"precious"} and manifests(tmp_path / "out") == []
    with pytest.raises(OutputExistsError):
        go(resume=True)  # no attempt of ours began it
    assert numbers(go(skip_existing=True)) == (3, 2, 0, 0, 1)
    assert tree(tmp_path / "out")["b/001.out"] == b"precious"
    assert numbers(go(force=True)) == (3, 3, 0, 0, 0)
    assert tree(tmp_path / "out") == copied(numbered(3))


def test_shards_make_the_whole(tmp_path: Path, go: Go) -> None:
    files = {**numbered(20), "x.txt": b"", "y.bad": b""}
    fill(tmp_path / "in", files)
    parts = [go(shard=(i, 2)) for i in (1, 2)]
    assert sum(p.counts.total for p in parts) == len(files) and all(p.counts.done > 3 for p in parts)
    assert tree(tmp_path / "out") == copied(numbered(20))
    assert len(manifests(tmp_path / "out")) == 2
    # One manifest after the other is the manifest of the whole.
    text = "".join(p.read_text() for p in manifests(tmp_path / "out"))
    for path in manifests(tmp_path / "out"):
        path.unlink()
    (tmp_path / "out" / "nfc-batch.jsonl").write_text(text)
    assert numbers(go(resume=True)) == (22, 20, 20, 1, 1)


def test_retrying_does_what_failed(tmp_path: Path, go: Go) -> None:
    fill(tmp_path / "in", {**numbered(4), "a.in": b"bug", "b.in": b"bug", "c.in": b"bug", "d.txt": b""})
    go()
    fill(tmp_path / "in", {"a.in": b"mended", "new.in": b"new"})
    (tmp_path / "in" / "c.in").unlink()
    request, failed = next(failed_of_copy(tmp_path / "out"))
    assert failed == {"a.in", "b.in", "c.in"}
    summary = run(request, RunOptions(workers=1, resume=True, only=failed))
    assert numbers(summary) == (3, 1, 0, 2, 0)
    reasons = {r["path"]: r["error"] for r in summary.failures}
    assert reasons == {"b.in": "ZeroDivisionError", "c.in": "MediaReadError"}
    assert tree(tmp_path / "out") == copied({**numbered(4), "a.in": b"mended"})
    with pytest.raises(InputError, match="holds no batch"):
        retry(tmp_path / "in")


def failed_of_copy(output: Path) -> Any:
    """As the runner does it, with the test's own action in the place of the two real ones."""
    patch = pytest.MonkeyPatch()
    patch.setattr("nfcodec.batch.request.action_of", lambda name, settings: Copy(**settings))
    try:
        yield from list(failed_of(output))
    finally:
        patch.undo()


def test_retrying_shards(tmp_path: Path, go: Go) -> None:
    fill(tmp_path / "in", {f"{i}.in": b"bug" for i in range(8)})
    for i in (1, 2):
        go(shard=(i, 2))
    found = {request.shard: failed for request, failed in failed_of_copy(tmp_path / "out")}
    assert set(found) == {(1, 2), (2, 2)} and len(found[1, 2] | found[2, 2]) == 8 and not found[1, 2] & found[2, 2]


@pytest.mark.parametrize(("bound", "failures"), [("2", 3), ("10%", 3), ("0", 1), ("100%", 12)])
def test_too_many_failures_stop_it(tmp_path: Path, go: Go, bound: str, failures: int) -> None:
    files = {f"{i:02d}.in": b"bug" + b" " * (40 - i) for i in range(12)} | {f"good{i}.in": b"good" for i in range(8)}
    fill(tmp_path / "in", files)
    summary = go(max_failures=MaxFailures.parse(bound))
    assert (summary.counts.failed, summary.stopped) == (failures, bound != "100%")
    if bound == "2":
        fill(tmp_path / "in", {f"{i:02d}.in": b"mended" for i in range(12)})
        assert numbers(go(resume=True))[1] == 20, "nothing is lost"


def test_refused_files_count_as_failures(tmp_path: Path, go: Go) -> None:
    fill(tmp_path / "in", {"a.bad": b"", "b.bad": b"", "c.in": b"c"})
    summary = go(max_failures=MaxFailures.parse("1"))
    assert summary.stopped and tree(tmp_path / "out") == {}


def test_workers_by_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_run, "usable_cores", lambda: 64)
    monkeypatch.setattr(batch_run, "_memory", lambda: 4e9)
    assert batch_run.auto_workers() == 8
    monkeypatch.setattr(batch_run, "_memory", lambda: 1e8)
    assert batch_run.auto_workers() == 1
    monkeypatch.setattr(batch_run, "_memory", lambda: 1e12)
    assert batch_run.auto_workers() == 64


def test_bounds() -> None:
    assert MaxFailures.parse("1%").of(250) == 2 and MaxFailures.parse("7").of(3) == 7
    assert MaxFailures.parse("0.5 %".replace(" ", "")).of(1000) == 5
    for bad in ("", "x", "-1", "101%", "%", "nan%", "1.5", "inf%"):
        with pytest.raises(OptionError):
            MaxFailures.parse(bad)
    for wrong in ({"workers": 0}, {"timeout": 0.0}, {"force": True, "skip_existing": True}):
        with pytest.raises(OptionError):
            RunOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="names no job"):
        request_of({"action": "encode"}, Path("out"))


def test_a_preview_writes_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "in", {"a.in": b"", "b.txt": b""})
    plan = preview(BatchRequest((tmp_path / "in",), tmp_path / "out", Copy()))  # type: ignore[arg-type]
    assert [i.target for i in plan.items] == ["a.out"] and plan.skipped == (Skipped("b.txt", "is a text"),)
    assert not (tmp_path / "out").exists()


def test_an_input_that_vanishes(tmp_path: Path, go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "in", {"a.in": b"a" * 9, "b.in": b"b", "c.in": b"c"})

    def vanish(verdict: str, record: Any, counts: Counts) -> None:
        (tmp_path / "in" / "c.in").unlink(missing_ok=True)

    summary = go(listener=vanish)
    assert numbers(summary) == (3, 2, 0, 1, 0)
    assert summary.failures[0]["path"] == "c.in" and "No such file" in summary.failures[0]["message"]


def test_a_disk_that_fills(tmp_path: Path, go: Go) -> None:
    fill(tmp_path / "in", {"a.in": b"a" * 99, "b.in": b"full" + b" " * 9, "c.in": b"c"})
    with pytest.raises(OutputError, match="No space left on device"):
        go()
    assert tree(tmp_path / "out") == copied({"a.in": b"a" * 99}), "no temporary file, nothing lost"
    assert lines(tmp_path / "out", "failed") == []
    fill(tmp_path / "in", {"b.in": b"room again"})
    assert numbers(go(resume=True)) == (3, 3, 1, 0, 0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB at ``out``."""
    folder = tmp_path / "out"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_small_disk(tmp_path: Path, go: Go, small_disk: Path) -> None:
    files = {f"{i}.in": bytes([i]) * 9000 for i in range(16)}
    fill(tmp_path / "in", files)
    with pytest.raises(OutputError, match="No space left on device"):
        go()
    found = tree(small_disk)
    assert 5 < len(found) < 16 and {n: copied(files)[n] for n in found} == found
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    summary = go(resume=True)
    assert numbers(summary)[1:] == (16, summary.counts.kept, 0, 0) and summary.counts.kept >= 5
    assert tree(small_disk) == copied(files)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OutputError, match="Read-only file system"):
        go(force=True)


def test_a_manifest_that_cannot_be_written(tmp_path: Path, go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "in", numbered(3))
    fsync = os.fsync
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*nfc-batch\.jsonl: No space left"):
        go()
    monkeypatch.undo()
    summary = go(resume=True)
    assert numbers(summary)[:2] == (3, 3) and tree(tmp_path / "out") == copied(numbered(3))


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="needs a folder that nobody can write")
def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    fill(tmp_path / "in", numbered(2))
    request = BatchRequest((tmp_path / "in",), Path("/proc/self/nfc-out"), Copy())  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="cannot make the folder"):
        run(request, RunOptions(workers=1))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot make the folder"):
        run(BatchRequest((tmp_path / "in",), tmp_path / "file", Copy()), RunOptions(workers=1))  # type: ignore[arg-type]
    with pytest.raises(OutputError, match=r"cannot write .*nfc-batch\.jsonl"):
        run(BatchRequest((tmp_path / "in",), Path("/proc/self"), Copy()), RunOptions(workers=1))  # type: ignore[arg-type]


def test_stale_temporaries_are_swept(tmp_path: Path, go: Go) -> None:
    fill(tmp_path / "in", numbered(3))
    names = ("a/.000.out.tmp-999999999-00", "a/.other.out.tmp-999999999-00", f"a/.000.out.tmp-{os.getpid()}-00")
    fill(tmp_path / "out", dict.fromkeys(names, b"half"))
    go()
    left = {n for n in tree(tmp_path / "out") if ".tmp-" in n}
    assert left == set(names[1:]), "only those of dead processes, and of this job"


def test_a_folder_that_cannot_be_read_stops_it_at_once(tmp_path: Path, go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "in", {"a.in": b"", "locked/b.in": b""})
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if os.fspath(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(MediaReadError, match="locked: Permission denied"):
        go()
    assert not (tmp_path / "out").exists()
