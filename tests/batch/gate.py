"""Where the workers of a test stop and wait to be let on, so that a test can act at a moment that it knows.

A worker comes to a gate with the name of the point that it is at, and the test lets it pass, kills it, or lets it
wait. Nothing here looks at a clock but to give up on a test that hangs.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

GIVE_UP = 120.0  # seconds


def stop_at(address: str | None, point: str, name: str) -> None:
    """In a worker: wait at a gate. Without an address there is none."""
    if address is None:
        return
    with socket.socket(socket.AF_UNIX) as way:
        way.connect(address)
        way.sendall(f"{os.getpid()} {point} {name}\n".encode())
        way.recv(1)


@dataclass
class Visit:
    """A worker that waits. ``name``: the file it works on."""

    worker: int
    point: str
    name: str
    way: socket.socket

    def pass_on(self) -> None:
        """Let it go on."""
        self.way.sendall(b"g")
        self.way.close()


class Gate:
    """The side of the test: takes one visitor at a time; all others wait."""

    def __init__(self) -> None:
        # A path of its own, since the name of a socket must be short.
        self._folder = tempfile.mkdtemp(prefix="nfc-gate-")
        self.address = f"{self._folder}/gate"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.address)
        self.socket.listen(16)
        self.socket.settimeout(GIVE_UP)
        self._ways: list[socket.socket] = []

    def next(self, process: subprocess.Popen[bytes] | None = None) -> Visit:
        """The next visitor; fails when ``process``, from which they come, has ended."""
        if process is not None:
            end = os.pidfd_open(process.pid)
            ready, _, _ = select.select([self.socket, end], [], [], GIVE_UP)
            os.close(end)
            assert self.socket in ready, "the batch ended too early, or hangs"
        way, _ = self.socket.accept()
        way.settimeout(GIVE_UP)
        self._ways.append(way)
        with way.makefile(encoding="utf-8") as file:
            worker, point, name = file.readline().rstrip("\n").split(" ", 2)
        return Visit(int(worker), point, name, way)

    def until(self, process: subprocess.Popen[bytes], point: str, passed: int = 0) -> Visit:
        """Let visitors pass, until ``passed`` have passed ``point`` and one more is there: that one waits."""
        while True:
            visit = self.next(process)
            if visit.point == point:
                if not passed:
                    return visit
                passed -= 1
            visit.pass_on()

    def open_until_end(self, process: subprocess.Popen[bytes]) -> None:
        """Let everybody pass until ``process`` has ended."""
        end = os.pidfd_open(process.pid)
        try:
            while True:
                ready, _, _ = select.select([self.socket, end], [], [], GIVE_UP)
                assert ready, "the batch hangs"
                if end in ready:
                    return
                self.next().pass_on()
        finally:
            os.close(end)

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        for way in (self.socket, *self._ways):
            way.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def children(pid: int) -> list[int]:
    """The child processes of ``pid`` that run spawned code."""
    return [int(p.name) for p in Path("/proc").glob("[0-9]*") if _is_worker(p, pid)]


def _is_worker(process: Path, parent: int) -> bool:
    try:
        fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[1]) == parent and b"spawn_main" in (process / "cmdline").read_bytes()
    except (OSError, IndexError, ValueError):
        return False


def kill_worker(visit: Visit) -> None:
    """Kill a worker that waits, and wait for its end."""
    os.kill(visit.worker, signal.SIGKILL)
    assert visit.way.recv(1) == b""
    visit.way.close()


def kill_parent(process: subprocess.Popen[bytes]) -> None:
    """Kill a batch, and wait for the end of its workers, which must come by itself."""
    # First stopped, so that it starts no worker while they are counted.
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    workers = [os.pidfd_open(pid) for pid in children(process.pid)]
    assert workers
    try:
        process.kill()
        process.wait()  # for itself only: its pipes stay open as long as a worker does
        for worker in workers:
            assert select.select([worker], [], [], GIVE_UP)[0], "workers outlive their parent"
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(worker, signal.SIGKILL)
            os.close(worker)
