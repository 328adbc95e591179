"""The child process: takes one order at a time from the parent, and answers in JSON."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from dataclasses import asdict
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn

from nfcodec.batch.work import Setup, Task, Work, target_is_full
from nfcodec.errors import describe

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
    _send(connection, {"event": "ready"})
    # The parent is gone or has closed its end: nothing is left to do.
    with contextlib.suppress(EOFError, OSError):
        while True:
            if _answer(connection, work, Task(**json.loads(connection.recv_bytes()))):
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


def _answer(connection: Connection, work: Work, task: Task) -> bool:
    """Do one task and tell of it; returns whether this process should be replaced."""

    def begun(samples: float) -> None:
        _send(connection, {"event": "begun", "samples": samples})

    try:
        record = work(task, begun)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # a panic of native code is no Exception
        leaving = not isinstance(error, Exception) or _out_of_memory(error)
        _send(connection, {"event": "failed", "leaving": leaving, **_told(error)})
        return leaving
    _send(connection, {"event": "done", "record": record})
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


def order(task: Task) -> bytes:
    """The bytes of an order."""
    return json.dumps(asdict(task)).encode()
