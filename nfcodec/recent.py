"""Results that are worth keeping for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The results for the ``size`` keys that were asked for last.

    Unlike ``functools.lru_cache`` it makes room before a new result is made, and holds no reference to its owner.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[int, T] = {}

    def get(self, key: int, make: Callable[[int], T]) -> T:
        """What ``make(key)`` gave, or gives now."""
        if key in self._kept:
            result = self._kept.pop(key)
        else:
            self._make_room()
            result = make(key)
        self._kept[key] = result
        return result

    def has(self, key: int) -> bool:
        """Whether there is a result for ``key``."""
        return key in self._kept

    def put(self, key: int, result: T) -> None:
        """Keep a result that was made along with another one."""
        self._make_room()
        self._kept[key] = result

    def _make_room(self) -> None:
        while len(self._kept) >= self._size:
            del self._kept[next(iter(self._kept))]
