"""Status and report out of manifests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from helpers import init, painting, save_picture

from nfcodec import EncodeOptions, api
from nfcodec.batch.html import page
from nfcodec.batch.keys import file_sha256
from nfcodec.batch.manifest import Manifest
from nfcodec.batch.publish import write_report
from nfcodec.batch.report_content import distribution, report_of, status_of
from nfcodec.batch.request import Summary
from nfcodec.errors import InputError

from .conftest import fill, numbered


def test_status_of_a_finished_batch(tmp_path: Path, go: Callable[..., Summary]) -> None:
    fill(tmp_path / "in", {**numbered(4), "a.txt": b"", "b.bad": b"", "c.bad": b"", "d.in": b"bug"})
    for i in (1, 2):
        go(shard=(i, 2))
    status = status_of(tmp_path / "out")
    assert (status.total, status.done, status.failed, status.skipped, status.pending) == (8, 4, 3, 1, 0)
    assert status.state == "finished" and status.reasons == {"MediaReadError": 2, "ZeroDivisionError": 1}
    assert status.bytes_in == status.bytes_out == sum(map(len, numbered(4).values()))
    assert [f["path"] for f in status.failures] == ["b.bad", "c.bad", "d.in"]
    with pytest.raises(InputError, match="holds no batch"):
        status_of(tmp_path)


def test_status_of_an_unfinished_batch(tmp_path: Path, go: Callable[..., Summary]) -> None:
    fill(tmp_path / "in", numbered(5))

    def stop(*_: Any) -> None:
        seen.append(status_of(tmp_path / "out").state)
        raise KeyboardInterrupt

    seen: list[str] = []

    with pytest.raises(KeyboardInterrupt):
        go(listener=stop)
    status = status_of(tmp_path / "out")
    assert (status.total, status.done, status.pending) == (5, 1, 4) and "interrupted" in status.state
    assert seen == ["running"]
    for i in (1, 2):
        go(shard=(i, 2), resume=True)
    status = status_of(tmp_path / "out")
    assert (status.total, status.pending, status.state) == (5, 0, "finished"), "the split of the latest run counts"


def test_distributions() -> None:
    found = distribution([1.0, 2.0, 2.0, 3.0, 5.0], bins=4)
    edges = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert found == {"count": 5, "mean": 2.6, "median": 2.0, "edges": edges, "bins": [1, 2, 1, 1]}
    wide = distribution([0.1, 0.2, 5.0, 90.0, 100.0], bins=3, ratios=True)
    assert wide is not None and wide["bins"] == [2, 1, 2] and wide["edges"] == pytest.approx([0.1, 1.0, 10.0, 100.0])
    assert distribution([]) is None
    alone = distribution([7.0, 7.0])
    assert alone is not None and (alone["bins"], alone["edges"]) == ([2], [7.0, 7.0])


class Checked(HTMLParser):
    """Collects tags and everything that would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for n, v in attrs if n in ("src", "href")]


def test_a_report_with_pictures(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    with Manifest(out / "nfc-batch.jsonl") as manifest:
        run = {
            "inputs": [str(source)],
            "settings": {"init": init("image")},
            "shard": [1, 1],
            "total": 9,
            "retry": False,
        }
        manifest.append("run", **run, time=0.0)
        for i in range(7):
            name = f"<b>{i}&.png"
            save_picture(source / name, painting(200, 240, i))
            options = EncodeOptions(quality=10 * i, effort=1, init=init("image"))
            result = api.encode(source / name, out / f"{i}.nfc", options=options)
            values = {"bytes": result.bytes, "rate": result.rate, "rate_unit": "bpp", "psnr": result.psnr}
            values["sha256"] = file_sha256(source / name)
            manifest.append("done", path=name, target=f"{i}.nfc", input_bytes=9000, **values, time=1.0)
        sound = {"rate": 31.5, "rate_unit": "kbps", "psnr": None, "bytes": 5, "input_bytes": 10}
        manifest.append("done", path="s.wav", target="s.nfc", **sound, time=1.0)
        manifest.append("failed", path="bad\udcff.png", error="X", message="<script>", time=1.0)
    content, (html, values) = write_report(out, tmp_path / "new" / "folder")
    assert json.loads(values.read_text()) == json.loads(json.dumps(content))
    assert content["bpp"]["count"] == 7 and content["psnr"]["count"] == 7
    assert content["totals"]["ratio"] == (7 * 9000 + 10) / content["totals"]["bytes_out"]
    psnrs = [r["psnr"] for r in content["worst"]]
    assert len(psnrs) == 5 and psnrs == sorted(psnrs) and psnrs[0] == content["psnr"]["edges"][0]
    text = html.read_text()
    parsed = Checked()
    parsed.feed(text)
    assert parsed.tags.count("svg") == 2 and parsed.tags.count("img") == 10
    assert all(link.startswith("data:image/png;base64,") for link in parsed.links)
    assert "script" not in parsed.tags and "b" not in parsed.tags and "http" not in text and "bad\\udcff" in text
    assert max(len(link) for link in parsed.links) < 120_000


def test_bars_stand_for_the_counts(tmp_path: Path, go: Callable[..., Summary]) -> None:
    fill(tmp_path / "in", numbered(3))
    go()
    content = report_of(tmp_path / "out")
    content["psnr"] = distribution([1.0, 1.0, 2.0], bins=2)
    text = page(content, {})
    bars = re.findall(r'<rect [^>]*height="([\d.]+)"><title>(\d+)</title>', text)
    assert [n for _, n in bars] == ["2", "1"] and float(bars[0][0]) == 2 * float(bars[1][0])
    assert content["bpp"] is None and text.count("<svg") == 1
