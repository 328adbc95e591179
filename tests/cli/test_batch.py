"""``nfc batch`` and its verbs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import painting, save_sound, sound
from PIL import Image

from nfcodec.batch.request import Counts
from nfcodec.cli import batch_text as text
from nfcodec.cli.session import Session

from .conftest import INIT, Nfc, save_picture

FAST = ("-e1", "-j1", *INIT)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Two pictures among files that are none."""
    folder = tmp_path / "set"
    (folder / "sub").mkdir(parents=True)
    save_picture(folder / "one.png")
    save_picture(folder / "sub" / "two.dat", seed=1)
    (folder / "broken.png").write_bytes((folder / "one.png").read_bytes()[:200])
    (folder / "empty.jpg").touch()
    (folder / "labels.csv").write_text("a,b\n")
    (folder / ".hidden.png").write_bytes(b"x")
    return folder


def test_odd_files_among_good_ones(nfc: Nfc, odd: Path) -> None:
    ran = nfc("batch", "set", "-d", "out", *FAST)
    assert ran.code == 3 and ran.out == ""
    assert "2 done, 2 failed, 1 skipped, of 5" in ran.err and "nfc batch retry out" in ran.err
    assert "broken.png as PNG: image file is truncated" in ran.err and "empty.jpg" in ran.err
    out = odd.parent / "out"
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.nfc")) == ["one.nfc", "sub/two.nfc"]
    nfc("encode", "set/one.png", "-o", "direct.nfc", "-e1", *INIT)
    assert (out / "one.nfc").read_bytes() == (odd.parent / "direct.nfc").read_bytes()

    ran = nfc("batch", "status", "out", "-v")
    assert ran.code == 0 and "2 done, 2 failed, 1 skipped, 0 to do, of 5" in ran.out and "broken.png" in ran.out
    (status,) = nfc("batch", "status", "out", "--json").objects
    assert (status["done"], status["reasons"]) == (2, {"MediaReadError": 2})

    ran = nfc("batch", "set", "-d", "out", *FAST)
    assert ran.code == 1 and "holds a batch already" in ran.err and "--resume" in ran.err
    save_picture(odd / "broken.png", seed=2)
    ran = nfc("batch", "retry", "out", "-j1", "--json")
    assert ran.code == 0 and [r.get("ok") for r in ran.objects] == [True, None]
    assert ran.objects[-1]["summary"] and (ran.objects[-1]["done"], ran.objects[-1]["failed"]) == (1, 0)
    ran = nfc("batch", "retry", "out", "-j1")
    alone = "1 file would fail again and is left alone until changed:\n  cannot read empty.jpg: the file is empty"
    assert ran.code == 0 and alone in ran.err
    (odd / "empty.jpg").unlink()
    ran = nfc("batch", "set", "-d", "out", *FAST, "--resume")
    assert ran.code == 0 and "3 done (3 before), 0 failed, 1 skipped, of 4" in ran.err
    ran = nfc("batch", "report", "out")
    assert ran.code == 0 and ran.out.count("nfc-batch-report") == 2
    assert (out / "nfc-batch-report.html").read_text().startswith("<!doctype html>")

    ran = nfc("batch", "decode", "out", "-d", "back", "-j1", "--init", INIT[1], "--progress", "json")
    assert ran.code == 0, ran.err
    events = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert events[-1]["done"] == 3 and events[-1]["skipped"] == 3  # the manifest and the report
    with Image.open(odd.parent / "back" / "sub" / "two.png") as image:
        assert image.size == (24, 20)


