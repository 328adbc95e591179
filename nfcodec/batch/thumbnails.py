"""Small PNGs of files, to stand inside of a page: an input, and what its output shows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from nfcodec.batch.keys import file_sha256
from nfcodec.batch.manifest import Record
from nfcodec.batch.records import lies_in
from nfcodec.errors import NfcError
from nfcodec.options import DecodeOptions

_SIDE = 160


def thumbnails(records: Sequence[Record], runs: Sequence[Record], output: Path) -> dict[str, tuple[bytes, bytes]]:
    """By path: PNG bytes of the input and of the encoded file; empty where there is none to show."""
    inits = [run["settings"].get("init") for run in runs] or [None]
    sources = [Path(folder) for run in runs[-1:] for folder in run["inputs"]]
    found = {}
    for record in records:
        place = output / record["target"]
        decoded = _encoded(place, inits[-1]) if record["target"] and lies_in(place, output) else b""
        found[record["path"]] = (_original(sources, record), decoded)
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


def _original(folders: Sequence[Path], record: Record) -> bytes:
    """The input, where it can still be found and read, and is the one that was encoded.

    By its hash: a manifest that somebody else wrote must not put any picture of this machine into a page.
    """
    path = record["path"]
    inner = path.partition("/")[2]
    places = [
        f / (path if len(folders) == 1 else inner) for f in folders if len(folders) == 1 or f.name == _first(path)
    ]
    return next((_small(place) for place in places if place.is_file() and _is_input(place, record)), b"")


def _is_input(place: Path, record: Record) -> bool:
    try:
        return file_sha256(place) == record.get("sha256")
    except OSError:
        return False


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
