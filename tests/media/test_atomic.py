from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from multiprocessing import get_context

import pytest

from nfcodec.errors import OutputError, OutputExistsError
from nfcodec.media.atomic import atomic_output


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if ".tmp-" in p.name)


def test_bytes_get_their_name_only_at_the_end(tmp_path):
    target = tmp_path / "out.bin"
    with atomic_output(target, force=False) as temp:
        assert temp.parent == tmp_path and temp.name.startswith(f".out.bin.tmp-{os.getpid()}-")
        temp.write_bytes(b"abc")
        assert not target.exists()
    assert target.read_bytes() == b"abc" and not leftovers(tmp_path)


def test_existing_target_is_refused_before_work(tmp_path):
    target = tmp_path / "out"
    target.write_bytes(b"old")
    with pytest.raises(OutputExistsError) as caught, atomic_output(target, force=False):
        pytest.fail("the block must not run")
    assert "--skip-existing" in (caught.value.hint or "")
    assert target.read_bytes() == b"old"


def test_force_replaces_and_keeps_the_mode(tmp_path):
    target = tmp_path / "out"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with atomic_output(target, force=True) as temp:
        temp.write_bytes(b"new")
    assert target.read_bytes() == b"new" and target.stat().st_mode & 0o777 == 0o640


def test_new_file_obeys_the_umask(tmp_path):
    target = tmp_path / "out"
    old = os.umask(0o027)
    try:
        with atomic_output(target, force=False):
            pass
    finally:
        os.umask(old)
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_failure_leaves_nothing(tmp_path, error):
    target = tmp_path / "out"
    with pytest.raises(error), atomic_output(target, force=False) as temp:  # noqa: PT012
        temp.write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_os_error_names_file_and_reason(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(OutputError, match=r"out: No space left"), atomic_output(target, force=False):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_target_that_appears_meanwhile_wins(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(OutputExistsError), atomic_output(target, force=False) as temp:  # noqa: PT012
        temp.write_bytes(b"mine")
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs" and not leftovers(tmp_path)


def test_folder_that_appears_meanwhile(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(OutputError), atomic_output(target, force=True):
        target.mkdir()
    assert not leftovers(tmp_path)


def test_file_systems_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "out"
    with atomic_output(target, force=False) as temp:
        temp.write_bytes(b"abc")
    assert target.read_bytes() == b"abc" and not leftovers(tmp_path)
    with pytest.raises(OutputExistsError), atomic_output(tmp_path / "two", force=False):
        (tmp_path / "two").write_bytes(b"theirs")


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "🐾.png", "-f", "a b\nc", "%d.png"])
def test_names(tmp_path, name):
    target = tmp_path / name
    with atomic_output(target, force=False) as temp:
        temp.write_bytes(b"1")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.skipif(sys.platform != "linux", reason="names of arbitrary bytes")
def test_name_that_is_not_utf8(tmp_path):
    target = tmp_path / os.fsdecode(b"\xff\xfe" * 120)
    with atomic_output(target, force=False) as temp:
        temp.write_bytes(b"1")
    assert target.read_bytes() == b"1"


@pytest.mark.parametrize("force", [True, False])
def test_folders_and_devices_are_refused(tmp_path, force):
    with pytest.raises(OutputError, match="folder"), atomic_output(tmp_path, force=force):
        pytest.fail("the block must not run")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not a regular file"), atomic_output(tmp_path / "pipe", force=force):
        pytest.fail("the block must not run")


def test_missing_folder(tmp_path):
    with pytest.raises(OutputError, match="does not exist"), atomic_output(tmp_path / "no" / "out", force=False):
        pytest.fail("the block must not run")


def test_links_are_written_through(tmp_path):
    (tmp_path / "deep").mkdir()
    real, link = tmp_path / "deep" / "real", tmp_path / "link"
    link.symlink_to(real)
    with atomic_output(link, force=False) as temp:
        assert temp.parent == real.parent
        temp.write_bytes(b"1")
    assert link.is_symlink() and real.read_bytes() == b"1"
    with pytest.raises(OutputExistsError), atomic_output(link, force=False):
        pytest.fail("the block must not run")
    with atomic_output(link, force=True) as temp:
        temp.write_bytes(b"2")
    assert link.is_symlink() and real.read_bytes() == b"2"


def test_link_to_itself(tmp_path):
    link = tmp_path / "loop"
    link.symlink_to(link)
    with pytest.raises(OutputError), atomic_output(link, force=True):
        pytest.fail("the block must not run")


CHILD = """
import os, signal, sys
from pathlib import Path
from nfcodec.media.atomic import atomic_output
with atomic_output(Path(sys.argv[1]), force=True) as temp:
    temp.write_bytes(b"half")
    print("ready", flush=True)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
"""


def start(target, how):
    command = [sys.executable, "-c", CHILD, str(target), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_kill_leaves_the_old_file_and_the_next_run_sweeps(tmp_path):
    target = tmp_path / "out"
    target.write_bytes(b"old")
    with start(target, "kill") as child:
        assert child.wait(timeout=30) == -signal.SIGKILL
    assert target.read_bytes() == b"old" and len(leftovers(tmp_path)) == 1
    with atomic_output(target, force=True) as temp:
        temp.write_bytes(b"new")
    assert os.listdir(tmp_path) == ["out"]


def test_interrupt_removes_the_temporary_file(tmp_path):
    with start(tmp_path / "out", "wait") as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGINT)
        child.wait(timeout=30)
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_of_living_processes_stay(tmp_path):
    other = tmp_path / f".out.tmp-{os.getppid()}-00000000"
    other.write_bytes(b"")
    with atomic_output(tmp_path / "out", force=False):
        pass
    assert other.exists()


def race(arguments):
    target, number = arguments
    try:
        with atomic_output(target, force=False) as temp:
            temp.write_bytes(bytes([number]) * 1000)
    except OutputExistsError:
        return 0
    return number


def test_one_of_many_wins(tmp_path):
    target = tmp_path / "out"
    with get_context("spawn").Pool(4) as pool:
        winners = [n for n in pool.map(race, [(target, n) for n in range(1, 17)], chunksize=1) if n]
    assert len(winners) == 1
    assert target.read_bytes() == bytes(winners) * 1000 and not leftovers(tmp_path)


FULL = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
import numpy as np
from nfcodec.errors import OutputError
from nfcodec.media import open_sink
from nfcodec.media.atomic import atomic_output
from nfcodec.signal import Block, Metadata, SignalInfo
form, target = sys.argv[1], Path(sys.argv[2])
rng = np.random.default_rng(0)
if form in ("wav", "flac", "ogg"):
    info, values = SignalInfo("audio", (60000,), 1, "i16", rate=8000), rng.uniform(-1, 1, (60000, 1))
elif form in ("mp4", "mkv"):
    info, values = SignalInfo("video", (8, 64, 64), 3, "u8", rate=25), rng.random((8, 64, 64, 3))
else:
    info, values = SignalInfo("image", (64, 64), 3, "u8"), rng.random((64, 64, 3))
try:
    with atomic_output(target, force=False) as temp:
        sink = open_sink(temp, info, Metadata(), format=form)
        try:
            sink.write(Block(values.astype(np.float32)))
            sink.close()
        except BaseException:
            sink.abort()
            raise
except OutputError as error:
    print(error)
    sys.exit(0 if "\\n" not in str(error) else 3)
sys.exit(2)
"""


@pytest.mark.parametrize("form", ["png", "webp", "npy", "wav", "flac", "ogg", "mp4", "mkv"])
def test_full_disk(tmp_path, form):
    # -B: the file size limit would cut the bytecode that imports write, too, and leave it for the tests that follow.
    command = [sys.executable, "-B", "-W", "error", "-c", textwrap.dedent(FULL), form, str(tmp_path / f"out.{form}")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "cannot write" in result.stdout
    assert list(tmp_path.iterdir()) == []
