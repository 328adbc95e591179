"""Threads of torch while fitting: as many as the caller allows, and one each where pieces share them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from nfcodec.parallel import limit, limited, ordered_map, thread_count

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def torch_threads() -> Iterator[None]:
    """Within the block torch and everything else use as many threads as :func:`nfcodec.parallel.limited` says, or as
    torch was told to use; afterwards torch is as it was."""
    before = torch.get_num_threads()
    count = limit() or before
    torch.set_num_threads(count)
    try:
        with limited(count):
            yield
    finally:
        torch.set_num_threads(before)


def torch_map(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """:func:`nfcodec.parallel.ordered_map` of a function that computes with torch, on one of its threads each."""

    def alone(item: T) -> R:
        # OpenMP keeps this number per thread: the caller's own setting stays as it is.
        torch.set_num_threads(1)
        return function(item)

    return ordered_map(alone if thread_count() > 1 else function, items)
