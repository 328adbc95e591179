"""Rounding down, once for what decodes and for what learns."""

from __future__ import annotations

from typing import Any

from nfcodec.arrays import namespace


def floor(x: Any) -> Any:
    """⌊x⌋ of an array of any library. Where gradients are asked for they pass straight through (Bengio et al. 2013)."""
    down = namespace(x).floor(x)
    return x + (down - x).detach() if getattr(x, "requires_grad", False) else down
