"""What decoding will write, from the header of a file alone."""

from __future__ import annotations

import os
from pathlib import Path

from nfcodec.container.layout import SectionType
from nfcodec.container.metadata import unpack_metadata, unpack_tags
from nfcodec.container.reader import Reader
from nfcodec.errors import MediaReadError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media import default_suffix
from nfcodec.media.reading import named, reason
from nfcodec.signal import Metadata, SignalInfo


def decoded_kind(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> tuple[str, int]:
    """The format, without the dot, that decoding chooses by itself, and the samples it will write.

    Neither torch nor an init is loaded. Raises :class:`~nfcodec.errors.FormatError`, or
    :class:`~nfcodec.errors.MediaReadError` caused by an ``OSError``.
    """
    try:
        with open(path, "rb") as file:
            reader = Reader(file, limits=limits)
            payloads = [reader.read(e).payload for e in reader.index() if e.type == SectionType.METADATA]
    except OSError as error:
        raise MediaReadError(f"cannot read {named(Path(path))}: {reason(error)}") from error
    head = reader.header
    info = SignalInfo(head.modality, head.shape, head.channels, head.sample_type, head.alpha, head.rate)  # type: ignore[arg-type]
    parts = dict(unpack_metadata(payloads, limits=limits))
    metadata = Metadata(tags=unpack_tags(parts["tags"]) if "tags" in parts else ())
    return default_suffix(info, metadata), info.samples
