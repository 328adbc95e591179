"""What the allocator of the C library keeps: a command may ask for less of it, a library has no say in its host."""

from __future__ import annotations

import ctypes
import sys

_ARENA_MAX = -8  # of malloc.h


def share_memory() -> None:
    """Let all threads take memory from one place, where the C library is glibc: each place keeps what was freed for its
    own threads. Work here is done in few large pieces, so that threads hardly wait for each other."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_ARENA_MAX, 1)
