"""The child process: takes one order at a time from the parent, of one file or of some small ones to do
together, and answers in JSON."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn

from nfcodec.batch.task import Setup, Task, TaskFunction, target_is_full
from nfcodec.errors import describe
from nfcodec.lattice.code import ALONE, RegionCoder
from nfcodec.lattice.together import Dropped, Together

# Exit codes that mean something to the parent.
ABANDONED, ENDED = 85, 143
_MOST_TRACE = 4000  # characters
_MEMORY_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory")


def serve(connection: Connection, setup: Setup) -> None:
    """Answer orders until the parent closes the connection or dies; runs in a fresh process."""
    _listen()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = setup()
    except Exception as error:
        _send(connection, {"event": "broken", **_told(error)})
        return
    together = Together()
    _send(connection, {"event": "ready"})
    # The parent is gone or has closed its end: nothing is left to do.
    with contextlib.suppress(EOFError, OSError):
        while True:
            tasks = [Task(**task) for task in json.loads(connection.recv_bytes())]
            leaving = _answer(connection, work, tasks, together)
            _send(connection, {"event": "over", "leaving": leaving})
            if leaving:
                return


def _listen() -> None:
    # Ctrl-C goes to the whole group; the parent decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _unwind)
    # Read when torch is loaded: each worker is one thread, until an order says otherwise.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def _unwind(number: int, frame: FrameType | None) -> NoReturn:
    """Let temporary files be removed on the way out."""
    sys.exit(ENDED)


def _end_with_parent() -> None:
    """A worker must not write into a tree that a resumed run is already working on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(ABANDONED)


def _answer(connection: Connection, work: TaskFunction, tasks: Sequence[Task], together: Together) -> bool:
    """Do an order and tell of each of its files; returns whether this process should be replaced."""
    if len(tasks) == 1:
        return _done(connection, work, tasks, 0, ALONE)
    jobs = [partial(_done, connection, work, tasks, i) for i in range(len(tasks))]
    return any(future.result() for future in together.run(jobs))


def _done(connection: Connection, work: TaskFunction, tasks: Sequence[Task], index: int, coder: RegionCoder) -> bool:
    """Do one file of an order; as :func:`_answer`."""

    def begun(samples: float) -> None:
        _send(connection, {"event": "begun", "item": index, "samples": samples})

    try:
        record = work(tasks[index], begun, coder)
    except (SystemExit, KeyboardInterrupt, Dropped):
        raise
    except BaseException as error:  # a panic of native code is no Exception
        _send(connection, {"event": "failed", "item": index, **_told(error)})
        return not isinstance(error, Exception) or _out_of_memory(error)
    if "seconds" in record:  # it has waited for the others
        record["seconds"] /= len(tasks)
    _send(connection, {"event": "done", "item": index, "record": record})
    return False


def _told(error: BaseException) -> dict[str, Any]:
    known: Exception = MemoryError() if _out_of_memory(error) else _exception(error)
    message, hint, _ = describe(known)
    kind = type(known if isinstance(known, MemoryError) else error).__name__
    told = {"error": kind, "message": message, "hint": hint, "full": target_is_full(error), "trace": None}
    if message.startswith("internal error"):
        told["trace"] = "".join(traceback.format_exception(error))[-_MOST_TRACE:]
    return told


def _exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in _MEMORY_WORDS)


def _send(connection: Connection, message: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(message).encode())


def order(tasks: Sequence[Task]) -> bytes:
    """The bytes of an order."""
    return json.dumps([asdict(task) for task in tasks]).encode()
