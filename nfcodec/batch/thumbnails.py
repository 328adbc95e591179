"""Small PNGs of files, to stand inside of a page: an input, and what its output shows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from nfcodec.batch.manifest import Record
from nfcodec.errors import NfcError
from nfcodec.options import DecodeOptions

_SIDE = 160


def thumbnails(records: Sequence[Record], runs: Sequence[Record], output: Path) -> dict[str, tuple[bytes, bytes]]:
    """By path: PNG bytes of the input and of the encoded file; empty where there is none to show."""
    inits = [run["settings"].get("init") for run in runs] or [None]
    sources = [Path(folder) for run in runs[-1:] for folder in run["inputs"]]
    found = {}
    for record in records:
        decoded = _encoded(output / record["target"], inits[-1])
        found[record["path"]] = (_original(sources, record["path"]), decoded)
    return found


def _encoded(path: Path, init: str | None) -> bytes:
    """A small rendering of a picture, or of the first frame of a clip; nothing for what cannot be seen."""
    from nfcodec import api

    with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
        target = Path(folder) / "small.png"
        try:
            info = api.info(path)
            if info.modality not in ("image", "video"):
                return b""
            first = (0.0, 1.0 / info.sample_rate) if info.sample_rate else None
            options = DecodeOptions(scale=min(1.0, _SIDE / max(info.shape[-2:])), time=first)
            api.decode(path, target, options=options, init=init)
            return _small(target)
        except (NfcError, OSError, MemoryError):
            return b""


def _original(folders: Sequence[Path], path: str) -> bytes:
    """The input, where it can still be found and read."""
    inner = path.partition("/")[2]
    places = [
        f / (path if len(folders) == 1 else inner) for f in folders if len(folders) == 1 or f.name == _first(path)
    ]
    return next((_small(place) for place in places if place.is_file()), b"")


def _first(path: str) -> str:
    return path.partition("/")[0]


def _small(path: Path) -> bytes:
    import io

    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail((_SIDE, _SIDE))
            out = io.BytesIO()
            upright.convert("RGBA" if "A" in upright.getbands() else "RGB").save(out, "PNG", optimize=True)
            return out.getvalue()
    except Exception:  # Pillow fails on damaged files with nearly any class; a report can do without
        return b""
