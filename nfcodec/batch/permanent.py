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
    """Whether an input was written, replaced or moved after ``time``, in seconds since 1970.

    Of remote ones that is not known; they may have been.
    """
    if not all(isinstance(place, Path) for place in inputs):
        return True
    for place in inputs:
        name, _, rest = path.partition("/") if len(inputs) > 1 else ("", "", path)
        folder = Path(str(place))
        if len(inputs) > 1 and name != Path(os.path.realpath(folder)).name:
            continue
        try:
            status = os.stat(folder / rest)
        except OSError:
            continue
        return max(status.st_mtime, status.st_ctime) > time
    return False
