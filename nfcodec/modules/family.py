"""Fields of independent modules as a family: what encoder and decoder share."""

from __future__ import annotations

from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError
from nfcodec.limits import Limits
from nfcodec.modules.init import Init
from nfcodec.modules.stored import ModuleField
from nfcodec.modules.stored_init import build as read_init
from nfcodec.modules.stored_init import contents as init_contents
from nfcodec.signal import SignalInfo

__all__ = ["init_contents", "open_field", "read_init"]


def open_field(
    init: Init, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, coder: object, *, partial: bool
) -> ModuleField:  # fmt: skip
    """The modules of an open file; :class:`CorruptError` when header, init and sections do not fit together.

    ``coder`` codes regions of lattices; modules have none.
    """
    if init.spec.axes != len(info.shape) or (init.spec.offset and info.channels not in (1, 3)):
        raise CorruptError(f"init {init.id} does not fit a {info.modality} of {info.channels} channels")
    return ModuleField(init, reader, index, info, limits, partial=partial)
