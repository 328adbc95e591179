"""What a truncated file lacks, in words."""

from __future__ import annotations

from nfcodec.container.layout import SectionType
from nfcodec.decoder.decoder import Decoder
from nfcodec.errors import TruncatedError


def missing(decoder: Decoder) -> str | None:
    """What is there of a truncated file, such as "2 of 3 layers are there"; None when the file is whole."""
    try:
        decoder.reader.index()
    except TruncatedError:
        parts = [decoder.field.lacking(), _alpha(decoder)]
        return ", ".join(p for p in parts if p) or "all samples are there, what came after them is lost"
    return None


def _alpha(decoder: Decoder) -> str:
    found = sum(e.type == SectionType.ALPHA for e in decoder.index)
    if not decoder.info.alpha or found == decoder.chunks:
        return ""
    return "no alpha" if not found else f"alpha of {found} of {decoder.chunks} chunks"
