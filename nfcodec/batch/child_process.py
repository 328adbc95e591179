"""Worker processes, as the parent sees them."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from nfcodec.batch.child import order, serve
from nfcodec.batch.events import BatchItem
from nfcodec.batch.schedule import Assignment
from nfcodec.batch.task import Setup, Task

START_LIMIT = 600.0  # seconds to import everything, also on a machine that swaps
_GRACE = 3.0  # seconds to unwind after SIGTERM
_LIFE = 1000  # items, because libraries that leak a little are many


class ChildProcess:
    """One process. It is starting, idle, or busy with an assignment; ``deadline`` is in monotonic seconds."""

    def __init__(self, setup: Setup, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, setup), daemon=True)
        with _uninterrupted():
            self._process.start()
        theirs.close()
        self.ready = False
        self.leaving = False  # it said that it ends by itself
        self.assignment: Assignment | None = None
        self.open: dict[int, BatchItem] = {}  # of the assignment, by their place in it: those without an answer
        self.samples = 0.0  # of the assignment, as far as they are known
        self.deadline = now() + START_LIMIT
        self._done = 0

    @property
    def idle(self) -> bool:
        """Whether it waits for an order."""
        return self.ready and not self.leaving and self.assignment is None

    @property
    def old(self) -> bool:
        """Whether it has done enough."""
        return self._done >= _LIFE

    @property
    def signs(self) -> tuple[Connection, int]:
        """What to wait for: a message, or the end of the process."""
        return self._connection, self._process.sentinel

    def give(self, assignment: Assignment, targets: Sequence[str], *, patience: float) -> None:
        """Order an assignment's items; ``patience``: seconds until a first word of them is due."""
        self.assignment, self.open, self.samples = assignment, dict(enumerate(assignment.items)), 0.0
        self.deadline = self._now() + patience
        self._done += len(assignment.items)
        pairs = zip(assignment.items, targets, strict=True)
        tasks = [Task(item.source, target, assignment.threads, item.replace) for item, target in pairs]
        # A worker that has just died is noticed by its sentinel, with the item still in its name.
        with contextlib.suppress(OSError):
            self._connection.send_bytes(order(tasks))

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it has sent since; nothing more when it is dead."""
        with contextlib.suppress(EOFError, OSError):
            while self._connection.poll():
                yield json.loads(self._connection.recv_bytes())

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def obituary(self) -> str:
        """Why a dead process ended."""
        self._process.join(_GRACE)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"the worker process ended with code {code}"
        name = signal.Signals(-code).name if -code in list(signal.Signals) else str(-code)
        lack = ": perhaps for lack of memory" if name == "SIGKILL" else ""
        return f"the worker process was ended by {name}{lack}"

    def ask_to_end(self) -> None:
        """Close the connection, which ends an idle worker, and interrupt a busy one."""
        self._connection.close()
        if self.assignment is not None or not self.ready:
            self._process.terminate()

    def end(self, grace: float = _GRACE) -> None:
        """Wait for the end, and enforce it after ``grace`` seconds."""
        self._process.join(grace)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def kill(self) -> None:
        """End it at once."""
        self._connection.close()
        self._process.kill()
        self._process.join()


def end_all(workers: list[ChildProcess]) -> None:
    """End all workers, together, so that they unwind at the same time."""
    for worker in workers:
        worker.ask_to_end()
    limit = time.monotonic() + _GRACE
    for worker in workers:
        worker.end(max(0.1, limit - time.monotonic()))


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Start a child with Ctrl-C blocked, which it inherits: a traceback out of its imports helps nobody."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
