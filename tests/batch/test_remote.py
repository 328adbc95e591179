"""Inputs and outputs by URL: the same files as in a local run, and the same promises when something breaks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import init, painting, save_picture

from nfcodec import EncodeOptions
from nfcodec.batch import remote_plan
from nfcodec.batch.actions import DecodeAction, EncodeAction
from nfcodec.batch.manifest import manifests, read_state
from nfcodec.batch.places import Url, place_of, state_folder
from nfcodec.batch.publish import write_report
from nfcodec.batch.remote_run import Bounds, run_remote
from nfcodec.batch.report_content import status_of
from nfcodec.batch.request import BatchRequest, MaxFailures, RunOptions, Summary
from nfcodec.batch.runner import preview, retry, run
from nfcodec.errors import MediaReadError, OptionError, OutputError, OutputExistsError

from .conftest import Files, copied, fill, lines, numbered, tree
from .gate import Gate, kill_parent
from .jobs import Copy
from .test_kill import JOBS, done
from .test_runner import failed_of_copy, numbers

fsspec = pytest.importorskip("fsspec", reason="needs the extra [remote]")

from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

OPTIONS = EncodeOptions(effort=1, init=init("image"))


class Flaky(MemoryFileSystem):  # type: ignore[misc]
    """memory:// that counts, and fails as it is told. Its files are its own."""

    protocol = "flaky"
    store: dict[str, Any] = {}
    pseudo_dirs: list[str] = [""]
    got: list[str] = []
    puts_left = 10**9
    bad: tuple[str, ...] = ()
    gone = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("flaky://")))

    def get_file(self, rpath: str, lpath: Any, **options: Any) -> Any:
        type(self).got.append(rpath)
        if self.bad == ("everything",):
            type(self).gone = "/in"
        if (self.gone and rpath.startswith(self.gone)) or any(b in rpath for b in self.bad):
            raise ConnectionError("the line is dead")
        return super().get_file(rpath, lpath, **options)

    def put_file(self, lpath: Any, rpath: str, **options: Any) -> Any:
        type(self).puts_left -= 1
        if self.puts_left < 0 or any(b in rpath for b in self.bad):
            # Half of it arrived.
            self.pipe_file(rpath, b"half")
            raise ConnectionError("the line is dead")
        return super().put_file(lpath, rpath, **options)

    def info(self, path: str, **options: Any) -> Any:
        if self.gone and path.startswith(self.gone):
            raise ConnectionError("the line is dead")
        return super().info(path, **options)


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Empty file systems, and a cache folder of the test's own."""
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    for kind in (MemoryFileSystem, Flaky):
        kind.store.clear()
        kind.pseudo_dirs[:] = [""]
    Flaky.got, Flaky.puts_left, Flaky.bad, Flaky.gone = [], 10**9, (), ""


def upload(url: str, files: Files) -> Url:
    fs, root = fsspec.core.url_to_fs(url)
    for name, data in files.items():
        fs.pipe_file(f"{root}/{name}", data)
    place = place_of(url)
    assert isinstance(place, Url)
    return place


def stored(url: str) -> Files:
    """Every file below a URL but the manifests."""
    fs, root = fsspec.core.url_to_fs(url)
    found = {path[len(root) + 1 :]: fs.cat_file(path) for path in fs.find(root)}
    return {name: data for name, data in found.items() if not name.startswith("nfc-batch")}


def remote_lines(url: str, kind: str | None = None) -> list[dict[str, Any]]:
    fs, root = fsspec.core.url_to_fs(url)
    found = [p for p in fs.find(root) if p.endswith(".jsonl")]
    records = [json.loads(line) for p in found for line in fs.cat_file(p).splitlines()]
    return [r for r in records if kind is None or r["type"] == kind]


Go = Callable[..., Summary]
SMALL = Bounds(items=4)


