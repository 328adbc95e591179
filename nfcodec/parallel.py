"""Work on several threads: independent pieces in order, and how many threads there may be.

Pieces are small, so threads inside one operation spend their time waiting for each other (ten times slower on a busy
machine); one piece per thread does not. Every piece is computed alone on one thread, hence the results do not depend on
how many threads there are.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_limit: ContextVar[int | None] = ContextVar("nfcodec.threads", default=None)


def limit() -> int | None:
    """How many threads the code around this may use, where it says so: see :func:`limited`."""
    return _limit.get()


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Within the block, use at most so many threads; None changes nothing. Of this thread and this block alone."""
    token = _limit.set(threads or _limit.get())
    try:
        yield
    finally:
        _limit.reset(token)


def thread_count() -> int:
    """The limit, else OMP_NUM_THREADS as for other numeric libraries, else the processors of this process."""
    return _limit.get() or _of_environment() or usable_cores()


def _of_environment() -> int:
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() else 0


def usable_cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def ordered_map(function: Callable[[T], R], items: Iterable[T], *, threads: int | None = None) -> Iterator[R]:
    """``map`` on ``threads`` threads (default: :func:`thread_count`), results in order, few in flight.

    Calls within such a thread use no further ones: they would wait for each other. After an exception,
    KeyboardInterrupt included, the pieces in flight finish and the others are dropped.
    """
    count = threads or thread_count()
    if count == 1 or _limit.get() == 1:
        yield from map(function, items)
        return
    pool, waiting = _pool(os.getpid(), count), deque[Future[R]]()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        wait([future for future in waiting if not future.cancel()])


def every(function: Callable[[T], None], items: Iterable[T]) -> None:
    """Call a function for every item, on several threads as :func:`ordered_map` does."""
    for _ in ordered_map(function, items):
        pass


def begun(function: Callable[[T], R], item: T) -> Callable[[], R]:
    """What gives the result of a call that goes on beside the caller; it makes the call where one thread is allowed."""
    count = thread_count()
    if count == 1 or _limit.get() == 1:
        return partial(function, item)
    return _pool(os.getpid(), count).submit(function, item).result


@lru_cache(maxsize=4)
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    """The kept threads of a process; those of another one are not here after a fork."""
    return ThreadPoolExecutor(count, f"nfcodec-{process}", initializer=_limit.set, initargs=(1,))
