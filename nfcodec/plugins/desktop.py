"""What tells a freedesktop desktop of .nfc files: their media types, and who makes their thumbnails."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nfcodec.errors import OutputError

# What can be printed: where it belongs below a data folder such as ~/.local/share.
PIECES = {
    "mime": "mime/packages/nfcodec.xml",
    "thumbnailer": "thumbnailers/nfcodec.thumbnailer",
}


@dataclass(frozen=True, slots=True)
class Installed:
    """A file that was written."""

    input: str
    output: str


def content(piece: str) -> bytes:
    """The bytes of one of :data:`PIECES`."""
    name = PIECES[piece].rpartition("/")[2]
    return (resources.files("nfcodec.plugins") / "share" / name).read_bytes()


def install(piece: str, folder: Path, *, force: bool = False) -> Installed:
    """Write one of :data:`PIECES` to its place below ``folder``.

    A file that is there already and differs is replaced only with ``force``. Raises
    :class:`~nfcodec.errors.OutputError`.
    """
    from nfcodec.media.atomic import atomic_output  # loads numpy, which printing need not wait for

    target = folder / PIECES[piece]
    wanted = content(piece)
    if not (target.is_file() and target.read_bytes() == wanted):
        _make_folder(target.parent)
        with atomic_output(target, force=force) as temporary:
            temporary.write_bytes(wanted)
    return Installed(piece, str(target))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
