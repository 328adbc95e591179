"""Dyadic interpolation as a family of fields: what encoder and decoder share."""

from __future__ import annotations

from nfcodec.container.reader import Entry, Reader
from nfcodec.dyadic.init import DyadicInit
from nfcodec.dyadic.init import build as read_init
from nfcodec.dyadic.init import contents as init_contents
from nfcodec.dyadic.stored import DyadicField
from nfcodec.errors import CorruptError
from nfcodec.limits import Limits
from nfcodec.signal import SignalInfo

__all__ = ["init_contents", "open_field", "read_init"]


def open_field(
    init: DyadicInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, coder: object, *,
    partial: bool,
) -> DyadicField:  # fmt: skip
    """The field of an open file; :class:`CorruptError` when header, init and sections do not fit together.

    ``coder`` codes regions of lattices; there are none.
    """
    if info.modality != "array":
        raise CorruptError(f"init {init.id} does not fit a signal of kind {info.modality}")
    return DyadicField(init, reader, index, info, limits, partial=partial)
