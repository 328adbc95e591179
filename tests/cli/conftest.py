from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import init, painting
from PIL import Image

from nfcodec import EncodeOptions, encode
from nfcodec.cli.run import run
from nfcodec.cli.session import Session

SCRIPT = Path(sys.executable).with_name("nfc")
INIT = ("--init", init("image"))


def _refuse(name: str) -> None:
    pytest.fail(f"{name} is not JSON")


@dataclass(frozen=True)
class Ran:
    """What one run of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line, parse_constant=_refuse) for line in self.out.splitlines()]


Nfc = Callable[..., Ran]


@pytest.fixture
def nfc(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nfc:
    """Run the command line in this process and in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str | Path, session: Session | None = None) -> Ran:
        capsys.readouterr()
        code = run([str(a) for a in args], session or Session())
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the installed console script in an empty folder."""

    def call(*args: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None) -> Any:
        return subprocess.run(
            [SCRIPT, *args], input=stdin, capture_output=True, cwd=tmp_path, timeout=60, env=os.environ | (env or {}),
            check=False,
        )  # fmt: skip

    return call


def save_picture(path: Path, height: int = 20, width: int = 24, seed: int = 0) -> Path:
    Image.fromarray(painting(height, width, seed)).save(path, "PNG")
    return path


def save_noise(path: Path, side: int = 96) -> Path:
    """A picture that needs many bytes, so that a lattice gives every layer a section of its own."""
    samples = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    Image.fromarray(samples).save(path, "PNG")
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small picture, photo.png, in the folder where commands run."""
    return save_picture(tmp_path / "photo.png")


@pytest.fixture(scope="session")
def encoded_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("encoded")
    picture = save_picture(folder / "photo.png")
    encode(picture, options=EncodeOptions(effort=1, init=INIT[1]))
    return (folder / "photo.nfc").read_bytes()


@pytest.fixture
def coded(tmp_path: Path, encoded_bytes: bytes) -> Path:
    """photo.nfc in the folder where commands run; there is no photo.png."""
    path = tmp_path / "photo.nfc"
    path.write_bytes(encoded_bytes)
    return path