@pytest.fixture
def go() -> Go:
    """Run the copying job from flaky://in to flaky://out on one worker, in slices of four."""

    def call(
        action: Any = None, shard: tuple[int, int] = (1, 1), inputs: Any = None, output: Any = None, **how: Any
    ) -> Summary:
        request = BatchRequest(inputs or (Url("flaky://in"),), output or Url("flaky://out"), action or Copy(), shard)
        return run_remote(request, RunOptions(**{"workers": 1, **how}), bounds=SMALL)

    return call


def test_memory_to_memory_is_the_local_run(tmp_path: Path) -> None:
    for i in range(3):
        path = tmp_path / "in" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(path, painting(24 + i, 24, i))
    (tmp_path / "in" / "labels.csv").write_text("a,b\n")
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    run(BatchRequest((tmp_path / "in",), tmp_path / "local", EncodeAction(OPTIONS)), RunOptions(workers=1))
    url = upload("memory://in", tree(tmp_path / "in"))
    output = Url("memory://deep/out")
    summary = run(BatchRequest((url,), output, EncodeAction(OPTIONS)), RunOptions(workers=1))
    assert numbers(summary) == (5, 3, 0, 1, 1)
    assert "memory://in/broken.png" in summary.failures[0]["message"]
    assert stored("memory://deep/out") == tree(tmp_path / "local")
    status = status_of(output)
    assert (status.done, status.failed, status.skipped, status.output) == (3, 1, 1, "memory://deep/out")
    # And back, to a local folder; the manifest is skipped as it is locally.
    summary = run(BatchRequest((output,), tmp_path / "back", DecodeAction(init=init("image"))), RunOptions(workers=1))
    assert numbers(summary) == (4, 3, 0, 0, 1)
    back = DecodeAction(init=init("image"))
    run(BatchRequest((tmp_path / "local",), tmp_path / "local-back", back), RunOptions(workers=1))
    assert tree(tmp_path / "back") == tree(tmp_path / "local-back") and len(tree(tmp_path / "back")) == 3
    content, places = write_report(output, output)
    assert content["totals"]["done"] == 3 and str(places[0]) == "memory://deep/out/nfc-batch-report.html"
    page = fsspec.filesystem("memory").cat_file("/deep/out/nfc-batch-report.html").decode()
    assert page.count("data:image/png;base64") == 6, "three files, and what they were"
    # What failed, once more.
    upload("memory://in", {"broken.png": (tmp_path / "in" / "a" / "0.png").read_bytes()})
    (again,) = retry(output, RunOptions(workers=1))
    assert numbers(again) == (1, 1, 0, 0, 0) and len(stored("memory://deep/out")) == 4
    assert not list((tmp_path / "cache").rglob("transit"))


def test_files_through_the_command_line(tmp_path: Path) -> None:
    for i in range(2):
        save_picture(fill(tmp_path / "in", {"x.txt": b"x"}) / f"{i}.png", painting(20, 24, i))
    source, output, state = f"file://{tmp_path}/in", f"file://{tmp_path}/out", tmp_path / "state"

    def nfc(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nfcodec", "batch", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    options = ("-e1", "-j1", "--init", init("image"))
    ran = nfc(source, "-d", output, "--dry-run")
    assert ran.returncode == 0 and "0.png → 0.nfc" in ran.stdout and not (tmp_path / "out").exists()
    ran = nfc(source, "-d", output, "--state", str(state), "--json", *options)
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (found[-1]["done"], found[-1]["output"]) == (2, output)
    assert nfc("in", "-d", "local", *options).returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "local")
    assert (tmp_path / "out" / "nfc-batch.jsonl").read_bytes() == next(state.glob("*/nfc-batch.jsonl")).read_bytes()
    ran = nfc("status", output)
    assert ran.returncode == 0 and "2 done, 0 failed, 1 skipped" in ran.stdout and output in ran.stdout
    assert nfc(source, "-d", output, *options).returncode == 1
    ran = nfc(source, "-d", output, "--resume", *options)
    assert ran.returncode == 0 and "2 done (2 before)" in ran.stderr
    ran = nfc("report", output, "-o", "report")
    assert ran.returncode == 0 and (tmp_path / "report" / "nfc-batch-report.html").exists()
    ran = nfc("decode", output, "-d", "back", "-j1", "--init", init("image"))
    assert ran.returncode == 0 and len(tree(tmp_path / "back")) == 2


