"""The installed console script as a process: start-up, streams, signals."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from nfcodec.cli.root import VERBS

from .conftest import INIT, SCRIPT, save_picture

Script = Callable[..., subprocess.CompletedProcess[bytes]]

_LIGHT = """
import os, sys
from nfcodec.cli.run import run
from nfcodec.cli.session import Session

def loaded(*names):
    return [name for name in names if name in sys.modules]

def check(expected, *args):
    assert run(args, Session()) == 0, args
    assert loaded(*expected) == [], (args, loaded(*expected))

for verb in {verbs!r}:
    check(("torch", "numpy", "tqdm"), verb, "--help")
check(("torch", "numpy", "tqdm"), "--help")
check(("torch", "numpy"), "--version", "-v")
check(("torch", "numpy"), "completion", "bash")
os.environ.update(_NFC_COMPLETE="bash_complete", COMP_WORDS="nfc encode --q", COMP_CWORD="2")
check(("torch", "numpy"))
del os.environ["_NFC_COMPLETE"]
check(("torch", "PIL", "soundfile", "constriction"), "info", "photo.nfc")
check(("torch",), "info", "photo.nfc", "--json")
"""


def test_light_commands_load_no_heavy_package(tmp_path: Path, coded: Path) -> None:
    code = _LIGHT.format(verbs=VERBS)
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr.decode()


def test_start_up(script: Script, coded: Path) -> None:
    assert b"Exit codes" in script("--help").stdout
    module = subprocess.run([sys.executable, "-m", "nfcodec", "--version"], capture_output=True, timeout=60, check=True)
    assert module.stdout == script("--version").stdout
    ran = script("enocde", "x")
    assert ran.returncode == 2 and b"Did you mean 'encode'?" in ran.stderr
    damaged = coded.with_name("damaged.nfc")
    damaged.write_bytes(b"\0" * 100)
    assert script("info", damaged).returncode == 4
    assert script("info", coded, "missing").returncode == 1


def test_any_locale_can_print_any_name(script: Script, coded: Path) -> None:
    coded.rename(coded.with_name("🐾\n×.nfc"))
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    ran = script("info", "🐾\n×.nfc", env=plain)
    assert ran.returncode == 0 and ran.stderr == b""
    assert b"\\n" in ran.stdout.splitlines()[0] and b"image, 24" in ran.stdout


def test_pipes(script: Script, photo: Path) -> None:
    encoded = script("encode", "-", "-e1", *INIT, "--json", stdin=photo.read_bytes())
    assert encoded.returncode == 0 and encoded.stderr.startswith(b'{"ok": true, "input": "-", "output": "-"')
    decoded = script("-", *INIT, "--scale", "2", stdin=encoded.stdout)
    assert decoded.returncode == 0, decoded.stderr
    with Image.open(io.BytesIO(decoded.stdout)) as image:
        assert image.size == (48, 40) and image.format == "PNG"
    assert script("info", "-", stdin=encoded.stdout).returncode == 0
    assert [p.name for p in photo.parent.iterdir()] == ["photo.png"]


def test_a_reader_that_has_seen_enough(coded: Path) -> None:
    command = f"{SCRIPT} info {' '.join([str(coded)] * 400)} | head -n 1; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (1, b"") and ran.stdout.count(b"\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk(coded: Path) -> None:
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([SCRIPT, "info", coded], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
        assert ran.returncode == 1 and ran.stderr.startswith(b"nfc: cannot write to standard output: ")
        ran = subprocess.run([SCRIPT, "info", coded], stdout=subprocess.PIPE, stderr=full, timeout=60, check=False)
        assert ran.returncode == 0


# -- signals ---------------------------------------------------------------------------------------------
def start(folder: Path, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([SCRIPT, *args], stdout=pipe, stderr=pipe, cwd=folder, env=os.environ | (env or {}))


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, b"interrupted"), (signal.SIGTERM, 143, b"terminated")]
)
def test_interrupted_encode_leaves_nothing(tmp_path: Path, number: int, code: int, word: bytes) -> None:
    save_picture(tmp_path / "large.png", 480, 640)
    (tmp_path / "large.nfc").write_bytes(b"precious")
    with start(tmp_path, "encode", "large.png", "-f", "-e9", *INIT) as process:
        # The signal may come at any moment after the temporary file, long before such an encode can end.
        while not list(tmp_path.glob(".large.nfc.tmp-*")):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=40)
    assert (process.returncode, out, err) == (code, b"", b"nfc: " + word + b"\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["large.nfc", "large.png"]
    assert (tmp_path / "large.nfc").read_bytes() == b"precious"


def test_interrupted_import(photo: Path) -> None:
    with start(photo.parent, "encode", "photo.png", *INIT, env={"PYTHONPROFILEIMPORTTIME": "1"}) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"| " in line and line.split(b"|")[-1].strip().startswith(b"torch."):
                process.send_signal(signal.SIGINT)
                break
        rest = process.communicate(timeout=40)[1]
    assert process.returncode == 130
    assert rest.endswith(b"nfc: interrupted\n") and b"Traceback" not in rest
    assert [p.name for p in photo.parent.iterdir()] == ["photo.png"]
