"""Failures that lie in the bytes of a file: a second attempt gives the same, until the file is another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nfcodec.batch.places import Place

_PERMANENT = frozenset((
    "UnsupportedMediaError", "LimitError", "NotNfcError", "TruncatedError", "ChecksumError", "CorruptError",
    "UnsupportedVersionError", "UnsupportedFeatureError", "OptionError",
))  # fmt: skip


def is_permanent(record: dict[str, Any]) -> bool:
    """Whether the line of a failure says so: by its error, or because its first bytes were enough to refuse it."""
    sniffed = record.get("attempts") == 0 and record["error"] == "MediaReadError"
    return sniffed or record["error"] in _PERMANENT


def changed_since(inputs: Sequence[Place], path: str, time: float) -> bool:
    """Whether a local input was written, replaced or moved after ``time``, in seconds since 1970.

    Of remote ones that is not known, and they count as unchanged.
    """
    for place in inputs:
        if isinstance(place, Path):
            rest = path
            if len(inputs) > 1:
                name, _, rest = path.partition("/")
                if name != Path(os.path.realpath(place)).name:
                    continue
            try:
                status = os.stat(place / rest)
            except OSError:
                continue
            return max(status.st_mtime, status.st_ctime) > time
    return False
