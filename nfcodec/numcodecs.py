"""A codec for numcodecs and for Zarr (extra ``nfcodec[zarr]``); see :mod:`nfcodec.plugins.chunks`."""

from __future__ import annotations

from nfcodec.plugins.chunks import Nfc, zarr_serializer

__all__ = ["Nfc", "zarr_serializer"]
