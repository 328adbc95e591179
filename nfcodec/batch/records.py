"""The lines of a manifest as checked values: a manifest may come from a folder that others can write to.

Paths of outputs lie below the folder of the manifest, numbers are finite, texts are texts. A line that says anything
else was not written by nfc, and the manifest is refused as a whole: what else it says would be believed too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any

from nfcodec.errors import ManifestError
from nfcodec.media.reading import one_line

_FORMAT = re.compile(r"[A-Za-z0-9]{1,8}")
_HINT = "it was changed by something other than nfc; a new output folder begins a new batch"


def is_inner(path: object, *, windows: bool = os.name == "nt") -> bool:
    """Whether ``path`` is the relative path of a file below a folder: no "..", nothing absolute, no drive, no NUL."""
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    if windows and ("\\" in path or PureWindowsPath(path).drive or ":" in path):
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def lies_in(place: Path, folder: Path) -> bool:
    """Whether ``place`` is below ``folder`` when all links are followed."""
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder))


def checked(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The record, with what its kind of line lacks. Raises :class:`~nfcodec.errors.ManifestError`, which names
    ``where`` it stands."""
    kind = record.get("type")
    fields = {**_FIELDS, "path": is_inner} if kind in ("start", "done") else _FIELDS
    for name, value in record.items():
        if name in fields and not fields[name](value):
            shown = one_line(ascii(value))[:80]
            raise ManifestError(f"{where} holds the {name} {shown}, which no batch writes", hint=_HINT)
    return {**(_LACKING.get(kind, {}) if isinstance(kind, str) else {}), **record}


def _text(value: object) -> bool:
    return isinstance(value, str)


def _hint(value: object) -> bool:
    return value is None or isinstance(value, str)


def _inners(value: object) -> bool:
    return isinstance(value, list) and all(map(is_inner, value))


def _place(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _places(value: object) -> bool:
    return isinstance(value, list) and all(map(_place, value))


def _number(value: object) -> bool:
    """JSON of Python has NaN, infinities, and integers too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _maybe_number(value: object) -> bool:
    return value is None or _number(value)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _shard(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_count, value)) and 1 <= value[0] <= value[1]


def _settings(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    init, form = value.get("init"), value.get("format")
    # The format becomes the end of the outputs' names.
    return (init is None or _place(init)) and (
        form is None or (isinstance(form, str) and bool(_FORMAT.fullmatch(form)))
    )


_FIELDS: Mapping[str, Callable[[object], bool]] = MappingProxyType({
    # For display and comparison alone, but in lines of what was written: names in object stores may be no paths.
    "path": _text, "target": is_inner, "targets": _inners, "inputs": _places, "shard": _shard, "settings": _settings,
    **dict.fromkeys(("error", "message", "reason", "rate_unit", "key", "sha256", "trace", "action"), _text),
    **dict.fromkeys(("hint",), _hint), **dict.fromkeys(("time", "rate", "seconds"), _number),
    **dict.fromkeys(("psnr", "snr"), _maybe_number),
    **dict.fromkeys(("bytes", "input_bytes", "total", "done", "failed", "skipped", "attempts"), _count),
    "retry": lambda value: isinstance(value, bool),
})  # fmt: skip
_LACKING: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "run": {"action": "encode", "settings": {}, "inputs": [], "shard": [1, 1], "total": 0, "retry": False, "time": 0.0},
    "done": {"target": ""}, "failed": {"error": "", "message": ""}, "skipped": {"reason": ""},
})  # fmt: skip
