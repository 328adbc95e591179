"""Every file once, in one order, whatever links there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nfcodec.batch.events import FoundFile, Skipped
from nfcodec.batch.walk import walk
from nfcodec.errors import MediaReadError

from .conftest import fill


def paths(folder: Path, prefix: str = "", **options: Path) -> list[str]:
    return [f.path for f in walk(folder, prefix, **options) if isinstance(f, FoundFile)]


def test_order_and_prefix(tmp_path: Path) -> None:
    fill(tmp_path, dict.fromkeys(("b.png", "B.png", "a/z.png", "a/é.png", "a.png", ".hidden", ".git/x.png"), b""))
    assert paths(tmp_path) == ["B.png", "a/z.png", "a/é.png", "a.png", "b.png"]
    assert paths(tmp_path, "set/")[0] == "set/B.png"
    (found,) = [f for f in walk(tmp_path) if f.path == "a/z.png"]
    assert isinstance(found, FoundFile) and Path(found.source) == tmp_path / "a" / "z.png"


def test_links(tmp_path: Path) -> None:
    fill(tmp_path / "tree", {"real/x.png": b"x"})
    fill(tmp_path / "elsewhere", {"y.png": b"y"})
    (tmp_path / "tree" / "loop").symlink_to(tmp_path / "tree")
    (tmp_path / "tree" / "real" / "up").symlink_to("..")
    (tmp_path / "tree" / "other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tree" / "real-too").symlink_to("real")
    (tmp_path / "tree" / "file.png").symlink_to(tmp_path / "elsewhere" / "y.png")
    (tmp_path / "tree" / "dangling.png").symlink_to("nowhere")
    found = list(walk(tmp_path / "tree"))
    assert paths(tmp_path / "tree") == ["dangling.png", "file.png", "other/y.png", "real/x.png"]
    assert [(s.path, s.reason) for s in found if isinstance(s, Skipped)] == [
        ("loop", "is the same folder as ."), ("real/up", "is the same folder as ."),
        ("real-too", "is the same folder as real"),
    ]  # fmt: skip


def test_the_output_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path, {"a.png": b"", "out/b.png": b"", "x/out/c.png": b""})
    assert paths(tmp_path, leave_out=tmp_path / "out") == ["a.png", "x/out/c.png"]
    assert paths(tmp_path, leave_out=tmp_path / "missing") == ["a.png", "out/b.png", "x/out/c.png"]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert list(walk(tmp_path)) == [Skipped("pipe.png", "is not a regular file")]


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"good/a.png": b"", "locked/b.png": b""})
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(MediaReadError, match=r"cannot read the folder .*locked: Permission denied") as caught:
        list(walk(tmp_path))
    assert caught.value.hint is not None
