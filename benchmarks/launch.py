"""Run one command and report its exit code, wall time and peak memory.

A process of its own for two reasons. Linux counts the memory of the process that forks into the child's
ru_maxrss, so the forking process must be small; and Ctrl-C has to reach the command's whole process group
and nothing else. Only the standard library is used; started by ``machine.run_child``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

PAGE = os.sysconf("SC_PAGE_SIZE")


def _fresh_group() -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # shells start background jobs with it ignored


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _watch(pid: int, job: dict[str, Any], state: dict[str, Any], done: threading.Event) -> None:
    """Send the interrupt when it is due; kill on timeout or when memory passes the bound."""
    started, interrupted = time.monotonic(), False
    while not done.wait(0.02):
        elapsed = time.monotonic() - started
        if job["interrupt_after"] is not None and not interrupted and elapsed >= job["interrupt_after"]:
            _signal_group(pid, signal.SIGINT)
            interrupted, state["interrupted"] = True, True
        if elapsed > job["timeout"]:
            state["killed"] = "timeout"
        elif job["memory_bound"] is not None and _resident(pid) > job["memory_bound"]:
            state["killed"] = "memory"
        if "killed" in state:
            _signal_group(pid, signal.SIGKILL)
            return


def main() -> None:
    """Read the job as JSON from the first argument; write the report as JSON to job["report"]."""
    job = json.loads(sys.argv[1])
    state: dict[str, Any] = {}
    done = threading.Event()
    with open(job["stdout"], "wb") as out, open(job["stderr"], "wb") as err:
        started = time.perf_counter()
        child = subprocess.Popen(
            job["command"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=_fresh_group
        )
        watcher = threading.Thread(target=_watch, args=(child.pid, job, state, done), daemon=True)
        watcher.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:  # the benchmark itself is interrupted: leave no orphan behind
            _signal_group(child.pid, signal.SIGKILL)
            raise
        seconds = time.perf_counter() - started
        done.set()
        watcher.join()
    state.update(
        exit_code=os.waitstatus_to_exitcode(status),
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
    )
    with open(job["report"], "w") as report:
        json.dump(state, report)


if __name__ == "__main__":
    main()
