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
            while len(self._kept) >= self._size:
                del self._kept[next(iter(self._kept))]
            result = make(key)
        self._kept[key] = result
        return result
