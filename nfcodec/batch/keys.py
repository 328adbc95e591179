"""What makes two encodings the same: the bytes of the input, the options, the init, and the version of the format."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from typing import Any

from nfcodec import zoo
from nfcodec.container.layout import VERSION
from nfcodec.errors import ModelNotFoundError
from nfcodec.options import DecodeOptions, EncodeOptions

_LENGTH = 32  # hex digits
_PIECE = 1 << 20
# These say how to check a file or when to refuse one, not what is in it; an init counts by its bytes.
_NO_MATTER = ("verify", "limits", "init")


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hex. Raises ``OSError``."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def settings_of(options: EncodeOptions | DecodeOptions) -> dict[str, Any]:
    """The options as JSON values, without the limits."""
    values = {name: value for name, value in asdict(options).items() if name != "limits"}
    return {name: sorted(v) if isinstance(v, frozenset) else v for name, v in values.items()}


def settings_key(settings: dict[str, Any], init: str | None) -> str:
    """Hash of everything but the input: the options that matter, the bytes of the init, the format's version.

    ``init``: the path or id that was asked for; None stands for all shipped ones, because which of them serves an
    input is only known when it is read. Raises :class:`~nfcodec.errors.ModelNotFoundError`.
    """
    matter = {name: value for name, value in settings.items() if name not in _NO_MATTER}
    return _digest([matter, _init_hash(init), VERSION])


def item_key(content: str, settings: str) -> str:
    """The key of one input out of the hash of its bytes and :func:`settings_key`."""
    return _digest([content, settings])


def _init_hash(init: str | None) -> str:
    index = zoo.index()
    if init is None:
        return _digest(index)
    if init in index["inits"]:
        return str(index["inits"][init])
    try:
        return file_sha256(init)
    except OSError as error:
        hint = "nfc models lists the shipped ones"
        raise ModelNotFoundError(f"cannot read init {init}: {error.strerror}", hint=hint) from error


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]
