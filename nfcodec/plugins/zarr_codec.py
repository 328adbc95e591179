"""The codec of :mod:`nfcodec.numcodecs` for format 3 of Zarr; that module fetches it when it is asked for."""

from __future__ import annotations

from zarr.codecs.numcodecs import _NumcodecsArrayBytesCodec
from zarr.registry import register_codec


class ZarrNfc(_NumcodecsArrayBytesCodec, codec_name="nfc"):  # type: ignore[call-arg, misc]
    """Arrays within a bound; options as of :class:`nfcodec.numcodecs.Nfc`."""


register_codec("numcodecs.nfc", ZarrNfc)
