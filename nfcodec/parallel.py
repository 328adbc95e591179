"""Independent groups of modules on several cores.

Groups are small, so threads inside one tensor operation spend their time waiting for each other (ten times
slower on a busy machine); one group per thread does not. Every group is computed alone on one thread, hence
the results do not depend on how many threads there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def _one_thread() -> None:
    # OpenMP keeps this number per thread: the caller's own setting stays as it is.
    torch.set_num_threads(1)


def ordered_map(function: Callable[[T], R], items: Iterable[T], *, workers: int | None = None) -> Iterator[R]:
    """``map`` on ``workers`` threads (default: torch's thread count), results in order, few in flight.

    After an exception, KeyboardInterrupt included, the groups in flight finish and the others are dropped.
    """
    count = workers or torch.get_num_threads()
    if count == 1 == torch.get_num_threads():
        # Every new thread leaves some memory behind in torch, which data loaders would feel.
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(count, initializer=_one_thread)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
