"""Encode a picture, look at the result, and query it as a continuous function.

    python examples/quickstart.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nfcodec
from nfcodec import DecodeOptions, EncodeOptions


def main() -> None:
    photo = Path(__file__).parent / "photo.png"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "photo.nfc"
        result = nfcodec.encode(photo, target, options=EncodeOptions(quality=50, effort=1))
        print(f"{result.input_bytes} -> {result.bytes} bytes, {result.rate:.3f} bpp, {result.psnr:.2f} dB")

        thumbnail = nfcodec.decode_array(target, options=DecodeOptions(scale=0.25))
        print("a quarter of the size:", thumbnail.shape)

        with nfcodec.open(target) as field:
            print("the middle of the picture:", field.sample([[0.0, 0.0]])[0])


if __name__ == "__main__":
    main()
