"""What an effort buys."""

from __future__ import annotations

# Quantization-aware steps of efforts 1…9. Each trajectory begins with the one below it (refine), so more
# effort never costs more.
STEPS = (0, 2, 4, 8, 16, 32, 64, 128, 256)


def refine_steps(effort: int) -> int:
    """Quantization-aware steps of an effort, 1…9."""
    return STEPS[effort - 1]
