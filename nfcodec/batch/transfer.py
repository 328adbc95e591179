"""Files on their way to or from a remote folder: several at a time, each tried twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

from nfcodec.batch.remote_tree import Tree
from nfcodec.batch.task import TARGET_FAULTS

T = TypeVar("T")
U = TypeVar("U")
_AHEAD = 256


class Transfers:
    """A pool of threads, as many as the file systems bear."""

    def __init__(self, trees: Iterable[Tree]) -> None:
        self._pool = ThreadPoolExecutor(min((t.threads for t in trees), default=1), thread_name_prefix="nfc-transfer")
        self._open: set[Future[Any]] = set()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Begin, or let wait until a thread is free; what fails is tried once more."""
        future = self._pool.submit(_twice, work)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return future

    def map(self, work: Callable[[U], T], values: Iterable[U]) -> Iterator[tuple[U, Future[T]]]:
        """Every value with its finished future, in order; a few hundred are under way at a time."""
        rest = iter(values)
        while part := [(v, self.submit(lambda v=v: work(v))) for v in islice(rest, _AHEAD)]:  # type: ignore[misc]
            for value, future in part:
                future.exception()
                yield value, future

    def cancel(self) -> None:
        """Forget what has not begun, and wait for the rest."""
        under_way = [future for future in tuple(self._open) if not future.cancel()]
        wait(under_way)

    def __enter__(self) -> Transfers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _twice(work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception as error:
        if disk_full(error):
            raise
        return work()


def disk_full(error: BaseException) -> bool:
    """Whether a disk takes no more, which every further file would meet."""
    return isinstance(error, OSError) and error.errno in TARGET_FAULTS
