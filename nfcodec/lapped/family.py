"""Lapped frames as a family of fields: what encoder and decoder share."""

from __future__ import annotations

from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError
from nfcodec.lapped.init import LappedInit
from nfcodec.lapped.stored import LappedField
from nfcodec.lapped.stored_init import build as read_init
from nfcodec.lapped.stored_init import contents as init_contents
from nfcodec.limits import Limits
from nfcodec.signal import SignalInfo

__all__ = ["init_contents", "open_field", "read_init"]


def open_field(
    init: LappedInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, coder: object, *,
    partial: bool,
) -> LappedField:  # fmt: skip
    """The frames of an open file; :class:`CorruptError` when header, init and sections do not fit together.

    ``coder`` codes regions of lattices; chunks of frames are coded side by side here.
    """
    if not init.takes(info):
        raise CorruptError(f"init {init.id} does not fit a {info.modality} of {len(info.shape)} axes")
    return LappedField(init, reader, index, info, limits, partial=partial)
