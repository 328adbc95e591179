"""What a truncated file lacks, in words."""

from __future__ import annotations

from collections import Counter

from nfcodec.container.layout import SectionType
from nfcodec.decoder.decoder import Decoder
from nfcodec.errors import TruncatedError
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.regions import LAYERS, Layout, section_run


def missing(decoder: Decoder) -> str | None:
    """What is there of a truncated file, such as "2 of 3 layers are there"; None when the file is whole."""
    try:
        decoder.reader.index()
    except TruncatedError:
        init = decoder.init
        parts = [_cells(decoder, init) if isinstance(init, LatticeInit) else _deltas(decoder), _alpha(decoder)]
        return ", ".join(p for p in parts if p) or "all samples are there, what came after them is lost"
    return None


def _cells(decoder: Decoder, init: LatticeInit) -> str:
    known: Counter[int] = Counter()
    for entry in decoder.index:
        if entry.type == SectionType.CELLS and entry.first is not None:
            region, _, count = section_run(entry.first)
            known[region] += count
    regions = Layout.of(decoder.info.shape, init.spec.spacing).count
    least = min(known.values()) if len(known) == regions else 0
    if least == LAYERS:
        return ""
    ahead = sum(n > least for n in known.values())
    more = f", and of {ahead} of {regions} regions more" if ahead else ""
    return f"{least} of {LAYERS} layers are there{more}"


def _deltas(decoder: Decoder) -> str:
    found = sum(e.type == SectionType.DELTA for e in decoder.index)
    return "" if found == decoder.chunks else f"{found} of {decoder.chunks} chunks are there"


def _alpha(decoder: Decoder) -> str:
    found = sum(e.type == SectionType.ALPHA for e in decoder.index)
    if not decoder.info.alpha or found == decoder.chunks:
        return ""
    return "no alpha" if not found else f"alpha of {found} of {decoder.chunks} chunks"
