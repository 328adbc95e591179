"""The manifest survives crashes, is locked, and can be concatenated."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nfcodec.batch.manifest import Manifest, is_open, manifest_path, manifests, read_state
from nfcodec.errors import InputError, OutputError

DONE = {"path": "a", "target": "a.out", "bytes": 3, "time": 1.0}


def write(path: Path, *records: tuple[str, dict[str, Any]]) -> Path:
    with Manifest(path) as manifest:
        for kind, values in records:
            manifest.append(kind, **values)
    return path


def test_names_of_manifests(tmp_path: Path) -> None:
    assert manifest_path(tmp_path, (1, 1)).name == "nfc-batch.jsonl"
    assert manifest_path(tmp_path, (2, 3)).name == "nfc-batch.2-of-3.jsonl"
    for shard in ((1, 1), (2, 3)):
        write(manifest_path(tmp_path, shard), ("done", DONE))
    (tmp_path / "other.jsonl").touch()
    assert manifests(tmp_path) == [manifest_path(tmp_path, (2, 3)), manifest_path(tmp_path, (1, 1))]


def test_the_latest_line_of_a_path_counts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m", ("run", {"time": 0.0}), ("start", {"path": "a", "target": "a.out", "time": 0.5}),
        ("failed", DONE), ("done", {**DONE, "time": 2.0}), ("skipped", {"path": "b", "time": 2.0}),
    )  # fmt: skip
    older = write(tmp_path / "n", ("failed", {**DONE, "time": 1.5}), ("failed", {"path": "c", "time": 1.0}))
    for order in ([path, older], [older, path]):
        state = read_state(order)
        assert [r["type"] for r in state.last.values()].count("failed") == 1
        assert (state.last["a"]["type"], state.last["c"]["type"]) == ("done", "failed")
        assert state.begun == {"a.out"} and len(state.runs) == 1
        assert [r["path"] for r in state.of("skipped")] == ["b"]


def test_appending_goes_on_after_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "m", ("done", DONE))
    write(path, ("done", {**DONE, "path": "b"}))
    assert [json.loads(line)["path"] for line in path.read_text().splitlines()] == ["a", "b"]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_line_counts_for_nothing(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path / "m", ("done", DONE), ("done", {**DONE, "path": "b"}))
    path.write_bytes(path.read_bytes()[:-cut])
    whole = {"a"} if cut > 1 else {"a", "b"}
    assert set(read_state([path]).last) == whole
    write(path, ("done", {**DONE, "path": "c"}))
    assert set(read_state([path]).last) == whole | {"c"}
    assert path.read_bytes().startswith(b'{"type":"done","path":"a"'), "nothing is rewritten"


def test_torn_manifests_concatenated(tmp_path: Path) -> None:
    torn = write(tmp_path / "1", ("done", DONE), ("done", {**DONE, "path": 'q{"type":"x"}'})).read_bytes()[:-9]
    other = write(tmp_path / "2", ("done", {**DONE, "path": "b"}), ("done", {**DONE, "path": "c"})).read_bytes()
    (tmp_path / "both").write_bytes(torn + other)
    assert set(read_state([tmp_path / "both"]).last) == {"a", "b", "c"}


def test_nonsense_is_passed_over(tmp_path: Path) -> None:
    good = write(tmp_path / "m", ("done", DONE)).read_bytes()
    (tmp_path / "m").write_bytes(b'\xff\xfe\n[1]\n"x"\n{}\n{"type":"done"}\n{"type":"done","path":"b"}\n\n' + good)
    assert set(read_state([tmp_path / "m"]).last) == {"a"}
    with pytest.raises(InputError, match="cannot read"):
        read_state([tmp_path / "missing"])


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff\n.png")
    path = write(tmp_path / "m", ("done", {**DONE, "path": name}))
    assert set(read_state([path]).last) == {name}


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Manifest(tmp_path / "m") as first:
        first.append("run", time=0.0)
        with pytest.raises(OutputError, match="another nfc batch is writing"):
            Manifest(tmp_path / "m")
        assert is_open(tmp_path / "m")
        assert [r["type"] for r in read_state([tmp_path / "m"]).runs] == ["run"], "nobody's lock empties it"
    assert not is_open(tmp_path / "m")
    write(tmp_path / "m", ("run", {"time": 0.0}))


def test_asking_leaves_nothing(tmp_path: Path) -> None:
    assert not is_open(tmp_path / "m") and list(tmp_path.iterdir()) == []


def test_the_lock_goes_with_the_process(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from nfcodec.batch.manifest import Manifest\n"
        "manifest = Manifest(Path(sys.argv[1])); print('open', flush=True); sys.stdin.readline(); os._exit(1)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "m")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"open\n"
        assert is_open(tmp_path / "m")
        with pytest.raises(OutputError, match="another nfc batch is writing"):
            Manifest(tmp_path / "m")
        process.communicate(b"\n")
    assert not is_open(tmp_path / "m")
    write(tmp_path / "m", ("run", {"time": 0.0}))


def test_an_empty_manifest_does_not_stay(tmp_path: Path) -> None:
    Manifest(tmp_path / "m").close()
    assert not (tmp_path / "m").exists()


def test_lines_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    with Manifest(tmp_path / "m") as manifest:
        manifest.append("start", time=0.0)
        assert synced == [(tmp_path / "m").stat().st_size] != [0]
        manifest.append("done", **DONE)
        assert synced[1:] == [(tmp_path / "m").stat().st_size]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Manifest(tmp_path / "m") as manifest:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="cannot write .*m: No space left on device"):
            manifest.append("done", **DONE)
    with pytest.raises(OutputError, match="cannot write"):
        Manifest(tmp_path / "missing" / "m")
