"""What Pillow calls a picture, and at which fraction of its size to decode it. Imports nothing heavy."""

from __future__ import annotations

from nfcodec.errors import UnsupportedMediaError
from nfcodec.options import PREVIEW_STEPS


def mode_of(modality: str, channels: int, sample_type: str, *, alpha: bool) -> str:
    """The Pillow mode of a decoded picture. Pillow knows 16 bits of plain grey only, others come with 8.

    Raises :class:`UnsupportedMediaError` for what is no picture.
    """
    if modality != "image" or channels not in (1, 3):
        raise UnsupportedMediaError(f"this is {modality} of {channels} channels, not a picture")
    if channels == 3:
        return "RGBA" if alpha else "RGB"
    if alpha:
        return "LA"
    return {"u1": "1", "u16": "I;16", "f32": "F"}.get(sample_type, "L")


def step_for(size: tuple[float, float], wanted: tuple[float, float]) -> int:
    """The largest of ``PREVIEW_STEPS`` that leaves of ``size`` (width, height) at least ``wanted``."""
    scale = min(have / max(want, 1) for have, want in zip(size, wanted, strict=True))
    return next((step for step in PREVIEW_STEPS if step <= scale), 1)
