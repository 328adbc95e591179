"""A codec for numcodecs, and so for Zarr: chunks of arrays within a bound on the error.

    import zarr
    from nfcodec.numcodecs import Nfc, zarr_serializer

    codec = zarr_serializer(max_error="0.1%")
    zarr.create_array("t.zarr", data=t, chunks=(1, 241, 480), serializer=codec, compressors=None)
    zarr.create_array("t.zarr", data=t, chunks=(1, 241, 480), zarr_format=2, compressors=Nfc(max_error="0.1%"))

Where nfcodec is installed, such arrays open as any others do.
"""

from __future__ import annotations

import io
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray, ndarray_copy
from numcodecs.registry import register_codec

from nfcodec.decoder import Decoder
from nfcodec.encoder import encode_signal
from nfcodec.media.array import array_source
from nfcodec.media.samples import samples_of
from nfcodec.options import DecodeOptions, EncodeOptions

_AXES = 3


class Nfc(Codec):  # type: ignore[misc]
    """Arrays of any numeric type. ``max_error``: as ``--max-error`` takes it, such as "0.1%" of the range of values of
    a chunk, or 0.5; ``wrap``: axes whose ends meet; ``effort``: 1 … 9. Of more than three axes the first ones become
    one."""

    codec_id: ClassVar[str] = "nfc"

    def __init__(self, max_error: str | float = "0.1%", wrap: tuple[int, ...] = (), effort: int = 5) -> None:
        self.max_error, self.wrap, self.effort = str(max_error), list(wrap), effort

    def encode(self, buf: Any) -> bytes:
        """The bytes of an .nfc file."""
        array = np.asanyarray(buf)
        options = EncodeOptions(max_error=self.max_error, effort=self.effort, wrap=tuple(self.wrap), verify=False)
        out = io.BytesIO()
        source = array_source(_within_three(array), plain=True)
        encode_signal(source, out, options)
        return out.getvalue()

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The samples, with axes as they were encoded; into ``out`` where it is given."""
        decoder = Decoder(io.BytesIO(ensure_contiguous_ndarray(buf).tobytes()))
        parts = [samples_of(block, decoder.info)[..., 0] for block in decoder.blocks(DecodeOptions())]
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if decoder.info.sample_type == "u1":
            found = found.view(bool)
        return ndarray_copy(found, out)


def _within_three(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array with one to three axes."""
    if array.ndim <= _AXES:
        return array if array.ndim else array.reshape(1)
    return array.reshape(-1, *array.shape[-2:])


register_codec(Nfc)


def zarr_serializer(**options: Any) -> Any:
    """The codec as Zarr 3 wants it: what makes bytes of a chunk. ``options``: those of :class:`Nfc`."""
    from nfcodec.plugins.zarr_codec import ZarrNfc

    return ZarrNfc(**options)
