from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nfcodec.batch.events import Verdict
from nfcodec.batch.manifest import manifests
from nfcodec.batch.request import BatchRequest, Counts, RunOptions, Summary
from nfcodec.batch.runner import run

from .jobs import Copy

Files = dict[str, bytes]


def fill(folder: Path, files: Files) -> Path:
    """Write a tree of files."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def tree(folder: Path) -> Files:
    """Every file below a folder but the manifests and their locks."""
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    files = [p for p in found if not p.name.lstrip(".").startswith("nfc-batch")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def lines(output: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """All records of the manifests, which must be whole."""
    records = [json.loads(line) for path in manifests(output) for line in path.read_text().splitlines()]
    return [r for r in records if kind is None or r["type"] == kind]


def copied(files: Files) -> Files:
    """What the copying job makes of them."""
    return {name.rsplit(".", 1)[0] + ".out": data[::-1] for name, data in files.items()}


def numbered(count: int) -> Files:
    """Small files of different sizes in three folders."""
    return {f"{'abc'[i % 3]}/{i:03d}.in": f"item {i} ".encode() * (1 + i % 7) for i in range(count)}


@pytest.fixture
def go(tmp_path: Path) -> Callable[..., Summary]:
    """Run the copying job from ``in`` to ``out`` on one worker."""

    def call(action: Any = None, shard: tuple[int, int] = (1, 1), listener: Any = None, **how: Any) -> Summary:
        request = BatchRequest((tmp_path / "in",), tmp_path / "out", action or Copy(), shard)
        return run(request, RunOptions(**{"workers": 1, **how}), listener=listener)

    return call


Told = list[tuple[Verdict, str, Counts]]
