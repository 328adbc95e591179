"""The lattice as a family of fields: what encoder and decoder share."""

from __future__ import annotations

from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError
from nfcodec.lattice.code import RegionCoder
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.order import MOST_QUALITY
from nfcodec.lattice.stored import LatticeField
from nfcodec.lattice.stored_init import build as read_init
from nfcodec.lattice.stored_init import contents as init_contents
from nfcodec.limits import Limits
from nfcodec.signal import SignalInfo

__all__ = ["init_contents", "open_field", "read_init"]


def open_field(
    init: LatticeInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, coder: RegionCoder, *,
    partial: bool,
) -> LatticeField:  # fmt: skip
    """The lattice of an open file; :class:`CorruptError` when header, init and sections do not fit together."""
    if not init.takes(info):
        raise CorruptError(f"init {init.id} does not fit a {info.modality} of {info.channels} channels")
    header = reader.header
    init = init.tuned("perceptual" if header.perceptual else "psnr").at(header.spacing)
    if header.turn is not None and info.channels == 1:
        raise CorruptError("the planes of a grey picture are turned")
    init = init.turned(header.turn).dithered(header.dither, min(header.quality + init.finer, MOST_QUALITY))
    return LatticeField(init, reader, index, info, limits, coder, partial=partial)