@pytest.mark.shipped
def test_mixed_media_with_the_shipped_inits(nfc: Nfc, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Image.fromarray(painting(40, 50)).save(tmp_path / "set" / "p.jpg", quality=95)
    save_sound(tmp_path / "set" / "s.wav", sound(4000, 1))
    np.save(tmp_path / "set" / "t.npy", painting(30, 20)[..., 0].astype(np.float32))
    ran = nfc("batch", "set", "-d", "out", "-e1", "-j2", "--json")
    assert ran.code == 0, ran.err
    *items, summary = ran.objects
    assert {(i["path"], i["rate_unit"]) for i in items} == {("p.jpg", "bpp"), ("s.wav", "kbps"), ("t.npy", "bpe")}
    assert summary["done"] == 3 and summary["bytes_in"] == sum(i["input_bytes"] for i in items)
    assert nfc("verify", "out/p.nfc", "out/s.nfc", "out/t.nfc").code == 0


def test_names_that_collide(nfc: Nfc, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    save_picture(tmp_path / "set" / "a.png")
    save_picture(tmp_path / "set" / "a.PNG.bmp").rename(tmp_path / "set" / "A.bmp")
    ran = nfc("batch", "set", "-d", "out", *FAST)
    assert ran.code == 1 and "A.bmp and a.png would both be written to a.nfc" in ran.err
    assert "--keep-suffix" in ran.err and not (tmp_path / "out").exists()
    ran = nfc("batch", "set", "-d", "out", "--keep-suffix", "--dry-run")
    assert ran.code == 0 and "a.png → a.png.nfc" in ran.out


def test_a_dry_run(nfc: Nfc, odd: Path) -> None:
    ran = nfc("batch", "set", "-d", "out", "--dry-run")
    assert ran.code == 0 and ran.out.splitlines()[-1] == "3 to do, 1 would fail, 1 would be skipped"
    assert "sub/two.dat → sub/two.nfc" in ran.out and "empty.jpg: would fail" in ran.out
    found = nfc("batch", "set", "-d", "out", "--dry-run", "--json").objects
    assert {f["path"] for f in found} == {"one.png", "sub/two.dat", "broken.png", "empty.jpg", "labels.csv"}
    parts = [nfc("batch", "set", "-d", "out", "--dry-run", "--json", "--shard", f"{i}/2").objects for i in (1, 2)]
    assert sorted(f["path"] for p in parts for f in p) == sorted(f["path"] for f in found) and all(parts)
    assert not (odd.parent / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set",), "missing option '-d'"), (("-d", "out"), "missing argument 'dir...'"),
        (("set", "-d", "out", "-j", "0"), "number of workers"), (("set", "-d", "out", "-j", "x"), "number of workers"),
        (("set", "-d", "out", "--shard", "3/2"), "1/4"), (("set", "-d", "out", "--max-failures", "x"), "10 or 1%"),
        (("set", "-d", "out", "-f", "--skip-existing"), "exclude each other"),
        (("set", "-d", "out", "-q", "101"), "0…100"), (("set/one.png", "-d", "out"), "is a file"),
        (("set", "-d", "out", "--bpp", "1", "-q", "5"), "exclude each other"),
        (("decode", "set", "-d", "out", "--scale", "0"), "scale"), (("status",), "missing argument 'out'"),
    ],
)  # fmt: skip
def test_wrong_usage(nfc: Nfc, odd: Path, arguments: tuple[str, ...], words: str) -> None:
    ran = nfc("batch", *arguments)
    assert ran.code == 2 and words in ran.err.lower() and not (odd.parent / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing", "-d", "out"), "there is no such folder"), (("status", "set"), "holds no batch"),
        (("retry", "set"), "holds no batch"), (("report", "set"), "holds no batch"),
        (("set", "-d", "out", "--init", "missing"), "cannot read init missing"),
        (("set", "-d", "set/labels.csv/x"), "cannot make the folder"),
    ],
)  # fmt: skip
def test_what_stops_a_batch(nfc: Nfc, odd: Path, arguments: tuple[str, ...], words: str) -> None:
    ran = nfc("batch", *arguments)
    assert ran.code == 1 and words in ran.err and ran.err.startswith("nfc: ")


def test_help(nfc: Nfc) -> None:
    for arguments in (("batch", "--help"), ("batch", "encode", "-h")):
        ran = nfc(*arguments)
        assert ran.code == 0 and "--shard" in ran.out and "nfc batch retry OUT" in ran.out
    assert "--scale" in nfc("batch", "decode", "--help").out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a Linux terminal")
def test_a_bar_on_a_terminal(odd: Path) -> None:
    import pty

    master, slave = pty.openpty()
    command = [sys.executable, "-m", "nfcodec", "batch", "set", "-d", "out", *FAST]
    with subprocess.Popen(command, cwd=odd.parent, stderr=slave, stdout=subprocess.DEVNULL) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        process.wait(timeout=60)
    os.close(master)
    assert process.returncode == 3 and b"%|" in shown and b"2 done, 2 failed" in shown and b"Traceback" not in shown


def test_words(tmp_path: Path) -> None:
    counts = Counts(
        total=200, done=12, failed=2, bytes_in=1_234_567, bytes_out=99_000, psnr=36.2, measured=12, seconds=7
    )
    assert text.advance(counts) == "14/200  1.2 MB → 99.0 kB  36.2 dB  2.0/s  0:01:33 left  2 failed"
    assert text.advance(Counts(total=3)) == "0/3"
    assert [text.size(n) for n in (0, 999, 1000, 5 * 10**9, 2 * 10**15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "5.0 GB",
        "2000.0 TB",
    ]
    assert text.failure({"path": "a\nb", "message": "x"}) == "a\\nb: x"


def test_interrupted(nfc: Nfc, odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nfcodec.batch import runner

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", stop)
    ran = nfc("batch", "set", "-d", "out", session=Session())
    assert ran.code == 130 and "--resume goes on" in ran.err
