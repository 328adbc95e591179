"""What a manifest that somebody else wrote may say, and what becomes of a batch whose manifest lies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import encode, painting, save_picture

from nfcodec.batch.manifest import manifest_path, read_state
from nfcodec.batch.publish import write_report
from nfcodec.batch.records import is_inner, lies_in
from nfcodec.batch.report_content import status_of
from nfcodec.batch.request import Summary
from nfcodec.batch.runner import retry
from nfcodec.batch.thumbnails import thumbnails
from nfcodec.errors import ManifestError, NfcError

from .conftest import fill, numbered

OUTSIDE = ("../a.nfc", "/etc/passwd", "a/../../b", "..", ".", "", "a//b", "a/./b", "a\0b", "a/", "//host/share")


@pytest.mark.parametrize("path", [*OUTSIDE, None, 3, ["a"], "C:\\a", "C:a", "\\\\host\\share", "a\\..\\b", "a:stream"])
def test_paths_that_leave_a_folder(path: Any) -> None:
    assert not is_inner(path, windows=True)


def test_inner_paths() -> None:
    for path in ("a", "a/b.nfc", "..a/...", "ä ö/\udcff", "a\nb"):
        assert is_inner(path, windows=True)
    assert is_inner("C:\\a", windows=False), "a good name on other systems"
    assert not any(is_inner(path, windows=False) for path in OUTSIDE)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "secret.nfc").touch()
    (tmp_path / "out" / "link.nfc").symlink_to(tmp_path / "secret.nfc")
    (tmp_path / "out" / "up").symlink_to(tmp_path)
    assert lies_in(tmp_path / "out" / "a.nfc", tmp_path / "out")
    assert not lies_in(tmp_path / "out" / "link.nfc", tmp_path / "out")
    assert not lies_in(tmp_path / "out" / "up" / "secret.nfc", tmp_path / "out")


LINES: list[dict[str, Any]] = [
    *({"type": "done", "path": "a", "target": path} for path in OUTSIDE if path),
    *({"type": "done", "path": path, "target": "a"} for path in OUTSIDE),
    *({"type": "start", "path": "a", "target": path} for path in OUTSIDE),
    {"type": "slice", "targets": ["a", "../b"]},
    {"type": "slice", "targets": "../b"},
    {"type": "done", "path": "a", "psnr": float("nan")},
    {"type": "done", "path": "a", "psnr": "<script>"},
    {"type": "done", "path": "a", "rate": 10**400},
    {"type": "done", "path": "a", "bytes": -1},
    {"type": "done", "path": "a", "bytes": True},
    {"type": "failed", "path": ["a"]},
    {"type": "failed", "path": "a", "error": {}},
    {"type": "run", "inputs": ["a\0"]},
    {"type": "run", "inputs": "abc"},
    {"type": "run", "shard": [0, 1]},
    {"type": "run", "shard": [1, 10**30]},
    {"type": "run", "settings": {"init": "a\0"}},
    {"type": "run", "settings": {"format": "/../../../evil.png"}},
    {"type": "run", "settings": []},
    {"type": "run", "time": float("inf")},
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: ascii(line)[:60])
def test_lines_that_no_batch_writes(tmp_path: Path, line: dict[str, Any]) -> None:
    path = manifest_path(tmp_path, (1, 1))
    path.write_text(json.dumps(line | {"time": line.get("time", 1.0)}) + "\n")
    for call in (lambda: read_state([path]), lambda: status_of(tmp_path), lambda: retry(tmp_path)):
        with pytest.raises(ManifestError, match="which no batch writes") as caught:
            call()
        assert caught.value.exit_code == 4 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ['{"type":' + "[" * 100_000, '{"type": {}}', '{"type": ["done"]}', '{"type": "odd"}', "[]"]
)
def test_lines_that_say_nothing(tmp_path: Path, text: str) -> None:
    path = manifest_path(tmp_path, (1, 1))
    path.write_text(text + "\n")
    assert status_of(tmp_path).total == 0


def test_a_batch_with_a_lying_manifest_writes_nothing(tmp_path: Path, go: Callable[..., Summary]) -> None:
    fill(tmp_path / "in", numbered(3))
    go()
    (tmp_path / "victim").write_text("precious")
    with manifest_path(tmp_path / "out", (1, 1)).open("a") as file:
        file.write(json.dumps({"type": "done", "path": "x", "target": "../victim", "time": 1.0}) + "\n")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    for call in (
        lambda: go(resume=True),
        lambda: retry(tmp_path / "out"),
        lambda: write_report(*[tmp_path / "out"] * 2),
    ):
        with pytest.raises(ManifestError):
            call()
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_page_shows_no_other_pictures(tmp_path: Path) -> None:
    """Inputs count by their hash, outputs by where their links lead."""
    out = tmp_path / "out"
    out.mkdir()
    secret = save_picture(tmp_path / "secret.png", painting(20, 20))
    encode(secret, "image", tmp_path / "secret.nfc")
    (out / "a.nfc").symlink_to(tmp_path / "secret.nfc")
    run = {"inputs": [str(tmp_path)], "settings": {"init": str(Path(__file__).parents[1] / "data/image.safetensors")}}
    record = {"path": "secret.png", "target": "a.nfc", "sha256": "0" * 64}
    assert thumbnails([record], [run], out) == {"secret.png": (b"", b"")}


def test_everything_on_a_page_is_escaped(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>\"'&"
    lines = [
        {
            "type": "done",
            "path": attack.replace("/", "_"),
            "target": "a",
            "psnr": 3.0,
            "rate": 1.0,
            "rate_unit": attack,
        },
        {"type": "failed", "path": attack, "error": attack, "message": attack},
        {"type": "skipped", "path": "b", "reason": attack},
        {"type": "run"},
    ]
    path = manifest_path(tmp_path, (1, 1))
    path.write_text("".join(json.dumps(line | {"time": line.get("time", 1.0)}) + "\n" for line in lines))
    try:
        write_report(tmp_path, tmp_path)
    except NfcError as error:
        pytest.fail(str(error))
    page = (tmp_path / "nfc-batch-report.html").read_text()
    assert "<script" not in page and page.count("&lt;script&gt;") >= 5
