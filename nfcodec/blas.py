"""Matrix products of numpy on the thread that asks for them.

numpy's OpenBLAS wakes a thread per core for each product and lets it spin afterwards: several processes side by side
then take many times as long (docs/experiments.md). Where work is spread over threads here, it is by larger pieces
(:mod:`nfcodec.parallel`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@lru_cache(maxsize=1)
def _controller() -> Any:
    """The libraries behind numpy's products. Looking for them takes milliseconds, so it is done once."""
    import numpy  # noqa: F401 - what is not loaded yet would not be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


class _Counted:
    """The setting is one for the whole process: the first who asks changes it, the last one puts it back, on whatever
    threads they are."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._before: list[int] = []

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                libraries = _controller().lib_controllers
                self._before = [library.num_threads for library in libraries]
                self._set([1] * len(libraries))
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._set(self._before)

    def _set(self, counts: list[int]) -> None:
        for library, count in zip(_controller().lib_controllers, counts, strict=True):
            # threadpoolctl lets only one thread at a time change OpenBLAS: the last one may be another than the first.
            release = getattr(library, "clear_controlling_thread", lambda **_: None)
            release(force=True)
            library.set_num_threads(count)
            release(force=True)


_ONE = _Counted()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Within the block numpy's matrix products use one thread each; afterwards as many as before."""
    _ONE.enter()
    try:
        yield
    finally:
        _ONE.leave()


def single_threaded(function: Callable[P, R]) -> Callable[P, R]:
    """A function during whose calls :func:`one_thread_each` holds."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with one_thread_each():
            return function(*args, **kwargs)

    return called