@pytest.mark.parametrize(("here", "there"), [(True, False), (False, True)])
def test_one_side_is_local(tmp_path: Path, go: Go, here: bool, there: bool) -> None:
    fill(tmp_path / "in", numbered(9))
    upload("flaky://in", numbered(9))
    inputs = (tmp_path / "in",) if here else None
    output = tmp_path / "out" if there else None
    assert numbers(go(inputs=inputs, output=output)) == (9, 9, 0, 0, 0)
    assert (tree(tmp_path / "out") if there else stored("flaky://out")) == copied(numbered(9))
    Flaky.got.clear()
    assert numbers(go(inputs=inputs, output=output, resume=True)) == (9, 9, 9, 0, 0)
    assert [path for path in Flaky.got if path.endswith(".in")] == [], "marks of the listing are enough"


def test_several_inputs_of_both_kinds(tmp_path: Path, go: Go) -> None:
    fill(tmp_path / "left", {"a.in": b"a"})
    upload("flaky://deep/right", {"a.in": b"b", ".hidden/x.in": b"", "sub/.y.in": b"", "out/old.out": b"x"})
    summary = go(inputs=(tmp_path / "left", Url("flaky://deep/right")), output=Url("flaky://deep/right/out"))
    assert numbers(summary) == (2, 2, 0, 0, 0), "neither hidden files nor the output folder"
    assert stored("flaky://deep/right/out") == {"left/a.out": b"a", "right/a.out": b"b", "old.out": b"x"}


def test_names_that_collide_before_any_download(go: Go) -> None:
    upload("flaky://in", {**numbered(9), "z/A.in": b"x", "z/a.png": b"y"})
    with pytest.raises(OutputError, match=r"z/A.in and z/a.png would both be written"):
        go()
    assert Flaky.got == [] and stored("flaky://out") == {} and remote_lines("flaky://out") == []


def test_an_upload_that_breaks_off(go: Go, tmp_path: Path) -> None:
    upload("flaky://in", numbered(10))
    Flaky.puts_left = 7
    with pytest.raises(OutputError, match="cannot write flaky://out/nfc-batch.jsonl: the line is dead") as caught:
        go()
    assert "--resume" in str(caught.value.hint)
    home = state_folder(Url("flaky://out"))
    whole = {n: data for n, data in stored("flaky://out").items() if ".tmp-" not in n}
    done = [r["target"] for r in lines(home, "done")]
    assert sorted(done) == sorted(whole) and 0 < len(done) < 10
    assert whole == {n: copied(numbered(10))[n] for n in whole}, "nothing half under its name"
    assert not list(home.rglob("*.in")) and lines(home, "failed") == [], "no fault of a file"
    Flaky.puts_left = 10**9
    summary = go(resume=True)
    assert numbers(summary) == (10, 10, len(done), 0, 0)
    assert stored("flaky://out") == copied(numbered(10)), "what was half sent is removed"
    paths = [r["path"] for r in lines(home, "done")]
    assert len(paths) == len(set(paths)) == 10, "nothing twice"
    assert remote_lines("flaky://out") == lines(home)


def test_killed_and_resumed(tmp_path: Path) -> None:
    fill(tmp_path / "in", numbered(30))
    urls = [f"file://{tmp_path}/{name}" for name in ("in", "out")]
    home = state_folder(Url(urls[1]))
    command = [sys.executable, str(JOBS), *urls, "1"]
    for point in ("half", "whole", "named"):
        with Gate() as gate, subprocess.Popen([*command, gate.address]) as process:
            gate.until(process, point, 5)
            kill_parent(process)
        whole = {n: data for n, data in tree(tmp_path / "out").items() if ".tmp-" not in n}
        assert whole == {n: copied(numbered(30))[n] for n in whole}, "nothing half under its name"
        assert {p.replace(".in", ".out") for p in done(home)} <= set(whole)
    assert 0 < len(done(home)) < 30
    assert subprocess.run(command, check=False).returncode == 0
    assert tree(tmp_path / "out") == copied(numbered(30))
    assert sorted(done(home)) == sorted(numbered(30)) and not (home / "transit").exists()


