"""The lattice as a family of fields: what encoder and decoder share."""

from __future__ import annotations

from typing import Any

import torch

from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import CorruptError
from nfcodec.lattice import stored_init
from nfcodec.lattice.code import RegionCoder
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.stored import LatticeField
from nfcodec.limits import Limits
from nfcodec.signal import SignalInfo

__all__ = ["init_contents", "open_field", "read_init"]


def read_init(meta: Any, arrays: Any, digest: bytes) -> LatticeInit:
    """See :mod:`nfcodec.lattice.stored_init`."""
    return stored_init.build(meta, {n: torch.from_numpy(a.copy()) for n, a in arrays.items()}, digest)


def init_contents(init: LatticeInit) -> Any:
    """See :mod:`nfcodec.lattice.stored_init`."""
    tensors, meta = stored_init.contents(init)
    return {n: t.numpy() for n, t in tensors.items()}, meta


def open_field(
    init: LatticeInit, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, coder: RegionCoder, *,
    partial: bool,
) -> LatticeField:  # fmt: skip
    """The lattice of an open file; :class:`CorruptError` when header, init and sections do not fit together."""
    if init.spec.axes != len(info.shape) or info.channels not in (1, 3):
        raise CorruptError(f"init {init.id} does not fit a {info.modality} of {info.channels} channels")
    return LatticeField(init, reader, index, info, limits, coder, partial=partial)
