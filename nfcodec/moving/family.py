"""Moving pictures as a family of fields: what encoder and decoder share."""

from __future__ import annotations

from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError
from nfcodec.limits import Limits
from nfcodec.moving.init import MovingInit
from nfcodec.moving.stored import MovingField
from nfcodec.moving.stored_init import build as read_init
from nfcodec.moving.stored_init import contents as init_contents
from nfcodec.signal import SignalInfo

__all__ = ["init_contents", "open_field", "read_init"]


def open_field(
    init: MovingInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, coder: object, *,
    partial: bool,
) -> MovingField:  # fmt: skip
    """The pictures of an open file; :class:`CorruptError` when header, init and sections do not fit together.

    ``coder`` codes regions of lattices; pictures are decoded side by side here.
    """
    if not init.takes(info):
        raise CorruptError(f"init {init.id} does not fit a {info.modality} of {info.channels} channels")
    return MovingField(init, reader, index, info, limits, partial=partial)