def test_another_machine_goes_on(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that it knows is the copy before the last slice: it does that slice once more, over what is there."""
    upload("flaky://in", numbered(10))
    Flaky.puts_left = 2 * (1 + 4) + 1 + 2
    with pytest.raises(OutputError):
        go()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    Flaky.puts_left = 10**9
    with pytest.raises(OutputExistsError, match="flaky://out holds a batch already"):
        go()
    summary = go(resume=True)
    assert numbers(summary) == (10, 10, 8, 0, 0)
    assert stored("flaky://out") == copied(numbered(10))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert numbers(go(resume=True)) == (10, 10, 10, 0, 0), "the first machine takes what the other did"


def test_files_that_cannot_be_moved_are_failures(go: Go) -> None:
    upload("flaky://in", numbered(10))
    Flaky.bad = ("001.in", "002.out")
    summary = go()
    assert numbers(summary) == (10, 8, 0, 2, 0)
    told = {r["path"]: (r["error"], r["message"], r["attempts"]) for r in summary.failures}
    assert told == {
        "b/001.in": ("MediaReadError", "cannot read flaky://in/b/001.in: the line is dead", 2),
        "c/002.in": ("OutputError", "cannot write flaky://out/c/002.out: the line is dead", 2),
    }
    assert Flaky.got.count("/in/b/001.in") == 2, "tried twice"
    Flaky.bad = ()
    ((request, failed),) = failed_of_copy(Url("flaky://out"))  # type: ignore[arg-type]
    assert failed == {"b/001.in", "c/002.in"}
    assert numbers(run(request, RunOptions(workers=1, resume=True, only=failed))) == (2, 2, 0, 0, 0)
    assert stored("flaky://out") == copied(numbered(10))


def test_an_input_that_goes_away_stops_it(go: Go) -> None:
    upload("flaky://in", numbered(10))
    Flaky.bad = ("everything",)
    with pytest.raises(MediaReadError, match="cannot read flaky://in: the line is dead") as caught:
        go()
    assert "--resume" in str(caught.value.hint)
    assert remote_lines("flaky://out", "failed") == [] and stored("flaky://out") == {}
    Flaky.bad, Flaky.gone = (), ""
    assert numbers(go(resume=True)) == (10, 10, 0, 0, 0)


def test_a_remote_disk_that_is_full(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    upload("flaky://in", numbered(10))
    put = Flaky.put_file

    def full(self: Any, lpath: Any, rpath: str, **options: Any) -> Any:
        if "002.out" in rpath:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(self, lpath, rpath, **options)

    monkeypatch.setattr(Flaky, "put_file", full)
    with pytest.raises(OutputError, match="002.out: No space left on device"):
        go()
    monkeypatch.undo()
    assert remote_lines("flaky://out", "failed") == []
    kept = len(remote_lines("flaky://out", "done"))
    assert numbers(go(resume=True)) == (10, 10, kept, 0, 0) and kept >= 1


def test_a_folder_that_cannot_be_read_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "in", {"a.in": b"", "locked/b.in": b""})
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(MediaReadError, match="Permission denied"):
        preview(BatchRequest((Url(f"file://{tmp_path}/in"),), tmp_path / "out", Copy()))  # type: ignore[arg-type]


def test_decoding_looks_further_than_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_picture(fill(tmp_path / "in", {"x.txt": b""}) / "a.png", painting(40, 40))
    run(BatchRequest((tmp_path / "in",), tmp_path / "out", EncodeAction(OPTIONS)), RunOptions(workers=1))
    (tmp_path / "out" / "bad.nfc").write_bytes((tmp_path / "out" / "a.nfc").read_bytes()[:30])
    upload("flaky://in", tree(tmp_path / "out"))
    monkeypatch.setattr(remote_plan, "HEAD", 20)
    plan = preview(BatchRequest((Url("flaky://in"),), tmp_path / "back", DecodeAction()))
    local = preview(BatchRequest((tmp_path / "out",), tmp_path / "back", DecodeAction()))
    assert [(i.path, i.target, i.cost) for i in plan.items] == [(i.path, i.target, i.cost) for i in local.items]
    assert [(r.path, r.error) for r in plan.refused] == [(r.path, r.error) for r in local.refused] != []
    assert len(plan.items) == 1


def test_a_changed_date_is_no_change_and_a_changed_byte_is(go: Go) -> None:
    files = numbered(6)
    upload("flaky://in", files)
    go()
    upload("flaky://in", {n: files[n] for n in ("a/000.in", "b/001.in")})
    upload("flaky://in", {"c/002.in": files["c/002.in"].upper()})
    Flaky.got.clear()
    assert numbers(go(resume=True)) == (6, 6, 5, 0, 0)
    assert sorted(p for p in Flaky.got if p.endswith(".in")) == ["/in/a/000.in", "/in/b/001.in", "/in/c/002.in"]
    assert stored("flaky://out") == copied({**files, "c/002.in": files["c/002.in"].upper()})
    Flaky.got.clear()
    assert numbers(go(resume=True)) == (6, 6, 6, 0, 0)
    assert [p for p in Flaky.got if p.endswith(".in")] == [], "the new dates are known now"
    assert numbers(go(Copy(shift=1), resume=True)) == (6, 6, 0, 0, 0), "other options are another question"


def test_done_is_a_line_and_a_file_of_that_size(go: Go) -> None:
    upload("flaky://in", numbered(6))
    go()
    fs = fsspec.filesystem("flaky")
    fs.rm_file("/out/a/000.out")
    fs.pipe_file("/out/b/001.out", b"s")
    assert numbers(go(resume=True)) == (6, 6, 4, 0, 0)
    assert stored("flaky://out") == copied(numbered(6))


def test_outputs_in_the_way(go: Go) -> None:
    upload("flaky://in", numbered(6))
    upload("flaky://out", {"b/001.out": b"precious"})
    with pytest.raises(OutputExistsError, match=r"flaky://out/b/001.out exists already"):
        go()
    assert numbers(go(skip_existing=True)) == (6, 5, 0, 0, 1)
    assert stored("flaky://out")["b/001.out"] == b"precious"
    assert numbers(go(force=True)) == (6, 6, 0, 0, 0) and stored("flaky://out") == copied(numbered(6))


def test_a_batch_that_was_removed_is_forgotten(go: Go) -> None:
    upload("flaky://in", numbered(5))
    go()
    fsspec.filesystem("flaky").rm("/out", recursive=True)
    assert numbers(go()) == (5, 5, 0, 0, 0) and len(remote_lines("flaky://out", "run")) == 1


def test_shards_make_the_whole(go: Go) -> None:
    files = {**numbered(20), "x.txt": b"", "y.bad": b""}
    upload("flaky://in", files)
    parts = [go(shard=(i, 2)) for i in (1, 2)]
    assert sum(p.counts.total for p in parts) == 22 and all(p.counts.done > 3 for p in parts)
    assert stored("flaky://out") == copied(numbered(20))
    status = status_of(Url("flaky://out"))
    assert (status.total, status.done, status.failed, status.skipped, status.state) == (22, 20, 1, 1, "finished")


def test_too_many_failures_stop_it(go: Go) -> None:
    upload("flaky://in", {f"{i}.in": b"bug" for i in range(12)} | {"good.in": b"good"})
    summary = go(max_failures=MaxFailures.parse("2"))
    assert summary.stopped and summary.counts.failed == 3
    upload("flaky://in", {f"{i}.in": b"mended" for i in range(12)})
    assert numbers(go(resume=True))[1] == 13


def test_names_of_object_stores_that_are_no_paths(go: Go, tmp_path: Path) -> None:
    upload("flaky://in", {"a.in": b"a"})
    Flaky.store["/in/b/../../../evil.in"] = Flaky.store["/in/a.in"]
    summary = go()
    assert numbers(summary) == (2, 1, 0, 1, 0) and "no file here can have" in summary.failures[0]["message"]
    assert stored("flaky://out") == {"a.out": b"a"} and not list(tmp_path.rglob("evil*"))


def test_a_preview(tmp_path: Path) -> None:
    upload("memory://in", {"a.in": b"", "b.txt": b"", "c.bad": b""})
    plan = preview(BatchRequest((Url("memory://in"),), Url("memory://out"), Copy()))  # type: ignore[arg-type]
    assert ([i.target for i in plan.items], plan.total) == (["a.out"], 3)
    assert stored("memory://out") == {} and not (tmp_path / "cache").exists()
    with pytest.raises(MediaReadError, match="there is no such folder"):
        preview(BatchRequest((Url("memory://nothing"),), Url("memory://out"), Copy()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "hidden", "words"),
    [
        ("memory://x", "fsspec.core", "needs the package fsspec"), ("s3://x", "s3fs", "needs a further package"),
        ("nonsense://x", None, "Protocol not known"),
    ],
)  # fmt: skip
def test_missing_packages(monkeypatch: pytest.MonkeyPatch, url: str, hidden: str | None, words: str) -> None:
    if hidden:
        monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(OptionError, match=words) as caught:
        run(BatchRequest((Url(url),), Path("out"), Copy()))  # type: ignore[arg-type]
    assert caught.value.exit_code == 2 and (not hidden or "pip install 'nfcodec[remote]'" in str(caught.value.hint))


def test_what_a_url_is() -> None:
    for text in ("s3://b/x", "memory://", "file:///tmp/x", "simplecache::https://h/x"):
        assert isinstance(place_of(text), Url), text
    for text in ("photos", "/a/b", "C:/x", "a::b", "./s3://b"):
        assert place_of(text) == Path(text)
    assert place_of("s3://b/x/") == place_of("s3://b/x")
    with pytest.raises(OptionError, match="password"):
        place_of("ftp://me:secret@host/x")
    url = Url("s3://b/x")
    assert state_folder(url) != state_folder(Url("s3://b/y"))
    assert state_folder(replace(url, state=Path("here"))) == Path("here", state_folder(url).name)


def test_ray_is_refused() -> None:
    from nfcodec.batch.cluster import run_on_ray

    with pytest.raises(OptionError, match="no URLs"):
        run_on_ray(BatchRequest((Url("memory://x"),), Path("out")))


def test_local_batches_do_not_load_it(tmp_path: Path) -> None:
    fill(tmp_path / "in", {"a.in": b"a"})
    code = (
        "import sys; from pathlib import Path; from nfcodec.batch.request import BatchRequest\n"
        "from nfcodec.batch.runner import run\nfrom nfcodec.batch.report_content import status_of\n"
        f"run(BatchRequest((Path({str(tmp_path / 'in')!r}),), Path({str(tmp_path / 'out')!r})))\n"
        f"status_of(Path({str(tmp_path / 'out')!r}))\n"
        "print([m for m in sys.modules if 'fsspec' in m or 'batch.remote' in m])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_manifests_of_the_state_folder_are_all_there_is(go: Go) -> None:
    upload("flaky://in", numbered(3))
    go()
    home = state_folder(Url("flaky://out"))
    assert sorted(p.name for p in home.iterdir()) == [".nfc-batch.jsonl.lock", "nfc-batch.jsonl"]
    assert set(read_state(manifests(home)).begun) == set(copied(numbered(3)))
