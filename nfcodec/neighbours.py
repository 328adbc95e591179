"""Items between their neighbours, as they pass by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def neighbours(items: Iterable[T]) -> Iterator[tuple[T | None, T, T | None]]:
    """Every item with the one before and the one after it."""
    before: T | None = None
    here: T | None = None
    for after in items:
        if here is not None:
            yield before, here, after
            before = here
        here = after
    if here is not None:
        yield before, here, None
