"""nfc: images, audio, video and arrays as sparse, entropy-coded changes of a small meta-learned network.

    import nfcodec
    result = nfcodec.encode("photo.png", "photo.nfc")
    nfcodec.decode("photo.nfc", "photo2x.png", options=nfcodec.DecodeOptions(scale=2))
    with nfcodec.open("photo.nfc") as field:
        field.sample([[0.0, 0.0]])

Importing this package loads neither torch nor numpy; the functions load what they need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nfcodec.errors import NfcError
from nfcodec.limits import Limits
from nfcodec.options import DecodeOptions, EncodeOptions

if TYPE_CHECKING:
    from nfcodec.api import compare, decode, decode_array, encode, info, open, verify
    from nfcodec.rewrite import improve, transcode
    from nfcodec.stream import encode_stream

__version__ = "0.1.0"
__all__ = [
    "DecodeOptions",
    "EncodeOptions",
    "Limits",
    "NfcError",
    "compare",
    "decode",
    "decode_array",
    "encode",
    "encode_stream",
    "improve",
    "info",
    "open",
    "register_pillow",
    "transcode",
    "verify",
]
_API, _REWRITE = "nfcodec.api", "nfcodec.rewrite"
_FROM_API = {
    "compare": _API, "decode": _API, "decode_array": _API, "encode": _API, "encode_stream": "nfcodec.stream",
    "improve": _REWRITE, "info": _API, "open": _API, "transcode": _REWRITE, "verify": _API,
}  # fmt: skip


def register_pillow(*, inits: tuple[str, ...] = ()) -> None:
    """Make Pillow open and save .nfc files, as ``import nfcodec.pillow`` does; may be called again.

    ``inits``: paths of inits that are not shipped, for the files that were made with them.
    """
    import_module("nfcodec.plugins.pillow").register_pillow(inits=inits)


def __dir__() -> list[str]:
    """The public names, also those that no use has loaded yet."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Load the module of a function on its first use (PEP 562)."""
    if name in _FROM_API:
        return getattr(import_module(_FROM_API[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
