"""Which failures a retry leaves alone, and decoded trees beside their originals."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import init, painting
from PIL import Image

from nfcodec.batch.actions import DecodeAction, EncodeAction
from nfcodec.batch.permanent import changed_since, is_permanent
from nfcodec.batch.places import Url
from nfcodec.batch.remote_tree import _is_marker
from nfcodec.batch.request import BatchRequest, RunOptions
from nfcodec.batch.runner import left_alone, retry, run
from nfcodec.errors import OutputExistsError
from nfcodec.options import EncodeOptions

ONE = RunOptions(workers=1)
ACTION = EncodeAction(EncodeOptions(init=init("image"), effort=1))


@pytest.mark.parametrize(
    ("error", "attempts", "permanent"),
    [
        ("UnsupportedMediaError", 1, True), ("CorruptError", 2, True), ("MediaReadError", 0, True),
        ("MediaReadError", 2, False), ("WorkerDied", 2, False), ("TimedOut", 1, False), ("ZeroDivisionError", 1, False),
    ],
)  # fmt: skip
def test_what_is_permanent(error: str, attempts: int, permanent: bool) -> None:
    assert is_permanent({"error": error, "attempts": attempts}) == permanent


def test_what_has_changed(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "x").touch()
    now = time.time()
    assert changed_since(folders[:1], "x", now - 60) and not changed_since(folders[:1], "x", now + 60)
    assert changed_since(folders, "b/x", now - 60) and not changed_since(folders, "b/gone", now - 60)
    assert changed_since([Url("memory://a")], "x", now + 60)


def test_retries_leave_permanent_failures_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(painting(8, 8)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "empty.png").touch()
    (tmp_path / "in" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    summary = run(BatchRequest((tmp_path / "in",), tmp_path / "out", ACTION), ONE)
    assert (summary.counts.done, summary.counts.failed, summary.retryable) == (1, 2, False)
    told = {record["path"]: record["message"] for record in summary.failures}
    assert told["empty.png"] == "cannot read empty.png: the file is empty"
    assert [r["path"] for r in left_alone(tmp_path / "out")] == ["a.heic", "empty.png"]
    assert retry(tmp_path / "out", ONE) == []
    Image.fromarray(painting(8, 8)).save(tmp_path / "in" / "empty.png")
    later = time.time() + 60
    os.utime(tmp_path / "in" / "empty.png", (later, later))
    (again,) = retry(tmp_path / "out", ONE)
    assert (again.counts.done, again.counts.failed) == (1, 0)
    assert [r["path"] for r in left_alone(tmp_path / "out")] == ["a.heic"]


def test_forced_decoding_leaves_originals_alone(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(painting(8, 8)).save(photos / "p.png")
    before = (photos / "p.png").read_bytes()
    run(BatchRequest((photos,), photos, ACTION), ONE)
    request = BatchRequest((photos,), photos, DecodeAction(init=init("image")), (1, 1))
    with pytest.raises(OutputExistsError):
        run(request, RunOptions(workers=1, resume=True))
    for _ in range(2):  # the second run replaces what the first one made
        summary = run(request, RunOptions(workers=1, force=True))
        assert summary.counts.done == 1 and (photos / "p.png").read_bytes() == before
        assert np.asarray(Image.open(photos / "p.decoded.png")).shape == (8, 8, 3)
    kept = run(request, RunOptions(workers=1, resume=True))
    assert (kept.counts.done, kept.counts.kept) == (1, 1)


@pytest.mark.parametrize(
    ("key", "size", "marker"),
    [("b/photos/", 0, True), ("b/photos_$folder$", 0, True), ("b/photos/", 5, False), ("b/photos", 0, False)],
)
def test_markers_of_folders(key: str, size: int, marker: bool) -> None:
    assert _is_marker(key, {"size": size}) == marker
