"""How the time until a deadline is shared, so that no part of a signal is adapted at the cost of the parts after it."""

from __future__ import annotations

import time


def passed(deadline: float | None) -> bool:
    """Whether a deadline (monotonic seconds, None for none) has passed."""
    return deadline is not None and time.monotonic() >= deadline


def share(deadline: float | None, left: int) -> float | None:
    """The deadline of the next of ``left`` equal parts, which share the time until ``deadline``."""
    if deadline is None:
        return None
    now = time.monotonic()
    return now + max(0.0, deadline - now) / max(1, left)
