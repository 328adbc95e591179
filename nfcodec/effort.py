"""What an effort buys."""

from __future__ import annotations

# Quantization-aware steps of efforts 1…9. Each trajectory begins with the one below it (refine), so more
# effort never costs more.
STEPS = (0, 2, 4, 8, 16, 32, 64, 128, 256)


def refine_steps(effort: int, axes: int) -> int:
    """Quantization-aware steps of an effort, 1…9. A clip has hundreds of times the samples of a picture, so
    the same effort buys it fewer steps."""
    return STEPS[max(0, effort - 1 - (2 if axes == 3 else 0))]
