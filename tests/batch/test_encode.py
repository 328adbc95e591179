"""The real jobs: the bytes of a batch are those of ``nfc encode``, however it is run, killed and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import init, moving, painting, save_frames, save_picture, save_sound, sound
from PIL import Image

from nfcodec import EncodeOptions, api
from nfcodec.batch.actions import DecodeAction, EncodeAction
from nfcodec.batch.request import BatchRequest, RunOptions
from nfcodec.batch.runner import retry, run
from nfcodec.batch.suffix import decoded_kind
from nfcodec.batch.task import Task, encoder, target_is_full
from nfcodec.errors import ChecksumError, MediaReadError, ModelError, OutputError
from nfcodec.lattice.code import ALONE

from .conftest import lines, tree
from .gate import children
from .test_kill import done

OPTIONS = EncodeOptions(effort=1, init=init("image"))


def pictures(folder: Path, count: int, side: int = 24) -> Path:
    for i in range(count):
        path = folder / f"{'ab'[i % 2]}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(path, painting(side + i, side, i))
    return folder


def alone(folder: Path, output: Path) -> dict[str, bytes]:
    """The same files, encoded one by one."""
    found = {}
    for path in sorted(folder.rglob("*.png")):
        api.encode(path, output / "one.nfc", options=OPTIONS, force=True)
        found[path.relative_to(folder).with_suffix(".nfc").as_posix()] = (output / "one.nfc").read_bytes()
    return found


def test_the_same_bytes_on_two_workers_and_back(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", 4)
    save_picture(folder / "large.png", painting(90, 120))  # runs alone, on all threads
    expected = alone(folder, tmp_path)
    coded = tmp_path / "coded"
    summary = run(BatchRequest((folder,), coded, EncodeAction(OPTIONS)), RunOptions(workers=2))
    assert summary.counts.done == 5 and tree(coded) == expected
    (line,) = [r for r in lines(coded, "done") if r["path"] == "a/0.png"]
    assert line["input_bytes"] == (folder / "a" / "0.png").stat().st_size
    assert line["bytes"] == len(expected["a/0.nfc"]) and line["init"] == "test-image" and line["rate_unit"] == "bpp"
    # And back; a damaged file does not stop the others.
    data = bytearray(expected["b/1.nfc"])
    data[-3] ^= 1
    (coded / "b" / "1.nfc").write_bytes(data)
    summary = run(BatchRequest((coded,), tmp_path / "back", DecodeAction(init=init("image"))), RunOptions(workers=1))
    assert (summary.counts.done, summary.counts.failed) == (4, 1) and summary.counts.skipped == 1, "the manifest"
    assert summary.failures[0]["error"] == ChecksumError.__name__
    for name in ("a/0", "large"):
        direct = api.decode_array(coded / f"{name}.nfc", init=init("image"))
        with Image.open(tmp_path / "back" / f"{name}.png") as image:
            assert np.array_equal(np.asarray(image), direct)
    (coded / "b" / "1.nfc").write_bytes(expected["b/1.nfc"])
    (again,) = retry(tmp_path / "back", RunOptions(workers=1))
    assert (again.counts.done, again.counts.failed) == (1, 0) and (tmp_path / "back" / "b" / "1.png").exists()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc to find workers")
def test_killed_and_resumed(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", 10, side=64)
    expected = alone(folder, tmp_path)
    out = tmp_path / "out"
    arguments = ["batch", str(folder), "-d", str(out), "-e1", "--init", init("image"), "-j1", "--resume"]
    command = [sys.executable, "-m", "nfcodec", *arguments]
    for number, victim in ((1, "parent"), (3, "worker")):
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            limit = time.monotonic() + 60
            while (len(done(out)) < number or not children(process.pid)) and process.poll() is None:
                assert time.monotonic() < limit
                time.sleep(0.002)
            if victim == "parent":
                process.kill()
            for worker in children(process.pid) if victim == "worker" else ():
                os.kill(worker, signal.SIGKILL)
            errors = process.communicate(timeout=60)[1].decode()
        # On a busy machine the batch may have been faster.
        assert process.returncode in ((0, -signal.SIGKILL) if victim == "parent" else (0,)), errors
    assert tree(out) == expected
    assert sorted(done(out)) == sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png"))


def test_suffixes_are_those_of_decoding(tmp_path: Path) -> None:
    save_picture(tmp_path / "p.png", painting(20, 24))
    save_sound(tmp_path / "s.wav", sound(900, 1))
    save_frames(tmp_path / "c.png", moving(4, 16, 18))
    np.save(tmp_path / "t.npy", painting(20, 24)[..., 0].astype(np.float32))
    for name, kind in (("p.png", "image"), ("s.wav", "audio"), ("c.png", "video"), ("t.npy", "image")):
        coded = tmp_path / "x.nfc"
        options = EncodeOptions(effort=1, init=init(kind))
        api.encode(tmp_path / name, coded, options=options, force=True)
        suffix, samples = decoded_kind(coded)
        assert samples == int(np.prod(api.info(coded).shape))
        (tmp_path / "none").mkdir(exist_ok=True)
        decoded = api.decode(coded, folder=tmp_path / "none", init=init(kind), force=True)
        assert decoded.output.endswith("." + suffix)


def test_an_input_that_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_picture(tmp_path / "p.png", painting(20, 24))
    encode = api.encode

    def slow(*args: object, **options: object) -> object:
        result = encode(*args, **options)  # type: ignore[arg-type]
        path.write_bytes(path.read_bytes() + b"more")
        return result

    monkeypatch.setattr(api, "encode", slow)
    heard: list[float] = []
    with pytest.raises(MediaReadError, match="changed while it was read"):
        encoder(OPTIONS)(Task(str(path), str(tmp_path / "p.nfc")), heard.append, ALONE)
    assert heard == [20 * 24]


def test_an_init_that_is_replaced_meanwhile(tmp_path: Path) -> None:
    """A worker that starts later must not write files of another init under the same key."""
    own = tmp_path / "own.safetensors"
    own.write_bytes(Path(init("image")).read_bytes())
    setup = EncodeAction(EncodeOptions(effort=1, init=str(own))).setup()
    setup()
    own.write_bytes(Path(init("masked")).read_bytes())
    with pytest.raises(ModelError, match="replaced while the batch ran"):
        setup()


def test_which_faults_are_of_the_target() -> None:
    import errno

    def raised(number: int, kind: type[Exception]) -> BaseException:
        try:
            try:
                raise OSError(number, os.strerror(number))
            except OSError as error:
                raise kind("x") from error
        except kind as error:
            return error

    assert target_is_full(raised(errno.ENOSPC, OutputError)) and target_is_full(raised(errno.EROFS, OutputError))
    assert not target_is_full(raised(errno.EACCES, OutputError))
    assert not target_is_full(raised(errno.ENOSPC, MediaReadError)) and not target_is_full(OutputError("x"))
